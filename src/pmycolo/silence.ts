// How long one guest may be silent before a checkpoint is asked for: a time that is set, or one that is learned
// (`auto`).
//
//   set       from a packet's arrival on, however much of it the SVM has sent meanwhile; or from the flow's last
//             progress where the SVM is ahead
//   learned   from the flow's last progress on, as long as is far beyond what such waits take (learned-times), never
//             above the greatest; and that from a packet's arrival on, whatever else of its flow gets on.
//             Where nothing has come of the other guest at all, for any flow, it is its host that has stopped: all
//             flows stall at once, and at least SILENT_MS are awaited; four times longer in each epoch that follows a
//             checkpoint which it gave no sign after

import * as f from '../compare/flow-words';
import { CheckpointCause } from '../compare/outcome';
import type { FlowTable } from '../conntrack/flow-table';
import type { FlowHandler } from './flow-handler';
import { FlowWaits } from './flow-waits';
import { H_TIME, type Holds } from './holds';
import { LearnedTimes, WAIT_ACK, WAIT_AHEAD, WAIT_CONTENT } from './learned-times';

/** A host that computes for others, too, may not run a guest for some tens of ms. */
export const SILENT_MS = 150;
const NEVER = Number.POSITIVE_INFINITY;

export type CompareTimeout = number | 'auto';

export class Silence {
  readonly learned: LearnedTimes | undefined;
  /** Of the last cause found: how long had nothing moved, in ms. */
  waitedMs = 0;
  /** No silence is borne longer, in ms. */
  readonly mostMs: number;
  private readonly held: FlowWaits;
  private readonly ahead: FlowWaits;
  /** When anything was last heard of either guest. */
  private primaryMs = 0;
  private secondaryMs = 0;
  /** A checkpoint was asked for because nothing comes of the SVM at all, and nothing has come since. */
  private askedInSilence = false;
  /** So many in a row were made without a sign of it. */
  private silentEpochs = 0;

  constructor(
    timeout: CompareTimeout,
    mostMs: number,
    private readonly flows: FlowTable,
    private readonly holds: Holds,
    seed: readonly [number, number],
  ) {
    this.mostMs = timeout === 'auto' ? mostMs : timeout;
    this.learned = timeout === 'auto' ? new LearnedTimes(mostMs, seed[0], seed[1]) : undefined;
    this.held = new FlowWaits(flows, f.X_WAIT, this.mostMs, this.learned, 0);
    this.ahead = new FlowWaits(flows, f.X_AHEAD, this.mostMs, this.learned, f.XF_AHEAD);
  }

  primaryHeard(nowMs: number): void {
    this.primaryMs = nowMs;
  }

  secondaryHeard(nowMs: number): void {
    this.secondaryMs = nowMs;
    this.askedInSilence = false;
    this.silentEpochs = 0;
  }

  /** A packet of the PVM left without a wait. */
  inStep(nowMs: number): void {
    this.learned?.ended(WAIT_CONTENT, 0, nowMs);
  }

  /** After a packet of the flow was compared, by this handler. */
  note(flow: number, handler: FlowHandler, nowMs: number): void {
    const w = this.flows.words;
    const ahead = handler.isAhead(flow);
    if (ahead || (w[flow + f.X_FLAGS]! & f.XF_AHEAD) !== 0) {
      this.ahead.note(flow, ahead ? WAIT_AHEAD : -1, handler.aheadMark(flow), nowMs);
    }
    if (this.learned === undefined) return;
    const content = w[flow + f.X_HELD_HEAD]!;
    const acks = w[flow + f.X_ACKS_HEAD]!;
    if (content !== 0) {
      this.held.note(flow, WAIT_CONTENT, mixed(w[flow + f.X_VERIFIED]!, content, 0), nowMs);
    } else if (acks !== 0) {
      this.held.note(flow, WAIT_ACK, mixed(w[flow + f.X_SECONDARY_ACK]!, acks, w[flow + f.X_SECONDARY_WINDOW]!), nowMs);
    } else if (w[flow + f.X_WAIT + f.W_LIST] !== 0) this.held.note(flow, -1, 0, nowMs);
  }

  /** A flow of this epoch ends, or what it waits for is of no interest any more. */
  remove(flow: number): void {
    this.ahead.remove(flow);
    this.held.remove(flow);
  }

  /** What was held of all flows is gone. */
  nothingHeld(): void {
    this.held.clear();
  }

  /** DO_CHECKPOINT. */
  checkpoint(): void {
    if (this.askedInSilence) this.silentEpochs++;
    this.startEpoch();
  }

  /** Nothing waits. The flows' own words are of before. */
  startEpoch(): void {
    this.nothingHeld();
    this.ahead.clear();
    this.askedInSilence = false;
  }

  /** When check() wants to be called beside its regular times; Infinity: at no time. */
  get wakeMs(): number {
    return this.learned === undefined ? NEVER : Math.min(this.held.wakeMs, this.ahead.wakeMs);
  }

  /** Why a checkpoint is needed, or undefined. */
  check(nowMs: number): CheckpointCause | undefined {
    if (this.secondaryIsSilent(nowMs)) return CheckpointCause.TIMEOUT_PRIMARY_HELD;
    const flow = this.ahead.check(nowMs, this.primaryMs, SILENT_MS);
    if (flow < 0) return undefined;
    this.ahead.stalled(flow);
    this.waitedMs = this.ahead.waitedMs;
    return CheckpointCause.TIMEOUT_SECONDARY_AHEAD;
  }

  private secondaryIsSilent(nowMs: number): boolean {
    if (this.learned === undefined) return this.oldestIsOverdue(nowMs);
    const silentMs = Math.min(SILENT_MS * 4 ** Math.min(this.silentEpochs, 16), this.mostMs);
    for (;;) {
      const flow = this.held.check(nowMs, this.secondaryMs, silentMs);
      if (flow < 0) return this.oldestIsOverdue(nowMs);
      const w = this.flows.words;
      if (w[flow + f.X_HELD_HEAD] !== 0 || w[flow + f.X_ACKS_HEAD] !== 0) {
        // The silence of a host that has stopped proves nothing about a class.
        if (((this.secondaryMs - nowMs + this.held.waitedMs) | 0) < 0) this.askedInSilence = true;
        else this.held.stalled(flow);
        this.waitedMs = this.held.waitedMs;
        return true;
      }
      // What was held of it has gone otherwise.
      this.held.remove(flow);
      this.held.wakeMs = nowMs;
    }
  }

  /**
   * Has a packet been held for the greatest time? A flow may get on in one thing and not in another: an acknowledgement
   * beside content.
   */
  private oldestIsOverdue(nowMs: number): boolean {
    const { holds } = this;
    const oldest = holds.awaiting;
    if (oldest === 0) return false;
    const waited = (nowMs - holds.words[holds.index(oldest) + H_TIME]!) | 0;
    if (waited < this.mostMs) return false;
    this.waitedMs = waited;
    return true;
  }
}

/** Changes when one of the three does. */
function mixed(a: number, b: number, c: number): number {
  return (Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ c) >>> 0;
}
