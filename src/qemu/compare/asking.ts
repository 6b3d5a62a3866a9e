// A comparison's requests for checkpoints: to the controller at notify_dev, to the primary's QEMU by QMP, or to both. A
// request stands until a checkpoint comes; meanwhile it is repeated, if nobody was there or it was not answered.

import type { FrameSocket } from '../../chardev/frame-socket';
import type { Clock } from '../../core/clock';
import type { Log } from '../../core/log';
import type { PrimaryWatch } from '../../qmp/checkpoint-request';
import {
  C_NOTIFY_REFUSED,
  C_NOTIFY_REQUESTS,
  C_NOTIFY_UNKNOWN,
  C_QMP_REFUSED,
  C_QMP_REQUESTS,
  type CompareCounters,
} from './compare-counters';
import { NotifyProtocol } from './notify';
import { PendingRequest } from './pending-request';

/** The comparison that asks. */
export interface Asker {
  readonly log: Log;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly counters: CompareCounters;
  /** Number of held packets, for log lines. */
  held(): { held: number };
  /** The controller at notify_dev has made a checkpoint. */
  checkpoint(): void;
}

export class Asking {
  private readonly pending = new PendingRequest();
  private notify: NotifyProtocol | undefined;
  private notifyDev: FrameSocket | undefined;
  private watch: PrimaryWatch | undefined;

  constructor(private readonly asker: Asker) {}

  /** Uses notify_dev from now on. */
  atNotifyDev(socket: FrameSocket): void {
    const { log, counters } = this.asker;
    this.notifyDev = socket;
    this.notify = new NotifyProtocol(socket.stream, {
      onInit: () => {
        log.info({}, 'a controller has said hello');
        this.askLate();
      },
      onCheckpoint: () => this.asker.checkpoint(),
      onUnknown: (text) => {
        counters.values[C_NOTIFY_UNKNOWN]!++;
        log.warn({ text }, 'notify_dev: not understood, ignored');
      },
    });
  }

  byQmp(watch: PrimaryWatch): void {
    this.watch = watch;
  }

  // At notify_dev

  opened(): void {
    this.notify!.opened(this.nowMs);
    if (this.pending.awaited) this.askController();
  }

  closed(): void {
    const { log } = this.asker;
    this.notify!.closed();
    log.error(
      this.asker.held(),
      'THE CONTROLLER IS GONE: held packets stay held until one comes and makes a checkpoint',
    );
  }

  /** A frame of the controller. */
  heard(buf: Buffer, off: number, len: number): void {
    this.notify!.frame(buf, off, len);
  }

  // The request

  /** A checkpoint is wanted, whether or not somebody can be asked now. */
  want(): void {
    this.pending.awaited = true;
  }

  /** The checkpoint has come, or is not wanted any more. */
  settle(): void {
    this.pending.awaited = false;
  }

  /** Asks. False: nobody was there. */
  ask(): boolean {
    let heard = false;
    this.pending.awaited = true;
    this.pending.asked(this.nowMs);
    if (this.notify !== undefined) heard = this.askController();
    if (this.watch !== undefined) {
      const told = this.watch.request();
      this.asker.counters.values[told ? C_QMP_REQUESTS : C_QMP_REFUSED]!++;
      heard ||= told;
    }
    return heard;
  }

  /** Repeats the request when it is due; `everyMs`: time between two requests. */
  tick(everyMs: number): void {
    this.askLate();
    if (this.pending.isDue(this.nowMs, everyMs)) this.ask();
  }

  flush(): void {
    this.notifyDev?.stream.flush();
  }

  private askController(): boolean {
    const heard = this.notify!.ask(this.nowMs);
    this.asker.counters.values[heard ? C_NOTIFY_REQUESTS : C_NOTIFY_REFUSED]!++;
    this.flush();
    return heard;
  }

  /** Sends a request that had to wait for the controller's hello. */
  private askLate(): void {
    if (this.notify?.owes(this.nowMs) === true && this.pending.awaited) this.askController();
  }

  private get nowMs(): number {
    return this.asker.clock.nowMs();
  }
}
