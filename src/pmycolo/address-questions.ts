// Which neighbours the two guests ask for (ARP requests, neighbour solicitations), and when a question of the SVM tells
// that it has lost an address which the PVM still knows. Both guests' caches age by timers, and the SVM runs 20 to 40
// ms before the PVM after each checkpoint, so it mostly asks first, and the PVM puts the same question next.
//
//             the SVM asks            the PVM asks, or somebody has answered
//   nothing ---------------> open ------------------------------------------> nothing
//      |                      |  the SVM asks again, or WAIT_MS pass
//      | the PVM asks, or     +------------------------------------------> lost: a checkpoint is asked for
//      v somebody answers
//   asked ------------------> nothing
//           the SVM asks, or WAIT_MS pass

import { ADDRESS_QUESTIONS } from '../core/limits';

/** How long one guest may put a question after the other, in ms. */
export const WAIT_MS = 1000;

const Q_STATE = 0;
/** zone << 16 | family, then the address in four words; an IPv4 address stands in the first, the others are 0. */
const Q_KEY = 1;
/** Low 32 bits of the ms at which it ends. */
const Q_UNTIL = 6;
const Q_WORDS = 7;

const FREE = 0;
/** The SVM has asked. */
const OPEN = 1;
/** The PVM has asked. */
const ASKED = 2;

export class AddressQuestions {
  private readonly words = new Uint32Array(ADDRESS_QUESTIONS * Q_WORDS);
  private readonly key = new Uint32Array(5);
  /** Questions in the table. */
  count = 0;
  /** Questions that found no room. */
  overflows = 0;

  /** The address that the next call is about: words as in a packet view. */
  about(zone: number, family: 4 | 6, a0: number, a1 = 0, a2 = 0, a3 = 0): this {
    const { key } = this;
    key[0] = ((zone << 16) | family) >>> 0;
    key[1] = a0;
    key[2] = a1;
    key[3] = a2;
    key[4] = a3;
    return this;
  }

  /** True: the SVM has lost the address. */
  secondaryAsks(nowMs: number): boolean {
    const w = this.words;
    const at = this.find();
    if (at < 0) this.add(OPEN, nowMs);
    else if (w[at + Q_STATE] === OPEN) {
      this.free(at);
      return true;
    } else if (this.hasEnded(at, nowMs)) this.set(at, OPEN, nowMs);
    else this.free(at);
    return false;
  }

  primaryAsks(nowMs: number): void {
    const at = this.find();
    if (at < 0) this.add(ASKED, nowMs);
    else if (this.words[at + Q_STATE] === OPEN) this.free(at);
    else this.set(at, ASKED, nowMs);
  }

  /** The SVM was given the answer, which may overtake the question on its way here. As good as the PVM's question. */
  answered(nowMs: number): void {
    this.primaryAsks(nowMs);
  }

  /** True: an address that the SVM has asked for is lost, as the PVM has not asked for it. */
  tick(nowMs: number): boolean {
    if (this.count === 0) return false;
    const w = this.words;
    let lost = false;
    for (let at = 0; at < w.length; at += Q_WORDS) {
      if (w[at + Q_STATE] === FREE || !this.hasEnded(at, nowMs)) continue;
      if (w[at + Q_STATE] === OPEN) lost = true;
      this.free(at);
    }
    return lost;
  }

  /** After a checkpoint both guests know the same. */
  clear(): void {
    this.words.fill(0);
    this.count = 0;
  }

  private find(): number {
    const w = this.words;
    const { key } = this;
    if (this.count === 0) return -1;
    for (let at = 0; at < w.length; at += Q_WORDS) {
      if (w[at + Q_STATE] === FREE) continue;
      let i = 0;
      while (i < key.length && w[at + Q_KEY + i] === key[i]) i++;
      if (i === key.length) return at;
    }
    return -1;
  }

  /** In a full table a question takes the place of the PVM's oldest, which mostly was answered long ago. */
  private add(state: number, nowMs: number): void {
    const w = this.words;
    let place = -1;
    for (let at = 0; at < w.length; at += Q_WORDS) {
      if (w[at + Q_STATE] === FREE) {
        place = at;
        break;
      }
      if (w[at + Q_STATE] === ASKED && (place < 0 || ((w[at + Q_UNTIL]! - w[place + Q_UNTIL]!) | 0) < 0)) place = at;
    }
    if (place < 0) {
      this.overflows++;
      return;
    }
    if (w[place + Q_STATE] === FREE) this.count++;
    else this.overflows++;
    w.set(this.key, place + Q_KEY);
    this.set(place, state, nowMs);
  }

  private set(at: number, state: number, nowMs: number): void {
    this.words[at + Q_STATE] = state;
    this.words[at + Q_UNTIL] = nowMs + WAIT_MS;
  }

  private free(at: number): void {
    this.words[at + Q_STATE] = FREE;
    this.count--;
  }

  private hasEnded(at: number, nowMs: number): boolean {
    return ((nowMs - this.words[at + Q_UNTIL]!) | 0) >= 0;
  }
}
