// SYNs of both sides on their way into the comparison: a connection begins, or another in its place; and the data that
// has come on or behind them before both were known.

import * as f from '../compare/flow-words';
import { DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import { DIFFERS } from '../compare/stream';
import { packSynOptions } from '../compare/tcp-syn';
import { seqAdd } from '../core/seq32';
import { parseTcpOptions, TcpOptions } from '../packet/tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_PRIMARY_REOPENED, C_SECONDARY_LOG_FULL, C_SECONDARY_REOPENED } from './counters';
import { H_END, H_FLOW_NEXT, H_RECORD } from './holds';
import { NO_ECHO, type TcpOutlet } from './tcp-outlet';

export class TcpSynIntake {
  private readonly options = new TcpOptions();

  constructor(
    private readonly x: PrimaryContext,
    private readonly outlet: TcpOutlet,
  ) {}

  /** Can its options be read, and is it nothing else as well? */
  isWellFormed(v: PacketView): boolean {
    return (v.flags & (TCP_RST | TCP_FIN)) === 0 && parseTcpOptions(v, this.options);
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
    const { outlet } = this;
    const x = this.x;
    const packed = packSynOptions(this.optionsOf(v), (v.flags & TCP_ACK) !== 0);
    if (x.tcp.syns.primaryReopens(flow, v.seq)) {
      // The guest has begun a new connection: nothing of the old one will be asked for again.
      x.counters.values[C_PRIMARY_REOPENED]!++;
      x.dropHeld(flow);
      x.tcp.life.resetPrimary(flow);
    }
    const wasMatched = (x.flows.words[flow + f.X_FLAGS]! & f.XF_MATCHED) !== 0;
    const outcome = x.tcp.syns.primarySyn(flow, v, packed);
    if (!comparing) return outlet.keep(id, flow, v, buf, hold, nowMs) === 0 ? EXHAUSTED : WAIT;
    if (outcome === DIVERGED) return outlet.holdDiverged(id, flow, v, buf, hold, nowMs);
    if (outcome === EQUAL) {
      if (!wasMatched) x.deltas.store(v, x.flows.words[flow + f.X_DELTA]!);
      const stored = wasMatched ? EQUAL : this.storeHeld(flow);
      if (stored === DIVERGED || stored === EXHAUSTED) {
        outlet.keep(id, flow, v, buf, hold, nowMs);
        return stored;
      }
      const first = seqAdd(v.seq, 1);
      const rest = v.payloadBytes > 0 ? x.stream.primary(flow, first, buf, v.payload, v.payloadBytes) : 0;
      if (rest === DIFFERS) return outlet.holdDiverged(id, flow, v, buf, hold, nowMs);
      if (rest === 0 && x.release.contentMayLeave(flow, v.flags)) {
        outlet.leaveNow(id, flow, v, buf, hold);
        if (x.flows.words[flow + f.X_HELD_HEAD] !== 0) outlet.releaseReady(flow, NO_ECHO, nowMs);
        return EQUAL;
      }
      const record = outlet.keep(id, flow, v, buf, hold, nowMs);
      if (record === 0) return EXHAUSTED;
      if (rest === 0) return WAIT;
      const from = seqAdd(first, v.payloadBytes - rest);
      return x.stream.storePrimary(flow, record, v.start - v.head, from, buf, v.end - rest, rest);
    }
    return outlet.keep(id, flow, v, buf, hold, nowMs) === 0 ? EXHAUSTED : WAIT;
  }

  secondary(flow: number, v: PacketView, buf: Buffer, nowMs: number): Outcome {
    const x = this.x;
    const packed = packSynOptions(this.optionsOf(v), (v.flags & TCP_ACK) !== 0);
    if (x.tcp.syns.secondaryReopens(flow, v.seq)) {
      x.counters.values[C_SECONDARY_REOPENED]!++;
      x.tcp.life.resetSecondary(flow);
    }
    const wasMatched = (x.flows.words[flow + f.X_FLAGS]! & f.XF_MATCHED) !== 0;
    if (
      !wasMatched &&
      v.payloadBytes > 0 &&
      x.stream.secondary(flow, seqAdd(v.seq, 1), buf, v.payload, v.payloadBytes) === EXHAUSTED
    ) {
      x.counters.values[C_SECONDARY_LOG_FULL]!++;
      return EXHAUSTED;
    }
    const outcome = x.tcp.syns.secondarySyn(flow, v, packed);
    if (outcome === DIVERGED) return outcome;
    if (outcome !== EQUAL) return EQUAL;
    if (!wasMatched) {
      x.deltas.store(v, x.flows.words[flow + f.X_DELTA]!);
      const content = this.storeHeld(flow);
      if (content === DIVERGED || content === EXHAUSTED) return content;
    }
    this.outlet.releaseReady(flow, NO_ECHO, nowMs);
    return EQUAL;
  }

  /** Data that the PVM sent on or behind its SYN before the SVM's came takes part now that the streams are matched. */
  private storeHeld(flow: number): Outcome {
    const x = this.x;
    const hw = x.holds.words;
    for (let slot = x.flows.words[flow + f.X_HELD_HEAD]!; slot !== 0; slot = hw[x.holds.index(slot) + H_FLOW_NEXT]!) {
      const h = x.holds.index(slot);
      const bytes = x.holds.contentBytes(h);
      if (bytes <= 0) continue;
      const copy = x.holds.copyAt(h);
      const at = x.holds.contentAt(x.holds.headerAt(h)) - copy;
      // A copy: what is logged of it may move the record itself.
      const packet = Buffer.from(x.log.data.subarray(copy, copy + x.holds.copyBytes(h)));
      const rest = x.stream.primary(flow, x.holds.contentSeq(h), packet, at, bytes);
      if (rest === DIFFERS) return DIVERGED;
      if (rest === 0) continue;
      const stored = x.stream.storePrimary(
        flow,
        hw[h + H_RECORD]!,
        0,
        seqAdd(hw[h + H_END]!, -rest),
        packet,
        at + bytes - rest,
        rest,
      );
      if (stored !== WAIT) return stored;
    }
    return WAIT;
  }

  private optionsOf(v: PacketView): TcpOptions {
    parseTcpOptions(v, this.options);
    return this.options;
  }
}
