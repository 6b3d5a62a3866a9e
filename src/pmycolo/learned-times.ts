// How long the slower guest takes to send what the other has sent, learned for each class: what waits (data of the PVM,
// its pure acknowledgements, data of the SVM), protocol, port of the service, and peer host. A wait far beyond it is a
// stall.
//
// What is learned from are the longest waits that ended by themselves, one of each 100 ms: a transfer has a thousand
// short ones for each long one, and it is the long one that must not be called a stall. A class keeps some hundred of
// them in a histogram by powers of the root of 2, halved when it is full. The limit is FACTOR times what one in 64 of
// them exceeds, between FLOOR_MS and the greatest.
//
// Where too little is known of a class, its kind (the same without the host) decides, then all that was learned of the
// same side, then the greatest limit. So a peer that makes its own class slow slows no class that is known.
//
// A wait that was cut short by a checkpoint teaches nothing, and a guest that has become slow would never be found to
// be only slow. So of the waits that a class was cut short in, the 3rd, 5th, 9th, ... may last 4, 16, 64, ... times
// longer. If such a one ends by itself, it counts for all that were cut short before it.

import { hashWords } from '../core/hash';
import { TIME_CLASSES, TIME_CLASSES_PER_SET } from '../core/limits';

/** What waits. */
export const WAIT_CONTENT = 0;
export const WAIT_ACK = 1;
export const WAIT_AHEAD = 2;
export type WaitKind = typeof WAIT_CONTENT | typeof WAIT_ACK | typeof WAIT_AHEAD;
const KINDS = 3;

/**
 * Both guests stand still for nearly that long in a checkpoint: asking sooner than it costs gains nothing. And a host
 * that computes for others does not run a guest for 80 ms now and then.
 */
export const FLOOR_MS = 100;
/**
 * A pure acknowledgement may be delayed by 200 ms by either guest (Linux, TCP_DELACK_MAX), and nobody waits for it
 * alone.
 */
export const ACK_FLOOR_MS = 250;
const FACTOR = 3;
/** From so many waits on a class is known; each of them counts, later ones by their longest of WINDOW_MS. */
export const LEARNED_FROM = 16;
export const WINDOW_MS = 100;
/** When so many are in a histogram, all are halved. */
const MEMORY = 128;
/** One in 2^TAIL_SHIFT may be longer. */
const TAIL_SHIFT = 6;
/** So many cut short waits at most does one count for that was allowed to last. */
const MOST_WEIGHT = 16;
const MOST_WORTH = 15;

/** Upper edges of the histogram's buckets, in ms: powers of the root of 2. */
const EDGES: readonly number[] = [
  1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096,
];
const BUCKETS = EDGES.length;

/**
 * Words of a class. Its key: kind of wait + 1, protocol, port; then the host, and 1 when there is one. 0 in the first =
 * free.
 */
const K_KIND = 0;
const K_HOST = 1;
const K_HAS_HOST = 5;
const KEY_WORDS = 6;
/** Low 32 bits of ms: when the present window began, and the longest wait in it. */
const C_WINDOW = 6;
const C_WINDOW_MAX = 7;
/** Waits in the histogram. */
const C_TOTAL = 8;
/** Waits that were cut short since one was found to be only long. */
const C_STALLS = 9;
/** Present limit, 0: not known. */
const C_LIMIT = 10;
/** Bits of the lists in which flows of it wait: while there are any, the class stays. */
const C_USERS = 11;
/** Of the class for its kind without the host; what stands there may be another by now. */
const C_PARENT = 12;
/** How often it was of use of late: who was not gives way. */
const C_WORTH = 13;
const CLASS_WORDS = 14;

/**
 * Classes 0 to KINDS - 1: all that wait in the same way, whoever they are; what finds no room in the table is of them.
 */
const FIRST = KINDS;

/** A few hosts have most of the waits. */
const RECENT_BITS = 6;
/** 2^32 / phi: spreads neighbours (Knuth's multiplicative hash). */
const SPREAD = 0x9e3779b1;

export class LearnedTimes {
  readonly classes = FIRST + TIME_CLASSES;
  /** Classes that gave way to others. */
  evicted = 0;
  private readonly words = new Uint32Array(this.classes * CLASS_WORDS);
  private readonly histograms = new Uint8Array(this.classes * BUCKETS);
  private readonly key = new Uint32Array(KEY_WORDS);
  /** Classes that were looked up of late; what stands there may be another by now. */
  private readonly recent = new Uint16Array(1 << RECENT_BITS);

  constructor(
    private readonly mostMs: number,
    private readonly seed0: number,
    private readonly seed1: number,
  ) {}

