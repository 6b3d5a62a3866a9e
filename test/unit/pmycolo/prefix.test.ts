// The verified beginning of a held packet leaves as a copy: when, which bytes, and what of the packet it may not bear.

import { PREFIX_PACKET_BYTES, PREFIX_PATIENCE_MS } from '../../../src/core/limits';
import { FLOW_KEY_WORDS } from '../../../src/packet/tuple';
import { buildTcp, checksumsAreRight, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 0xffff_fff0;
const S_ISN = 5000;
const CLIENT = 777;
const SIGNATURE = [19, 18, ...Array(16).fill(7), 1, 1];
const time = (value: number, echo: number): number[] => {
  const b = Buffer.alloc(12);
  b.writeUInt32BE(0x0101080a, 0);
  b.writeUInt32BE(value, 4);
  b.writeUInt32BE(echo, 8);
  return [...b];
};

function open(family: 4 | 6 = 4, head = 0, padding = 0) {
  const h = new PrimaryHarness();
  h.head = head;
  h.padding = padding;
  const p = (at: number, f: TcpFields = {}, partial = false) =>
    h.p(buildTcp({ family, seq: P_ISN + 1 + at, ack: CLIENT + 1, flags: 'PA', ...f }), partial);
  const s = (at: number, f: TcpFields = {}) =>
    h.s(buildTcp({ family, seq: S_ISN + 1 + at, ack: CLIENT + 1, flags: 'PA', ...f }));
  p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
  s(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(9) });
  const l4 = family === 4 ? 20 : 40;
  const copies = (afterMs = 0) => {
    h.now += afterMs;
    h.engine.endBatch(h.now);
    return h.copies.splice(0).map(({ bytes }) => {
      const payload = l4 + (bytes[l4 + 12]! >> 4) * 4;
      return {
        bytes,
        at: (bytes.readUInt32BE(l4 + 4) - P_ISN - 1) | 0,
        text: bytes.subarray(payload).toString(),
        flags: bytes[l4 + 13],
      };
    });
  };
  /** What left, pieces that follow each other as one. */
  const text = (afterMs = 0): string[] => {
    const all: { at: number; text: string }[] = [];
    for (const { at, text: piece } of copies(afterMs)) {
      const last = all.at(-1);
      if (last !== undefined && last.at + last.text.length === at) last.text += piece;
      else all.push({ at, text: piece });
    }
    return all.map((one) => `${one.at}:${one.text}`);
  };
  return { h, p, s, l4, copies, text };
}

describe.each([
  [4, 0, 0],
  [6, 0, 0],
  [4, 26, 6],
] as const)('IPv%d, %d bytes of frame headers, %d of padding', (family, head, padding) => {
  test('what both have said leaves, once, and the packet stays held until the SVM has said all of it', () => {
    const { h, p, s, l4, copies, text } = open(family, head, padding);
    const id = p(0, { payload: 'abcdefghi' });
    s(0, { payload: 'abc' });
    const pieces = copies();
    // Two segments, so that they are acknowledged at once.
    expect(pieces.map((c) => c.text)).toEqual(['a', 'bc']);
    for (const { bytes, text: piece, flags } of pieces) {
      expect(flags).toBe(0x10);
      expect(checksumsAreRight(bytes)).toBe(true);
      expect(family === 4 ? bytes.readUInt16BE(2) : bytes.readUInt16BE(4) + 40).toBe(l4 + 20 + piece.length);
    }
    expect(text(1000)).toEqual([]);
    s(3, { payload: 'defg' });
    expect(text()).toEqual(['3:defg']);
    expect(h.state(id)).toBe('held');
    s(7, { payload: 'hi' });
    // What has not left leaves, too, once, and ends as the packet does.
    expect(text()).toEqual(['7:h']);
    const rest = h.left(id)!;
    expect([rest.subarray(l4 + 20).toString(), rest[l4 + 13], rest.readUInt32BE(l4 + 4)]).toEqual([
      'i',
      0x18,
      (P_ISN + 9) >>> 0,
    ]);
    expect(checksumsAreRight(rest)).toBe(true);
    expect(text(1000)).toEqual([]);
    expect(h.count('prefixes_sent')).toBe(5);
    expect(h.requests).toEqual([]);
  });

  test('also when the SVM had said it before', () => {
    const { p, s, text } = open(family, head, padding);
    s(0, { payload: 'abc' });
    p(0, { payload: 'abcdef' });
    expect(text()).toEqual(['0:abc']);
  });
});

