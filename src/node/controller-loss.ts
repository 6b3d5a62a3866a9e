// What becomes of a primary node whose controller went away. First question: did the guest die with it? A hypervisor
// that is killed closes its control channel and its tap in no particular order, so the port is watched for a moment
// before anything is let out: a dead guest's held output must never appear, the SVM is about to take over.

import type { PortState } from './ports';

/** What a primary without a controller does with its guest, when that is alive. */
export type ControllerLossPolicy = 'release' | 'hold' | 'drop';

export const LossDecision = {
  /** Not decided yet: keep holding. */
  WAIT: 'wait',
  /** The guest is dead: drop what is held, let nothing out. */
  GUEST_DEAD: 'guest-dead',
  RELEASE: 'release',
  HOLD: 'hold',
  DROP: 'drop',
} as const;
export type LossDecision = (typeof LossDecision)[keyof typeof LossDecision];

/** How long the guest's port is watched after the controller's end, in ms. */
export const PORT_WATCH_MS = 300;

export class ControllerLoss {
  private lostAt = -1;
  private decided: LossDecision = LossDecision.WAIT;

  constructor(private readonly policy: ControllerLossPolicy) {}

  /** Lost, and not regained. */
  get active(): boolean {
    return this.lostAt >= 0;
  }

  get pending(): boolean {
    return this.lostAt >= 0 && this.decided === LossDecision.WAIT;
  }

  lost(nowMs: number): void {
    this.lostAt = nowMs;
    this.decided = LossDecision.WAIT;
  }

  /** A controller is there again. */
  regained(): void {
    this.lostAt = -1;
  }

  /** To be called with the port's state until the answer is not WAIT. */
  decide(port: PortState, nowMs: number): LossDecision {
    if (port !== 'up') this.decided = LossDecision.GUEST_DEAD;
    else if (nowMs - this.lostAt >= PORT_WATCH_MS) this.decided = this.policy;
    return this.decided;
  }
}
