// A watch over a false QEMU, and what it tells.

import type { Clock } from '../../../src/core/clock';
import { PrimaryWatch } from '../../../src/qmp/checkpoint-request';
import type { Role, WatchHandler } from '../../../src/qmp/colo-watch';
import { FakeQemu } from '../../../src/sim/fake-qemu';

export class FakeClock implements Clock {
  private now = 0;
  private timers: { atMs: number; task(): void }[] = [];

  nowMs(): number {
    return this.now;
  }

  after(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.now + delayMs, task };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  }

  get pending(): number {
    return this.timers.length;
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = this.timers.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.timers = this.timers.filter((one) => one !== next);
      this.now = next.atMs;
      next.task();
    }
    this.now = end;
  }
}

export class Watched {
  readonly qemu = new FakeQemu();
  readonly clock = new FakeClock();
  readonly said: string[] = [];
  readonly log = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };
  readonly watch: PrimaryWatch;

  constructor(role: Role, handler: Partial<WatchHandler> = {}) {
    this.watch = new PrimaryWatch(
      role,
      this.qemu.connect,
      {
        onStopped: () => this.say('stopped', handler.onStopped),
        onCheckpoint: (exact) =>
          this.say(exact ? 'checkpoint' : 'perhaps a checkpoint', () => handler.onCheckpoint?.(exact)),
        onFailover: () => this.say('failover', handler.onFailover),
        onRunning: () => this.say('running', handler.onRunning),
        onLost: () => this.say('lost', handler.onLost),
      },
      this.log,
      this.clock,
    );
    this.qemu.enterColo(role);
  }

  private say(what: string, then: (() => void) | undefined): void {
    this.said.push(what);
    then?.();
  }

  /** Connects, and takes what is told of a QEMU that nobody has watched before. */
  begin(): this {
    this.qemu.accept();
    this.qemu.settle();
    this.qemu.executed.length = 0;
    this.took();
    return this;
  }

  took(): string[] {
    return this.said.splice(0);
  }

  /** What was executed since the last time. */
  asked(): string[] {
    return this.qemu.executed.splice(0);
  }
}
