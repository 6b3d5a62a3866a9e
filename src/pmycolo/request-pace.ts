// How soon after a checkpoint the next may be asked for. A guest that has just been resumed and is stopped again gets
// nothing done, and the SVM, which is resumed 20 to 40 ms before the PVM, finds a reason at once: whatever happens by a
// timer or a clock happens there first.

/**
 * A PVM that is silent after a checkpoint counts as running from so long after DO_CHECKPOINT on, in ms: nothing else
 * tells it.
 */
export const SILENT_START_MS = 1000;

export class RequestPace {
  /** There was a checkpoint, and nothing has told since that the PVM runs. */
  awaitsPrimary = false;
  private openFromMs = Number.NEGATIVE_INFINITY;

  /** `minMs`: how long the PVM runs at least between two checkpoints; 0: no such time. */
  constructor(private readonly minMs: number) {}

  /** DO_CHECKPOINT. The PVM may stand still for a while yet. */
  checkpoint(nowMs: number): void {
    if (this.minMs === 0) return;
    this.awaitsPrimary = true;
    this.openFromMs = nowMs + SILENT_START_MS + this.minMs;
  }

  /** The PVM runs: its first packet, or its RESUME. */
  primaryRuns(nowMs: number): void {
    if (!this.awaitsPrimary) return;
    this.awaitsPrimary = false;
    this.openFromMs = Math.min(this.openFromMs, nowMs + this.minMs);
  }

  /** A new pair, which has had no checkpoint yet. */
  forget(): void {
    this.awaitsPrimary = false;
    this.openFromMs = Number.NEGATIVE_INFINITY;
  }

  /** From then on a checkpoint may be asked for. */
  get opensMs(): number {
    return this.openFromMs;
  }
}
