// The one clock that the engines are fed with: monotonic milliseconds.

import type { Clock } from '../node/ports';

export function nowMs(): number {
  return Math.floor(performance.now());
}

/** Tasks fire behind what has come meanwhile: Node looks at timers first, then reads, then calls immediates. */
export const clock: Clock = {
  nowMs,
  after(ms, task) {
    let immediate: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => {
      immediate = setImmediate(task);
    }, ms);
    return {
      cancel() {
        clearTimeout(timer);
        clearImmediate(immediate);
      },
    };
  },
};
