// Seeded pseudo-random numbers (sfc32, public domain, by Chris Doty-Humphrey). Every part of a run forks its own
// generator by name, so an additional draw in one part changes nothing in the others.

import { hashString } from './trace';

export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(private readonly seed: number) {
    this.a = seed | 0;
    this.b = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0;
    this.c = 0x2545f491;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** An independent generator, the same for the same seed and name. */
  fork(name: string): Prng {
    return new Prng((Math.imul(this.seed, 0x01000193) ^ hashString(name)) >>> 0);
  }

  u32(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** A number in [0, 1). */
  unit(): number {
    return this.u32() / 0x100000000;
  }

  /** An integer in [0, n). */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }

  /** An integer in [low, high]. */
  range(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** Like range(), but with small values as likely as large ones: each power of two has the same weight. */
  logRange(low: number, high: number): number {
    const value = Math.exp(Math.log(low) + this.unit() * (Math.log(high + 1) - Math.log(low)));
    return Math.min(high, Math.max(low, Math.floor(value)));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}
