// filter-mirror: a copy of every frame goes to outdev, the frame itself goes on.
//
// Safe outcome: when outdev has no peer, or a slow one, the copy is dropped and counted. The guest's own traffic never
// waits for a copy. (After a lost copy the secondary lacks an answer, which costs a checkpoint at most.)

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
