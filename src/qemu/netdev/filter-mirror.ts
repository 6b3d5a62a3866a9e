// filter-mirror: a copy of every frame goes to outdev, the frame itself goes on.
//
// Safe outcome: when nobody is at outdev, or its peer is too slow, the copy is dropped and counted. The guest's own
// traffic never waits for a copy and never depends on one. (A lost copy is seen by the comparison as an answer that one
// side does not give, and costs a checkpoint at the most.)

import type { FrameOutput } from '../../chardev/frame-output';
import { type Direction, type Filter, type Queue, Verdict } from './filter-chain';

export class MirrorFilter implements Filter {
  readonly type = 'mirror';

  constructor(
    readonly id: string,
    readonly queue: Queue,
    private readonly out: FrameOutput,
  ) {}

  frame(_direction: Direction, buf: Buffer, off: number, len: number, vnetBytes: number): Verdict {
    this.out.send(buf, off, len, vnetBytes);
    return Verdict.Pass;
  }

  report(): Record<string, unknown> {
    return { connected: this.out.connected, ...this.out.counters };
  }
}
