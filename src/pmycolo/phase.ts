// Whether the two guests' packets are compared now, and the request for the checkpoint that is awaited: at most one an
// epoch, and none before the PVM has run for a while since the last (request-pace).
//
//                    a divergence, what cannot be compared, an exhausted bound
//      +-----------+ ------------------------------------------> +--------+
//      | comparing |                                             | paused |  everything is held, nothing compared
//      +-----------+ <------------------------------------------ +--------+
//                    DO_CHECKPOINT: the PVM's is released in order, the SVM's purged, all counters aligned
//
// One guest's silence, and an address that the SVM has lost, ask for a checkpoint without a pause: nothing is known to
// differ, and what proves equal before the checkpoint leaves as ever. So a guest that was only slow costs no more than
// its slowness where nobody answers.
//
// The request itself goes out when the pace allows it; the pause begins at once.

import { CHECKPOINT_CAUSES, type CheckpointCause } from '../compare/outcome';
import type { PrimaryContext } from './context';
import { C_REQUESTS_DELAYED } from './counters';
import { RequestPace } from './request-pace';
import type { SecondaryEpochs } from './secondary-epochs';

const NEVER = Number.POSITIVE_INFINITY;

export class Phase {
  readonly pace: RequestPace;
  /** Off: the PVM's packets leave at once. */
  protectedNow = true;
  paused = false;
  /** What is requested was asked for because a guest is silent. */
  silent = false;
  /** Of the last call that told it. */
  nowMs = 0;
  /** Counts what ends epochs; the context's and the log's also begin where protection does. */
  private epoch = 0;
  private requested = false;
  /** The cause of a request that waits until the pace allows it. */
  private delayed: CheckpointCause | undefined;

  constructor(
    minIntervalMs: number,
    private readonly epochs: SecondaryEpochs,
    private readonly x: PrimaryContext,
  ) {
    this.pace = new RequestPace(minIntervalMs);
  }

  /** A packet of the SVM that comes now was sent in an epoch that has ended. */
  isPast(nowMs: number): boolean {
    return this.epochs.of(nowMs) !== this.epoch;
  }

  /** A checkpoint, or a new pair. */
  endEpoch(nowMs: number): void {
    this.epochs.begins(++this.epoch, nowMs);
  }

  /** Asks for a checkpoint, and stops comparing if `pause`. */
  ask(cause: CheckpointCause, pause: boolean): void {
    if (pause) this.paused = true;
    if (this.requested) return;
    this.requested = true;
    if (this.nowMs >= this.pace.opensMs) {
      this.send(cause);
      return;
    }
    this.x.counters.values[C_REQUESTS_DELAYED]!++;
    this.x.difference.keep();
    this.delayed = cause;
  }

  /** As ask() with a pause; a request that was sent before counts no more: what came of it is not known. */
  askAgain(cause: CheckpointCause): void {
    if (this.delayed === undefined) this.requested = false;
    this.ask(cause, true);
  }

  /** Sends what has waited for its time. */
  askDelayed(nowMs: number): void {
    if (this.protectedNow && this.delayed !== undefined && nowMs >= this.pace.opensMs) this.send(this.delayed);
  }

  /**
   * When the engine wants to be called, if silence is to be looked for at silenceMs and beginnings of held packets are
   * to leave at prefixMs.
   */
  nextDeadlineMs(silenceMs: number, prefixMs: number): number {
    if (!this.protectedNow) return NEVER;
    const { opensMs } = this.pace;
    if (this.delayed !== undefined) return this.paused ? opensMs : Math.min(opensMs, prefixMs);
    if (this.paused) return NEVER;
    if (this.silent) return prefixMs;
    return Math.min(Math.max(silenceMs, opensMs), prefixMs);
  }

  startEpoch(): void {
    this.paused = false;
    this.requested = false;
    this.silent = false;
    this.delayed = undefined;
  }

  private send(cause: CheckpointCause): void {
    this.delayed = undefined;
    this.x.counters.requests[CHECKPOINT_CAUSES.indexOf(cause)]!++;
    this.x.actions.requestCheckpoint(cause);
  }
}
