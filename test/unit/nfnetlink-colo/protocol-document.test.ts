// The examples of docs/PROTOCOL.md are what the code sends and takes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageBuilder } from '../../../src/netlink/builder';
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import { buildColo1Notice } from '../../../src/netlink/colo-generation1';
import { buildColo2Notice, ColoMode } from '../../../src/netlink/colo-generation2';
import { Errno } from '../../../src/netlink/errno';
import { generation1, generation2, own } from '../../../src/nfnetlink-colo/client';
import { CONTROL_COUNTERS } from '../../../src/nfnetlink-colo/counters';
import { OWN_TYPE_NAMES } from '../../../src/nfnetlink-colo/own-messages';
import { LOSS_REASONS } from '../../../src/node/controller';
import { Bench } from './harness';

const TEXT = readFileSync(join(__dirname, '../../../docs/PROTOCOL.md'), 'utf8');
const { PRIMARY, SECONDARY } = ColoMode;
const PID = 4242;

/** Label to bytes, from the lines of the fenced blocks. */
const examples = new Map(
  [...TEXT.matchAll(/```\n([\s\S]*?)```/g)].flatMap(([, block]) =>
    block!
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, 33).trim(), line.slice(33).replace(/[\s|]/g, '')] as const),
  ),
);

function built(write: (b: MessageBuilder) => MessageBuilder): Uint8Array {
  return write(new MessageBuilder(new Uint8Array(64))).finish();
}

function answers(...requests: Uint8Array[]): Buffer[] {
  const bench = new Bench();
  const pid = Buffer.from(requests[0]!).readUInt32LE(12);
  return requests.map((request) => bench.say(bench.port(pid === 0 ? 5 : pid), request)).at(-1)!;
}

const expected: [string, () => Uint8Array][] = [
  ['ack of a generation-1 INIT', () => answers(generation1.init({ pid: 1 }))[0]!],
  [
    'EEXIST for a generation-2 INIT',
    () => answers(generation2.init(PRIMARY, { pid: PID }), generation2.init(PRIMARY, { pid: PID }))[0]!,
  ],
  ['COLO_PROXY_INIT', () => generation1.init({ pid: 1 })],
  ['COLO_CHECKPOINT', () => generation1.checkpoint({ pid: 1 })],
  ['COLO_FAILOVER', () => generation1.failover({ pid: 1 })],
  ['COLO_PROXY_RESET', () => generation1.reset({ pid: 1 })],
  ['COLO_QUERY_CHECKPOINT, question', () => generation1.query({ pid: 1 })],
  ['COLO_QUERY_CHECKPOINT, notice', () => built((b) => buildColo1Notice(b, true, 0, 1))],
  [
    'COLO_QUERY_CHECKPOINT, answer',
    () => answers(generation1.init({ pid: 1 }), generation1.query({ pid: 1, seq: 7 }))[0]!,
  ],
  ['NFCOLO_PROXY_INIT, primary', () => generation2.init(PRIMARY, { pid: PID })],
  ['NFCOLO_DO_CHECKPOINT, primary', () => generation2.checkpoint(PRIMARY, { pid: PID })],
  ['NFCOLO_DO_CHECKPOINT, secondary', () => generation2.checkpoint(SECONDARY, { pid: PID })],
  ['NFCOLO_DO_FAILOVER', () => generation2.failover(SECONDARY, { pid: PID })],
  ['NFCOLO_PROXY_RESET', () => generation2.reset(PRIMARY, { pid: PID })],
  ['NFCOLO_KERNEL_NOTIFY', () => built((b) => buildColo2Notice(b, PID))],
  ['NFCOLO_PROXY_INIT, detached', () => generation2.init(PRIMARY, { pid: 1, detached: true })],
  ['STATUS of all nodes', () => own.status()],
  ['STATS of node 2', () => own.stats({ node: 2 })],
  ['BYPASS_ADD {"protocol":"udp"}', () => own.bypassAdd({ protocol: 'udp' })],
  ['RELEASE of node 1', () => own.release({ node: 1 })],
  ['BYPASS_LIST, reply of []', () => answers(own.bypassList())[0]!],
  ['NLMSG_DONE', () => answers(own.bypassList())[1]!],
];

(HOST_LITTLE_ENDIAN ? describe : describe.skip)('docs/PROTOCOL.md', () => {
  test.each(expected)('%s', (label, bytes) => {
    expect(examples.get(label)).toBe(Buffer.from(bytes()).toString('hex'));
  });

  test('has no other examples', () => {
    expect([...examples.keys()].sort()).toEqual(expected.map(([label]) => label).sort());
  });

  test('names every message of ours with its type, every reason of a loss, and no unknown errno or counter', () => {
    for (const [type, name] of OWN_TYPE_NAMES) expect(TEXT).toContain(`| 0x0c${type.toString(16)} | ${name} |`);
    for (const reason of LOSS_REASONS) expect(TEXT).toContain(`\`${reason}\``);
    for (const [name] of TEXT.matchAll(/\bE[A-Z2]{4,}\b/g)) expect(Object.keys(Errno)).toContain(name);
    for (const [, name] of TEXT.matchAll(/counter `(\w+)`|\| `(\w+)` \|$/gm)) {
      if (name !== undefined) expect(CONTROL_COUNTERS as readonly string[]).toContain(name);
    }
  });
});
