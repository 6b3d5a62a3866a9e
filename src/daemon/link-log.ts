// What the link says of strangers: anybody who reaches the port could fill the log otherwise.

import type { Log } from '../core/log';

const WINDOW_MS = 10_000;
const LINES_PER_WINDOW = 10;

export class StrangersLog {
  private beganMs = 0;
  private lines = 0;
  private unsaid = 0;

  constructor(
    private readonly log: Log,
    private readonly nowMs: () => number,
  ) {}

  warn(fields: Record<string, unknown>, text: string): void {
    const now = this.nowMs();
    if (now - this.beganMs >= WINDOW_MS) {
      this.beganMs = now;
      this.lines = 0;
    }
    if (this.lines === LINES_PER_WINDOW) {
      this.unsaid++;
      return;
    }
    this.lines++;
    this.log.warn(this.unsaid > 0 ? { ...fields, unsaidBefore: this.unsaid } : fields, text);
    this.unsaid = 0;
  }
}
