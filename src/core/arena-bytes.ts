// Takes bytes out of buffers that come again and again, as the arena of a queue does with every batch, into one memory,
// and compares them with what stands there. Buffer's own copy makes a view of its source each time, and its compare
// costs a call into the runtime: for short packets, which most are, both take longer than the bytes do.

import { copyBytes, equalBytes } from './bytes';

/** Packets stand in few places, with few lengths: views of them are kept, each in the one place that it can have. */
const KEPT_BITS = 8;
/** Fewer are copied one by one in that time. */
const LOOP_BYTES = 16;
/** More are compared faster by the runtime than word by word. */
const WORDS_BYTES = 256;
/** Buffers whose words are known; a node has an arena for each queue. */
const KEPT_BUFFERS = 8;
const NOTHING = new Uint8Array(0);

export class ArenaBytes {
  private readonly views: Uint8Array[] = Array.from({ length: 1 << KEPT_BITS }, () => NOTHING);
  private readonly sources: Uint8Array[] = this.views.slice();
  private readonly offsets = new Float64Array(1 << KEPT_BITS);
  private readonly words: Uint32Array;
  private readonly known: Uint8Array[] = Array.from({ length: KEPT_BUFFERS }, () => NOTHING);
  private readonly knownWords: Uint32Array[] = Array.from({ length: KEPT_BUFFERS }, () => new Uint32Array(0));
  private latest = 0;
  private oldest = 0;

  /** `data` is all of its memory. */
  constructor(private readonly data: Buffer) {
    this.words = wordsOf(data);
  }

  /** Copies [off, off+n) of buf to `at`. */
  take(buf: Buffer, off: number, at: number, n: number): void {
    if (n <= LOOP_BYTES) {
      copyBytes(buf, off, this.data, at, n);
      return;
    }
    const i = ((off >>> 4) ^ (off >>> 11) ^ n) & ((1 << KEPT_BITS) - 1);
    let view = this.views[i]!;
    if (this.sources[i] !== buf || this.offsets[i] !== off || view.length !== n) {
      view = new Uint8Array(buf.buffer, buf.byteOffset + off, n);
      this.views[i] = view;
      this.sources[i] = buf;
      this.offsets[i] = off;
    }
    this.data.set(view, at);
  }

  /** Do [off, off+n) of buf stand at `at`? */
  equal(at: number, buf: Buffer, off: number, n: number): boolean {
    const { data } = this;
    const from = buf.byteOffset + off;
    if (n <= LOOP_BYTES || n > WORDS_BYTES || ((from ^ at) & 3) !== 0) return equalBytes(data, at, buf, off, n);
    const theirs = this.known[this.latest] === buf ? this.knownWords[this.latest]! : this.look(buf);
    const ours = this.words;
    const head = -at & 3;
    for (let i = 0; i < head; i++) if (data[at + i] !== buf[off + i]) return false;
    const a = (at + head) >>> 2;
    const b = (from + head) >>> 2;
    const whole = (n - head) >>> 2;
    for (let i = 0; i < whole; i++) if (ours[a + i] !== theirs[b + i]) return false;
    for (let i = head + whole * 4; i < n; i++) if (data[at + i] !== buf[off + i]) return false;
    return true;
  }

  private look(buf: Buffer): Uint32Array {
    let i = this.known.indexOf(buf);
    if (i < 0) {
      i = this.oldest;
      this.oldest = (i + 1) % KEPT_BUFFERS;
      this.known[i] = buf;
      this.knownWords[i] = wordsOf(buf);
    }
    this.latest = i;
    return this.knownWords[i]!;
  }
}

/** Of all the memory in which the buffer lies. */
function wordsOf(buf: Buffer): Uint32Array {
  return new Uint32Array(buf.buffer, 0, buf.buffer.byteLength >>> 2);
}
