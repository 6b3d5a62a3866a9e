// The frames of one direction as a node's queue: most get their verdict while they are handed in, and go on in place;
// others are copied, as a kernel keeps a packet, and sent at their verdict.

import type { Verdicts } from './ports';

interface KeptFrame {
  bytes: Buffer;
  vnetBytes: number;
  /** Offset of its IP header. */
  network: number;
}

const NONE = 0;
const PASS = 1;
const DROP = 2;

export class FrameVerdicts implements Verdicts {
  /** The verdict on the frame that is being handed in. */
  private id = 0;
  private verdict: typeof NONE | typeof PASS | typeof DROP = NONE;
  private readonly kept = new Map<number, KeptFrame>();

  constructor(private readonly send: (frame: Buffer, vnetBytes: number) => void) {}

  /** Returns the id of the next frame, under which it gets its verdict. */
  next(): number {
    this.verdict = NONE;
    return ++this.id;
  }

  /** The frame was handed in: does it go on as it is now? Without a verdict it is kept. `network`: see KeptFrame. */
  given(buf: Buffer, off: number, len: number, vnetBytes: number, network: number): boolean {
    const { verdict } = this;
    if (verdict === NONE)
      this.kept.set(this.id, { bytes: Buffer.from(buf.subarray(off, off + len)), vnetBytes, network });
    return verdict === PASS;
  }

  accept(id: number): void {
    const frame = this.take(id);
    if (frame === undefined) this.verdict = PASS;
    else this.send(frame.bytes, frame.vnetBytes);
  }

  /** The frame was changed in place. */
  acceptRewritten(id: number, buf: Buffer, off: number, len: number): void {
    const frame = this.take(id);
    if (frame === undefined) this.verdict = PASS;
    else {
      buf.copy(frame.bytes, frame.network, off, off + len);
      this.send(frame.bytes, frame.vnetBytes);
    }
  }

  drop(id: number): void {
    if (this.take(id) === undefined) this.verdict = DROP;
  }

  private take(id: number): KeptFrame | undefined {
    if (this.kept.size === 0) return undefined;
    const frame = this.kept.get(id);
    this.kept.delete(id);
    return frame;
  }
}
