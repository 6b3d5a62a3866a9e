// The two ends of a simulated byte stream against plain models.

import fc from 'fast-check';
import { fillContent } from '../../../src/sim/content';
import { ReceiveStream, SendStream } from '../../../src/sim/tcp/stream';

test('what was written is what is filled in, wherever it is cut, also in a copy', () => {
  const write = fc.record({
    literal: fc.boolean(),
    bytes: fc.integer({ min: 1, max: 300 }),
    seed: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(
      fc.array(write, { minLength: 1, maxLength: 12 }),
      fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
      (writes, cuts) => {
        const stream = new SendStream();
        const model: Buffer[] = [];
        const next = new Map<number, number>();
        for (const { literal, bytes, seed } of writes) {
          const buf = Buffer.alloc(bytes);
          if (literal) {
            buf.fill(seed + 100);
            stream.writeLiteral(buf);
          } else {
            const from = next.get(seed) ?? 0;
            next.set(seed, from + bytes);
            fillContent(seed, from, buf, 0, bytes);
            stream.writeContent(seed, from, bytes);
          }
          model.push(buf);
        }
        const all = Buffer.concat(model);
        expect(stream.end).toBe(all.length + 1);
        const copy = stream.clone();
        stream.writeContent(9, 0, 50);
        for (let i = 0; i + 1 < cuts.length; i += 2) {
          const from = cuts[i]! % all.length;
          const n = Math.min(all.length - from, 1 + (cuts[i + 1]! % 400));
          const out = Buffer.alloc(n);
          copy.fill(1 + from, out, 0, n);
          expect(out.equals(all.subarray(from, from + n))).toBe(true);
        }
        copy.release(1 + Math.floor(all.length / 2));
        const tail = Buffer.alloc(all.length - Math.floor(all.length / 2));
        copy.fill(1 + Math.floor(all.length / 2), tail, 0, tail.length);
        expect(tail.equals(all.subarray(all.length - tail.length))).toBe(true);
      },
    ),
  );
});

test('segments in any order, cut and repeated in any way, come out once and in order', () => {
  const segment = fc.record({ at: fc.integer({ min: 0, max: 199 }), bytes: fc.integer({ min: 1, max: 80 }) });
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 40 }), (segments) => {
      const all = Buffer.alloc(280);
      fillContent(5, 0, all, 0, all.length);
      let stream = new ReceiveStream();
      const have = new Array<boolean>(all.length).fill(false);
      const got: Buffer[] = [];
      for (const { at, bytes } of segments) {
        const arena = Buffer.from(all);
        stream.take(1 + at, arena, at, bytes);
        arena.fill(0);
        have.fill(true, at, at + bytes);
        const inOrder = have.indexOf(false);
        expect(stream.next).toBe(1 + (inOrder < 0 ? all.length : inOrder));
        // The SACK blocks are the islands above, each whole.
        const blocks = stream.sackBlocks();
        for (let i = 0; i < blocks.length; i += 2) {
          const left = blocks[i]! - 1;
          const right = blocks[i + 1]! - 1;
          expect(have.slice(left, right).every((one) => one)).toBe(true);
          expect(left > 0 && have[left - 1]).toBe(false);
          expect(have[right] ?? false).toBe(false);
        }
        if (at % 3 === 0) got.push(...stream.read());
        if (at % 5 === 0) stream = stream.clone();
      }
      got.push(...stream.read());
      expect(Buffer.concat(got).equals(all.subarray(0, stream.next - 1))).toBe(true);
      expect(stream.unread).toBe(0);
    }),
  );
});
