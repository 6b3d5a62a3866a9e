// Learns from a QEMU's QMP when its guest stands still for a checkpoint, whether the checkpoint came about, and when there was a
// failover. QEMU has no event for a checkpoint: on either side it is a STOP and a RESUME, and so is a failover (and an operator's
// own `stop` and `cont`). query-colo-status tells them apart.
//
//             STOP                RESUME, still in COLO
//   running --------> stopped ---------------------------> onCheckpoint --> running
//                        |        RESUME, COLO is over
//                        +-------------------------------> onFailover ----> running
//
// What the guest says after RESUME belongs to the time after the checkpoint, but it may arrive before the event or the answer to
// the query. So the handler reads at onStopped what has arrived of the guest, and nothing more until onRunning; then the order is
// exact, as QEMU sends STOP after the guest's last frame, and RESUME before its next.

import { openChardev, type StreamFactory } from '../chardev/device';
import type { Log } from '../core/log';
import type { Endpoint } from '../io/stream/chardev';
import { QmpClient } from './qmp';

export type Role = 'primary' | 'secondary';

export interface WatchHandler {
  /** The guest stands still: read what has arrived of it, and nothing more until onRunning. */
  onStopped(): void;
  /**
   * This guest and the other are equal. Comes before onRunning. Without a STOP before it, it is known only that there may have
   * been a checkpoint, and not what of that which was read came after it.
   */
  onCheckpoint(afterStop: boolean): void;
  /** The guest goes on alone; once. */
  onFailover(): void;
  /** The guest may be read again. */
  onRunning(): void;
}

/** While COLO has ended by an error and nobody has decided yet who goes on. */
const UNDECIDED_POLL_MS = 500;

export class ColoWatch {
  protected readonly qmp: QmpClient;
  private stopped = false;
  private alone = false;
  /** A RESUME was heard of that no answer has explained yet. */
  private resumed = false;
  /** There was no connection: whatever happened meanwhile is unknown. */
  private missed = true;
  /** COLO has ended: no RESUME is a checkpoint any more. */
  private ended = false;
  /** Of the STOP or RESUME that was last heard of; an answer to an earlier one no longer counts. */
  private turn = 0;
  private poll: NodeJS.Timeout | undefined;

  constructor(
    protected readonly role: Role,
    endpoint: Endpoint,
    private readonly handler: WatchHandler,
    protected readonly log: Log,
    open: StreamFactory = openChardev,
  ) {
    this.qmp = new QmpClient(
      endpoint,
      {
        onReady: () => this.ready(),
        onEvent: (name, data) => this.event(name, data),
        onClose: (why) => this.lost(why),
      },
      log,
      open,
    );
  }

  /** See Chardev.open(). */
  open(): Promise<void> {
    return this.qmp.open();
  }

  close(): void {
    clearInterval(this.poll);
    this.turn++;
    this.qmp.close();
  }

  private ready(): void {
    this.log.info({ role: this.role }, 'QMP is there');
    void this.judge(this.missed);
    this.missed = false;
  }

  private event(name: string, data: Record<string, unknown>): void {
    // Alone a guest is stopped for no checkpoint; a primary may go into COLO anew, which its RESUME shows.
    if (name === 'STOP' && !this.alone) this.stop();
    else if (name === 'RESUME') void this.judge(!this.ended);
    else if (name === 'COLO_EXIT' && data.mode === this.role) this.exit(String(data.reason));
  }

  private stop(): void {
    this.turn++;
    if (this.stopped) return;
    this.stopped = true;
    this.handler.onStopped();
  }

  /** `resumed`: the guest has been stopped and goes on, or may have. */
  private async judge(resumed: boolean): Promise<void> {
    const turn = ++this.turn;
    if (resumed) this.resumed = true;
    let status: Record<string, unknown>;
    try {
      status = (await this.qmp.execute('query-colo-status')) as Record<string, unknown>;
    } catch (error) {
      // Of a connection that has ended lost() takes care.
      if (!this.qmp.ready) return;
      this.log.error({ error: (error as Error).message }, 'QEMU does not say whether it is in COLO');
      status = {};
    }
    // What came after decides; it also knows of this RESUME.
    if (turn !== this.turn) return;
    if (status.mode === this.role) {
      this.alone = false;
      if (this.resumed && !this.ended) this.handler.onCheckpoint(this.stopped);
    } else if (status.mode === 'none') {
      this.ended = false;
      clearInterval(this.poll);
      if (status['last-mode'] === this.role) this.goAlone();
    }
    this.resumed = false;
    this.run();
  }

  private exit(reason: string): void {
    this.log.warn({ role: this.role, reason }, 'COLO has ended');
    this.ended = true;
    // By request: a failover, which the RESUME or the next answer confirms. By an error nobody has decided anything yet.
    clearInterval(this.poll);
    this.poll = setInterval(() => {
      if (this.qmp.ready && !this.stopped) void this.judge(false);
    }, UNDECIDED_POLL_MS);
    if (reason === 'request') void this.judge(false);
  }

  private goAlone(): void {
    if (this.alone) return;
    this.alone = true;
    this.handler.onFailover();
  }

  private run(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.handler.onRunning();
  }

  private lost(why: string): void {
    this.log.warn({ role: this.role, why }, 'QMP is gone: no checkpoint is learned of');
    this.turn++;
    this.missed = true;
    this.run();
  }
}
