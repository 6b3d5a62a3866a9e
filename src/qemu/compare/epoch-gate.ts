// Puts every frame of both guests into the epoch in which it was said, by what a ColoWatch of the primary's QEMU hears.
// QEMU stops the secondary first, then the primary, and lets them go on in the same order:
//
//   secondary   ...says | STOP ........................ RESUME | says...
//   primary     ...says ....... | STOP ................................ RESUME | says...
//   here                          read both empty       read nothing      release what is held, then read again
//                                        + SETTLE_MS: what has still come of the secondary is of before, and dropped

import type { Clock } from '../../core/clock';
import { SETTLE_MS } from '../../pmycolo/secondary-epochs';
import type { WatchHandler } from '../../qmp/colo-watch';

/** The comparison and its sockets. */
export interface Gated {
  /** Until a checkpoint everything is held, and nothing compared. */
  doubt(): void;
  /** Hands in all that both sockets hold. A checkpoint is under way: what differs now is covered by it. */
  readEmpty(): void;
  /** While held, neither socket is read. */
  hold(held: boolean): void;
  /** Throws away what the secondary's socket holds. */
  dropSecondary(): void;
  /** Both guests are equal, and all that was handed in is from before. */
  release(): void;
  askForCheckpoint(): void;
  /** Lets everything go and compares nothing more. */
  unprotect(): void;
  /** Compares again; nothing of before counts. */
  protect(): void;
}

export class EpochGate implements WatchHandler {
  private held = false;
  private alone = false;
  private away = false;
  /** What was said cannot be told apart by epochs, and no checkpoint was asked for yet. */
  private doubts = false;
  private cancelLate = (): void => {};

  constructor(
    private readonly gated: Gated,
    private readonly clock: Clock,
  ) {}

  /** The primary stands still. */
  get isHeld(): boolean {
    return this.held;
  }

  onStopped(): void {
    // Who was told late reads what was said after the checkpoint, too: it must not meet what was said before.
    this.doubt();
    this.gated.readEmpty();
    this.held = true;
    this.gated.hold(true);
    this.cancelLate = this.clock.after(SETTLE_MS, () => this.gated.dropSecondary());
  }

  /** Where it is not known what of the held frames it covers, another one is asked for. */
  onCheckpoint(exact: boolean): void {
    this.close();
    this.away = false;
    if (this.alone) {
      this.alone = false;
      // Nothing of before is known any more that could be mistaken for it.
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
    // It stood still for no checkpoint.
    if (this.doubts) this.gated.askForCheckpoint();
    this.doubts = false;
  }

  /** QMP is away, or has not come yet: a checkpoint may come of which nobody tells. */
  onLost(): void {
    if (this.alone) return;
    this.away = true;
    this.doubt();
  }

  /** The comparison was begun anew for another reason than a checkpoint. */
  begunAnew(): void {
    if (this.away) this.doubt();
  }

  private doubt(): void {
    this.doubts = true;
    this.gated.doubt();
  }

  /** Nothing more is done by itself. */
  close(): void {
    this.cancelLate();
  }
}
