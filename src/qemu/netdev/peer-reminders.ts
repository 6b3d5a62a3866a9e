// At a failover: the peer of each living connection is told what the guest has acknowledged, and asked for its own
// acknowledgement, so that nobody waits for a timer (seccolo/reminders.ts). The host's port is mostly given to the
// clients' network only afterwards, by somebody else: they are told at once, and anew whenever the port has got to
// where it was not before.

import type { Batch } from '../../chardev/batch';
import type { Port } from '../../chardev/port';
import { OperatorError } from '../../core/errors';
import type { Log } from '../../core/log';
import type { SecondaryEngine } from '../../seccolo/engine';
import { REMIND_PAUSE_MS, remindSome } from '../../seccolo/remind-some';

/** Whoever has waited for longer goes on by his own timers. */
const WATCH_MS = 60_000;

export class PeerReminders {
  private place: { close(): void } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private ending: NodeJS.Timeout | undefined;
  /** Of the walk under way: the engine, and its connection to go on behind. */
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

  /** The engines have failed over. */
  begin(): void {
    this.close();
    try {
      this.place = this.host.watchPlace(() => this.tell());
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.log.warn(
        { error: error.message },
        "where the host's port goes cannot be seen: the peers are told now and not again",
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

  /** All of them, from the first on; soon, as places are told of in rows. */
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
      this.log.info({ frames: this.frames }, "the connections' peers are told what the guest has acknowledged");
      return;
    }
    // While the guest has not shown its numbers nothing is known to be true.
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