test('what arrives whole within a batch is not copied', () => {
  const { p, s, text } = open();
  p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  s(3, { payload: 'def' });
  expect(text(1000)).toEqual([]);
});

test('an SVM that has more to say is waited for, a moment from its last word', () => {
  const { h, p, s, text } = open();
  p(0, { payload: 'abcdefghijklm' });
  s(0, { payload: 'abc', flags: 'A' });
  expect(text()).toEqual([]);
  expect(h.engine.nextDeadlineMs).toBe(h.now + PREFIX_PATIENCE_MS);
  expect(text(PREFIX_PATIENCE_MS - 1)).toEqual([]);
  s(3, { payload: 'de', flags: 'A' });
  expect(text(PREFIX_PATIENCE_MS - 1)).toEqual([]);
  expect(text(PREFIX_PATIENCE_MS)).toEqual(['0:abcde']);
  expect(h.engine.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
});

test('only of the first packet that is held', () => {
  const { p, s, text } = open();
  p(0, { payload: 'ab' });
  p(2, { payload: 'cd' });
  p(4, { payload: 'ef' });
  s(0, { payload: 'a' });
  expect(text()).toEqual(['0:a']);
  s(1, { payload: 'bc' });
  expect(text()).toEqual(['2:c']);
});

test('a FIN waits for the SVM; what stands before it does not', () => {
  const { h, p, s, copies } = open();
  const id = p(0, { payload: 'abc', flags: 'FPA' });
  s(0, { payload: 'abc' });
  expect(copies()).toMatchObject([
    { text: 'a', flags: 0x10 },
    { text: 'bc', flags: 0x10 },
  ]);
  expect(h.state(id)).toBe('held');
  s(3, { flags: 'FA' });
  const end = h.left(id)!;
  expect([end.length, end[33], end.readUInt32BE(24)]).toEqual([40, 0x19, (P_ISN + 4) >>> 0]);
  expect(checksumsAreRight(end)).toBe(true);
});

test.each<[string, TcpFields]>([
  ['urgent', { flags: 'UPA' }],
  ['a reset', { flags: 'RA' }],
  ['signed (MD5)', { options: SIGNATURE }],
  ['signed (AO)', { options: [29, 16, ...Array(14).fill(7)] }],
])('never of what is %s', (_what, fields) => {
  const { h, p, s, text } = open();
  const id = p(0, { payload: 'abcdef', ...fields });
  s(0, { payload: 'abc' });
  expect(text(1000)).toEqual([]);
  expect(h.state(id)).toBe('held');
});

test('never of a SYN with data', () => {
  const h = new PrimaryHarness();
  h.s(buildTcp({ seq: S_ISN, ack: 1, flags: 'SA', payload: 'abc' }));
  h.p(buildTcp({ seq: P_ISN, ack: 1, flags: 'SA', payload: 'abcdef' }));
  h.engine.endBatch(h.now + 1000);
  expect(h.engine.heldPackets).toBe(1);
  expect(h.copies).toEqual([]);
});

test('never with IPv4 options', () => {
  const { h, s, text } = open();
  const plain = buildTcp({ seq: P_ISN + 1, ack: CLIENT + 1, payload: 'abcdef' });
  const odd = Buffer.concat([plain.subarray(0, 20), Buffer.from([1, 1, 1, 0]), plain.subarray(20)]);
  odd[0] = 0x46;
  odd.writeUInt16BE(odd.length, 2);
  h.p(odd);
  s(0, { payload: 'abc' });
  expect(text(1000)).toEqual([]);
});

test('not while a checkpoint is awaited, and nothing of before afterwards', () => {
  const { h, p, s, text } = open();
  p(0, { payload: 'abcdef' });
  s(0, { payload: 'abX' });
  expect(h.requests).toEqual(['payload']);
  expect(text(1000)).toEqual([]);
  h.engine.checkpoint(h.now);
  expect(text(1000)).toEqual([]);
});

test('a divergence behind what has left is one like any other', () => {
  const { h, p, s, text } = open();
  const id = p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  expect(text()).toEqual(['0:abc']);
  s(3, { payload: 'dXf' });
  expect(h.requests).toEqual(['payload']);
  expect(text(1000)).toEqual([]);
  h.engine.checkpoint(h.now);
  expect(h.state(id)).toBe('accept');
});

test('acknowledgement, window and times are those of any packet that leaves', () => {
  const { p, s, l4, copies, h } = open();
  p(0, { payload: 'abcdef', ack: CLIENT + 101, window: 500, options: time(70, 30) });
  s(0, { payload: 'abc', ack: CLIENT + 51, window: 300, options: time(9, 35) });
  const [first, bytes] = copies().map((c) => c.bytes) as [Buffer, Buffer];
  // The first byte brings no new acknowledgement: the peer would speak in between.
  expect([first.readUInt32BE(l4 + 8), first.readUInt16BE(l4 + 14)]).toEqual([CLIENT + 1, 300]);
  expect(checksumsAreRight(first)).toBe(true);
  expect([bytes.readUInt32BE(l4 + 8), bytes.readUInt16BE(l4 + 14)]).toEqual([CLIENT + 51, 300]);
  expect([bytes.readUInt32BE(l4 + 24), bytes.readUInt32BE(l4 + 28)]).toEqual([70, 35]);
  expect(checksumsAreRight(bytes)).toBe(true);
  // What was told is told: a pure acknowledgement that says no more waits.
  expect(h.state(p(6, { flags: 'A', ack: CLIENT + 101, window: 500 }))).toBe('held');
});

test('a time that has left is not followed by an older one', () => {
  const { p, s, l4, copies } = open();
  p(0, { payload: 'abcdef', options: time(70, 30) });
  p(6, { flags: 'A', options: time(75, 30) });
  s(0, { payload: 'abc' });
  expect(copies()[0]!.bytes.readUInt32BE(l4 + 24)).toBe(75);
});

test('a packet for hardware to segment leaves in pieces that every path takes', () => {
  const { p, s, copies } = open();
  const payload = Buffer.from(Array.from({ length: 8000 }, (_, i) => 33 + ((i * 7) % 90)));
  p(0, { payload }, true);
  for (let at = 0; at < 4000; at += 1000) s(at, { payload: payload.subarray(at, at + 1000) });
  const pieces = copies();
  let next = 0;
  for (const { bytes, at, text } of pieces) {
    expect(at).toBe(next);
    expect(bytes.length).toBeLessThanOrEqual(PREFIX_PACKET_BYTES);
    expect(checksumsAreRight(bytes)).toBe(true);
    expect(text).toBe(payload.subarray(at, at + text.length).toString());
    next += text.length;
  }
  expect(next).toBe(4000);
});

test('so much that it is a bulk transfer waits for more of the SVM, whatever it pushed', () => {
  const { p, s, copies } = open();
  const payload = 'x'.repeat(20_000);
  p(0, { payload }, true);
  s(0, { payload: payload.slice(0, 12_000) });
  expect(copies()).toEqual([]);
  expect(copies(PREFIX_PATIENCE_MS).reduce((sum, { text: piece }) => sum + piece.length, 0)).toBe(12_000);
});

test('a little of a packet of a bulk transfer waits for more of the SVM, too', () => {
  const { p, s, copies } = open();
  const payload = 'x'.repeat(20_000);
  p(0, { payload }, true);
  s(0, { payload: payload.slice(0, 1000) });
  expect(copies()).toEqual([]);
  expect(copies(PREFIX_PATIENCE_MS).reduce((sum, { text: piece }) => sum + piece.length, 0)).toBe(1000);
});

test('what cannot be sent stays held, and is tried again with the next', () => {
  const { h, p, s, text } = open();
  p(0, { payload: 'abcdef' });
  h.emits = false;
  s(0, { payload: 'abc' });
  expect(text()).toEqual([]);
  expect(h.count('prefixes_unsent')).toBe(1);
  h.emits = true;
  s(3, { payload: 'd' });
  expect(text()).toEqual(['0:abcd']);
});

test('a repetition that is held with what it repeats does not leave twice', () => {
  const { h, p, s, text } = open();
  const payload = 'x'.repeat(2000);
  const first = p(0, { payload });
  const again = p(0, { payload });
  s(0, { payload: payload.slice(0, 500) });
  expect(text()).toEqual([`0:${payload.slice(0, 500)}`]);
  s(500, { payload: payload.slice(500) });
  // Too large for one segment: it may be one that hardware segments, and leaves whole.
  expect([h.state(first), h.state(again)]).toEqual(['accept', 'drop']);
  expect(h.count('held_already_left')).toBe(1);
});

test('a rest whose first byte cannot be sent leaves in one', () => {
  const { h, p, s, text, l4 } = open();
  const id = p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  expect(text()).toEqual(['0:abc']);
  h.emits = false;
  s(3, { payload: 'def' });
  expect(
    h
      .left(id)!
      .subarray(l4 + 20)
      .toString(),
  ).toBe('def');
});

test('a checkpoint releases the whole of it', () => {
  const { h, p, s, text } = open();
  const id = p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  expect(text()).toEqual(['0:abc']);
  h.engine.checkpoint(h.now);
  expect(h.state(id)).toBe('accept');
});

test('a repetition that acknowledges more leaves all the same', () => {
  const { h, p, s } = open();
  const payload = 'x'.repeat(2000);
  p(0, { payload });
  const again = p(0, { payload, ack: CLIENT + 11 });
  s(0, { payload, ack: CLIENT + 11 });
  expect(h.state(again)).toBe('accept');
});

test('what left as a copy and is repeated leaves again: the network may have lost it', () => {
  const { h, p, s, text } = open();
  p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  expect(text()).toEqual(['0:abc']);
  p(0, { payload: 'abcdef' });
  expect(h.probes.at(-1)!.subarray(40).toString()).toBe('abc');
});

test('a reused tuple starts afresh', () => {
  const { h, text } = open();
  const p = (seq: number, f: TcpFields) => h.p(buildTcp({ seq, ack: CLIENT + 1, flags: 'PA', ...f }));
  const s = (seq: number, f: TcpFields) => h.s(buildTcp({ seq, ack: CLIENT + 1, flags: 'PA', ...f }));
  p(P_ISN + 1, { payload: 'abcdef' });
  s(S_ISN + 1, { payload: 'abc' });
  expect(text()).toEqual(['0:abc']);
  // The new connection's first bytes lie where the old one's copy ended.
  p(P_ISN + 1, { flags: 'SA' });
  s(90_000, { flags: 'SA' });
  p(P_ISN + 2, { payload: 'vwxyz' });
  s(90_001, { payload: 'vwx' });
  expect(text()).toEqual(['1:vwx']);
});

test('a surrounding without a way for them gets none', () => {
  const { h, p, s, text } = open();
  Object.assign(h.engine.context.actions, { emit: undefined });
  p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  expect(text(1000)).toEqual([]);
  expect(h.engine.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
});

test.each([
  ['the PVM', true],
  ['the SVM', false],
])('nothing leaves while an offer that only %s has repeated is open', (_, primary) => {
  const { h, p, s, text } = open();
  if (primary) p(-1, { flags: 'SA', options: [2, 4, 5, 0xb4] });
  else s(-1, { flags: 'SA', options: [2, 4, 5, 0xb4] });
  p(0, { payload: 'abcdef' });
  s(0, { payload: 'abc' });
  p(0, { payload: 'abcdef' });
  expect([text(PREFIX_PATIENCE_MS), h.probes.filter((b) => b.length > 40)]).toEqual([[], []]);
});

// What the list of noted flows may not do is speak of whoever has the record next.
test.each(['the same tuple', 'another tuple in its record'])(
  'copies of a connection that begins in the same batch on %s echo nothing that the old one had heard',
  (where) => {
    const h = new PrimaryHarness({ limits: { maxFlows: 1 } });
    const syn = { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) };
    const both = (sport: number, isn: number, own: number, other: number) => {
      h.p(buildTcp({ sport, seq: isn, ack: 5, ...syn }));
      h.s(buildTcp({ sport, seq: isn, ack: 5, ...syn }));
      h.p(buildTcp({ sport, seq: isn + 1, ack: 5, flags: 'PA', payload: 'abcdef', options: time(1, own) }));
      h.s(buildTcp({ sport, seq: isn + 1, ack: 5, flags: 'PA', payload: 'abc', options: time(1, other) }));
    };
    both(80, 1000, 900, 900_000);
    const { flows } = h.engine.context;
    const another = where !== 'the same tuple';
    if (another) h.engine.peerReset(flows.words.slice(0, FLOW_KEY_WORDS), 5, h.now);
    both(another ? 81 : 80, 70_000, 40, 50);
    h.now += PREFIX_PATIENCE_MS;
    h.engine.endBatch(h.now);
    expect(flows.size).toBe(1);
    expect(h.copies.length).toBeGreaterThan(0);
    expect(Math.max(...h.copies.map(({ bytes }) => bytes.readUInt32BE(20 + 20 + 8)))).toBe(50);
  },
);
