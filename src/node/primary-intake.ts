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

/** When a batch came: one look at the clock, for both sides where their batches are looked at together. */
export class BatchTime {
  private nowMs = 0;
  private begun = false;

  constructor(private readonly clock: () => number) {}

  now(): number {
    if (!this.begun) {
      this.begun = true;
      this.nowMs = this.clock();
    }
    return this.nowMs;
  }

  end(): void {
    this.begun = false;
  }
}

abstract class Intake implements PacketSink {
  constructor(
    protected readonly engine: IntakeEngine,
    protected readonly time: BatchTime,
    private readonly node: () => BatchEnd,
  ) {}

  packet(p: QueuedPacket): void {
    this.take(p, isOpaque(p), this.time.now());
  }

  endBatch(): void {
    const now = this.time.now();
    this.time.end();
    this.node().endBatch(now);
  }

  protected abstract take(p: QueuedPacket, opaque: boolean, now: number): void;
}

/** Is not all of it known? Only a stream's segments may be several in one: headers are enough to know that. */
export function isOpaque(p: QueuedPacket): boolean {
  return p.originalLen !== p.len || (p.segmented && !isTcp(p.buf, p.off));
}

/** The PVM's packets. */
export class GuestIntake extends Intake {
  protected take(p: QueuedPacket, opaque: boolean, now: number): void {
    const { engine } = this;
    if (opaque) engine.primaryOpaque(p.id, p.buf, p.off, p.len, p.originalLen, p.partialChecksum, now);
    else engine.primary(p.id, p.buf, p.off, p.len, p.partialChecksum, now);
  }
}

/** The SVM's. */
export class ForwardIntake extends Intake {
  constructor(
    engine: IntakeEngine,
    time: BatchTime,
    node: () => BatchEnd,
    private readonly queue: () => Pick<PacketQueue, 'drop'>,
  ) {
    super(engine, time, node);
  }

  protected take(p: QueuedPacket, opaque: boolean, now: number): void {
    const { engine } = this;
    if (opaque) engine.secondaryOpaque(p.buf, p.off, p.len, p.originalLen, now);
    else engine.secondary(p.buf, p.off, p.len, now);
    this.queue().drop(p.id);
  }
}

/** False also where IPv6's extension headers hide it. */
function isTcp(buf: Uint8Array, off: number): boolean {
  return firstProtocol(buf, off) === IPPROTO_TCP;
}
