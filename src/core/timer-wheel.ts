// A timer per record of a table, lazily re-armed: a packet only writes its record's deadline, and the wheel entry is
// moved when its turn comes (Varghese and Lauck 1987, scheme 6, one level). An entry may come up early and be put back,
// never late by more than a tick, as long as arm() is called again when a deadline is brought *forward*.
//
// Times are milliseconds modulo 2^32, so a deadline must lie less than 24 days ahead.

import { invariant } from './errors';

/** A tick is 1,024 ms: a power of two, so that ticks wrap around together with the milliseconds. */
const TICK_SHIFT = 10;
/**
 * Ticks that the wheel sees ahead, about four minutes; what is due later comes up every four minutes and is put back.
 */
const BUCKETS = 256;

export class TimerWheel {
  /** id + 1 of the first entry of each bucket; 0 = empty. */
  private readonly heads = new Int32Array(BUCKETS);
  /** Doubly linked: next is id + 1 or 0; prev is id + 1, or -(bucket + 1) for a first entry, or 0 when not armed. */
  private readonly nextOf: Int32Array;
  private readonly prevOf: Int32Array;
  /** The tick whose bucket is being emptied, or was emptied last. */
  private tick = 0;
  /** Entries in the wheel. */
  armed = 0;

  /** Times the records of `words`: `recordWords` words each, the deadline in word `deadlineWord` of each. */
  constructor(
    private readonly words: Uint32Array,
    private readonly recordWords: number,
    private readonly deadlineWord: number,
  ) {
    const capacity = Math.floor(words.length / recordWords);
    this.nextOf = new Int32Array(capacity);
    this.prevOf = new Int32Array(capacity);
  }

  /** Puts the record at `base` where its deadline says; also moves it when the deadline was brought forward. */
  arm(base: number): void {
    const id = base / this.recordWords;
    if (this.prevOf[id] !== 0) this.unlink(id);
    this.link(id, this.words[base + this.deadlineWord]!);
  }

  /** Must be called before a record is freed. */
  disarm(base: number): void {
    const id = base / this.recordWords;
    if (this.prevOf[id] !== 0) this.unlink(id);
  }

  /** True while the record has an entry. */
  isArmed(base: number): boolean {
    return this.prevOf[base / this.recordWords] !== 0;
  }

  /**
   * Calls `onExpire(base)` for every record whose deadline has passed: true = the record is gone or wants no timer any
   * more, false = it stays and is armed again by its (new) deadline. Looks at `maxVisits` entries at the most and goes
   * on in the next call where it stopped; returns how many it looked at.
   */
  expire(nowMs: number, onExpire: (base: number) => boolean, maxVisits: number): number {
    const now = nowMs >>> 0;
    const nowTick = now >>> TICK_SHIFT;
    const behind = tickDiff(nowTick, this.tick);
    // A small step back of the clock is waited out.
    if (behind < 0 && behind >= -BUCKETS) return 0;
    // After a long silence, at the start, or after a jump of the clock, one turn of the wheel reaches everything.
    if (behind < 0 || behind > BUCKETS) this.tick = (nowTick - BUCKETS) & TICK_MASK;
    let visits = 0;
    for (;;) {
      const bucket = this.tick & (BUCKETS - 1);
      while (this.heads[bucket] !== 0) {
        if (visits === maxVisits) return visits;
        visits++;
        const id = this.heads[bucket]! - 1;
        const base = id * this.recordWords;
        this.unlink(id);
        const due = this.words[base + this.deadlineWord]!;
        if (((due - now) | 0) > 0) this.link(id, due);
        else if (!onExpire(base) && this.prevOf[id] === 0) this.link(id, this.words[base + this.deadlineWord]!);
      }
      if (this.tick === nowTick) return visits;
      this.tick = (this.tick + 1) & TICK_MASK;
    }
  }

  /** Forgets every entry. */
  clear(): void {
    this.heads.fill(0);
    this.nextOf.fill(0);
    this.prevOf.fill(0);
    this.armed = 0;
  }

  private link(id: number, due: number): void {
    // Rounded up, so that a visit at the beginning of the tick finds the deadline passed.
    let ahead = tickDiff((due + (1 << TICK_SHIFT) - 1) >>> TICK_SHIFT, this.tick);
    if (ahead < 1) ahead = 1;
    else if (ahead > BUCKETS - 1) ahead = BUCKETS - 1;
    const bucket = (this.tick + ahead) & (BUCKETS - 1);
    const first = this.heads[bucket]!;
    this.nextOf[id] = first;
    this.prevOf[id] = -(bucket + 1);
    if (first !== 0) this.prevOf[first - 1] = id + 1;
    this.heads[bucket] = id + 1;
    this.armed++;
  }

  private unlink(id: number): void {
    const next = this.nextOf[id]!;
    const prev = this.prevOf[id]!;
    invariant(prev !== 0, 'an unlinked timer must be armed');
    if (prev < 0) this.heads[-prev - 1] = next;
    else this.nextOf[prev - 1] = next;
    if (next !== 0) this.prevOf[next - 1] = prev;
    this.prevOf[id] = 0;
    this.armed--;
  }
}

const TICK_BITS = 32 - TICK_SHIFT;
const TICK_MASK = 2 ** TICK_BITS - 1;

/** Signed distance of two ticks, both modulo 2^22. */
function tickDiff(a: number, b: number): number {
  return ((a - b) << TICK_SHIFT) >> TICK_SHIFT;
}
