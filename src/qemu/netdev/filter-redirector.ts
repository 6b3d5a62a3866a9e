// filter-redirector: every frame goes to outdev instead of onwards; what comes from indev goes on behind this filter.
//
// Safe outcome: when nobody is at outdev, or its peer is too slow, the frame is held back: dropped, and counted as
// `held`. On a primary the frames of this filter are what nobody has compared yet, so passing them on (as QEMU does
// when outdev is gone) would let unverified output out. `fail_open=on` asks for exactly that. Without outdev every
// frame passes. What comes from indev has no such question; a bad length ends that connection, and the next one starts
// afresh.

import type { FrameOutput } from '../../chardev/frame-output';
import { type Direction, type Filter, type Queue, Verdict } from './filter-chain';

export class RedirectorFilter implements Filter {
  readonly type = 'redirector';
  /** Frames that did not get to outdev and went no further. */
  held = 0;
  /** Frames that did not get to outdev and went on because of fail_open. */
  failedOpen = 0;
  /** Frames brought in from indev. */
  injected = 0;
  /** Those of indev with nothing behind the virtio-net header. */
  runts = 0;
  /** Lengths of indev that cannot be; each has ended its connection. */
  badFrames = 0;

  constructor(
    readonly id: string,
    readonly queue: Queue,
    private readonly out: FrameOutput | undefined,
    private readonly failOpen: boolean,
  ) {}

  frame(_direction: Direction, buf: Buffer, off: number, len: number, vnetBytes: number): Verdict {
    if (this.out === undefined) return Verdict.Pass;
    if (this.out.send(buf, off, len, vnetBytes)) return Verdict.Consumed;
    if (this.failOpen) {
      this.failedOpen++;
      return Verdict.Pass;
    }
    this.held++;
    return Verdict.Consumed;
  }

  report(): Record<string, unknown> {
    const out = this.out === undefined ? {} : { connected: this.out.connected, ...this.out.counters };
    const { held, failedOpen, injected, runts, badFrames } = this;
    return { ...out, held, failedOpen, injected, runts, badFrames };
  }
}
