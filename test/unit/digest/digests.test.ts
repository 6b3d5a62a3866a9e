// Records, ring, sender and intake one by one: what crosses the link, what is refused, and what becomes of questions
// that find no answer.

import fc from 'fast-check';
import { FrameRing } from '../../../src/digest/frame-ring';
import { DigestIntake } from '../../../src/digest/intake';
import { DigestRecord } from '../../../src/digest/record';
import { NativeDigester } from '../../../src/io/digester';
import { PacketView } from '../../../src/packet/view';
import { buildTcp, type TcpFields } from '../../lib/build-packet';
import { DigestPair } from '../../lib/digest-pair';

const TEXT = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 11 + (i >> 8)) & 0xff));
const ISN_P = 0xffff_fc00;
const ISN_S = 500;

function segment(side: 'p' | 's', at: number, bytes: number, more: TcpFields = {}): Buffer {
  const first = side === 'p' ? ISN_P : ISN_S;
  return buildTcp({ seq: (first + 1 + at) >>> 0, ack: 1, payload: TEXT.subarray(at, at + bytes), ...more });
}

function connected(ringBytes?: number): DigestPair {
  const pair = new DigestPair({}, ringBytes);
  pair.p(buildTcp({ flags: 'SA', seq: ISN_P, ack: 1 }));
  pair.s(buildTcp({ flags: 'SA', seq: ISN_S, ack: 1 }));
  pair.settle();
  return pair;
}

function counts(pair: DigestPair): Record<string, number> {
  return pair.intake.counters.snapshot();
}

test('of a large segment no payload crosses the link, and the same bytes of the PVM leave', () => {
  const pair = connected();
  const id = pair.p(segment('p', 0, 60_000));
  pair.s(segment('s', 0, 60_000), 1448);
  expect(pair.toPrimary.map(({ type }) => type)).toEqual(['digest']);
  // 42 digests, and the head.
  expect(pair.toPrimary[0]!.bytes.length).toBeLessThan(430);
  pair.settle();
  expect(pair.h.state(id)).toBe('accept');
  expect(counts(pair)).toMatchObject({ digest_bytes: 60_000, digests_equal: 42, digest_fetches: 0 });
});

test('what is handed to the comparison is what the SVM has sent, whole or in parts', () => {
  const pair = connected();
  const packet = segment('s', 0, 5000, { flags: 'PA' });
  pair.s(packet);
  pair.p(segment('p', 0, 2896));
  pair.settle();
  pair.p(segment('p', 2896, 2104, { flags: 'PA' }));
  pair.settle();
  const parts = pair.handed.slice(1).map((frame) => frame.subarray(24));
  expect(Buffer.concat(parts.map((part) => part.subarray(40)))).toEqual(packet.subarray(40));
  expect(parts.map((part) => part[33])).toEqual([0x10, 0x18]);
  for (const part of parts) expect(part.readUInt16BE(2)).toBe(part.length);
  expect(counts(pair)).toMatchObject({ digests_equal: 4, digest_fetches: 0 });
});

test('small ones, and those that begin, end or mark something, cross as they are', () => {
  const pair = connected();
  for (const more of [
    { payload: TEXT.subarray(0, 100) },
    { flags: 'FA' },
    { flags: 'RA' },
    { flags: 'UA' },
    { flags: 'SA' },
  ]) {
    pair.s(segment('s', 0, 1000, more));
    expect(pair.toPrimary.pop()!.type).toBe('frame');
  }
  const fragment = segment('s', 0, 1000);
  fragment[6] = 0x20;
  pair.s(fragment);
  expect(pair.toPrimary.pop()!.type).toBe('frame');
  pair.s(segment('s', 0, 1000, { family: 6 }));
  expect(pair.toPrimary.pop()!.type).toBe('digest');
});

test('records wait behind one of their connection, and hold up no other', () => {
  const pair = connected();
  const other = { sport: 81 };
  pair.p(buildTcp({ flags: 'SA', seq: ISN_P, ack: 1, ...other }));
  pair.s(buildTcp({ flags: 'SA', seq: ISN_S, ack: 1, ...other }));
  pair.settle();
  const handed = pair.handed.length;
  pair.s(segment('s', 0, 1000));
  pair.s(segment('s', 1000, 0, { ack: 50 }));
  pair.s(segment('s', 0, 10, other));
  pair.settle();
  expect(pair.handed.length).toBe(handed + 1);
  expect(pair.intake.waiting).toBe(2);
  pair.p(segment('p', 0, 1000));
  pair.settle();
  expect(pair.handed.slice(handed + 1).map((frame) => frame.length - 64)).toEqual([1000, 0]);
});

