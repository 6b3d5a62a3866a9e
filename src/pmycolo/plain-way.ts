// The plain way of TCP: the PVM's segment is the next of its stream, the SVM sends the same bytes in the same segment,
// and nothing else waits. Nearly all traffic is like this, so these segments skip all checks that cannot matter then.
// Others go the general way (tcp-intake), which would give the same words, verdicts and counters here; a property test
// compares the two.

import * as f from '../compare/flow-words';
import { LOG_HELD, LOG_PENDING, type PacketLog, R_BYTES, R_SEQ } from '../compare/packet-log';
import { isFar } from '../compare/verified-range';
import { seqAdd } from '../core/seq32';
import { type PacketView, TCP_ACK, TCP_PSH } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_COMPARED } from './counters';
import { H_END, H_FLAGS, H_RECORD, H_SEQ, HF_SIGNED, type Holds } from './holds';
import type { TcpOutlet } from './tcp-outlet';

/** Flags of a flow on the plain way, */
const HAS = f.XF_BASED | f.XF_MATCHED | f.XF_SECONDARY_ACK;
/** and flags that it must not have: it neither begins nor ends, and nothing of it is out of order. */
const HAS_NOT = f.BEGINS_OR_ENDS | f.XF_UNKNOWN | f.XF_HALF_OPEN | f.XF_DISORDER | f.XF_ODD;

export class PlainWay {
  private readonly w: Uint32Array;
  private readonly holds: Holds;
  private readonly hw: Uint32Array;
  private readonly log: PacketLog;
  private readonly lw: Uint32Array;

  constructor(
    private readonly x: PrimaryContext,
    private readonly outlet: TcpOutlet,
  ) {
    this.w = x.flows.words;
    this.holds = x.holds;
    this.hw = x.holds.words;
    this.log = x.log;
    this.lw = x.log.words;
  }

  /** A PVM packet while comparing. True: it is held, and nothing is left to do. False: nothing was done. */
  primary(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): boolean {
    const { x, w } = this;
    if (v.payloadBytes === 0 || !this.isPlain(flow, v.flags) || (hold & HF_SIGNED) !== 0) return false;
    const { seq } = v;
    const verified = w[flow + f.X_VERIFIED]!;
    const head = w[flow + f.X_HELD_HEAD]!;
    if (w[flow + f.X_PRIMARY_NEXT] !== seq) return false;
    if (head === 0) {
      if (verified !== seq || w[flow + f.X_PRIMARY_HEAD] !== 0) return false;
    } else {
      // The held packets end where this one begins, and the SVM has sent nothing of it.
      const { holds, hw } = this;
      const h = holds.index(head);
      const t = holds.index(w[flow + f.X_HELD_TAIL]!);
      if (hw[h + H_SEQ] !== verified || hw[h + H_END] === verified) return false;
      if (hw[t + H_END] !== seq || hw[t + H_RECORD] !== w[flow + f.X_PRIMARY_TAIL] || isFar(seq, verified))
        return false;
    }
    const from = v.start - v.head;
    const bytes = v.limit - from;
    if (!x.hasRoom(bytes)) return false;
    x.tracker.packet(flow, false, v.flags, seq, nowMs);
    x.tcp.noteNext(flow, v);
    x.counters.values[C_COMPARED]!++;
    const end = seqAdd(seq, v.payloadBytes);
    const record = x.enter(id, flow, v, buf, seq, end, hold | v.flags, LOG_HELD | LOG_PENDING, nowMs);
    x.stream.storeNext(flow, record, v.payload - from, seq, v.payloadBytes);
    return true;
  }

  /** An SVM packet while comparing. True: the PVM's equal packet has left. False: nothing was done. */
  secondary(flow: number, v: PacketView, buf: Buffer, nowMs: number): boolean {
    const { w, holds, log, lw, hw } = this;
    const record = w[flow + f.X_PRIMARY_HEAD]!;
    const slot = w[flow + f.X_HELD_HEAD]!;
    if (record === 0 || slot === 0 || !this.isPlain(flow, v.flags)) return false;
    const h = holds.index(slot);
    const verified = w[flow + f.X_VERIFIED]!;
    const bytes = v.payloadBytes;
    if (hw[h + H_RECORD] !== record || hw[h + H_SEQ] !== verified || bytes === 0) return false;
    if (seqAdd(v.seq, w[flow + f.X_DELTA]!) !== verified) return false;
    const end = seqAdd(verified, bytes);
    const flags = hw[h + H_FLAGS]!;
    if (hw[h + H_END] !== end || (flags & (0xff & ~TCP_PSH)) !== TCP_ACK) return false;
    const r = log.recordIndex(record);
    if (lw[r + R_SEQ] !== verified || lw[r + R_BYTES] !== bytes) return false;
    if (!log.saysTheSame(record, buf, v.payload)) return false;
    const { x } = this;
    x.tcp.noteNextOfSecondary(flow, v);
    x.stream.agreedHead(flow, end);
    this.outlet.leaveNext(slot, nowMs);
    return true;
  }

  /** Is the flow on the plain way, and does a segment with these flags carry nothing but content? */
  private isPlain(flow: number, tcpFlags: number): boolean {
    const { w } = this;
    return (
      (w[flow + f.X_FLAGS]! & (HAS | HAS_NOT)) === HAS &&
      (tcpFlags | TCP_PSH) === (TCP_ACK | TCP_PSH) &&
      w[flow + f.X_SECONDARY_HEAD] === 0 &&
      w[flow + f.X_ACKS_HEAD] === 0 &&
      w[flow + f.X_ISLAND] === w[flow + f.X_ISLAND_END] &&
      this.x.plainWay
    );
  }
}
