// The frames of one direction as a node's queue: most get their verdict while they are handed in, and go on where they
// stand; what waits for it is kept as a copy, as a kernel keeps a packet, and sent when it comes.

import type { Verdicts } from './ports';

interface KeptFrame {
  bytes: Buffer;
  vnetBytes: number;
  /** Where its IP header stands. */
  network: number;
}

const NONE = 0;
const PASS = 1;
const DROP = 2;

export class FrameVerdicts implements Verdicts {
  /** Of the frame that is handed in. */
  private id = 0;
  private verdict: typeof NONE | typeof PASS | typeof DROP = NONE;
  private readonly kept = new Map<number, KeptFrame>();

  constructor(private readonly send: (frame: Buffer, vnetBytes: number) => void) {}

  /** The id under which a frame is to be handed in, and is to get its verdict. */
  next(): number {
    this.verdict = NONE;
    return ++this.id;
  }

  /** It was handed in: does it go on as it stands now? Without a verdict it is kept. `network`: see KeptFrame. */
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

  /** What is handed in was changed where it stands. */
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
