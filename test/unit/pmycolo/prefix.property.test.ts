// Two guests that say the same, each cut into its own segments: what has left, in packets and copies, is only what both
// have said; no two copies say the same byte; and when a batch is over (and the moment for which an SVM is waited for),
// all of it has left.

import fc from 'fast-check';
import { PREFIX_PATIENCE_MS } from '../../../src/core/limits';
import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const TEXT = Buffer.from(Array.from({ length: 6000 }, (_, i) => 33 + ((i * 7) % 90)));
const HEADERS = 40;

interface Step {
  side: 'p' | 's';
  bytes: number;
  pushed: boolean;
  /** Says again, from so many bytes before where it stands. */
  back: number;
  endsBatch: boolean;
  late: boolean;
  refused: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  side: fc.constantFrom('p', 's'),
  bytes: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 60 }) },
    { weight: 1, arbitrary: fc.integer({ min: 1000, max: 3000 }) },
  ),
  pushed: fc.boolean(),
  back: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 80 }) }),
  endsBatch: fc.boolean(),
  late: fc.boolean(),
  refused: fc.oneof({ weight: 20, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

test('the verified beginning has left when a batch is over', () => {
  let copies = 0;
  let rests = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(0xffff_ff00, 5), fc.nat(), (steps, isnP, isnS) => {
      const h = new PrimaryHarness();
      h.p(buildTcp({ flags: 'SA', seq: isnP, ack: 1 }));
      h.s(buildTcp({ flags: 'SA', seq: isnS, ack: 1 }));
      const said = { p: 0, s: 0 };
      const left = new Set<number>();
      const copied = new Set<number>();
      let pushed = false;
      let seen = h.verdicts.size;
      const leaves = (at: number, bytes: number): void => {
        if (at + bytes > Math.min(said.p, said.s))
          throw new Error(`${at}+${bytes} left, said was ${said.p}, ${said.s}`);
        for (let i = at; i < at + bytes; i++) left.add(i);
      };
      const look = (): void => {
        for (const [id, verdict] of [...h.verdicts].slice(seen)) {
          const bytes = h.left(id);
          if (verdict.kind !== 'drop') leaves((bytes!.readUInt32BE(24) - isnP - 1) | 0, bytes!.length - HEADERS);
          if (verdict.kind !== 'rewrite') continue;
          const from = (bytes!.readUInt32BE(24) - isnP - 1) | 0;
          for (let i = from; i < from + bytes!.length - HEADERS; i++)
            if (copied.has(i)) throw new Error(`byte ${i} left in a copy, and with the rest`);
          rests++;
        }
        seen = h.verdicts.size;
        for (const probe of h.probes.splice(0)) {
          if (probe.length > HEADERS) leaves((probe.readUInt32BE(24) - isnP - 1) | 0, probe.length - HEADERS);
        }
        for (const { bytes } of h.copies.splice(0)) {
          const at = (bytes.readUInt32BE(24) - isnP - 1) | 0;
          const end = at + bytes.length - HEADERS;
          leaves(at, end - at);
          expect(bytes.subarray(HEADERS)).toEqual(TEXT.subarray(at, end));
          for (let i = at; i < end; i++) {
            if (copied.has(i)) throw new Error(`byte ${i} is copied twice`);
            copied.add(i);
          }
          copies++;
        }
      };
      for (const s of steps) {
        const at = Math.max(0, said[s.side] - s.back);
        const payload = TEXT.subarray(at, at + s.bytes);
        if (payload.length === 0) continue;
        said[s.side] = Math.max(said[s.side], at + payload.length);
        const flags = s.pushed ? 'PA' : 'A';
        if (s.side === 'p') {
          h.p(buildTcp({ seq: (isnP + 1 + at) >>> 0, ack: 1, payload, flags }));
        } else {
          h.s(buildTcp({ seq: (isnS + 1 + at) >>> 0, ack: 1, payload, flags }));
          pushed = s.pushed;
        }
        look();
        if (!s.endsBatch) continue;
        h.emits = !s.refused;
        if (s.late) h.now += PREFIX_PATIENCE_MS;
        h.engine.endBatch(h.now);
        if (s.late) {
          h.now += PREFIX_PATIENCE_MS;
          h.engine.endBatch(h.now);
        }
        look();
        if (!s.refused && (s.late || pushed)) expect(left.size).toBe(Math.min(said.p, said.s));
      }
      expect(h.requests).toEqual([]);
    }),
    { numRuns: Number(process.env.COLO_RUNS ?? 500) },
  );
  expect(copies).toBeGreaterThan(100);
  expect(rests).toBeGreaterThan(20);
});
