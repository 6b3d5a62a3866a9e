// The plainest correct engines: the primary holds everything until a checkpoint, and the secondary translates nothing,
// which is enough while nothing leaves between checkpoints. They test the simulator itself.

import { CheckpointCause } from '../compare/outcome';
import type { PrimaryActions } from '../pmycolo/engine';
import { PAIR_BOTH, type PairResult } from '../pmycolo/pair-intake';
import { RequestPace } from '../pmycolo/request-pace';
import { SecondaryVerdict } from '../seccolo/engine';
import {
  type Makers,
  type PrimaryPlan,
  REAL,
  type SecondaryFiles,
  type SimPrimaryEngine,
  type SimSecondaryEngine,
} from './makers';

const COUNTS_NOTHING = { snapshot: () => ({}) };

class HoldEverything implements SimPrimaryEngine {
  readonly counters = COUNTS_NOTHING;
  readonly awaitsPrimary = false;
  /** Nothing is compared. */
  readonly pairs = {
    beginCopied: () => -1,
    changed: false,
    copied: () => {},
    copies: Buffer.alloc(0),
    endCopied: () => {},
    pair: (): PairResult => PAIR_BOTH,
  } as const;
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

  primaryOpaque(id: number): void {
    this.actions.drop(id);
  }

  secondary(): void {}

  secondaryOpaque(): void {}

  boundExhausted(): void {
    this.ask(CheckpointCause.EXHAUSTED);
  }

  secondaryUnknown(): void {
    this.full = true;
    this.asked = false;
  }

  doubtEpoch(): void {}

  doubtCheckpoint(nowMs: number): void {
    this.pace.checkpoint(nowMs);
  }

  setBypass(): void {}

  get isProtected(): boolean {
    return this.on;
  }

  get awaitsCheckpoint(): boolean {
    return this.asked;
  }

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

  private ask(cause: CheckpointCause): void {
    if (this.asked) return;
    this.asked = true;
    this.actions.requestCheckpoint(cause);
  }
}

/** Whose guest has taken over. */
const tookOver = new WeakSet<SecondaryFiles>();

class PassEverything implements SimSecondaryEngine {
  readonly counters = COUNTS_NOTHING;
  readonly link = { macHigh: 0, macLow: 0, outerTag: 0, innerTag: 0 };
  readonly living = 0;
  constructor(private readonly files: SecondaryFiles) {}
  get failedOver(): boolean {
    return tookOver.has(this.files);
  }
  fromPeer(): SecondaryVerdict {
    return SecondaryVerdict.Accept;
  }
  fromGuest(): SecondaryVerdict {
    return SecondaryVerdict.Accept;
  }
  checkpoint(): boolean {
    return true;
  }
  failover(): boolean {
    const first = !this.failedOver;
    tookOver.add(this.files);
    return first;
  }
  reset(): void {
    tookOver.delete(this.files);
  }
  readonly undecided = false;
  decide(): void {}
  nextToAsk(): number {
    return -1;
  }
  writeQuestion(): number {
    return 0;
  }
  nextToRemind(): number {
    return -1;
  }
  writeReminder(): number {
    return 0;
  }
  tick(): void {}
}

export const STANDIN: Makers = {
  ...REAL,
  primary: (plan, _numbers, actions) => new HoldEverything(plan, actions),
  secondary: (files) => new PassEverything(files),
  secondaryFiles: () => ({ ...REAL.secondaryFiles(), offsets: new ArrayBuffer(0) }),
};
