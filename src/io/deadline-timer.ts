// Timers that fire behind what has come meanwhile: after a pause of this process nobody is to be called silent whose
// words wait in a socket. (Node looks at timers first, then reads, then calls immediates.)

/** A timer never fires before its time by the engines' clock, which drops fractions of a ms. */
const ROUNDING_MS = 1;

/** Calls the task every `ms` until it is closed. */
export class RegularTimer {
  private readonly timer: NodeJS.Timeout;
  private closed = false;

  constructor(ms: number, task: () => void) {
    const unlessClosed = (): void => {
      if (!this.closed) task();
    };
    this.timer = setInterval(() => setImmediate(unlessClosed), ms);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
  }
}

/**
 * One timer for an owner that gives its next deadline. It is looked after once a batch, never a packet, and not set
 * anew when the deadline moves away: it fires, finds nothing to do, and is set to what the deadline is by then.
 */
export class DeadlineTimer {
  private timer: NodeJS.Timeout | undefined;
  private immediate: NodeJS.Immediate | undefined;
  private setForMs = Number.POSITIVE_INFINITY;

  /** `onDue` is called at or after the deadline that was last given, or at an earlier one that was given before. */
  constructor(
    private readonly clock: () => number,
    private readonly onDue: () => void,
  ) {}

  /** `atMs` by the clock; Infinity: at no time. */
  arm(atMs: number): void {
    if (atMs >= this.setForMs) return;
    this.disarm();
    this.setForMs = atMs;
    this.timer = setTimeout(
      () => {
        this.immediate = setImmediate(() => {
          this.setForMs = Number.POSITIVE_INFINITY;
          this.onDue();
        });
      },
      Math.max(0, atMs - this.clock()) + ROUNDING_MS,
    );
  }

  close(): void {
    this.disarm();
    this.setForMs = Number.NEGATIVE_INFINITY;
  }

  private disarm(): void {
    clearTimeout(this.timer);
    clearImmediate(this.immediate);
  }
}
