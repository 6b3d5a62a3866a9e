// The end of a program that runs until a service manager or a person says so.

import type { Logger } from '../daemon/log';

/**
 * Resolves at the first SIGTERM or SIGINT. To be called before the program says that it is ready: who waits for that may end
 * it at once, and a signal without a handler kills.
 */
export function untilSignal(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info({ signal }, 'ending');
        resolve();
      });
    }
  });
}
