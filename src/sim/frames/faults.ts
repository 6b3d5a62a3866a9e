// Carries out the faults of a run behind sockets.

import { Note } from '../daemon';
import type { FrameFault } from './scenario';
import type { FramesWorld } from './world';

/** Pause before a fault that cannot happen yet is tried again. */
const AGAIN_US = 3_000;

export class FramesFaults {
  readonly counts: Record<string, number> = {};
  private left: number;

  constructor(private readonly world: FramesWorld) {
    this.left = world.scenario.faults.length;
  }

  begin(): void {
    for (const fault of this.world.scenario.faults) this.world.scheduler.at(fault.atUs, () => this.strike(fault));
  }

  /** No fault is left, and no outage. */
  get over(): boolean {
    return this.left === 0;
  }

  get unfinished(): string {
    return `${this.left} faults left`;
  }

  private strike(fault: FrameFault): void {
    const w = this.world;
    // In the middle of a checkpoint QEMU decides which guest goes on.
    if (w.controller.checkpointing) {
      w.after(AGAIN_US, () => this.strike(fault));
      return;
    }
    const { kind } = fault;
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    w.note(Note.FAULT, fault.forUs, 0, () => `fault: ${kind}`);
    const mended = (task: () => void): void =>
      w.after(fault.forUs, () => {
        task();
        this.left--;
      });
    switch (kind) {
      case 'host-death':
      case 'guest-death':
        w.primaryDies(kind === 'host-death');
        mended(() => w.takeOver());
        break;
      case 'secondary-death':
        w.secondaryDies();
        mended(() => w.goAlone());
        break;
      case 'outdev-reconnect':
        w.peers.outdev.present?.ends();
        mended(() => w.connectOutdev());
        break;
      case 'controller-reconnect':
        w.controller.disconnect();
        mended(() => w.controller.connect());
        break;
    }
  }
}
