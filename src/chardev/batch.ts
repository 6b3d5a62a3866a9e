// A batch: from the arrival of bytes to the next wait for more. It reads the clock once, and sends once for each
// output.

import { FlushList } from './frame-output';

export class Batch {
  nowMs = 0;
  readonly flushes = new FlushList();

  constructor(private readonly clock: () => number) {
    this.begin();
  }

  begin(): void {
    this.nowMs = this.clock();
  }

  end(): void {
    this.flushes.flush();
  }
}
