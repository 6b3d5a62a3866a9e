// In which epoch the SVM has sent what is handed in. Epochs are counted by what ends them: a checkpoint, or a new pair.
// Nothing of an ended one may be compared with what the PVM says in the next.
//
// A way in that carries the number with each packet can tell it by that. Those that there are carry none (a kernel's
// queue, a character device), and have one adapter: from a moment on at which the SVM is known to have stopped, or to
// be another, what still comes for a settle time was sent before.

/**
 * How long a packet of the SVM may still be on its way when it is known to have stopped, in ms: a network's latency.
 * The SVM resumes later than that: a checkpoint takes ten times as long.
 */
export const SETTLE_MS = 2;

export interface SecondaryEpochs {
  /** `epoch` begins; the SVM stands still, or is another one. */
  begins(epoch: number, nowMs: number): void;
  /** Of the packet that is handed in now: `epoch` as it was told, or any other number for an epoch that has ended. */
  of(nowMs: number): number;
}

/** For ways that carry no number. */
export class SettledEpochs implements SecondaryEpochs {
  private epoch = 0;
  private pastUntilMs = Number.NEGATIVE_INFINITY;

  /** settleMs: must end before the SVM's first packet of the new epoch comes. 0: nothing is on its way. */
  constructor(private readonly settleMs: number) {}

  begins(epoch: number, nowMs: number): void {
    this.epoch = epoch;
    this.pastUntilMs = nowMs + this.settleMs;
  }

  of(nowMs: number): number {
    return nowMs < this.pastUntilMs ? -1 : this.epoch;
  }
}
