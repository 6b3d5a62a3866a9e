// The engine as those see it who have digests of the SVM's bytes: what the PVM has said at the same places.

import { X_DELTA, X_FLAGS, X_SECONDARY_HEAD, XF_MATCHED } from '../compare/flow-words';
import { SaidBytes } from '../compare/said-bytes';
import { seqAdd, seqDiff } from '../core/seq32';
import type { PacketView } from '../packet/view';
import type { PrimaryContext } from './context';
import type { PacketIntake } from './packet-intake';

export class PrimaryWords {
  private readonly bytes: SaidBytes;

  constructor(
    private readonly x: PrimaryContext,
    private readonly intake: PacketIntake,
  ) {
    this.bytes = new SaidBytes(x.flows, x.log);
  }

  /** From now on told of each packet of the PVM that was compared. Nothing may be asked of the engine meanwhile. */
  listen(onSaid: (flow: number) => void): void {
    this.x.onSaid = onSaid;
  }

  /** Would the packet of the SVM in the view be compared now? */
  wouldCompare(v: PacketView, nowMs: number): boolean {
    return this.intake.wouldCompare(v, nowMs);
  }

  /** The connection of the SVM's TCP packet in the view; -1: not known, or not how the two number it. */
  flowOf(v: PacketView): number {
    const { x } = this;
    const flow = x.flows.find(v, false);
    if (flow < 0) return -1;
    if (x.isStale(flow)) x.alignTcp(flow);
    return (x.flows.words[flow + X_FLAGS]! & XF_MATCHED) === 0 ? -1 : flow;
  }

  /** Where the SVM's number stands in the PVM's stream. */
  positionOf(flow: number, seq: number): number {
    return seqAdd(seq, this.x.flows.words[flow + X_DELTA]!);
  }

  /**
   * Copies what is known of the PVM's bytes from this position on to `to` at `at`, up to so many. How many were copied.
   */
  copy(flow: number, position: number, bytes: number, to: Buffer, at: number): number {
    return this.bytes.copy(flow, position, bytes, to, at);
  }

  /** Has the PVM said something behind this position? What is not known before that will not be known any more. */
  hasPassed(flow: number, position: number): boolean {
    return this.bytes.hasPassed(flow, position);
  }

  /**
   * Can what the SVM says of [from, to) not be told from what the PVM says there alone? The PVM's stream ends before,
   * or bytes of the SVM's are there already.
   */
  isOdd(flow: number, from: number, to: number): boolean {
    if (this.bytes.endsBefore(flow, to)) return true;
    const { stream, flows } = this.x;
    return flows.words[flow + X_SECONDARY_HEAD] !== 0 && seqDiff(stream.secondaryEnd(flow), from) > 0;
  }
}