test('where the PVM stops within a chunk, the chunk is fetched, and neither side waits for the other', () => {
  const pair = connected();
  const id = pair.p(segment('p', 0, 600, { flags: 'PA' }));
  pair.s(segment('s', 0, 1000));
  pair.settle();
  expect(pair.h.state(id)).toBe('accept');
  expect(counts(pair)).toMatchObject({ digest_fetches: 1, digest_bytes_fetched: 1000 });
});

test('equal streams that are cut differently need no bytes, nor does what is repeated', () => {
  const pair = connected();
  for (let at = 0; at < 30_000; at += 3000) pair.p(segment('p', at, 3000));
  for (let at = 0; at < 30_000; at += 1500) pair.s(segment('s', at, 1500), 500);
  pair.settle();
  // From the middle of one segment of the PVM's to that of another, all of it verified.
  pair.s(segment('s', 4500, 6000), 500);
  // And from there to what the PVM is yet to say.
  pair.p(segment('p', 30_000, 2000));
  pair.s(segment('s', 28_500, 3500), 500);
  pair.settle();
  expect(counts(pair)).toMatchObject({ digest_fetches: 0, digests_equal: 60 + 12 + 7 });
  expect(pair.h.engine.heldPackets).toBe(0);
});

test('what the log has no more is fetched at once', () => {
  const pair = new DigestPair({ limits: { logBytes: 16_384, maxHeldBytes: 8192, logRecords: 64 } });
  pair.p(buildTcp({ flags: 'SA', seq: ISN_P, ack: 1 }));
  pair.s(buildTcp({ flags: 'SA', seq: ISN_S, ack: 1 }));
  for (let at = 0; at < 60_000; at += 3000) {
    pair.p(segment('p', at, 3000));
    pair.s(segment('s', at, 3000));
    pair.settle();
  }
  expect(counts(pair).digest_fetches).toBe(0);
  pair.s(segment('s', 0, 3000));
  pair.settle();
  expect(counts(pair)).toMatchObject({ digest_fetches: 1, digest_bytes_fetched: 3000 });
});

test('of a bulk transfer more is awaited a moment before it is fetched', () => {
  const pair = connected();
  pair.p(segment('p', 0, 3000));
  pair.s(segment('s', 0, 30_000), 1448);
  pair.deliver();
  pair.endBatch();
  expect(counts(pair)).toMatchObject({ digests_equal: 2, digest_fetches: 0 });
  expect(pair.intake.deadlineMs).toBe(pair.h.now + 2);
  pair.h.now += 2;
  pair.endBatch();
  expect(counts(pair).digest_fetches).toBe(1);
  pair.settle();
  expect(counts(pair).digest_bytes_fetched).toBe(1448);
});

test('what the SVM alone has said for long is fetched, so that the comparison counts its time', () => {
  const pair = connected();
  pair.s(segment('s', 0, 3000));
  pair.settle();
  expect(pair.intake.waiting).toBe(1);
  pair.h.now += 100;
  pair.intake.tick(pair.h.now);
  pair.settle();
  expect(pair.intake.waiting).toBe(0);
  expect(pair.h.engine.heldBytes).toBe(3000);
});

test('bytes that the ring has no more are not known, and what is behind them goes on', () => {
  const pair = connected(8192);
  pair.s(segment('s', 0, 3000));
  pair.s(segment('s', 3000, 3000));
  pair.s(segment('s', 6000, 3000));
  const id = pair.p(buildTcp({ seq: ISN_P + 1, ack: 1, payload: Buffer.alloc(3000, 1) }));
  pair.settle();
  expect(pair.unknown).toBe(1);
  expect(counts(pair)).toMatchObject({ digests_gone: 1, digests_different: 1 });
  expect(pair.h.state(id)).toBe('held');
  pair.h.now += 100;
  pair.intake.tick(pair.h.now);
  pair.settle();
  expect(pair.intake.waiting).toBe(0);
  expect(pair.unknown).toBe(1);
});

