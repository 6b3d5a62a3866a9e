// All that is held, at once: it leaves by a checkpoint or by the operator's word, or is lost with a dead guest.

import type { PrimaryContext } from './context';
import { H_FLOW, H_ID, NO_FLOW } from './holds';

export class HeldRelease {
  constructor(private readonly x: PrimaryContext) {}

  /** Oldest first, with the PVM's own acknowledgements and windows; none with a time older than one that left. */
  releaseAll(nowMs: number): void {
    const { holds, handlers } = this.x;
    for (let slot = holds.head; slot !== 0; slot = holds.head) {
      const flow = holds.words[holds.index(slot) + H_FLOW]!;
      const changed = flow !== NO_FLOW && handlers.ofFlow(flow).leavesUncompared(slot);
      this.x.leaveHeld(slot, changed, nowMs);
    }
  }

  dropAll(): void {
    const { holds } = this.x;
    this.settle(false);
    for (let slot = holds.head; slot !== 0; slot = holds.head) {
      this.x.drop(holds.words[holds.index(slot) + H_ID]!);
      holds.remove(slot);
    }
  }

  /** Before held packets go without a checkpoint: their streams count either as sent by both, or as never sent. */
  settle(released: boolean): void {
    const { holds, handlers } = this.x;
    for (let slot = holds.head; slot !== 0; slot = holds.next(slot)) {
      const flow = holds.words[holds.index(slot) + H_FLOW]!;
      if (flow !== NO_FLOW) handlers.ofFlow(flow).settleHeld(flow, released);
    }
  }
}
