// The machine's own clock, behind the interface of core.

import type { Clock } from '../core/clock';

export const systemClock: Clock = {
  nowMs: () => Math.floor(performance.now()),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
