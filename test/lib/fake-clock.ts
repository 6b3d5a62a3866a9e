// A clock that stands still until it is told to run.

import type { Clock, Timer } from '../../src/node/ports';

export class FakeClock implements Clock {
  private now = 1000;
  private tasks: { at: number; task: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  after(ms: number, task: () => void): Timer {
    const one = { at: this.now + ms, task };
    this.tasks.push(one);
    return {
      cancel: () => {
        this.tasks = this.tasks.filter((other) => other !== one);
      },
    };
  }

  /** Tasks that are still to be called. */
  get waiting(): number {
    return this.tasks.length;
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = this.tasks.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.tasks = this.tasks.filter((one) => one !== due);
      this.now = Math.max(this.now, due.at);
      due.task();
    }
    this.now = end;
  }
}