test('a fetch that is never answered asks for a checkpoint, once', () => {
  const pair = connected();
  pair.s(segment('s', 0, 3000));
  pair.deliver();
  pair.h.now += 100;
  pair.intake.tick(pair.h.now);
  pair.toSecondary.length = 0;
  for (let i = 0; i < 60; i++) {
    pair.h.now += 100;
    pair.intake.tick(pair.h.now);
    pair.endBatch();
  }
  expect(pair.unknown).toBe(1);
  expect(counts(pair)).toMatchObject({ digests_unanswered: 1 });
});

test('a fetch that finds no room on the link is sent when there is room', () => {
  const pair = connected();
  pair.room = false;
  const id = pair.p(segment('p', 0, 600));
  pair.s(segment('s', 0, 1000));
  pair.settle();
  expect(pair.h.state(id)).toBe('held');
  pair.room = true;
  pair.settle();
  expect(pair.h.state(id)).toBe('accept');
});

test('more than there is room for is not known', () => {
  const pair = connected();
  for (let at = 0; at < 2100; at++) {
    pair.s(segment('s', at * 600, 600, { payload: TEXT.subarray(at, at + 600) }));
    pair.deliver();
  }
  expect(counts(pair).digests_overflowed).toBe(2100 - 2048);
  expect(pair.unknown).toBeGreaterThan(0);
  pair.checkpoint();
  expect(pair.intake.waiting).toBe(0);
});

test('an epoch ends what waits, and an answer that comes after it is nobody’s', () => {
  const pair = connected();
  pair.p(segment('p', 0, 600));
  pair.s(segment('s', 0, 1000));
  pair.deliver();
  pair.endBatch();
  pair.answer();
  const late = pair.toPrimary[0]!.bytes;
  pair.checkpoint();
  expect(pair.intake.fetched(late, 0, late.length, pair.h.now)).toBe(true);
  expect(pair.handed.length).toBe(1);
});

test('while a checkpoint is awaited nothing is fetched', () => {
  const pair = connected();
  pair.h.engine.boundExhausted();
  pair.p(segment('p', 0, 600));
  pair.s(segment('s', 0, 1000));
  pair.settle();
  expect(pair.intake.waiting).toBe(0);
  expect(counts(pair)).toMatchObject({ digest_fetches: 0, digests_unheard: 1 });
  expect(pair.h.count('secondary_paused')).toBe(1);
});

test('a digest is of its epoch, its connection, its place and its length', () => {
  for (const alter of ['epoch', 'ports', 'seq'] as const) {
    const key = Buffer.alloc(16, 1);
    const honest = new NativeDigester(key);
    const pair = new DigestPair({}, 1 << 20, {
      write: (epoch, ports, seq, ...rest) => {
        // The secondary writes into its record, the primary into a table.
        const other = rest[4] === pair.sender.record ? 1 : 0;
        honest.write(
          epoch + (alter === 'epoch' ? other : 0),
          ports + (alter === 'ports' ? other : 0),
          seq + (alter === 'seq' ? other : 0),
          ...rest,
        );
      },
    });
    pair.p(buildTcp({ flags: 'SA', seq: ISN_P, ack: 1 }));
    pair.s(buildTcp({ flags: 'SA', seq: ISN_S, ack: 1 }));
    const id = pair.p(segment('p', 0, 1000));
    pair.s(segment('s', 0, 1000));
    pair.settle();
    expect(counts(pair)).toMatchObject({ digests_equal: 0, digests_different: 1 });
    // The bytes themselves are the same.
    expect(pair.h.state(id)).toBe('accept');
  }
});

