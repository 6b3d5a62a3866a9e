// Both guests' batches walked together, as long as they say the same. In step, the packets of a batch are compared in
// one call and each pair is looked up once; a packet of the PVM leaves without having been held. Out of step, packets
// are handed in one by one, first of the guest that has said less, until nothing waits any more. Which side's queue is
// read first is chance, so any order between the two sides is right; within a side it stays as it was.

import type { PrimaryEngine } from '../pmycolo/engine';
import {
  PAIR_BOTH,
  PAIR_PRIMARY,
  PAIR_RELEASED,
  PAIR_SECONDARY,
  type PairIntake,
  type PairResult,
} from '../pmycolo/pair-intake';
import { type PacketBatch, queuedPacket, type Verdicts } from './ports';
import { type BatchEnd, BatchTime, ForwardIntake, GuestIntake, type IntakeEngine, isOpaque } from './primary-intake';

/** Fewer packets are not worth a look at the other queue, nor another comparison of what is left. */
const FEW = 8;
/** What one call compares: packets, and bytes, which stay in the cache until they are looked at. */
const MOST = 64;
const MOST_BYTES = 1 << 18;

export type InStepEngine = IntakeEngine &
  Pick<PrimaryEngine, 'awaitsPrimary' | 'heldPackets'> & {
    readonly pairs: Pick<PairIntake, 'beginCopied' | 'changed' | 'copied' | 'copies' | 'endCopied' | 'pair'>;
  };

/** The same part of both guests' output. */
export interface BothQueues {
  readonly guest: PacketBatch;
  readonly forward: PacketBatch;
  /**
   * Copies `packets` packets of the guest's batch from number p on into `to`, one behind the other from `at` on, and
   * compares them in turn with the forward's from number s on: differing[i] is how many bytes of a packet, from its IP
   * header, reach behind the last that differs. May end before two that differ in more than their headers.
   * How many came before.
   */
  compare(p: number, s: number, packets: number, to: Buffer, at: number, differing: Uint32Array): number;
}

export class InStep {
  private readonly time: BatchTime;
  private readonly fromGuest: GuestIntake;
  private readonly fromForward: ForwardIntake;
  private readonly p = queuedPacket();
  private readonly s = queuedPacket();
  private readonly differing = new Uint32Array(MOST);
  /** How far the walk is. */
  private pAt = 0;
  private sAt = 0;

  constructor(
    private readonly engine: InStepEngine,
    clock: () => number,
    node: () => BatchEnd,
    private readonly verdicts: { readonly guest: Verdicts; readonly forward: Pick<Verdicts, 'drop'> },
    private readonly few = FEW,
  ) {
    this.time = new BatchTime(clock);
    this.fromGuest = new GuestIntake(engine, this.time, node);
    this.fromForward = new ForwardIntake(engine, this.time, node, () => verdicts.forward);
  }

  /** A batch of the PVM has come. */
  guestBatch(both: BothQueues): void {
    const { guest, forward } = both;
    const { count } = guest;
    let at = 0;
    while (at < count && this.engine.awaitsPrimary) this.primary(guest, at++);
    const others = count - at < this.few ? 0 : forward.take();
    this.walk(both, at, count, 0, others);
    if (others > 0) forward.give();
    this.fromGuest.endBatch();
  }

  /** A batch of the SVM has come. */
  forwardBatch(both: BothQueues): void {
    const { guest, forward } = both;
    const { count } = forward;
    let at = 0;
    while (at < count && this.engine.heldPackets > 0) this.secondary(forward, at++);
    const others = count - at < this.few ? 0 : guest.take();
    this.walk(both, 0, others, at, count);
    if (others > 0) guest.give();
    this.fromForward.endBatch();
  }

  private walk(both: BothQueues, pFrom: number, pTo: number, sFrom: number, sTo: number): void {
    const { engine } = this;
    const { guest, forward } = both;
    this.pAt = pFrom;
    this.sAt = sFrom;
    let most = this.few;
    while (this.pAt < pTo && this.sAt < sTo) {
      if (engine.heldPackets > 0) this.secondary(forward, this.sAt++);
      else if (engine.awaitsPrimary) this.primary(guest, this.pAt++);
      else {
        const n = Math.min(most, pTo - this.pAt, sTo - this.sAt);
        const released = this.stretch(both, n);
        // What begins otherwise mostly goes on so: a look far ahead, again and again, would be in vain.
        if (released < Math.min(n, this.few)) break;
        most = released === n ? MOST : this.few;
      }
    }
    while (this.sAt < sTo) this.secondary(forward, this.sAt++);
    while (this.pAt < pTo) this.primary(guest, this.pAt++);
  }

  /** The next packets of either side at once, up to the first that is not released. How many were. */
  private stretch(both: BothQueues, packets: number): number {
    const { guest, forward } = both;
    const { p, s, differing, verdicts } = this;
    const { pairs } = this.engine;
    let n = 0;
    let bytes = 0;
    while (n < packets && bytes < MOST_BYTES) bytes += guest.bytesOf(this.pAt + n++);
    const now = this.time.now();
    let at = pairs.beginCopied(bytes, n, now);
    if (at < 0) return 0;
    const alike = both.compare(this.pAt, this.sAt, n, pairs.copies, at, differing);
    let result: PairResult = PAIR_RELEASED;
    let released = 0;
    for (; released < n; released++) {
      guest.read(this.pAt, p);
      forward.read(this.sAt, s);
      result = PAIR_BOTH;
      if (released < alike && !isOpaque(p) && !isOpaque(s) && p.zone === s.zone) {
        pairs.copied(p.off, at);
        result = pairs.pair(
          p.buf,
          p.off,
          p.len,
          s.buf,
          s.off,
          s.len,
          differing[released]!,
          p.partialChecksum,
          now,
          p.zone,
        );
      }
      if (result !== PAIR_RELEASED) break;
      if (pairs.changed) verdicts.guest.acceptRewritten(p.id, p.buf, p.off, p.len, p.partialChecksum);
      else verdicts.guest.accept(p.id);
      verdicts.forward.drop(s.id);
      at += p.len;
      this.pAt++;
      this.sAt++;
    }
    pairs.endCopied();
    if (result !== PAIR_RELEASED && result !== PAIR_PRIMARY) this.secondary(forward, this.sAt++);
    if (result !== PAIR_RELEASED && result !== PAIR_SECONDARY) this.primary(guest, this.pAt++);
    return released;
  }

  private primary(guest: PacketBatch, number: number): void {
    guest.read(number, this.p);
    this.fromGuest.packet(this.p);
  }

  private secondary(forward: PacketBatch, number: number): void {
    forward.read(number, this.s);
    this.fromForward.packet(this.s);
  }
}
