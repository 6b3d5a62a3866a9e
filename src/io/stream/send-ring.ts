// Bytes on their way out: written in contiguous pieces of any size, sent as few large ranges. A ring whose pieces never
// straddle its end: what does not fit behind the others goes to the front, so nothing is ever moved.

import { invariant } from '../../core/errors';

export class SendRing {
  readonly buf: Buffer;
  /** The waiting bytes: buf[head, tail), and behind them, once the front is in use again, buf[0, wrapped). */
  head = 0;
  tail = 0;
  wrapped = 0;
  private reservedAt = 0;
  private reservedBytes = 0;

  constructor(bytes: number) {
    this.buf = Buffer.allocUnsafeSlow(bytes);
  }

  get waiting(): number {
    return this.tail - this.head + this.wrapped;
  }

  /** Offset of `bytes` free contiguous bytes, or -1. The place is kept until the next call of anything but commit(). */
  reserve(bytes: number): number {
    this.reservedBytes = 0;
    let at = this.tail;
    if (this.wrapped > 0) {
      at = this.wrapped;
      if (bytes > this.head - at) return -1;
    } else if (bytes > this.buf.length - at) {
      at = 0;
      if (bytes > this.head) return -1;
    }
    this.reservedAt = at;
    this.reservedBytes = bytes;
    return at;
  }

  /** So many of the reserved bytes are written. */
  commit(bytes: number): void {
    invariant(bytes <= this.reservedBytes, 'bytes are committed that were reserved');
    // A piece at the tail is never also one at the front: the front is used only while bytes wait before the tail.
    if (this.reservedAt === this.tail) this.tail += bytes;
    else this.wrapped += bytes;
    this.reservedAt += bytes;
    this.reservedBytes -= bytes;
  }

  /** The first `bytes` waiting ones are gone. */
  consume(bytes: number): void {
    this.reservedBytes = 0;
    this.head += bytes;
    if (this.head < this.tail) return;
    this.head -= this.tail;
    this.tail = this.wrapped;
    this.wrapped = 0;
    // An empty ring begins at the front again, where the cache is warm.
    if (this.head === this.tail) this.clear();
  }

  clear(): void {
    this.head = 0;
    this.tail = 0;
    this.wrapped = 0;
    this.reservedBytes = 0;
  }
}
