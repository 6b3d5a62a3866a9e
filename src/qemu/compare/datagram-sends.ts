// Frames of several datagrams (packet/datagram-cutter), kept until all of these may leave.

import { BuddyPool } from '../../core/buddy-pool';
import { copyBytes } from '../../core/bytes';
import { invariant } from '../../core/errors';

class Send {
  frameOffset = -1;
  frameBytes = 0;
  vnetBytes = 0;
  /** Datagrams without a verdict. */
  waiting = 0;
  /** A datagram may not leave, so the frame does not. */
  lost = false;
}

/** Memory for frames whose datagrams wait: 64 of the largest; beyond it a checkpoint is asked for, which empties it. */
const POOL_BYTES_LOG2 = 23;
const UNIT_LOG2 = 8;

/** State of a frame after the verdict on one of its datagrams. */
export const SEND_WAITS = 0;
export const SEND_LEAVES = 1;
export const SEND_LOST = 2;
/** There is no room to keep the frame: it is lost at its last datagram's verdict. */
export const SEND_WITHOUT_ROOM = 3;
export type SendOutcome = typeof SEND_WAITS | typeof SEND_LEAVES | typeof SEND_LOST | typeof SEND_WITHOUT_ROOM;

/** Frames whose datagrams were handed in; the engine identifies a datagram by its frame's slot. */
export class HeldSends {
  /** Memory of waiting frames; made with the first. */
  data: Buffer = Buffer.alloc(0);
  private readonly pool = new BuddyPool(POOL_BYTES_LOG2, UNIT_LOG2);
  private readonly slots: Send[] = [];
  private readonly free: number[] = [];

  /** Returns a slot below 2^15, or -1. Until keep() the frame stays in the receive buffer. */
  open(vnetBytes: number): number {
    if (this.free.length === 0) {
      if (this.slots.length === 1 << 15) return -1;
      this.free.push(this.slots.length);
      this.slots.push(new Send());
    }
    const slot = this.free.pop()!;
    const send = this.slots[slot]!;
    send.frameOffset = -1;
    send.vnetBytes = vnetBytes;
    send.waiting = 0;
    send.lost = false;
    return slot;
  }

  /** Another of its datagrams is handed in. */
  add(slot: number): void {
    this.slots[slot]!.waiting++;
  }

  /** A verdict: the datagram may leave, or not. SEND_WAITS also before keep(), whose caller then asks for the state. */
  settle(slot: number, mayLeave: boolean): SendOutcome {
    const send = this.slots[slot]!;
    invariant(send.waiting > 0, 'a datagram gets one verdict');
    send.waiting--;
    if (!mayLeave) send.lost = true;
    return send.frameOffset < 0 ? SEND_WAITS : this.outcome(send);
  }

  /** All its datagrams were handed in: copies the frame if it has to wait. */
  keep(slot: number, buf: Buffer, off: number, len: number): SendOutcome {
    const send = this.slots[slot]!;
    if (send.waiting === 0) return this.outcome(send);
    send.frameOffset = this.pool.allocate(len);
    send.frameBytes = len;
    if (send.frameOffset < 0) {
      send.frameOffset = 0;
      send.frameBytes = 0;
      send.lost = true;
      return SEND_WITHOUT_ROOM;
    }
    if (this.data.length === 0) this.data = Buffer.allocUnsafeSlow(this.pool.bytes);
    copyBytes(buf, off, this.data, send.frameOffset, len);
    return SEND_WAITS;
  }

  frameOf(slot: number): Readonly<{ frameOffset: number; frameBytes: number; vnetBytes: number }> {
    return this.slots[slot]!;
  }

  /** The frame has left or is dropped; all its datagrams have their verdicts. */
  close(slot: number): void {
    const send = this.slots[slot]!;
    invariant(send.waiting === 0, 'a frame is done with when all its datagrams are');
    if (send.frameBytes > 0 && send.frameOffset >= 0) this.pool.release(send.frameOffset);
    send.frameBytes = 0;
    this.free.push(slot);
  }

  private outcome(send: Send): SendOutcome {
    if (send.waiting > 0) return SEND_WAITS;
    return send.lost ? SEND_LOST : SEND_LEAVES;
  }
}
