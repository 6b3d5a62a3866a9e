// Base of every simulated world: its clock, its trace, and the end of a run that breaks a rule.

import { Scheduler } from './scheduler';
import type { Trace } from './trace';

export class BrokenRule extends Error {
  constructor(
    readonly rule: string,
    readonly what: string,
  ) {
    super(`${rule}: ${what}`);
    this.name = 'BrokenRule';
  }
}

export abstract class Stage {
  readonly scheduler = new Scheduler();

  constructor(readonly trace: Trace) {}

  get nowUs(): number {
    return this.scheduler.nowUs;
  }

  after(delayUs: number, task: () => void): void {
    this.scheduler.after(delayUs, task);
  }

  note(code: number, x: number, y: number, text: () => string): void {
    this.trace.mark(this.nowUs, code, x, y);
    if (this.trace.recording) this.trace.line(this.nowUs, text());
  }

  broken(rule: string, what: string): never {
    if (this.trace.recording) this.trace.line(this.nowUs, `BROKEN ${rule}: ${what}`);
    throw new BrokenRule(rule, what);
  }
}
