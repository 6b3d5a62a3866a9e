import fc from 'fast-check';
import { hash4, hashWords } from '../../../src/core/hash';

const word = fc.integer({ min: 0, max: 0xffffffff });

describe('keyed hash', () => {
  test('four numbers and an array of four words hash alike', () => {
    fc.assert(
      fc.property(word, word, fc.array(word, { minLength: 4, maxLength: 4 }), (s0, s1, w) => {
        const h = hashWords(s0, s1, Uint32Array.from([7, ...w]), 1, 4);
        expect(hash4(s0, s1, w[0]!, w[1]!, w[2]!, w[3]!)).toBe(h);
        expect(h).toBe(h >>> 0);
      }),
    );
  });

  test('every input bit and every seed bit turns about half of the output over', () => {
    const flips = (a: number, b: number) => {
      let n = 0;
      for (let x = (a ^ b) >>> 0; x !== 0; x >>>= 1) n += x & 1;
      return n;
    };
    for (let bit = 0; bit < 192; bit++) {
      let total = 0;
      for (let t = 0; t < 64; t++) {
        const input = Uint32Array.from([t, t * 7919, 0x0a000001, 80, 1, 2]);
        const changed = input.slice();
        changed[bit >>> 5] = changed[bit >>> 5]! ^ (1 << (bit & 31));
        total += flips(
          hashWords(input[4]!, input[5]!, input, 0, 4),
          hashWords(changed[4]!, changed[5]!, changed, 0, 4),
        );
      }
      expect(total / 64).toBeGreaterThan(12);
      expect(total / 64).toBeLessThan(20);
    }
  });
});
