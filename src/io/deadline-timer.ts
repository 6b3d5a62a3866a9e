// One timer for whoever says when it wants to be called. It is looked after once a batch, never a packet, and not set anew when the
// deadline moves away: it fires, finds nothing to do, and is set to what the deadline is by then.

/** A timer never fires before its time by the engines' clock, which drops fractions of a ms. */
const ROUNDING_MS = 1;

export class DeadlineTimer {
  private timer: NodeJS.Timeout | undefined;
  private setForMs = Number.POSITIVE_INFINITY;

  /** `onDue` is called at or after the deadline that was last given, or at an earlier one that was given before. */
  constructor(
    private readonly clock: () => number,
    private readonly onDue: () => void,
  ) {}

  /** `atMs` by the clock; Infinity: at no time. */
  arm(atMs: number): void {
    if (atMs >= this.setForMs) return;
    clearTimeout(this.timer);
    this.setForMs = atMs;
    this.timer = setTimeout(
      () => {
        this.setForMs = Number.POSITIVE_INFINITY;
        this.onDue();
      },
      Math.max(0, atMs - this.clock()) + ROUNDING_MS,
    );
  }

  close(): void {
    clearTimeout(this.timer);
    this.setForMs = Number.NEGATIVE_INFINITY;
  }
}
