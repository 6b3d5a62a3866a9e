// A requested checkpoint. It is requested once an epoch, and again from time to time until it comes: the request may
// have been lost with a connection, and a second one costs at most a checkpoint.

export class PendingRequest {
  /** A checkpoint is wanted and has not come yet. */
  awaited = false;
  private askedAtMs = Number.NEGATIVE_INFINITY;

  asked(nowMs: number): void {
    this.askedAtMs = nowMs;
  }

  /** True: it is time to ask again. */
  isDue(nowMs: number, repeatMs: number): boolean {
    return this.awaited && nowMs - this.askedAtMs >= repeatMs;
  }
}
