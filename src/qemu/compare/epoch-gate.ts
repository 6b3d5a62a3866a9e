// Assigns every frame of both guests to the epoch in which it was sent, by the events that a ColoWatch of the primary's
// QEMU receives. QEMU stops the secondary first, then the primary, and lets them go on in the same order:
//
//   secondary   ...sends | STOP ........................ RESUME | sends...
//   primary     ...sends ....... | STOP ................................ RESUME | sends...
//   here                           read both empty       read nothing      release held packets, then read again
//                                        + SETTLE_MS: frames of the secondary until then are of before, and dropped

import type { Clock } from '../../core/clock';
import { SETTLE_MS } from '../../pmycolo/secondary-epochs';
import type { WatchHandler } from '../../qmp/colo-watch';

/** The comparison and its sockets. */
export interface Gated {
  /** Holds everything and compares nothing until a checkpoint. */
  doubt(): void;
  /** Hands in everything in both sockets. The checkpoint that is under way covers differences found now. */
  readEmpty(): void;
  /** While held, neither socket is read. */
  hold(held: boolean): void;
  /** Discards everything in the secondary's socket. */
  dropSecondary(): void;
  /** Both guests are equal, and all frames handed in are from before. */
  release(): void;
  askForCheckpoint(): void;
  /** Releases everything and compares nothing any more. */
  unprotect(): void;
  /** Compares again; earlier frames do not count. */
  protect(): void;
}

export class EpochGate implements WatchHandler {
  private held = false;
  private alone = false;
  private away = false;
  /** Frames of two epochs cannot be distinguished, and no checkpoint was asked for yet. */
  private doubts = false;
  private cancelLate = (): void => {};

  constructor(
    private readonly gated: Gated,
    private readonly clock: Clock,
  ) {}

  /** The primary is stopped. */
  get isHeld(): boolean {
    return this.held;
  }

  onStopped(): void {
    // If STOP was read late, this also reads frames sent after the checkpoint: they must not be compared with earlier
    // ones.
    this.doubt();
    this.gated.readEmpty();
    this.held = true;
    this.gated.hold(true);
    this.cancelLate = this.clock.after(SETTLE_MS, () => this.gated.dropSecondary());
  }

  /** `exact`: it covers all held frames. Else it is not known which it covers, and another one is asked for. */
  onCheckpoint(exact: boolean): void {
    this.close();
    this.away = false;
    if (this.alone) {
      this.alone = false;
      // Nothing earlier is stored that could be compared by mistake.
      this.gated.protect();
    } else if (!exact) this.doubt();
    this.doubts = false;
    if (exact) this.gated.release();
    else this.gated.askForCheckpoint();
  }

  onFailover(): void {
    this.close();
    this.alone = true;
    this.away = false;
    this.doubts = false;
    this.gated.unprotect();
  }

  onRunning(): void {
    this.close();
    this.held = false;
    this.gated.hold(false);
    // It was stopped without a checkpoint.
    if (this.doubts) this.gated.askForCheckpoint();
    this.doubts = false;
  }

  /** QMP is away, or not connected yet: a checkpoint may go unnoticed. */
  onLost(): void {
    if (this.alone) return;
    this.away = true;
    this.doubt();
  }

  /** The comparison was restarted for another reason than a checkpoint. */
  begunAnew(): void {
    if (this.away) this.doubt();
  }

  private doubt(): void {
    this.doubts = true;
    this.gated.doubt();
  }

  /** Cancels the timer. */
  close(): void {
    this.cancelLate();
  }
}
