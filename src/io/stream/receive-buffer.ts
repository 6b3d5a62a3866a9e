// Bytes on their way in: read behind one another, looked at in place, taken from the front. What is unread is moved
// only when there is little room behind it.

import { invariant } from '../../core/errors';

export class ReceiveBuffer {
  readonly buf: Buffer;
  /** Unread: buf[from, to). */
  from = 0;
  to = 0;

  constructor(bytes: number) {
    this.buf = Buffer.allocUnsafeSlow(bytes);
  }

  get unread(): number {
    return this.to - this.from;
  }

  /** Free bytes at `to`. */
  get room(): number {
    return this.buf.length - this.to;
  }

  /** So many bytes were written at `to`. */
  add(bytes: number): void {
    invariant(bytes >= 0 && bytes <= this.room, 'no more is read than there is room for');
    this.to += bytes;
  }

  /** The first `bytes` unread ones are done with. */
  take(bytes: number): void {
    invariant(bytes >= 0 && bytes <= this.unread, 'a consumer takes no more than there is');
    this.from += bytes;
    if (this.from === this.to) this.clear();
  }

  /**
   * Moves what is unread to the front when less than a quarter of the buffer is free behind it; from and to change
   * then.
   */
  makeRoom(): void {
    if (this.from === 0 || this.room >= this.buf.length >>> 2) return;
    this.buf.copyWithin(0, this.from, this.to);
    this.to -= this.from;
    this.from = 0;
  }

  clear(): void {
    this.from = 0;
    this.to = 0;
  }
}
