// The event loop of a comparison's process in virtual time, in libuv's order: timers that are due, then ready sources
// in any order, then immediates. Time passes between two turns, sometimes much, as on a busy host.

import type { Clock } from '../../core/clock';
import type { Prng } from '../prng';
import type { Scheduler } from '../scheduler';

/** A source that the loop watches. */
export interface Source {
  isReady(): boolean;
  handle(): void;
}

export interface LoopPlan {
  /** A turn begins at most this long after something is to be done, mostly far sooner. */
  latencyUs: number;
  /** Chance and length of a long delay. */
  hiccupChance: number;
  hiccupUs: number;
}

export class SimLoop {
  /** The process has ended: nothing of it runs again. */
  ended = false;
  private readonly sources = new Set<Source>();
  private due: (() => void)[] = [];
  private immediates: (() => void)[] = [];
  private planned = false;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly prng: Prng,
    private readonly plan: LoopPlan,
    private readonly baseMs: number,
  ) {}

  readonly clock: Clock = {
    nowMs: () => Math.floor(this.preciseMs()),
    after: (ms, task) => this.timer(ms, task),
  };

  preciseMs(): number {
    return this.baseMs + this.scheduler.nowUs / 1000;
  }

  watch(source: Source): void {
    this.sources.add(source);
    this.wake();
  }

  forget(source: Source): void {
    this.sources.delete(source);
  }

  /** A source may be ready. */
  wake(): void {
    if (this.planned || this.ended) return;
    this.planned = true;
    const { prng, plan } = this;
    const hiccup = plan.hiccupChance > 0 && prng.chance(plan.hiccupChance) ? prng.below(plan.hiccupUs) : 0;
    this.scheduler.after(prng.logRange(2, plan.latencyUs) + hiccup, () => this.turn());
  }

  /** Runs after the sources that are ready now. */
  soon(task: () => void): void {
    this.immediates.push(task);
    this.wake();
  }

  /** As DeadlineTimer and RegularTimer: runs after input that has arrived meanwhile. */
  deadline(onDue: () => void): { arm(atMs: number): void; close(): void } {
    let setForMs = Number.POSITIVE_INFINITY;
    let cancel = (): void => {};
    return {
      arm: (atMs) => {
        if (atMs >= setForMs) return;
        cancel();
        setForMs = atMs;
        cancel = this.timer(Math.max(0, atMs - this.clock.nowMs()) + 1, () =>
          this.soon(() => {
            if (setForMs !== atMs) return;
            setForMs = Number.POSITIVE_INFINITY;
            onDue();
          }),
        );
      },
      close: () => {
        cancel();
        setForMs = Number.NEGATIVE_INFINITY;
      },
    };
  }

  every(ms: number, task: () => void): { close(): void } {
    let closed = false;
    const again = (): void => {
      if (closed) return;
      this.soon(() => void (!closed && task()));
      this.timer(ms, again);
    };
    this.timer(ms, again);
    return {
      close: () => {
        closed = true;
      },
    };
  }

  private timer(ms: number, task: () => void): () => void {
    let cancelled = false;
    this.scheduler.after(ms * 1000, () => {
      if (cancelled) return;
      this.due.push(() => void (!cancelled && task()));
      this.wake();
    });
    return () => {
      cancelled = true;
    };
  }

  private turn(): void {
    this.planned = false;
    if (this.ended) return;
    for (const task of this.due.splice(0)) task();
    const ready = [...this.sources].filter((source) => source.isReady());
    while (ready.length > 0) {
      const [source] = ready.splice(this.prng.below(ready.length), 1);
      if (this.sources.has(source!) && source!.isReady()) source!.handle();
    }
    for (const task of this.immediates.splice(0)) task();
    if (this.due.length > 0 || this.immediates.length > 0 || [...this.sources].some((source) => source.isReady()))
      this.wake();
  }
}
