// A keyed 32-bit hash for tables whose keys strangers choose: without the seed nobody can aim at one bucket.
// HalfSipHash-1-3 (Aumasson and Bernstein, SipHash's 32-bit variant) over whole words; the length is fixed by the
// caller.

const INIT_V2 = 0x6c796765;
const INIT_V3 = 0x74656462;

/** Hash of `count` words of `words` from `off`, under the seed (seed0, seed1). Unsigned. */
export function hashWords(seed0: number, seed1: number, words: Uint32Array, off: number, count: number): number {
  let v0 = seed0 | 0;
  let v1 = seed1 | 0;
  let v2 = INIT_V2 ^ seed0;
  let v3 = INIT_V3 ^ seed1;
  // The last three turns are the finalisation; they take no word in.
  for (let i = 0; i < count + 3; i++) {
    const m = i < count ? words[off + i]! | 0 : 0;
    if (i === count) v2 ^= 0xff;
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  return (v1 ^ v3) >>> 0;
}

/** The same hash of four words given as numbers, so that the common key needs no array. */
export function hash4(seed0: number, seed1: number, a: number, b: number, c: number, d: number): number {
  let v0 = seed0 | 0;
  let v1 = seed1 | 0;
  let v2 = INIT_V2 ^ seed0;
  let v3 = INIT_V3 ^ seed1;
  for (let i = 0; i < 7; i++) {
    const m = i === 0 ? a | 0 : i === 1 ? b | 0 : i === 2 ? c | 0 : i === 3 ? d | 0 : 0;
    if (i === 4) v2 ^= 0xff;
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  return (v1 ^ v3) >>> 0;
}