test('answers of another range than was asked for are refused, and so are questions that are none', () => {
  const pair = connected();
  pair.p(segment('p', 0, 600));
  pair.s(segment('s', 0, 1000));
  pair.deliver();
  pair.endBatch();
  const question = pair.toSecondary[0]!.bytes;
  pair.answer();
  const { bytes } = pair.toPrimary[0]!;
  const { intake, sender, h } = pair;
  expect(intake.fetched(bytes, 0, bytes.length - 1, h.now)).toBe(false);
  const shifted = Buffer.from(bytes);
  shifted.writeUInt32BE(1, 4);
  expect(intake.fetched(shifted, 0, bytes.length, h.now)).toBe(false);
  expect(intake.fetched(bytes, 0, 8, h.now)).toBe(false);
  expect(intake.gone(bytes, 0, 5, h.now)).toBe(false);
  for (const [from, n] of [
    [1, 1000],
    [0, 0],
    [0xffff_ffff, 2],
    [1000, 1],
  ] as const) {
    question.writeUInt32BE(from, 4);
    question.writeUInt32BE(n, 8);
    expect(sender.fetch(question, 0, 12)).toBe('malformed');
  }
  expect(sender.fetch(question, 0, 11)).toBe('malformed');
  expect(intake.fetched(bytes, 0, bytes.length, h.now)).toBe(true);
});

test('a record with anything altered is refused or speaks of other bytes; none brings the intake out of step', () => {
  const source = connected();
  source.s(segment('s', 0, 3000, { family: 6, options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1] }));
  source.s(segment('s', 0, 3000));
  const records = source.toPrimary.map(({ bytes }) => bytes);
  let refused = 0;
  let taken = 0;
  fc.assert(
    fc.property(
      fc.nat(1),
      fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: -120, max: 20 }),
      (which, changes, grown) => {
        const record = Buffer.concat([records[which]!, Buffer.alloc(20)]);
        for (const [at, value] of changes) record[at] = value;
        const bytes = Math.max(0, record.length - 20 + (changes[0]![1] < 200 ? 0 : grown));
        const pair = connected();
        pair.p(segment('p', 0, 3000));
        if (!pair.intake.digest(0, record, 0, bytes, pair.h.now)) {
          refused++;
          return;
        }
        taken++;
        const parsed = new DigestRecord();
        expect(parsed.parse(new PacketView(), record, 0, bytes)).toBe(true);
        pair.settle();
        expect(pair.intake.waiting).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: Number(process.env.COLO_RUNS ?? 400) },
  );
  expect(refused).toBeGreaterThan(0);
  expect(taken).toBeGreaterThan(0);
});

test('bytes at random are no record', () => {
  const record = new DigestRecord();
  const view = new PacketView();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      if (!record.parse(view, Buffer.from(bytes), 0, bytes.length)) return;
      expect(record.digests).toBeLessThanOrEqual(bytes.length);
    }),
    { numRuns: Number(process.env.COLO_RUNS ?? 1000) },
  );
});

test('the ring gives back what it was given, or says that it has gone', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 200 }), (lengths) => {
      const ring = new FrameRing(1000, 16);
      const kept: Buffer[] = [];
      for (const [n, length] of lengths.entries()) {
        const frame = Buffer.alloc(length, n);
        expect(ring.put(frame, 0, length)).toBe(n);
        kept.push(frame);
        let present = 0;
        for (const [serial, wanted] of kept.entries()) {
          if (!ring.find(serial)) {
            // The oldest go first.
            expect(present).toBe(0);
            continue;
          }
          present += ring.bytes;
          expect(ring.data.subarray(ring.at, ring.at + ring.bytes).equals(wanted)).toBe(true);
        }
        expect(ring.find(n)).toBe(true);
      }
      expect(ring.find(kept.length)).toBe(false);
      expect(ring.put(Buffer.alloc(1001), 0, 1001)).toBe(-1);
    }),
    { numRuns: Number(process.env.COLO_RUNS ?? 200) },
  );
});

test('a new connection brings its own key and forgets what waited', () => {
  const pair = connected();
  pair.s(segment('s', 0, 1000));
  pair.settle();
  expect(pair.intake.waiting).toBe(1);
  const { intake } = pair;
  expect(intake).toBeInstanceOf(DigestIntake);
  intake.begin(new NativeDigester(Buffer.alloc(16, 9)));
  expect(intake.waiting).toBe(0);
  pair.p(segment('p', 0, 1000));
  pair.s(segment('s', 0, 1000));
  pair.settle();
  expect(counts(pair).digests_different).toBe(1);
  // One without a key has no digests.
  pair.s(segment('s', 1000, 1000));
  const { bytes } = pair.toPrimary[0]!;
  intake.begin(undefined);
  expect(intake.digest(0, bytes, 0, bytes.length, pair.h.now)).toBe(false);
});
