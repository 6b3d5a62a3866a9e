// Answers of one side that wait for the same of the other: found by what they answer, and forgotten in the order of
// their coming. Bounded in number and bytes; the oldest gives way.

import { hashWords } from '../core/hash';
import { ANSWER_SEARCH_LIMIT } from '../core/limits';
import { ANSWER_KEY_WORDS } from '../packet/icmp-answer';

const FREE = 0xffffffff;

export class AnswerList {
  count = 0;
  bytes = 0;
  /** By entry: what the owner knows it by, its length, and when it came (ms). */
  readonly refs: Uint32Array;
  readonly lengths: Uint32Array;
  private readonly times: Int32Array;
  private readonly keys: Uint32Array;
  private readonly hashes: Uint32Array;
  /** Entry + 1 of the next in the bucket, which came after it. */
  private readonly links: Int32Array;
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly mask: number;
  /** Entries used so far: [first, next), modulo the capacity. */
  private first = 0;
  private next = 0;

  /** `capacity` is a power of two. The seeds keep strangers, who choose what is answered, from aiming at one bucket. */
  constructor(
    readonly capacity: number,
    private readonly seed0: number,
    private readonly seed1: number,
  ) {
    this.refs = new Uint32Array(capacity).fill(FREE);
    this.lengths = new Uint32Array(capacity);
    this.times = new Int32Array(capacity);
    this.keys = new Uint32Array(capacity * ANSWER_KEY_WORDS);
    this.hashes = new Uint32Array(capacity);
    this.links = new Int32Array(capacity);
    this.heads = new Int32Array(capacity);
    this.tails = new Int32Array(capacity);
    this.mask = capacity - 1;
  }

  /** The oldest entry, or -1. */
  oldest(): number {
    while (this.first !== this.next && this.refs[this.first & this.mask] === FREE) this.first++;
    return this.first === this.next ? -1 : this.first & this.mask;
  }

  /** Its place would be the oldest's: that has to go first. */
  get full(): boolean {
    return this.oldest() >= 0 && this.next - this.first === this.capacity;
  }

  age(entry: number, nowMs: number): number {
    return (nowMs - this.times[entry]!) | 0;
  }

  add(key: Uint32Array, ref: number, bytes: number, nowMs: number): void {
    const entry = this.next++ & this.mask;
    this.refs[entry] = ref;
    this.lengths[entry] = bytes;
    this.times[entry] = nowMs;
    this.keys.set(key, entry * ANSWER_KEY_WORDS);
    const hash = this.hashOf(key);
    this.hashes[entry] = hash;
    const bucket = hash & this.mask;
    this.links[entry] = 0;
    if (this.heads[bucket] === 0) this.heads[bucket] = entry + 1;
    else this.links[this.tails[bucket]! - 1] = entry + 1;
    this.tails[bucket] = entry + 1;
    this.count++;
    this.bytes += bytes;
  }

  /** The oldest entry with this key; -1: there is none, or the search has taken too long. */
  find(key: Uint32Array): number {
    const hash = this.hashOf(key);
    let link = this.heads[hash & this.mask]!;
    for (let steps = 0; link !== 0 && steps < ANSWER_SEARCH_LIMIT; steps++) {
      const entry = link - 1;
      if (this.hashes[entry] === hash && this.hasKey(entry, key)) return entry;
      link = this.links[entry]!;
    }
    return -1;
  }

  /** Mostly the oldest of its bucket; a bucket holds no more than all that there are. */
  remove(entry: number): void {
    const bucket = this.hashes[entry]! & this.mask;
    let before = 0;
    for (let at = this.heads[bucket]!; at !== entry + 1; at = this.links[at - 1]!) before = at;
    const after = this.links[entry]!;
    if (before === 0) this.heads[bucket] = after;
    else this.links[before - 1] = after;
    if (after === 0) this.tails[bucket] = before;
    this.refs[entry] = FREE;
    this.count--;
    this.bytes -= this.lengths[entry]!;
  }

  clear(): void {
    for (let entry = this.oldest(); entry >= 0; entry = this.oldest()) this.remove(entry);
  }

  private hashOf(key: Uint32Array): number {
    return hashWords(this.seed0, this.seed1, key, 0, ANSWER_KEY_WORDS);
  }

  private hasKey(entry: number, key: Uint32Array): boolean {
    const base = entry * ANSWER_KEY_WORDS;
    for (let i = 0; i < ANSWER_KEY_WORDS; i++) if (this.keys[base + i] !== key[i]) return false;
    return true;
  }
}
