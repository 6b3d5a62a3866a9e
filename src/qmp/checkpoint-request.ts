// Asks a primary QEMU for a checkpoint. There is no command for it; but setting x-checkpoint-delay, even to what it is
// already, begins one at once while COLO runs, and does nothing else while it does not.

import { ColoWatch } from './colo-watch';

const DELAY = 'x-checkpoint-delay';

/** The watch of a primary, with requests. */
export class PrimaryWatch extends ColoWatch {
  requests = 0;
  /** A request is under way. */
  asking = false;

  get connected(): boolean {
    return this.qmp.ready;
  }

  /** Requests while one is under way are part of it. False: QEMU is not connected. */
  request(): boolean {
    if (!this.qmp.ready) return false;
    if (this.asking) return true;
    this.asking = true;
    this.requests++;
    this.ask();
    return true;
  }

  private ask(): void {
    this.qmp.ask({ execute: 'query-migrate-parameters' }, (error, value) => {
      if (error !== undefined) return this.asked(error);
      const delay = (value as Record<string, unknown> | null)?.[DELAY];
      if (typeof delay !== 'number') return this.asked(new Error(`it has no ${DELAY}`));
      this.qmp.ask({ execute: 'migrate-set-parameters', arguments: { [DELAY]: delay } }, (refused) =>
        this.asked(refused),
      );
    });
  }

  private asked(error: Error | undefined): void {
    this.asking = false;
    if (error !== undefined) this.log.error({ error: error.message }, 'QEMU refuses a checkpoint');
  }
}