  /** The class of a wait; `words` has the host's four words at `host`. Allocates nothing. */
  classOf(kind: WaitKind, protocol: number, port: number, words: Uint32Array, host: number): number {
    const { key, recent } = this;
    const what = ((kind + 1) | (protocol << 8) | (port << 16)) >>> 0;
    const slot = Math.imul(words[host]! ^ words[host + 3]! ^ what, SPREAD) >>> (32 - RECENT_BITS);
    const last = recent[slot]!;
    if (this.isOf(last, what, words, host)) {
      if (this.words[last * CLASS_WORDS + C_WORTH]! < MOST_WORTH) this.words[last * CLASS_WORDS + C_WORTH]!++;
      return last;
    }
    key[K_KIND] = what;
    for (let i = 0; i < 4; i++) key[K_HOST + i] = words[host + i]!;
    key[K_HAS_HOST] = 1;
    const found = this.lookUp();
    if (found < 0) return kind;
    recent[slot] = found;
    return found;
  }

  /** Is that its key, with a host? */
  private isOf(cls: number, what: number, words: Uint32Array, host: number): boolean {
    const w = this.words;
    const c = cls * CLASS_WORDS;
    return (
      w[c + K_KIND] === what &&
      w[c + K_HOST] === words[host] &&
      w[c + K_HOST + 1] === words[host + 1] &&
      w[c + K_HOST + 2] === words[host + 2] &&
      w[c + K_HOST + 3] === words[host + 3] &&
      w[c + K_HAS_HOST] === 1
    );
  }

  /** Flows of the class begin to wait, in the list of this bit. */
  use(cls: number, bit: number): void {
    this.words[cls * CLASS_WORDS + C_USERS]! |= bit;
  }

  /** None does any more. */
  unuse(cls: number, bit: number): void {
    this.words[cls * CLASS_WORDS + C_USERS]! &= ~bit;
  }

  /** A wait of the class has ended by itself. */
  ended(cls: number, ms: number, nowMs: number): void {
    const w = this.words;
    const c = cls * CLASS_WORDS;
    const kind = this.kindOf(cls);
    if (cls >= FIRST) {
      if (w[c + C_STALLS] !== 0 && ms >= this.usualMs(cls, kind)) {
        this.add(cls, ms, Math.min(w[c + C_STALLS]! + 1, MOST_WEIGHT));
        w[c + C_STALLS] = 0;
        this.settle(cls, kind);
      } else this.learn(cls, kind, ms, nowMs);
      const parent = this.parentOf(cls);
      if (parent >= 0) this.learn(parent, kind, ms, nowMs);
    }
    this.learn(kind, kind, ms, nowMs);
  }

  /** A wait of the class has lasted for its limit, and is cut short. */
  stalled(cls: number): void {
    const c = cls * CLASS_WORDS;
    if (cls >= FIRST && this.words[c + C_STALLS]! < 0xffff) this.words[c + C_STALLS]!++;
  }

  /** How long the next wait of the class may last, in ms. */
  limitMs(cls: number): number {
    const usual = this.usualMs(cls, this.kindOf(cls));
    const stalls = this.words[cls * CLASS_WORDS + C_STALLS]!;
    // Powers of two from 2 on: 4^1, 4^2, ...
    if (stalls < 2 || (stalls & (stalls - 1)) !== 0) return usual;
    const times = 2 ** (2 * (31 - Math.clz32(stalls)));
    return Math.min(usual * times, this.mostMs);
  }

  /** The limit but for the longer ones now and then. */
  private usualMs(cls: number, kind: WaitKind): number {
    const w = this.words;
    const c = cls * CLASS_WORDS;
    if (w[c + C_LIMIT] !== 0) return w[c + C_LIMIT]!;
    // Waiting for long was of no use the first time.
    if (w[c + C_STALLS] !== 0) return this.floorOf(kind);
    if (cls >= FIRST) {
      const parent = this.parentOf(cls);
      if (parent >= 0 && w[parent * CLASS_WORDS + C_LIMIT] !== 0) return w[parent * CLASS_WORDS + C_LIMIT]!;
    }
    const all = w[kind * CLASS_WORDS + C_LIMIT]!;
    return all !== 0 ? all : this.mostMs;
  }

  kindOf(cls: number): WaitKind {
    return (cls < FIRST ? cls : (this.words[cls * CLASS_WORDS + K_KIND]! & 0xff) - 1) as WaitKind;
  }

  private floorOf(kind: WaitKind): number {
    return Math.min(kind === WAIT_ACK ? ACK_FLOOR_MS : FLOOR_MS, this.mostMs);
  }

