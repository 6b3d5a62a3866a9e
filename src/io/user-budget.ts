// How much of the daemon's time users other than root may take: so many acts in each window of time. What a flood costs
// beyond that is the kernel's, and its author's.

const WINDOW_MS = 100;

export class UserBudget {
  private readonly taken = new Map<number, number>();
  private total = 0;
  private endsMs = Number.NEGATIVE_INFINITY;

  /** Acts in a window: of one user, and of all but root. */
  constructor(
    private readonly each: number,
    private readonly all: number,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Counts an act of a user. False: he, or all together, had their share before. Root has no bound. */
  take(uid: number): boolean {
    if (uid === 0) return true;
    const now = this.clock();
    if (now >= this.endsMs) {
      this.taken.clear();
      this.total = 0;
      this.endsMs = now + WINDOW_MS;
    }
    const before = this.taken.get(uid) ?? 0;
    if (before >= this.each || this.total >= this.all) return false;
    this.taken.set(uid, before + 1);
    this.total++;
    return true;
  }

  /** Until the next window, in whole ms. */
  get restMs(): number {
    return Math.max(1, Math.ceil(this.endsMs - this.clock()));
  }
}
