// How programs end that run until a signal.

import type { Logger } from './log';

/** A fault in the program itself (sysexits.h, EX_SOFTWARE). */
export const EXIT_SOFTWARE = 70;

/** For a program whose frames or packets are lost with it: `lost` says which. */
export function sayLastWords(log: Logger, lost: string): void {
  process.on('uncaughtException', (error) => {
    log.fatal({ error: error.stack ?? String(error) }, `internal error: ending, ${lost}`);
    process.exit(EXIT_SOFTWARE);
  });
}

/**
 * Resolves at the first SIGTERM or SIGINT. To be called before the program says that it is ready: who waits for that
 * may end it at once, and a signal without a handler kills.
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
