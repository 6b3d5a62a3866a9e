import fc from 'fast-check';
import { SendRing } from '../../../../src/io/stream/send-ring';

test('pieces are contiguous, the rest of the end is left out, and an empty ring begins anew', () => {
  const ring = new SendRing(100);
  expect(ring.reserve(101)).toBe(-1);
  expect(ring.reserve(60)).toBe(0);
  ring.commit(60);
  expect(ring.reserve(50)).toBe(-1);
  ring.consume(50);
  expect(ring.reserve(50)).toBe(0);
  ring.commit(50);
  expect([ring.head, ring.tail, ring.wrapped, ring.waiting]).toEqual([50, 60, 50, 60]);
  expect(ring.reserve(1)).toBe(-1);
  ring.consume(20);
  expect([ring.head, ring.tail, ring.wrapped]).toEqual([10, 50, 0]);
  ring.consume(40);
  expect(ring.reserve(100)).toBe(0);
});

test('no more is committed than was reserved, and no reservation outlives a send', () => {
  const ring = new SendRing(100);
  ring.reserve(10);
  expect(() => ring.commit(11)).toThrow('reserved');
  ring.commit(4);
  ring.commit(6);
  ring.reserve(5);
  ring.consume(10);
  expect(() => ring.commit(5)).toThrow('reserved');
});

test('the bytes come out as they went in', () => {
  const step = fc.oneof(
    fc.record({ write: fc.integer({ min: 1, max: 40 }), keep: fc.nat(40) }),
    fc.record({ send: fc.nat(120) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const ring = new SendRing(100);
      let written = 0;
      let sent = 0;
      let longest = 0;
      for (const s of steps) {
        if ('write' in s) {
          const at = ring.reserve(s.write);
          longest = Math.max(longest, s.write);
          if (at < 0) {
            // At the most as much is left out at the end as the piece is long that found no room there.
            expect(ring.waiting + s.write + longest).toBeGreaterThan(100);
            continue;
          }
          const bytes = Math.min(s.write, s.keep);
          for (let i = 0; i < bytes; i++) ring.buf[at + i] = written++ & 0xff;
          ring.commit(bytes);
        } else {
          const waiting = Buffer.concat([ring.buf.subarray(ring.head, ring.tail), ring.buf.subarray(0, ring.wrapped)]);
          expect(waiting.length).toBe(ring.waiting);
          const bytes = Math.min(s.send, waiting.length);
          for (let i = 0; i < bytes; i++) expect(waiting[i]).toBe(sent++ & 0xff);
          ring.consume(bytes);
        }
        expect(ring.waiting).toBe(written - sent);
      }
    }),
  );
});
