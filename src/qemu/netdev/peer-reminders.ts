// At a failover: sends the guest's last acknowledgement to the peer of each living connection, and asks for the peer's,
// so that nobody waits for a timer (seccolo/reminders.ts). The host's port mostly joins the clients' network only
// afterwards, by another program: reminders are sent at once, and again whenever the port reaches a new network.

import type { Batch } from '../../chardev/batch';
import type { Port } from '../../chardev/port';
import { OperatorError } from '../../core/errors';
import type { Log } from '../../core/log';
import type { SecondaryEngine } from '../../seccolo/engine';
import { REMIND_PAUSE_MS, remindSome } from '../../seccolo/remind-some';

/** After this time the peers have gone on by their own timers. */
const WATCH_MS = 60_000;

export class PeerReminders {
  private place: { close(): void } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private ending: NodeJS.Timeout | undefined;
  /** State of the walk under way: the engine, and its last connection. */
  private at = 0;
  private behind = -1;
  private frames = 0;

  constructor(
    private readonly engines: readonly SecondaryEngine[],
    private readonly host: Port,
    /** Size of the virtio-net header at the port. */
    private readonly vnetBytes: number,
    private readonly batch: Batch,
    private readonly log: Log,
  ) {}

  /** A failover was made: sends reminders now, and again for WATCH_MS. */
  begin(): void {
    this.close();
    try {
      this.place = this.host.watchPlace(() => this.tell());
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.log.warn(
        { error: error.message },
        "cannot watch the host's port: the peers get reminders now and not again",
      );
    }
    this.ending = setTimeout(() => this.place?.close(), WATCH_MS);
    this.ending.unref();
    this.tell();
  }

  /** Idempotent. */
  close(): void {
    clearTimeout(this.timer);
    clearTimeout(this.ending);
    this.place?.close();
  }

  /** Starts over with all connections; after a moment, as notices of new places come in rows. */
  private tell(): void {
    this.at = 0;
    this.behind = -1;
    this.frames = 0;
    this.goOn();
  }

  private goOn(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.step(), REMIND_PAUSE_MS);
  }

  private step(): void {
    const engine = this.engines[this.at];
    if (engine === undefined) {
      this.log.info({ frames: this.frames }, "sent the guest's acknowledgements to the connections' peers");
      return;
    }
    // Until the guest has shown its numbers, no reminder would be certain to be right.
    if (!engine.undecided) {
      this.batch.begin();
      this.behind = remindSome(engine, this.behind, (frame) => this.send(frame));
      this.batch.end();
      if (this.behind < 0) this.at++;
    }
    this.goOn();
  }

  private send(frame: Uint8Array): void {
    const bytes = Buffer.alloc(this.vnetBytes + frame.length);
    bytes.set(frame, this.vnetBytes);
    this.host.send(bytes, 0, bytes.length, this.vnetBytes);
    this.frames++;
  }
}
