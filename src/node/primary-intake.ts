// Hands both guests' packets to the primary's engine as a queue shows them, and gives the SVM's their verdict: they are
// looked at and dropped.

import { firstProtocol } from '../packet/ip-header';
import { IPPROTO_TCP } from '../packet/view';
import type { PrimaryEngine } from '../pmycolo/engine';
import type { PacketQueue, PacketSink, QueuedPacket } from './ports';

export type IntakeEngine = Pick<PrimaryEngine, 'primary' | 'primaryOpaque' | 'secondary' | 'secondaryOpaque'>;

/** The node whose batch it is. */
export interface BatchEnd {
  endBatch(nowMs: number): void;
}

abstract class Intake implements PacketSink {
  protected now: number;
  private begun = false;

  constructor(
    protected readonly engine: IntakeEngine,
    private readonly clock: () => number,
    private readonly node: () => BatchEnd,
  ) {
    this.now = clock();
  }

  packet(p: QueuedPacket): void {
    // One look at the clock a batch.
    if (!this.begun) {
      this.begun = true;
      this.now = this.clock();
    }
    // Only a stream's segments may be several in one, or cut: headers are enough to know that.
    this.take(p, p.originalLen !== p.len || (p.segmented && !isTcp(p.buf, p.off)));
  }

  endBatch(): void {
    this.begun = false;
    this.node().endBatch(this.now);
  }

  protected abstract take(p: QueuedPacket, opaque: boolean): void;
}

/** The PVM's packets. */
export class GuestIntake extends Intake {
  protected take(p: QueuedPacket, opaque: boolean): void {
    const { engine, now } = this;
    if (opaque) engine.primaryOpaque(p.id, p.buf, p.off, p.len, p.originalLen, p.partialChecksum, now);
    else engine.primary(p.id, p.buf, p.off, p.len, p.partialChecksum, now);
  }
}

/** The SVM's. */
export class ForwardIntake extends Intake {
  constructor(
    engine: IntakeEngine,
    clock: () => number,
    node: () => BatchEnd,
    private readonly queue: () => Pick<PacketQueue, 'drop'>,
  ) {
    super(engine, clock, node);
  }

  protected take(p: QueuedPacket, opaque: boolean): void {
    const { engine, now } = this;
    if (opaque) engine.secondaryOpaque(p.buf, p.off, p.len, p.originalLen, now);
    else engine.secondary(p.buf, p.off, p.len, now);
    this.queue().drop(p.id);
  }
}

/** False also where IPv6's extension headers hide it. */
function isTcp(buf: Uint8Array, off: number): boolean {
  return firstProtocol(buf, off) === IPPROTO_TCP;
}
