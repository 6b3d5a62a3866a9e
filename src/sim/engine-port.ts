// What the simulator asks of the two engines, and how it gets them. Planted mistakes (mutations.ts) are made by wrapping.

import type { PrimaryActions } from '../pmycolo/engine';

export interface PrimaryPort {
  primary(id: number, buf: Buffer, off: number, len: number, partialChecksum: boolean, nowMs: number): void;
  secondary(buf: Buffer, off: number, len: number, nowMs: number): void;
  checkpoint(nowMs: number): void;
  releaseAll(nowMs: number): void;
  dropAll(nowMs: number): void;
  setProtected(on: boolean): void;
  /** A new SVM has come. */
  forgetPair(): void;
  /** An ARP request of either guest. */
  addressQuestion(primary: boolean, target: number, nowMs: number): void;
  peerReset(key: Uint32Array, seq: number, nowMs: number): void;
  endBatch(nowMs: number): void;
  tick(nowMs: number): void;
  /** When tick() and endBatch() want to be called beside its regular times; Infinity: at no time. */
  readonly nextDeadlineMs: number;
  readonly heldPackets: number;
  readonly heldBytes: number;
  readonly flowCount: number;
  /** Named numbers for reports. */
  report(): Record<string, number>;
}

export const ACCEPT = 0;
export const ACCEPT_REWRITTEN = 1;
export const DROP = 2;
export const WAIT = 3;

export interface SecondaryPort {
  fromPeer(buf: Buffer, off: number, len: number, partialChecksum: boolean, nowMs: number): number;
  fromGuest(buf: Buffer, off: number, len: number, partialChecksum: boolean, nowMs: number): number;
  checkpoint(nowMs: number): void;
  failover(nowMs: number): void;
  /** After the failover: it is not known yet which numbers the SVM lives in. */
  readonly undecided: boolean;
  /** Questions to the SVM about it, an IP packet each. */
  questions(): Buffer[];
  decide(missed: boolean): void;
  /** After the failover: what the peers of living connections are told, an IP packet each. */
  reminders(): Buffer[];
  tick(nowMs: number): void;
  report(): Record<string, number>;
}

export interface EngineLimitsPlan {
  maxFlows: number;
  maxHeldPackets: number;
  maxHeldBytes: number;
  logBytes: number;
  logRecords: number;
}

export interface PrimaryPlan {
  limits: EngineLimitsPlan;
  compareTimeoutMs: number | 'auto';
  maxCompareTimeoutMs: number;
  minCheckpointIntervalMs: number;
  /** 0 when the controller itself lets the forward link run dry. */
  forwardSettleMs: number;
}

/** What outlives a daemon: files under /run, as plain memory here. */
export interface PrimaryFiles {
  deltas: ArrayBuffer;
}

export interface SecondaryFiles {
  offsets: ArrayBuffer;
}

export interface EngineMakers {
  primary(plan: PrimaryPlan, files: PrimaryFiles, actions: PrimaryActions): PrimaryPort;
  secondary(files: SecondaryFiles, nowMs: number): SecondaryPort;
  primaryFiles(): PrimaryFiles;
  secondaryFiles(): SecondaryFiles;
}
