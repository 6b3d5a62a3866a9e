// The numbers of layout.ts are those of native/core/nfq.h and of the kernel's headers, also where no addon is built.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as layout from '../../../src/native/layout';

const values = layout as Record<string, number>;
const header = readFileSync(join(__dirname, '../../../native/core/nfq.h'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');

/** Names of an enum in their order. */
function members(name: string): string[] {
  const body = header.match(new RegExp(`enum ${name} \\{([^}]*)\\}`))![1]!;
  return body
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}

test.each(['nfq_desc_word', 'nfq_command_word'])('%s', (name) => {
  const names = members(name);
  expect(names.length).toBeGreaterThan(5);
  names.forEach((member, index) => {
    if (member !== 'NFQ_D_RESERVED') expect([member, values[member]]).toEqual([member, index]);
  });
});

test('defines', () => {
  const defines = [...header.matchAll(/#define (NFQ_\w+) (\w+)/g)].map(([, name, value]) => [
    name!,
    Number(value!.replace(/u$/, '')),
  ]);
  expect(defines.length).toBeGreaterThan(9);
  for (const [name, value] of defines) expect([name, values[name as string]]).toEqual([name, value]);
});

const UAPI = '/usr/include/linux/netfilter/nfnetlink_queue.h';
(existsSync(UAPI) ? test : test.skip)('flags of the kernel', () => {
  const uapi = readFileSync(UAPI, 'utf8');
  for (const name of ['NFQA_SKB_CSUMNOTREADY', 'NFQA_SKB_GSO', 'NFQA_SKB_CSUM_NOTVERIFIED']) {
    const [, shift] = uapi.match(new RegExp(`#define ${name} \\(1 << (\\d)\\)`))!;
    expect([name, values[name]]).toEqual([name, 1 << Number(shift)]);
  }
});
