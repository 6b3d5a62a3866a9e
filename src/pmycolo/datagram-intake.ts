// UDP, ICMP, every other protocol, and frames that are no IP packets: packets of a flow are compared one by one, in order.

import { comparedFrom, DatagramComparator } from '../compare/datagram';
import { X_EPOCH, X_FLAGS, X_HELD_HEAD, X_SECONDARY_HEAD, X_SECONDARY_TAIL } from '../compare/flow-words';
import { DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import { R_COPY, R_COPY_BYTES } from '../compare/packet-log';
import type { PacketView } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_COMPARED, C_PRIMARY_FLOWS_FULL, C_SECONDARY_FLOWS_FULL, C_SECONDARY_LOG_FULL } from './counters';
import type { Expiry } from './expiry';
import { H_FLAGS, H_ID, H_RECORD, H_TIME, HF_DIRTY, HF_HEAD_SHIFT, HF_PARTIAL, holdFlags } from './holds';

export class DatagramIntake {
  private readonly comparator: DatagramComparator;

  constructor(
    private readonly x: PrimaryContext,
    private readonly expiry: Expiry,
  ) {
    this.comparator = new DatagramComparator(x.flows, x.log, x.difference);
  }

  primary(id: number, v: PacketView, buf: Buffer, partial: boolean, comparing: boolean, nowMs: number): Outcome {
    const x = this.x;
    const flow = this.flowOf(v, nowMs);
    if (flow < 0) {
      // Its sender says it again; a checkpoint would make no room that lasts.
      x.counters.values[C_PRIMARY_FLOWS_FULL]!++;
      x.drop(id);
      return EQUAL;
    }
    let outcome: Outcome = WAIT;
    if (comparing && x.flows.words[flow + X_HELD_HEAD] === 0) {
      outcome = this.comparator.primary(flow, v, buf);
      if (outcome === EQUAL) {
        x.counters.values[C_COMPARED]!++;
        x.leave(id, v, buf, partial);
        return EQUAL;
      }
    }
    const from = comparedFrom(v);
    const record = x.hold(id, flow, v, buf, 0, v.end - from, holdFlags(v, partial), nowMs);
    if (record === 0) return outcome === DIVERGED ? DIVERGED : EXHAUSTED;
    this.comparator.markPrimary(record, v);
    return outcome;
  }

  secondary(v: PacketView, buf: Buffer, nowMs: number): Outcome {
    const x = this.x;
    const flow = this.flowOf(v, nowMs);
    if (flow < 0) {
      x.counters.values[C_SECONDARY_FLOWS_FULL]!++;
      return EQUAL;
    }
    const slot = x.flows.words[flow + X_HELD_HEAD]!;
    if (slot === 0) {
      const stored = this.comparator.storeSecondary(flow, v, buf);
      if (stored === EXHAUSTED) x.counters.values[C_SECONDARY_LOG_FULL]!++;
      return stored;
    }
    const h = x.holds.index(slot);
    const hw = x.holds.words;
    const record = hw[h + H_RECORD]!;
    const outcome = this.comparator.secondary(flow, v, buf, record);
    if (outcome === EQUAL) {
      x.counters.values[C_COMPARED]!++;
      x.counters.noteHold((nowMs - hw[h + H_TIME]!) | 0);
      const r = x.log.recordIndex(record);
      const head = (hw[h + H_FLAGS]! >>> HF_HEAD_SHIFT) & 0xff;
      const flags = hw[h + H_FLAGS]!;
      const at = x.log.words[r + R_COPY]! + head;
      const bytes = x.log.words[r + R_COPY_BYTES]! - head;
      if ((flags & HF_DIRTY) === 0) x.accept(hw[h + H_ID]!, x.log.data, at, bytes);
      else x.acceptRewritten(hw[h + H_ID]!, x.log.data, at, bytes, (flags & HF_PARTIAL) !== 0);
      x.holds.remove(slot);
    }
    return outcome;
  }

  /** Is there something of the SVM that the PVM has not said? */
  secondaryAhead(flow: number): boolean {
    return this.x.flows.words[flow + X_SECONDARY_HEAD] !== 0;
  }

  private flowOf(v: PacketView, nowMs: number): number {
    const x = this.x;
    let flow = x.flows.find(v, false);
    x.lastFlow = flow;
    const fresh = flow < 0;
    if (fresh) {
      flow = x.insertFlow(v);
      x.lastFlow = flow;
      if (flow < 0) return -1;
    } else if (x.isStale(flow)) {
      x.flows.words[flow + X_SECONDARY_HEAD] = 0;
      x.flows.words[flow + X_SECONDARY_TAIL] = 0;
      x.flows.words[flow + X_FLAGS] = 0;
    }
    x.flows.words[flow + X_EPOCH] = x.epoch;
    this.expiry.touch(flow, v.protocol, fresh, nowMs);
    return flow;
  }
}
