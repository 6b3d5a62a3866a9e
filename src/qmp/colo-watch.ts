// Learns from a QEMU's QMP when its guest stands still for a checkpoint, whether the checkpoint came about, and when
// there was a failover. QEMU has no event for a checkpoint: on either side it is a STOP and a RESUME, and so is a
// failover (and an operator's own `stop` and `cont`). query-colo-status distinguishes them.
//
//             STOP                RESUME, still in COLO
//   running --------> stopped ---------------------------> onCheckpoint --> running
//                        |        RESUME, COLO is over
//                        +-------------------------------> onFailover ----> running
//
// What the guest sends after RESUME belongs to the time after the checkpoint, but it may arrive before the event or the
// answer to the query. So the handler reads at onStopped what has arrived of the guest, and nothing more until
// onRunning. QEMU sends STOP after the guest's last frame and RESUME before its next; so the order is exact if the
// reading has ended before RESUME. A process that did not run for a while may read STOP when the guest has long gone
// on. So it asks something that is answered at once, out of band, when the reading has ended: with the answer before
// RESUME the reading was in time, without it the checkpoint may cover less than was read. (A QEMU that answers nothing
// out of band is asked in band: its main loop has to run before RESUME, or no checkpoint is exact.)

import type { ConnectStream } from '../core/byte-stream';
import type { Clock } from '../core/clock';
import type { Log } from '../core/log';
import { QmpClient, QmpError } from './client';

export type Role = 'primary' | 'secondary';

/** QEMU's ColoStatus. */
interface ColoStatus {
  mode?: unknown;
  'last-mode'?: unknown;
}

export interface WatchHandler {
  /** The guest stands still: read what has arrived of it, and nothing more until onRunning. */
  onStopped(): void;
  /**
   * This guest and the other are equal. Comes before onRunning. `exact`: all that was read at onStopped and before is
   * covered. Otherwise there may have been a checkpoint, and it is not known which of it.
   */
  onCheckpoint(exact: boolean): void;
  /** The guest goes on alone; once. */
  onFailover(): void;
  /** The guest may be read again. */
  onRunning(): void;
  /** QMP is gone: what happens from now on is not heard of, until onCheckpoint(false) or onFailover. */
  onLost(): void;
}

/** While COLO has ended by an error and nobody has decided yet who goes on. */
const UNDECIDED_POLL_MS = 500;

/** Changes nothing. From QEMU 6.0; an older one answers at once that it has no such command, which serves as well. */
const ANSWERED_AT_ONCE = 'query-yank';

export class ColoWatch {
  protected readonly qmp: QmpClient;
  private stopped = false;
  private alone = false;
  /** STOPs heard. */
  private stops = 0;
  /** QEMU has answered since the reading at onStopped; and it had when the last RESUME came. */
  private answeredSince = false;
  private readInTime = false;
  /** A RESUME was heard of that no answer has explained yet. */
  private resumed = false;
  /** There was no connection: whatever happened meanwhile is unknown. */
  private missed = true;
  /** COLO has ended: no RESUME is a checkpoint any more. */
  private ended = false;
  /**
   * The question that is under way, one at a time however often the guest stops. QEMU may have answered it before what
   * was heard of since: then its answer counts no longer (`stale`), or it is asked again behind it (`again`).
   */
  private question: 'none' | 'asked' | 'stale' | 'again' = 'none';
  private cancelPoll = (): void => {};

  constructor(
    protected readonly role: Role,
    connect: ConnectStream,
    private readonly handler: WatchHandler,
    protected readonly log: Log,
    private readonly clock: Clock,
  ) {
    this.qmp = new QmpClient(
      connect,
      {
        onReady: () => this.ready(),
        onEvent: (name, data) => this.event(name, data),
        onClose: (why) => this.lost(why),
      },
      log,
    );
  }

  /** See ByteStream.open(). */
  open(): Promise<void> {
    return this.qmp.open();
  }

  close(): void {
    this.cancelPoll();
    this.qmp.close();
  }

  private ready(): void {
    this.log.info({ role: this.role }, 'QMP is there');
    this.judge(this.missed);
    this.missed = false;
  }

  private event(name: string, data: Record<string, unknown>): void {
    // Alone a guest is stopped for no checkpoint; a primary may enter COLO again, which its RESUME shows.
    if (name === 'STOP' && !this.alone) this.stop();
    else if (name === 'RESUME') {
      this.readInTime = this.answeredSince;
      this.judge(!this.ended);
    } else if (name === 'COLO_EXIT' && data.mode === this.role) this.exit(String(data.reason));
  }

  private stop(): void {
    if (this.question !== 'none') this.question = 'stale';
    // Stopped again before it was known what the last stop was: what was said between the two was not read.
    const stop = ++this.stops;
    this.answeredSince = false;
    if (this.stopped) return;
    this.stopped = true;
    this.handler.onStopped();
    this.qmp.ask({ execute: ANSWERED_AT_ONCE, outOfBand: this.qmp.outOfBand }, (error) => {
      // A refusal is an answer, too.
      const answered = error === undefined || error instanceof QmpError;
      if (answered && stop === this.stops) this.answeredSince = true;
    });
  }

  /** Asks what it is. `resumed`: the guest has been stopped and goes on, or may have. */
  private judge(resumed: boolean): void {
    if (resumed) this.resumed = true;
    if (this.question !== 'none') {
      this.question = 'again';
      return;
    }
    this.question = 'asked';
    this.qmp.ask({ execute: 'query-colo-status' }, (error, value) => this.answered(error, value));
  }

  private answered(error: Error | undefined, value: unknown): void {
    const { question } = this;
    this.question = 'none';
    // Of a connection that has ended lost() takes care.
    if (error !== undefined && !this.qmp.ready) return;
    if (question === 'again') this.judge(false);
    if (question !== 'asked') return;
    if (error !== undefined) this.log.error({ error: error.message }, 'QEMU does not say whether it is in COLO');
    this.explained(error === undefined && typeof value === 'object' && value !== null ? value : {});
  }

  private explained(status: ColoStatus): void {
    if (status.mode === this.role) {
      this.alone = false;
      if (this.resumed && !this.ended) this.handler.onCheckpoint(this.stopped && this.readInTime);
    } else if (status.mode === 'none') {
      this.ended = false;
      this.cancelPoll();
      if (status['last-mode'] === this.role) this.goAlone();
    }
    this.resumed = false;
    this.run();
  }

  private exit(reason: string): void {
    this.log.warn({ role: this.role, reason }, 'COLO has ended');
    this.ended = true;
    // By request: a failover, which the RESUME or the next answer confirms. By an error nobody has decided anything
    // yet.
    this.pollAgain();
    if (reason === 'request') this.judge(false);
  }

  private pollAgain(): void {
    this.cancelPoll();
    this.cancelPoll = this.clock.after(UNDECIDED_POLL_MS, () => {
      this.pollAgain();
      if (this.qmp.ready && !this.stopped) this.judge(false);
    });
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
    this.missed = true;
    this.run();
    this.handler.onLost();
  }
}
