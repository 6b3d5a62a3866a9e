// The SVM's last frames that were sent as digests, for whoever wants their bytes after all: a ring of bytes, and one of
// serials. The oldest give way to new ones.

import { copyBytes } from '../core/bytes';
import { invariant } from '../core/errors';

export class FrameRing {
  /** Where the frame that find() has found stands. */
  at = 0;
  bytes = 0;
  readonly data: Buffer;
  private readonly places: Float64Array;
  private readonly lengths: Uint32Array;
  private readonly mask: number;
  private next = 0;
  private oldest = 0;
  private headAt = 0;

  /** `records` is a power of two. */
  constructor(bytes: number, records: number) {
    invariant((records & (records - 1)) === 0, 'frames of the ring are a power of two');
    this.data = Buffer.from(new ArrayBuffer(bytes));
    this.places = new Float64Array(records);
    this.lengths = new Uint32Array(records);
    this.mask = records - 1;
  }

  /** Keeps buf[off, off+bytes). Returns the frame's serial, or -1: it is longer than the ring. */
  put(buf: Buffer, off: number, bytes: number): number {
    const { data, places, lengths, mask } = this;
    if (bytes > data.length) return -1;
    if (this.headAt + bytes > data.length) {
      // The rest up to the end is left empty; whatever stands there goes.
      this.dropIn(this.headAt, data.length);
      this.headAt = 0;
    }
    const at = this.headAt;
    this.dropIn(at, at + bytes);
    if ((this.next - this.oldest) >>> 0 > mask) this.oldest = (this.oldest + 1) >>> 0;
    copyBytes(buf, off, data, at, bytes);
    const serial = this.next;
    places[serial & mask] = at;
    lengths[serial & mask] = bytes;
    this.next = (serial + 1) >>> 0;
    this.headAt = at + bytes;
    return serial;
  }

  /** Is it there still? */
  find(serial: number): boolean {
    if ((serial - this.oldest) >>> 0 >= (this.next - this.oldest) >>> 0) return false;
    this.at = this.places[serial & this.mask]!;
    this.bytes = this.lengths[serial & this.mask]!;
    return true;
  }

  /** The oldest frames go, as long as they reach into [from, to): they stand in the order of the ring. */
  private dropIn(from: number, to: number): void {
    while (this.oldest !== this.next) {
      const at = this.places[this.oldest & this.mask]!;
      if (at >= to || at + this.lengths[this.oldest & this.mask]! <= from) return;
      this.oldest = (this.oldest + 1) >>> 0;
    }
  }
}
