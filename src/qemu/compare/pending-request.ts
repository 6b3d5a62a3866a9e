// A checkpoint that was asked for. It is asked for once an epoch, and while it goes unheeded again from time to time:
// whoever makes checkpoints may have lost the request with its connection, and saying it twice costs at most a
// checkpoint.

export class PendingRequest {
  /** A checkpoint is wanted and has not come. */
  awaited = false;
  private askedAtMs = Number.NEGATIVE_INFINITY;

  asked(nowMs: number): void {
    this.askedAtMs = nowMs;
  }

  /** True: it is time to say it again. */
  isDue(nowMs: number, repeatMs: number): boolean {
    return this.awaited && nowMs - this.askedAtMs >= repeatMs;
  }
}
