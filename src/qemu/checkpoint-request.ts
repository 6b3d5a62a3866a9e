// Asks a primary QEMU for a checkpoint. There is no command for it; but setting x-checkpoint-delay, even to what it is already,
// begins one at once while COLO runs, and does nothing else while it does not.

import { ColoWatch } from './colo-watch';

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
    this.ask()
      .catch((error: Error) => this.log.error({ error: error.message }, 'QEMU refuses a checkpoint'))
      .finally(() => {
        this.asking = false;
      });
    return true;
  }

  private async ask(): Promise<void> {
    const parameters = (await this.qmp.execute('query-migrate-parameters')) as Record<string, unknown>;
    await this.qmp.execute('migrate-set-parameters', { 'x-checkpoint-delay': parameters['x-checkpoint-delay'] });
  }
}
