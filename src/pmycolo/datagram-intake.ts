// UDP, ICMP, every other protocol, and frames that are no IP packets: packets of a flow are compared one by one, in
// order.

import { comparedFrom, DatagramComparator } from '../compare/datagram';
import * as f from '../compare/flow-words';
import { DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import type { PacketView } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_COMPARED, C_SECONDARY_LOG_FULL } from './counters';
import type { Expiry } from './expiry';
import { Cost, type FlowHandler, NO_ROOM } from './flow-handler';
import { H_RECORD, HF_PARTIAL, holdFlags } from './holds';

export class DatagramIntake implements FlowHandler {
  private readonly comparator: DatagramComparator;

  constructor(
    protected readonly x: PrimaryContext,
    private readonly expiry: Expiry,
  ) {
    this.comparator = new DatagramComparator(x.flows, x.log, x.difference);
  }

  admit(v: PacketView, partial: boolean, _comparing: boolean): number {
    return holdFlags(v, partial);
  }

  admitSecondary(_v: PacketView): boolean {
    return true;
  }

  flowOf(v: PacketView, nowMs: number): number {
    const x = this.x;
    let flow = x.flows.find(v, false);
    const fresh = flow < 0;
    if (fresh) {
      flow = x.insertFlow(v);
      if (flow < 0) return NO_ROOM;
    } else if (x.isStale(flow)) {
      x.flows.words[flow + f.X_SECONDARY_HEAD] = 0;
      x.flows.words[flow + f.X_SECONDARY_TAIL] = 0;
      x.flows.words[flow + f.X_FLAGS] = 0;
    }
    x.flows.words[flow + f.X_EPOCH] = x.epoch;
    this.expiry.touch(flow, v.protocol, fresh, nowMs);
    return flow;
  }

  primary(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    hold: number,
    comparing: boolean,
    nowMs: number,
  ): Outcome {
    const x = this.x;
    let outcome: Outcome = WAIT;
    if (comparing && x.flows.words[flow + f.X_HELD_HEAD] === 0) {
      outcome = this.comparator.primary(flow, v, buf);
      if (outcome === EQUAL) {
        x.counters.values[C_COMPARED]!++;
        x.leave(id, v, buf, (hold & HF_PARTIAL) !== 0);
        return EQUAL;
      }
    }
    const from = comparedFrom(v);
    const record = x.hold(id, flow, v, buf, 0, v.end - from, hold, nowMs);
    if (record === 0) return outcome === DIVERGED ? DIVERGED : EXHAUSTED;
    this.comparator.markPrimary(record, v);
    return outcome;
  }

  secondary(flow: number, v: PacketView, buf: Buffer, nowMs: number): Outcome {
    const x = this.x;
    const slot = x.flows.words[flow + f.X_HELD_HEAD]!;
    if (slot === 0) {
      const stored = this.comparator.storeSecondary(flow, v, buf);
      if (stored === EXHAUSTED) x.counters.values[C_SECONDARY_LOG_FULL]!++;
      return stored;
    }
    const outcome = this.comparator.secondary(flow, v, buf, x.holds.words[x.holds.index(slot) + H_RECORD]!);
    if (outcome === EQUAL) {
      x.counters.values[C_COMPARED]!++;
      x.leaveHeld(slot, false, nowMs);
    }
    return outcome;
  }

  isAhead(flow: number): boolean {
    return this.x.flows.words[flow + f.X_SECONDARY_HEAD] !== 0;
  }

  aheadMark(flow: number): number {
    return this.x.flows.words[flow + f.X_SECONDARY_HEAD]!;
  }

  firstUnverified(flow: number): number {
    return this.x.flows.words[flow + f.X_HELD_HEAD]!;
  }

  onMove(flow: number, oldId: number, newId: number): void {
    this.x.stream.onMove(flow, oldId, newId);
    const w = this.x.flows.words;
    // Where the SVM's oldest datagram is the mark, its move is no progress of the PVM.
    if (w[flow + f.X_AHEAD + f.W_MARK] === oldId) w[flow + f.X_AHEAD + f.W_MARK] = newId;
  }

  leavesUncompared(_slot: number): boolean {
    return false;
  }

  settleHeld(_flow: number, _released: boolean): void {}

  costToForget(_flow: number): Cost {
    return Cost.Nothing;
  }

  forget(_flow: number): void {}
}
