// Bytes taken and compared in every alignment, length and order of buffers, against Buffer's own copy and compare.

import fc from 'fast-check';
import { ArenaBytes } from '../../../src/core/arena-bytes';

const MEMORY = 2048;
const MOST = 700;

/** More buffers than are kept; some begin in the middle of their memory. */
function buffers(): Buffer[] {
  return Array.from({ length: 11 }, (_, i) => {
    const memory = Buffer.from(new ArrayBuffer(MEMORY + 16 + (i % 3)));
    for (let k = 0; k < memory.length; k++) memory[k] = (k * 31 + i * 7) & 0xff;
    return memory.subarray(i % 5);
  });
}

const place = fc.record({
  which: fc.nat(10),
  off: fc.nat(MEMORY - MOST),
  at: fc.nat(MEMORY - MOST),
  n: fc.oneof(fc.nat(20), fc.nat(140), fc.nat(MOST)),
  /** Which byte is another; beyond n: none. */
  flip: fc.nat(200),
});

test('what is taken stands there, nothing else has changed, and one other byte is seen', () => {
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 40 }), (places) => {
      const data = Buffer.from(new ArrayBuffer(MEMORY));
      const wanted = Buffer.alloc(MEMORY);
      const from = buffers();
      const bytes = new ArenaBytes(data);
      for (const { which, off, at, n, flip } of places) {
        const buf = from[which]!;
        // The same place with other bytes, as in the next batch.
        buf[off] = (buf[off]! + 1) & 0xff;
        bytes.take(buf, off, at, n);
        buf.copy(wanted, at, off, off + n);
        expect(data.equals(wanted)).toBe(true);
        expect(bytes.equal(at, buf, off, n)).toBe(true);
        if (flip >= n) continue;
        data[at + flip]! ^= 0x80;
        expect(bytes.equal(at, buf, off, n)).toBe(false);
        data[at + flip]! ^= 0x80;
      }
    }),
    { numRuns: 1500 },
  );
});

test('each byte of a range counts, wherever it begins', () => {
  const data = Buffer.from(new ArrayBuffer(512));
  const buf = Buffer.alloc(512, 3);
  data.fill(3);
  const bytes = new ArenaBytes(data);
  for (let n = 1; n < 80; n++) {
    for (let at = 0; at < 4; at++) {
      for (let i = 0; i < n; i++) {
        data[at + i] = 4;
        expect(bytes.equal(at, buf, at + 4, n)).toBe(false);
        data[at + i] = 3;
      }
      data[at + n] = 4;
      if (at > 0) data[at - 1] = 4;
      expect(bytes.equal(at, buf, at + 4, n)).toBe(true);
      data[at + n] = 3;
      if (at > 0) data[at - 1] = 3;
    }
  }
});

test('the same length at another place, and the same place with another length, are taken as they are', () => {
  const data = Buffer.from(new ArrayBuffer(512));
  const buf = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 13) & 0xff));
  const bytes = new ArenaBytes(data);
  for (let off = 0; off < 3000; off += 7) {
    for (const n of [40, 41, 40 + 256]) {
      data.fill(0);
      bytes.take(buf, off, 64, n);
      expect(data.subarray(64, 64 + n).equals(buf.subarray(off, off + n))).toBe(true);
      expect(data.subarray(64 + n).every((b) => b === 0)).toBe(true);
    }
  }
});
