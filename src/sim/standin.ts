// The plainest engines that are right: the primary holds everything until a checkpoint, the secondary translates nothing
// (which it need not while nothing leaves between checkpoints). They test the simulator itself.

import { CheckpointCause } from '../compare/outcome';
import type { PrimaryActions } from '../pmycolo/engine';
import { RequestPace } from '../pmycolo/request-pace';
import { ACCEPT, type EngineMakers, type PrimaryPlan, type PrimaryPort, type SecondaryPort } from './engine-port';

class HoldEverything implements PrimaryPort {
  private held: { id: number; packet: Buffer; sinceMs: number }[] = [];
  private bytes = 0;
  private on = true;
  private asked = false;
  private full = false;
  private readonly pace: RequestPace;

  constructor(
    private readonly plan: PrimaryPlan,
    private readonly actions: PrimaryActions,
  ) {
    this.pace = new RequestPace(plan.minCheckpointIntervalMs);
  }

  primary(id: number, buf: Buffer, off: number, len: number, _partial: boolean, nowMs: number): void {
    if (!this.on) {
      this.actions.accept(id, buf, off, len);
      return;
    }
    this.pace.primaryRuns(nowMs);
    const { limits } = this.plan;
    if (this.held.length >= limits.maxHeldPackets || this.bytes + len > limits.maxHeldBytes) {
      this.actions.drop(id);
      this.full = true;
      this.tick(nowMs);
      return;
    }
    this.held.push({ id, packet: Buffer.from(buf.subarray(off, off + len)), sinceMs: nowMs });
    this.bytes += len;
  }

  secondary(): void {}

  endBatch(): void {}

  checkpoint(nowMs: number): void {
    this.asked = false;
    this.full = false;
    this.pace.checkpoint(nowMs);
    this.releaseAll();
  }

  releaseAll(): void {
    const { held } = this;
    this.held = [];
    this.bytes = 0;
    for (const { id, packet } of held) this.actions.accept(id, packet, 0, packet.length);
  }

  dropAll(): void {
    const { held } = this;
    this.held = [];
    this.bytes = 0;
    for (const packet of held) this.actions.drop(packet.id);
  }

  setProtected(on: boolean): void {
    this.on = on;
  }

  forgetPair(): void {
    this.pace.forget();
  }


  peerReset(): void {}

  addressQuestion(): void {}

  tick(nowMs: number): void {
    if (nowMs < this.pace.opensMs) return;
    const first = this.held[0];
    if (this.full) this.ask(CheckpointCause.EXHAUSTED);
    else if (first && nowMs - first.sinceMs >= 100) this.ask(CheckpointCause.TIMEOUT_PRIMARY_HELD);
  }

  get nextDeadlineMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  get heldPackets(): number {
    return this.held.length;
  }

  get heldBytes(): number {
    return this.bytes;
  }

  get flowCount(): number {
    return 0;
  }

  report(): Record<string, number> {
    return {};
  }

  private ask(cause: CheckpointCause): void {
    if (this.asked) return;
    this.asked = true;
    this.actions.requestCheckpoint(cause);
  }
}

class PassEverything implements SecondaryPort {
  fromPeer(): number {
    return ACCEPT;
  }
  fromGuest(): number {
    return ACCEPT;
  }
  checkpoint(): void {}
  failover(): void {}
  readonly undecided = false;
  questions(): Buffer[] {
    return [];
  }
  decide(): void {}
  reminders(): Buffer[] {
    return [];
  }
  tick(): void {}
  report(): Record<string, number> {
    return {};
  }
}

export const STANDIN_ENGINES: EngineMakers = {
  primary: (plan, _files, actions) => new HoldEverything(plan, actions),
  secondary: () => new PassEverything(),
  primaryFiles: () => ({ deltas: new ArrayBuffer(0) }),
  secondaryFiles: () => ({ offsets: new ArrayBuffer(0) }),
};
