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
    this.gated.readEmpty();
    this.held = true;
    this.gated.hold(true);
    this.cancelLate = this.clock.after(SETTLE_MS, () => this.gated.dropSecondary());
  }

  /** Where it is not known what of the held frames it covers, another one is asked for. */
  onCheckpoint(exact: boolean): void {
    this.close();
    if (this.alone) {
      this.alone = false;
      this.gated.protect();
    }
    if (exact) this.gated.release();
    else this.gated.askForCheckpoint();
  }

  onFailover(): void {
    this.close();
    this.alone = true;
    this.gated.unprotect();
  }

  onRunning(): void {
    this.close();
    this.held = false;
    this.gated.hold(false);
  }

  /** Nothing more is done by itself. */
  close(): void {
    this.cancelLate();
  }
}