  private learn(cls: number, kind: WaitKind, ms: number, nowMs: number): void {
    const w = this.words;
    const c = cls * CLASS_WORDS;
    if (w[c + C_LIMIT] !== 0) {
      if (((nowMs - w[c + C_WINDOW]!) | 0) < WINDOW_MS) {
        if (ms > w[c + C_WINDOW_MAX]!) w[c + C_WINDOW_MAX] = ms;
        return;
      }
      this.add(cls, w[c + C_WINDOW_MAX]!, 1);
      w[c + C_WINDOW] = nowMs;
      w[c + C_WINDOW_MAX] = ms;
    } else {
      this.add(cls, ms, 1);
      w[c + C_WINDOW] = nowMs;
    }
    this.settle(cls, kind);
  }

  private add(cls: number, ms: number, weight: number): void {
    const h = this.histograms;
    const w = this.words;
    const at = cls * BUCKETS;
    const c = cls * CLASS_WORDS;
    let i = 0;
    while (i < BUCKETS - 1 && ms > EDGES[i]!) i++;
    h[at + i] = h[at + i]! + weight;
    w[c + C_TOTAL] = w[c + C_TOTAL]! + weight;
    if (w[c + C_TOTAL]! < MEMORY) return;
    let total = 0;
    for (let k = at; k < at + BUCKETS; k++) {
      h[k] = h[k]! >>> 1;
      total += h[k]!;
    }
    w[c + C_TOTAL] = total;
    w[c + C_STALLS] = w[c + C_STALLS]! >>> 1;
  }

  private settle(cls: number, kind: WaitKind): void {
    const w = this.words;
    const c = cls * CLASS_WORDS;
    const total = w[c + C_TOTAL]!;
    if (total < LEARNED_FROM) return;
    let tail = total >>> TAIL_SHIFT;
    let i = BUCKETS - 1;
    for (const at = cls * BUCKETS; i > 0 && this.histograms[at + i]! <= tail; i--) tail -= this.histograms[at + i]!;
    w[c + C_LIMIT] = Math.min(Math.max(this.floorOf(kind), FACTOR * EDGES[i]!), this.mostMs);
  }

  /** The class for the kind alone, or -1. */
  private parentOf(cls: number): number {
    const w = this.words;
    const c = cls * CLASS_WORDS;
    const parent = w[c + C_PARENT]!;
    if (
      parent !== 0 &&
      w[parent * CLASS_WORDS + K_KIND] === w[c + K_KIND] &&
      w[parent * CLASS_WORDS + K_HAS_HOST] === 0
    )
      return parent;
    const { key } = this;
    key.fill(0);
    key[K_KIND] = w[c + K_KIND]!;
    const found = this.lookUp(cls);
    w[c + C_PARENT] = Math.max(found, 0);
    return found;
  }

  /** The class with the key, made when there is none; -1: there is no room. `besides` stays. */
  private lookUp(besides = -1): number {
    const w = this.words;
    const { key } = this;
    const sets = TIME_CLASSES / TIME_CLASSES_PER_SET;
    const first = FIRST + (hashWords(this.seed0, this.seed1, key, 0, KEY_WORDS) % sets) * TIME_CLASSES_PER_SET;
    let place = -1;
    let worth = MOST_WORTH + 1;
    for (let cls = first; cls < first + TIME_CLASSES_PER_SET; cls++) {
      const c = cls * CLASS_WORDS;
      let i = 0;
      while (i < KEY_WORDS && w[c + i] === key[i]) i++;
      if (i === KEY_WORDS) {
        if (w[c + C_WORTH]! < MOST_WORTH) w[c + C_WORTH]!++;
        return cls;
      }
      if (w[c + C_USERS] !== 0 || cls === besides) continue;
      if (w[c + K_KIND] === 0) {
        if (worth >= 0) place = cls;
        worth = -1;
      } else if (w[c + C_WORTH]! < worth) {
        worth = w[c + C_WORTH]!;
        place = cls;
      }
    }
    if (place < 0) return -1;
    if (worth >= 0) {
      this.evicted++;
      for (let cls = first; cls < first + TIME_CLASSES_PER_SET; cls++) {
        const c = cls * CLASS_WORDS + C_WORTH;
        if (w[c] !== 0) w[c]!--;
      }
    }
    w.fill(0, place * CLASS_WORDS, (place + 1) * CLASS_WORDS);
    w.set(key, place * CLASS_WORDS);
    this.histograms.fill(0, place * BUCKETS, (place + 1) * BUCKETS);
    return place;
  }
}
