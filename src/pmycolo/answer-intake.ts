// ICMP answers of both guests. A guest's own rate limits decide which packets it answers, so those that only one guest
// gives are dropped after a while, and are no reason for a checkpoint: a stranger chooses how many there are. Two that
// answer the same packet have to be the same, and several answers to one, in order. They are of no flow; between
// packets their order means nothing.

import { sameContent } from '../compare/datagram';
import { CheckpointCause, DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import { copyBytes, firstDifference } from '../core/bytes';
import { MAX_ANSWER_BYTES, MAX_ANSWERS } from '../core/limits';
import { ANSWER_KEY_WORDS, answerKey, isIcmpAnswer } from '../packet/icmp-answer';
import type { PacketView } from '../packet/view';
import { AnswerList } from './answer-list';
import type { PrimaryContext } from './context';
import { C_COMPARED, C_PRIMARY_ANSWERS, C_SECONDARY_ANSWERS } from './counters';
import { DatagramIntake } from './datagram-intake';
import type { Expiry } from './expiry';
import { FLOWLESS } from './flow-handler';
import { H_END, H_ID, H_L4, HF_ANSWER, HF_PARTIAL, NO_FLOW } from './holds';

export class AnswerIntake extends DatagramIntake {
  private readonly key = new Uint32Array(ANSWER_KEY_WORDS);
  /** The PVM's, by their slots in the table of holds. */
  private readonly primaries: AnswerList;
  /** The SVM's, by their places in `said`, from the ICMP header on; these go round, as the answers come. */
  private readonly secondaries: AnswerList;
  private said: Buffer | undefined;
  private saidHead = 0;
  private readonly maxHeld: number;
  private readonly maxHeldBytes: number;

  constructor(
    x: PrimaryContext,
    expiry: Expiry,
    seed: readonly [number, number],
    maxHeldBytes: number,
    /** How long an answer waits for the other guest's, in ms. */
    private readonly graceMs: number,
  ) {
    super(x, expiry);
    this.primaries = new AnswerList(MAX_ANSWERS, seed[0], seed[1]);
    this.secondaries = new AnswerList(MAX_ANSWERS, seed[0], seed[1]);
    // The rest of what may be held is for what has to be said.
    this.maxHeld = Math.min(MAX_ANSWERS, x.holds.capacity >>> 2);
    this.maxHeldBytes = Math.min(MAX_ANSWER_BYTES, maxHeldBytes >>> 2);
  }

  override flowOf(v: PacketView, nowMs: number): number {
    return isIcmpAnswer(v) ? FLOWLESS : super.flowOf(v, nowMs);
  }

  override primary(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    hold: number,
    comparing: boolean,
    nowMs: number,
  ): Outcome {
    if (flow !== FLOWLESS) return super.primary(id, flow, v, buf, hold, comparing, nowMs);
    const { x, key } = this;
    answerKey(key, v);
    let outcome: Outcome = WAIT;
    if (comparing) {
      const { secondaries } = this;
      const bytes = v.end - v.l4;
      const entry = secondaries.find(key);
      if (entry >= 0) {
        const at = secondaries.refs[entry]!;
        const its = secondaries.lengths[entry]!;
        if (its === bytes && sameContent(true, buf, v.l4, this.said!, at, bytes)) {
          secondaries.remove(entry);
          x.counters.values[C_COMPARED]!++;
          x.leave(id, v, buf, (hold & HF_PARTIAL) !== 0);
          return EQUAL;
        }
        this.differ(buf, v.l4, bytes, this.said!, at, its);
        outcome = DIVERGED;
      }
    }
    const from = v.start - v.head;
    const bytes = v.limit - from;
    while (this.primaries.count > 0 && this.primaries.bytes + bytes > this.maxHeldBytes) this.dropOldest();
    while (this.primaries.count >= this.maxHeld || this.primaries.full) this.dropOldest();
    const record = x.hold(id, NO_FLOW, v, buf, 0, v.end - from, HF_ANSWER | hold, nowMs);
    if (record === 0) return outcome === DIVERGED ? DIVERGED : EXHAUSTED;
    this.primaries.add(key, x.holds.newest, bytes, nowMs);
    return outcome;
  }

  override secondary(flow: number, v: PacketView, buf: Buffer, nowMs: number): Outcome {
    if (flow !== FLOWLESS) return super.secondary(flow, v, buf, nowMs);
    const { x, key, primaries } = this;
    answerKey(key, v);
    const bytes = v.end - v.l4;
    const entry = primaries.find(key);
    if (entry >= 0) {
      const { data } = x.log;
      const hw = x.holds.words;
      const h = x.holds.index(primaries.refs[entry]!);
      const at = x.holds.headerAt(h);
      const its = hw[h + H_END]! - hw[h + H_L4]!;
      if (its !== bytes || !sameContent(true, data, at, buf, v.l4, bytes)) {
        this.differ(data, at, its, buf, v.l4, bytes);
        return DIVERGED;
      }
      this.release(entry, nowMs);
      return EQUAL;
    }
    this.store(v, buf, bytes, nowMs);
    return WAIT;
  }

  /** Drops what has waited for the other guest's too long. */
  tick(nowMs: number): void {
    const { primaries, secondaries } = this;
    for (let e = primaries.oldest(); e >= 0 && primaries.age(e, nowMs) >= this.graceMs; e = primaries.oldest())
      this.dropOldest();
    for (let e = secondaries.oldest(); e >= 0 && secondaries.age(e, nowMs) >= this.graceMs; e = secondaries.oldest())
      this.forgetOldest();
  }

  /** The PVM's that were held are not any more. */
  released(): void {
    this.primaries.clear();
  }

  /** A new epoch: the SVM's earlier answers do not count. */
  newEpoch(): void {
    this.secondaries.clear();
  }

  private release(entry: number, nowMs: number): void {
    const { x } = this;
    x.counters.values[C_COMPARED]!++;
    x.leaveHeld(this.primaries.refs[entry]!, false, nowMs);
    this.primaries.remove(entry);
  }

  private dropOldest(): void {
    const { x, primaries } = this;
    const entry = primaries.oldest();
    const slot = primaries.refs[entry]!;
    x.counters.values[C_PRIMARY_ANSWERS]!++;
    x.drop(x.holds.words[x.holds.index(slot) + H_ID]!);
    x.holds.remove(slot);
    primaries.remove(entry);
  }

  private forgetOldest(): void {
    this.x.counters.values[C_SECONDARY_ANSWERS]!++;
    this.secondaries.remove(this.secondaries.oldest());
  }

  private store(v: PacketView, buf: Buffer, bytes: number, nowMs: number): void {
    const { secondaries } = this;
    this.said ??= Buffer.allocUnsafeSlow(MAX_ANSWER_BYTES);
    if (secondaries.full) this.forgetOldest();
    if (secondaries.count === 0) this.saidHead = 0;
    // The oldest lies next ahead, so it is the one in the way.
    if (this.saidHead + bytes > MAX_ANSWER_BYTES) {
      while (secondaries.count > 0 && secondaries.refs[secondaries.oldest()]! >= this.saidHead) this.forgetOldest();
      this.saidHead = 0;
    }
    const at = this.saidHead;
    for (let e = secondaries.oldest(); e >= 0; e = secondaries.oldest()) {
      const its = secondaries.refs[e]!;
      if (its < at || its >= at + bytes) break;
      this.forgetOldest();
    }
    copyBytes(buf, v.l4, this.said, at, bytes);
    this.saidHead = at + bytes;
    secondaries.add(this.key, at, bytes, nowMs);
  }

  private differ(p: Buffer, pAt: number, pBytes: number, s: Buffer, sAt: number, sBytes: number): void {
    const i = firstDifference(p, pAt, s, sAt, Math.min(pBytes, sBytes));
    const d = this.x.difference;
    d.set(pBytes === sBytes ? CheckpointCause.PAYLOAD : CheckpointCause.LENGTH, -1, i);
    d.setPrimary(p, pAt + i, pBytes - i);
    d.setSecondary(s, sAt + i, sBytes - i);
  }
}
