import fc from 'fast-check';
import { BuddyPool } from '../../../src/core/buddy-pool';

test('takes the next power of two, and joins what is given back', () => {
  const pool = new BuddyPool(12, 8);
  expect(pool.bytes).toBe(4096);
  const small = pool.allocate(1);
  const odd = pool.allocate(257);
  expect(pool.usedBytes).toBe(256 + 512);
  expect(pool.allocate(4096)).toBe(-1);
  expect(pool.allocate(2049)).toBe(-1);
  expect(pool.allocate(2048)).toBe(2048);
  pool.release(2048);
  pool.release(small);
  pool.release(odd);
  expect(pool.usedBytes).toBe(0);
  expect(pool.allocate(4097)).toBe(-1);
  expect(pool.allocate(4096)).toBe(0);
  pool.release(0);
  expect(() => pool.release(0)).toThrow('given back once');
});

test('places never overlap, lie inside, and all come back', () => {
  const step = fc.oneof(fc.record({ bytes: fc.integer({ min: 1, max: 5000 }) }), fc.record({ release: fc.nat(1000) }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const pool = new BuddyPool(14, 8);
      const places: { at: number; bytes: number }[] = [];
      for (const s of steps) {
        if ('bytes' in s) {
          const at = pool.allocate(s.bytes);
          if (at < 0) {
            // Never refused while half of it is free in one piece: with nothing taken there is room for everything.
            expect(places.length).toBeGreaterThan(0);
            continue;
          }
          expect(at % 256).toBe(0);
          expect(at + s.bytes).toBeLessThanOrEqual(pool.bytes);
          for (const p of places) expect(at + s.bytes <= p.at || p.at + p.bytes <= at).toBe(true);
          places.push({ at, bytes: s.bytes });
        } else if (places.length > 0) {
          pool.release(places.splice(s.release % places.length, 1)[0]!.at);
        }
        expect(pool.usedBytes).toBeLessThanOrEqual(pool.bytes);
        expect(pool.usedBytes).toBeGreaterThanOrEqual(places.reduce((sum, p) => sum + p.bytes, 0));
      }
      for (const p of places) pool.release(p.at);
      expect(pool.allocate(pool.bytes)).toBe(0);
    }),
  );
});
