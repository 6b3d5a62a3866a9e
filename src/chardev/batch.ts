// What lies between the arrival of bytes and the next wait for more: one look at the clock, and one send for each
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
