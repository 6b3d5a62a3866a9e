// filter-redirector: every frame goes to outdev instead of onwards; frames from indev go on behind this filter.
//
// Safe outcome: when outdev has no peer, or a slow one, the frame is held back: dropped, and counted as `held`. On a
// primary these frames are not compared yet, so passing them on (as QEMU does when outdev is gone) would release
// unverified output. `fail_open=on` asks for exactly that. Without outdev every frame passes. On indev a bad length
// ends the connection, and the next one starts afresh.

import type { FrameOutput } from '../../chardev/frame-output';
import { type Direction, type Filter, type Queue, Verdict } from './filter-chain';

export class RedirectorFilter implements Filter {
  readonly type = 'redirector';
  /** Frames that did not reach outdev and were dropped. */
  held = 0;
  /** Frames that did not reach outdev and went on because of fail_open. */
  failedOpen = 0;
  /** Frames injected from indev. */
  injected = 0;
  /** Frames from indev with nothing behind the virtio-net header. */
  runts = 0;
  /** Impossible lengths on indev; each has ended its connection. */
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
