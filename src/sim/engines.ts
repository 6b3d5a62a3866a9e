// The engines under test, as the daemons wire them.

import { OffsetTable } from '../conntrack/offset-table';
import { StoredDeltas } from '../pmycolo/deltas';
import { type PrimaryActions, PrimaryEngine } from '../pmycolo/engine';
import { ETH_HLEN } from '../packet/ethernet';
import { askGuest } from '../seccolo/ask-guest';
import { SecondaryEngine } from '../seccolo/engine';
import { MAX_ACK_FRAME_BYTES } from '../seccolo/frame-head';
import type {
  EngineMakers,
  PrimaryFiles,
  PrimaryPlan,
  PrimaryPort,
  SecondaryFiles,
  SecondaryPort,
} from './engine-port';

/** Connections whose numbers outlive a daemon: a few more than any run has at once. */
const CAPACITY = 24;

class RealPrimary implements PrimaryPort {
  readonly engine: PrimaryEngine;

  constructor(plan: PrimaryPlan, files: PrimaryFiles, actions: PrimaryActions) {
    this.engine = new PrimaryEngine(
      {
        limits: plan.limits,
        compareTimeoutMs: plan.compareTimeoutMs,
        maxCompareTimeoutMs: plan.maxCompareTimeoutMs,
        forwardSettleMs: plan.forwardSettleMs,
        minCheckpointIntervalMs: plan.minCheckpointIntervalMs,
        seed: [0x12345678, 0x9abcdef0],
        deltas: new StoredDeltas(new OffsetTable(new Uint32Array(files.deltas))),
      },
      actions,
    );
  }

  primary(id: number, buf: Buffer, off: number, len: number, partialChecksum: boolean, nowMs: number): void {
    this.engine.primary(id, buf, off, len, partialChecksum, nowMs);
  }

  secondary(buf: Buffer, off: number, len: number, nowMs: number): void {
    this.engine.secondary(buf, off, len, nowMs);
  }

  checkpoint(nowMs: number): void {
    this.engine.checkpoint(nowMs);
  }

  releaseAll(nowMs: number): void {
    this.engine.releaseAll(nowMs);
  }

  dropAll(_nowMs: number): void {
    this.engine.dropAll();
  }

  setProtected(on: boolean): void {
    this.engine.setProtected(on);
  }

  forgetPair(): void {
    this.engine.forgetPair();
  }


  peerReset(key: Uint32Array, seq: number, nowMs: number): void {
    this.engine.peerReset(key, seq, nowMs);
  }

  addressQuestion(primary: boolean, target: number, nowMs: number): void {
    this.engine.addressQuestion(primary, 0, 4, nowMs, target);
  }

  endBatch(nowMs: number): void {
    this.engine.endBatch(nowMs);
  }

  tick(nowMs: number): void {
    this.engine.tick(nowMs);
  }

  get nextDeadlineMs(): number {
    return this.engine.nextDeadlineMs;
  }

  get heldPackets(): number {
    return this.engine.heldPackets;
  }

  get heldBytes(): number {
    return this.engine.heldBytes;
  }

  get flowCount(): number {
    return this.engine.flowCount;
  }

  report(): Record<string, number> {
    return this.engine.counters.snapshot();
  }
}

class RealSecondary implements SecondaryPort {
  private readonly engine: SecondaryEngine;

  constructor(files: SecondaryFiles, nowMs: number) {
    this.engine = new SecondaryEngine({ mode: 'failover', offsets: files.offsets, seed: [1, 2], nowMs });
    this.engine.link.macHigh = 1;
  }

  fromPeer(buf: Buffer, off: number, len: number, partialChecksum: boolean, nowMs: number): number {
    return this.engine.fromPeer(buf, off, len, partialChecksum, nowMs);
  }

  fromGuest(buf: Buffer, off: number, len: number, partialChecksum: boolean, nowMs: number): number {
    return this.engine.fromGuest(buf, off, len, partialChecksum, nowMs);
  }

  checkpoint(nowMs: number): void {
    this.engine.checkpoint(nowMs);
  }

  failover(nowMs: number): void {
    this.engine.failover(nowMs);
  }

  get undecided(): boolean {
    return this.engine.undecided;
  }

  questions(): Buffer[] {
    const out: Buffer[] = [];
    askGuest(this.engine, -1, (frame) => out.push(Buffer.from(frame.subarray(ETH_HLEN))));
    return out;
  }

  decide(missed: boolean): void {
    this.engine.decide(missed);
  }

  reminders(): Buffer[] {
    const out: Buffer[] = [];
    for (let base = this.engine.nextToRemind(-1); base >= 0; base = this.engine.nextToRemind(base)) {
      for (const which of [0, 1] as const) {
        const frame = Buffer.alloc(MAX_ACK_FRAME_BYTES);
        out.push(frame.subarray(ETH_HLEN, this.engine.writeReminder(base, which, frame, 0)));
      }
    }
    return out;
  }


  tick(nowMs: number): void {
    this.engine.tick(nowMs);
  }

  report(): Record<string, number> {
    return this.engine.counters.snapshot();
  }
}

export const REAL_ENGINES: EngineMakers = {
  primary: (plan, files, actions) => new RealPrimary(plan, files, actions),
  secondary: (files, nowMs) => new RealSecondary(files, nowMs),
  primaryFiles: () => ({ deltas: new ArrayBuffer(OffsetTable.bytesFor(CAPACITY)) }),
  secondaryFiles: () => ({ offsets: new ArrayBuffer(OffsetTable.bytesFor(CAPACITY)) }),
};
