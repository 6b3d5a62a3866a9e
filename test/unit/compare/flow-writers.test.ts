// A word of a flow's record has one file that writes it. flow-life starts and aligns any of them; the other exceptions
// are named, with what divides the work.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SRC = join(__dirname, '../../../src');
const LIFE = 'compare/flow-life.ts';

const SHARED: Record<string, readonly string[]> = {
  // Each flag has rows of its own in flow-life.
  X_FLAGS: [
    'compare/flow-words.ts',
    'compare/syn-match.ts',
    'compare/tcp.ts',
    'compare/urgent.ts',
    'compare/verified-range.ts',
    'pmycolo/datagram-intake.ts',
    'pmycolo/expiry.ts',
    'pmycolo/flow-waits.ts',
    'pmycolo/handshake.ts',
    'pmycolo/prefix-outlet.ts',
    'pmycolo/tcp-outlet.ts',
    'pmycolo/tcp-release.ts',
  ],
  X_ODD: ['compare/flow-words.ts', 'compare/urgent.ts'],
  // By protocol, and where a record is made for another one's sake.
  X_EPOCH: ['pmycolo/context.ts', 'pmycolo/datagram-intake.ts', 'pmycolo/expiry.ts', 'pmycolo/tcp-intake.ts'],
  X_SECONDARY_HEAD: ['compare/datagram.ts', 'compare/stream-lists.ts', 'pmycolo/datagram-intake.ts'],
  X_SECONDARY_TAIL: ['compare/datagram.ts', 'compare/stream-lists.ts', 'pmycolo/datagram-intake.ts'],
  // Of a SYN/ACK and of every other segment.
  X_PRIMARY_ACK: ['compare/syn-match.ts', 'compare/tcp.ts'],
  X_PRIMARY_WINDOW: ['compare/syn-match.ts', 'compare/tcp.ts'],
  X_SECONDARY_ACK: ['compare/syn-match.ts', 'compare/tcp.ts'],
  X_SECONDARY_WINDOW: ['compare/syn-match.ts', 'compare/tcp.ts'],
};

function writers(files: readonly (readonly [name: string, text: string])[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const [name, text] of files) {
    for (const [, word] of text.matchAll(/\[[\w.]+ \+ (?:f\.)?(X_\w+)(?: \+ (?:f\.)?\w+)?\]!? (?:[-+|&]?=) /g)) {
      found.set(word!, (found.get(word!) ?? new Set()).add(name));
    }
  }
  return found;
}

function wrong(all: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  return [...all].flatMap(([word, names]) => {
    const others = [...names].filter((name) => name !== LIFE);
    const allowed = SHARED[word];
    if (allowed === undefined) return others.length > 1 ? [`${word}: ${others.sort().join(', ')}`] : [];
    return others.filter((name) => !allowed.includes(name)).map((name) => `${word}: ${name}`);
  });
}

const files = ['compare', 'pmycolo', 'node', 'replay'].flatMap((room) =>
  readdirSync(join(SRC, room)).map((name) => [`${room}/${name}`, readFileSync(join(SRC, room, name), 'utf8')] as const),
);

test('a word has one writer', () => {
  const all = writers(files);
  expect(all.size).toBeGreaterThan(40);
  expect(wrong(all)).toEqual([]);
});

test('a second writer is seen', () => {
  const second = ['pmycolo/engine.ts', '    w[flow + f.X_VERIFIED] = 0;\n    w[flow + X_PRIMARY_ACK] = 0;'] as const;
  expect(wrong(writers([...files, second])).sort()).toEqual([
    'X_PRIMARY_ACK: pmycolo/engine.ts',
    'X_VERIFIED: compare/verified-range.ts, pmycolo/engine.ts',
  ]);
});
