// Two random streams cut, repeated and shuffled at will, against a plain model: a PVM packet may leave exactly when all
// its bytes were said by the SVM at the same place, and a request for a checkpoint comes exactly when they contradict.

import fc from 'fast-check';
import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const TEXT = Buffer.from(Array.from({ length: 200 }, (_, i) => 33 + ((i * 7) % 90)));

interface Op {
  side: 'p' | 's';
  at: number;
  bytes: number;
  /** Offset of a flipped byte, or -1. */
  flip: number;
}

const op: fc.Arbitrary<Op> = fc.record({
  side: fc.constantFrom<'p' | 's'>('p', 's'),
  at: fc.integer({ min: 0, max: 190 }),
  bytes: fc.integer({ min: 1, max: 40 }),
  flip: fc.constant(-1),
});

function payloadOf(o: Op): Buffer {
  const payload = Buffer.from(TEXT.subarray(o.at, o.at + o.bytes));
  if (o.flip >= 0) payload[o.flip % payload.length]! ^= 1;
  return payload;
}

function run(
  ops: Op[],
  isnP: number,
  isnS: number,
  limits = {},
  checkLiveness = true,
): { h: PrimaryHarness; packets: { id: number; o: Op }[] } {
  const h = new PrimaryHarness({ limits });
  h.p(buildTcp({ flags: 'SA', seq: isnP, ack: 1 }));
  h.s(buildTcp({ flags: 'SA', seq: isnS, ack: 1 }));
  const packets: { id: number; o: Op }[] = [];
  const saidS = new Set<number>();
  const saidP = new Set<number>();
  for (const o of ops) {
    const payload = payloadOf(o);
    if (o.side === 'p') {
      packets.push({ id: h.p(buildTcp({ seq: (isnP + 1 + o.at) >>> 0, ack: 1, payload })), o });
      for (let i = 0; i < payload.length; i++) saidP.add(o.at + i);
    } else {
      h.s(buildTcp({ seq: (isnS + 1 + o.at) >>> 0, ack: 1, payload }));
      for (let i = 0; i < payload.length; i++) saidS.add(o.at + i);
    }
    // Safety after every step: nothing has left that the SVM had not said.
    for (const { id, o: sent } of packets) {
      if (h.state(id) !== 'held' && h.state(id) !== 'drop') {
        for (let i = sent.at; i < Math.min(200, sent.at + sent.bytes); i++) {
          if (!saidS.has(i)) throw new Error(`byte ${i} left unsaid by the SVM`);
        }
      }
    }
    if (h.requests.length > 0) break;
  }
  // Liveness: what both sides have said from the start on has left.
  let both = 0;
  while (saidP.has(both) && saidS.has(both)) both++;
  if (checkLiveness && h.requests.length === 0) {
    for (const { id, o } of packets) {
      if (Math.min(200, o.at + o.bytes) <= both && h.state(id) === 'held')
        throw new Error(`packet ${o.at}+${o.bytes} is stuck`);
    }
  }
  return { h, packets };
}

const isn = fc.oneof(fc.constant(0xffff_ffc0), fc.integer({ min: 0, max: 0xffff_ffff }));

test('equal streams never ask for a checkpoint, and all that both sides said leaves', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), isn, isn, (ops, a, b) => {
      expect(run(ops, a, b).h.requests).toEqual([]);
    }),
    { numRuns: 600 },
  );
});

test('with a small log a repetition may have to wait, but nothing false is found and nothing unsaid leaves', () => {
  fc.assert(
    fc.property(fc.array(op, { minLength: 40, maxLength: 120 }), isn, isn, (ops, a, b) => {
      const { h } = run(ops, a, b, { logBytes: 8192, logRecords: 128, maxHeldBytes: 4096 }, false);
      expect(h.requests.filter((cause) => cause !== 'bound_exhausted')).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('one wrong byte of either side is found as soon as the other side has said it, and never leaves', () => {
  fc.assert(
    fc.property(
      fc.array(op, { minLength: 2, maxLength: 40 }),
      isn,
      isn,
      fc.nat(39),
      fc.nat(39),
      (ops, a, b, which, flip) => {
        const bad = ops[which % ops.length]!;
        const spoilt = ops.map((o) => (o === bad ? { ...o, flip } : o));
        const at = bad.at + (flip % Math.min(bad.bytes, 200 - bad.at));
        const { h, packets } = run(spoilt, a, b);
        const index = spoilt.findIndex((o) => o.flip >= 0);
        for (const { id, o } of packets) {
          if (o.flip >= 0 && h.state(id) !== 'held' && h.state(id) !== 'drop') {
            throw new Error('a wrong byte of the PVM left');
          }
        }
        // From the start on said by both sides, the wrong byte among it: it must have been noticed.
        const said = { p: new Set<number>(), s: new Set<number>() };
        for (const o of spoilt) for (let i = o.at; i < Math.min(200, o.at + o.bytes); i++) said[o.side].add(i);
        let both = 0;
        while (said.p.has(both) && said.s.has(both)) both++;
        if (at < both && index >= 0 && bad.side === 'p') expect(h.requests.length).toBe(1);
      },
    ),
    { numRuns: 600 },
  );
});
