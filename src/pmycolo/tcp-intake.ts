// TCP packets of both sides on their way into the comparison, and the release of what became verified.

import {
  X_ACKS_HEAD,
  X_ACKS_TAIL,
  X_DELTA,
  X_EPOCH,
  X_FLAGS,
  X_HELD_HEAD,
  X_HELD_TAIL,
  X_PRIMARY_FIN,
  X_RELEASED_ACK,
  XF_BASED,
  XF_DISORDER,
  XF_HALF_OPEN,
  XF_MATCHED,
  XF_PRIMARY_FIN,
  XF_PRIMARY_RST,
  XF_PRIMARY_SYN,
  XF_SECONDARY_FIN,
  XF_SECONDARY_PUSHED,
  XF_SECONDARY_RST,
  XF_UNKNOWN,
} from '../compare/flow-words';
import { CheckpointCause, DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import { R_BYTES, R_COPY, R_COPY_BYTES } from '../compare/packet-log';
import { DIFFERS } from '../compare/stream';
import { hasPeersNumber, REFUSAL } from '../compare/tcp';
import { formatSynOptions, packSynOptions } from '../compare/tcp-syn';
import { FLOW_DEADLINE } from '../conntrack/flow-table';
import { TCP_TIMEOUTS } from '../conntrack/timeouts';
import { read16, read32 } from '../core/big-endian';
import { MAX_PROBE_SOURCE_BYTES, RELEASE_SCAN_LIMIT } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import { canonicalTcp, isPlainTcp, TcpCanon } from '../packet/tcp-canon';
import { parseTcpOptions, TcpOptions, timestampOffset } from '../packet/tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';
import type { PrimaryContext } from './context';
import {
  C_ACK_REPEATED,
  C_COMPARED,
  C_FIELDS_CLEARED,
  C_HELD_ALREADY_LEFT,
  C_KEEPALIVE_RESTORED,
  C_LATE_RESET_DROPPED,
  C_MPTCP_REMOVED,
  C_NUMBERS_UNKNOWN,
  C_OPTIONS_REMOVED,
  C_PRIMARY_FLOWS_FULL,
  C_PRIMARY_MALFORMED,
  C_PRIMARY_REOPENED,
  C_SACK_REMOVED,
  C_SECONDARY_FLOWS_FULL,
  C_SECONDARY_LOG_FULL,
  C_SECONDARY_MALFORMED,
  C_SECONDARY_REOPENED,
  C_SECONDARY_UNMATCHED,
  C_SIGNATURE,
  C_SIGNED_DROPPED,
} from './counters';
import { complete, completesHandshake } from './handshake';
import {
  H_END,
  H_FLAGS,
  H_FLOW,
  H_FLOW_NEXT,
  H_ID,
  H_L4,
  H_RECORD,
  H_SEQ,
  H_TIME,
  HF_ACK_ONLY,
  HF_DIRTY,
  HF_HEAD_SHIFT,
  HF_PARTIAL,
  HF_SIGNED,
  HF_TCP,
  HF_TCP_FLAGS,
  holdFlags,
} from './holds';
import { noteHeldLeft, restoreLastByte } from './keepalive';
import { leaveAsProbe } from './probe';

/** A RST that refuses a SYN (RFC 9293 section 3.10.7.1): it has no sequence number of its own. */
function isRefusal(v: PacketView): boolean {
  return v.seq === 0 && (v.flags & (TCP_RST | TCP_ACK)) === (TCP_RST | TCP_ACK);
}

/** The SYN that it acknowledges tells refusals apart; as an acknowledgement of the connection it counts for nothing. */
function nameRefusal(v: PacketView): void {
  v.seq = v.ack;
  v.flags = TCP_RST | REFUSAL;
}

/** Results of cleanOptions(). */
const MALFORMED = -1;
/** It bears what has to be taken out, and a signature over it. */
const UNCLEAN = -2;

function isPureAck(v: PacketView): boolean {
  return v.payloadBytes === 0 && (v.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) === TCP_ACK;
}

const BOTH_ENDS = XF_PRIMARY_FIN | XF_SECONDARY_FIN;
const ENDS_AND_RESETS = BOTH_ENDS | XF_PRIMARY_RST | XF_SECONDARY_RST;

export class TcpIntake {
  private readonly options = new TcpOptions();
  private readonly canon = new TcpCanon();
  /** TSecr of the SVM's packet that is being looked at, or -1. */
  private echo = -1;

  constructor(private readonly x: PrimaryContext) {}

  /** A PVM packet. `comparing` is false while a checkpoint is awaited: then it is only noted and held. */
  primary(id: number, v: PacketView, buf: Buffer, partial: boolean, comparing: boolean, nowMs: number): Outcome {
    const x = this.x;
    let hold = holdFlags(v, partial) | HF_TCP | (v.head << HF_HEAD_SHIFT);
    if (!isPlainTcp(v)) {
      const cleaned = this.clean(v, partial);
      if (cleaned === MALFORMED) return this.dropMalformed(id);
      if (cleaned === UNCLEAN) {
        // What is held now leaves by the checkpoint, which covers all that it says.
        if (comparing) return this.dropUnclean(id);
        hold |= HF_SIGNED;
      } else hold |= cleaned;
    }
    // No TCP says this, and a peer would obey the RST of it.
    if ((v.flags & TCP_SYN) !== 0 && (v.flags & (TCP_RST | TCP_FIN)) !== 0) return this.dropMalformed(id);
    const flow = this.flowOf(v, nowMs);
    if (flow < 0) {
      // Its sender says it again; a checkpoint would make no room that lasts.
      x.counters.values[C_PRIMARY_FLOWS_FULL]!++;
      x.drop(id);
      return EQUAL;
    }
    x.tracker.packet(flow, false, v.flags, v.seq, nowMs);
    if (isRefusal(v)) nameRefusal(v);
    hold |= v.flags;
    if ((v.flags & TCP_SYN) !== 0) return this.primarySyn(id, flow, v, buf, hold, comparing, nowMs);
    if (!comparing) {
      // Noted first: where the PVM's stream ends is known from its first packet, not by comparison with what was never set.
      x.tcp.notePrimary(flow, v);
      this.startPaused(flow, v);
      return this.keep(id, flow, v, buf, hold, nowMs) === 0 ? EXHAUSTED : WAIT;
    }
    const flags = x.flows.words[flow + X_FLAGS]!;
    if ((flags & (XF_UNKNOWN | XF_HALF_OPEN)) !== 0) {
      if ((flags & XF_UNKNOWN) !== 0 && (!hasPeersNumber(v.flags) || v.payloadBytes > 0)) {
        return this.holdUnknown(id, flow, v, buf, hold, nowMs);
      }
      if (completesHandshake(x, flow, v)) complete(x, flow);
    }
    const noted = x.tcp.notePrimary(flow, v);
    if (noted === DIVERGED) return this.holdDiverged(id, flow, v, buf, hold, nowMs);
    if ((flags & ENDS_AND_RESETS) === BOTH_ENDS && this.isOfForgotten(flow, v)) {
      x.counters.values[C_LATE_RESET_DROPPED]!++;
      x.drop(id);
      return EQUAL;
    }
    if (v.payloadBytes === 0 && (v.flags & (TCP_FIN | TCP_RST | TCP_URG)) === 0) {
      if (x.flows.words[flow + X_ACKS_HEAD] === 0 && x.release.ackMayLeave(flow, v.ack, v.window)) {
        this.leave(id, flow, buf, v.start, v.limit - v.start, v.l4, hold);
        return EQUAL;
      }
      // The peer has sent again what the PVM has, because it was not told what the SVM has: this one tells it, the first waits.
      if (this.repeatsHeldAck(flow, v.ack) && x.release.ackBringsNews(flow, v.window)) {
        this.leave(id, flow, buf, v.start, v.limit - v.start, v.l4, hold);
        return EQUAL;
      }
      return this.keep(id, flow, v, buf, hold | HF_ACK_ONLY, nowMs) === 0 ? EXHAUSTED : WAIT;
    }
    /** Bytes at its end that the SVM has not said. */
    let rest = 0;
    const matched = (x.flows.words[flow + X_FLAGS]! & XF_MATCHED) !== 0;
    // Where a reset stands, its peer may have had a say in: a stream that is not known yet does not begin there.
    const placed = (v.flags & TCP_RST) === 0 || (x.flows.words[flow + X_FLAGS]! & XF_BASED) !== 0;
    if (v.payloadBytes > 0 && matched && !placed) {
      // Nor do its bytes have a place to be compared at.
      x.difference.set(CheckpointCause.RST, flow, v.seq);
      return this.holdDiverged(id, flow, v, buf, hold, nowMs);
    }
    if (v.payloadBytes === 1 && x.tcp.repeatsLastByte(flow, v)) {
      if (restoreLastByte(x.flows, flow, v, partial)) {
        x.counters.values[C_KEEPALIVE_RESTORED]!++;
        hold |= HF_DIRTY;
      }
    } else if (v.payloadBytes > 0 && matched) {
      x.counters.values[C_COMPARED]!++;
      rest = x.stream.primary(flow, v.seq, buf, v.payload, v.payloadBytes);
      if (rest === DIFFERS) return this.holdDiverged(id, flow, v, buf, hold, nowMs);
    }
    const end = seqAdd(v.seq, v.payloadBytes);
    if (
      rest === 0 &&
      x.tcp.isVerified(flow, v.seq, end, v.flags) &&
      x.release.contentMayLeave(flow, v.flags) &&
      x.release.endMayLeave(flow, v.flags, v.ack)
    ) {
      if (v.payloadBytes > 0) x.tcp.noteLeft(flow, end, buf[v.end - 1]!);
      this.leave(id, flow, buf, v.start, v.limit - v.start, v.l4, hold);
      // What this packet brought (a FIN, an end) may have been all that others waited for.
      if (x.flows.words[flow + X_HELD_HEAD] !== 0) this.releaseReady(flow, nowMs);
      return EQUAL;
    }
    if (
      rest > 0 &&
      (hold & HF_SIGNED) === 0 &&
      this.isBehindHeld(flow, v.seq) &&
      (v.flags & (TCP_FIN | TCP_RST | TCP_ACK)) === TCP_ACK &&
      v.end - v.start <= MAX_PROBE_SOURCE_BYTES &&
      x.release.contentMayLeave(flow, v.flags) &&
      x.stream.repeatsPending(flow, seqAdd(end, -rest), buf, v.end - rest, rest)
    ) {
      leaveAsProbe(x, id, flow, v, buf);
      // Its beginning may have filled a gap that others waited behind.
      this.releaseReady(flow, nowMs);
      return WAIT;
    }
    const record = this.keep(id, flow, v, buf, hold, nowMs);
    if (record === 0) return EXHAUSTED;
    if (rest > 0) {
      const stored = x.stream.storePrimary(flow, record, v.start - v.head, seqAdd(end, -rest), buf, v.end - rest, rest);
      if (stored !== WAIT) return stored;
      this.releaseReady(flow, nowMs);
    } else x.prefixes.note(flow, -1, nowMs);
    return WAIT;
  }

  /**
   * Both guests have ended their streams, and the PVM has forgotten the connection: so it answers a segment of a peer that knows all it
   * said, which the SVM need not have forgotten at the same time. The first such reset is as if lost: a peer that waits for an answer
   * asks again, and the next is held and compared.
   */
  private isOfForgotten(flow: number, v: PacketView): boolean {
    if ((v.flags & TCP_RST) === 0 || !hasPeersNumber(v.flags) || v.payloadBytes > 0) return false;
    return v.seq === seqAdd(this.x.flows.words[flow + X_PRIMARY_FIN]!, 1);
  }

  /** Does this position lie before the end of what is held last? New data, the rule, never does. */
  private isBehindHeld(flow: number, seq: number): boolean {
    const { flows, holds } = this.x;
    const tail = flows.words[flow + X_HELD_TAIL]!;
    return tail !== 0 && seqDiff(seq, holds.words[holds.index(tail) + H_END]!) < 0;
  }

  /** An SVM packet while comparing. */
  secondary(v: PacketView, buf: Buffer, nowMs: number): Outcome {
    const x = this.x;
    if ((v.flags & TCP_SYN) !== 0) return this.secondarySyn(v, buf, nowMs);
    const flow = this.flowOf(v, nowMs);
    if (flow < 0) {
      x.counters.values[C_SECONDARY_FLOWS_FULL]!++;
      return EQUAL;
    }
    const w = x.flows.words;
    const refusal = isRefusal(v);
    if (refusal) nameRefusal(v);
    if ((w[flow + X_FLAGS]! & XF_MATCHED) === 0) {
      if ((v.flags & TCP_RST) !== 0 && (w[flow + X_FLAGS]! & XF_PRIMARY_SYN) !== 0) {
        return x.tcp.noteSecondary(flow, v, v.seq);
      }
      if ((w[flow + X_FLAGS]! & XF_UNKNOWN) !== 0 && hasPeersNumber(v.flags)) {
        const noted = x.tcp.noteSecondary(flow, v, v.seq);
        this.releaseReady(flow, nowMs);
        return noted;
      }
      x.counters.values[C_SECONDARY_UNMATCHED]!++;
      return EQUAL;
    }
    const seq = refusal ? v.seq : seqAdd(v.seq, w[flow + X_DELTA]!);
    const acksWait = w[flow + X_ACKS_HEAD] !== 0;
    const repeats = acksWait && isPureAck(v) && x.tcp.secondaryRepeatsAck(flow, v) && x.release.wasTold(flow, v.ack);
    let outcome = x.tcp.noteSecondary(flow, v, seq);
    if (outcome === DIVERGED) return outcome;
    if (v.payloadBytes > 0) {
      outcome = x.stream.secondary(flow, seq, buf, v.payload, v.payloadBytes);
      if (outcome === DIVERGED) return outcome;
      if (outcome === EXHAUSTED) {
        x.counters.values[C_SECONDARY_LOG_FULL]!++;
        return outcome;
      }
    }
    if (v.payloadBytes > 0 || (v.flags & TCP_FIN) !== 0) {
      const pushed = (v.flags & (TCP_PSH | TCP_FIN)) !== 0 ? XF_SECONDARY_PUSHED : 0;
      w[flow + X_FLAGS] = (w[flow + X_FLAGS]! & ~XF_SECONDARY_PUSHED) | pushed;
    }
    if (acksWait || w[flow + X_HELD_HEAD] !== 0) {
      const at = timestampOffset(buf, v.l4);
      if (at >= 0) this.echo = read32(buf, at + 4);
    }
    this.releaseReady(flow, nowMs);
    if (repeats) this.repeatAck(flow, nowMs);
    this.echo = -1;
    return EQUAL;
  }

  /**
   * The SVM misses something that the PVM has: the peer has to hear the SVM's duplicate acknowledgements, or only its timer tells it, one
   * segment at a time. Any but the last of those that wait can tell it.
   */
  private repeatAck(flow: number, nowMs: number): void {
    const { holds, flows, release, log } = this.x;
    const slot = flows.words[flow + X_ACKS_HEAD]!;
    if (slot === 0 || holds.words[holds.index(slot) + H_FLOW_NEXT] === 0) return;
    const at = this.headerOf(slot);
    if (!release.staysOpen(flow, flows.words[flow + X_RELEASED_ACK]!, read16(log.data, at + 14))) return;
    this.x.counters.values[C_ACK_REPEATED]!++;
    this.leaveHeld(slot, nowMs);
  }

  /** Lets out what became verified: pure acknowledgements in order, content in order but for what still waits. */
  releaseReady(flow: number, nowMs: number): void {
    const x = this.x;
    const fw = x.flows.words;
    const hw = x.holds.words;
    for (let slot = fw[flow + X_ACKS_HEAD]!; slot !== 0; ) {
      const h = x.holds.index(slot);
      const next = hw[h + H_FLOW_NEXT]!;
      const at = this.headerOf(slot);
      const ack = this.ackAt(at);
      const window = read16(x.log.data, at + 14);
      if (!x.release.ackMayLeave(flow, ack, window)) {
        // All but the last may tell, lowered, what the SVM has given meanwhile: a peer that lacks it sends again what both have.
        if (next !== 0 && x.release.ackBringsNews(flow, window)) this.leaveHeld(slot, nowMs);
        break;
      }
      this.leaveHeld(slot, nowMs);
      slot = next;
    }
    // In a list in stream order nothing behind the first that waits can be verified.
    const disorder = (fw[flow + X_FLAGS]! & XF_DISORDER) !== 0;
    let passed = 0;
    let left = 0;
    let leftFrom = 0;
    let leftTo = 0;
    for (let slot = fw[flow + X_HELD_HEAD]!; slot !== 0 && passed < RELEASE_SCAN_LIMIT; ) {
      const h = x.holds.index(slot);
      const next = hw[h + H_FLOW_NEXT]!;
      const flags = hw[h + H_FLAGS]! & HF_TCP_FLAGS;
      if (
        x.tcp.isVerified(flow, hw[h + H_SEQ]!, hw[h + H_END]!, flags) &&
        x.release.contentMayLeave(flow, flags) &&
        ((flags & TCP_FIN) === 0 || x.release.endMayLeave(flow, flags, this.ackAt(this.headerOf(slot))))
      ) {
        const seq = hw[h + H_SEQ]!;
        const end = hw[h + H_END]!;
        if (left !== 0 && seqDiff(seq, leftFrom) >= 0 && seqDiff(end, leftTo) <= 0 && this.saysNoMore(flow, slot, left)) {
          this.dropHeld(slot);
        } else {
          if (left === 0 || seqDiff(seq, leftTo) > 0) leftFrom = seq;
          leftTo = end;
          left |= flags;
          this.leaveHeld(slot, nowMs);
        }
      } else {
        if (!disorder) break;
        passed++;
      }
      slot = next;
    }
    if (fw[flow + X_HELD_HEAD] !== 0) x.prefixes.note(flow, this.echo, nowMs);
    else if (disorder) fw[flow + X_FLAGS] = fw[flow + X_FLAGS]! & ~XF_DISORDER;
  }

  /**
   * Of a held packet whose bytes have just left in others, which bore the flags `left`: does the peer know what else it says? It would
   * answer a FIN that comes twice, and a guest that has forgotten the connection by then answers that with a reset.
   */
  private saysNoMore(flow: number, slot: number, left: number): boolean {
    const { holds, release } = this.x;
    const flags = holds.words[holds.index(slot) + H_FLAGS]! & ~(left & TCP_FIN);
    if ((flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG | TCP_ACK)) !== TCP_ACK) return false;
    return release.wasToldAtLeast(flow, this.ackAt(this.headerOf(slot)));
  }

  private dropHeld(slot: number): void {
    const { holds, counters } = this.x;
    counters.values[C_HELD_ALREADY_LEFT]!++;
    noteHeldLeft(this.x, slot);
    this.x.drop(holds.words[holds.index(slot) + H_ID]!);
    holds.remove(slot);
  }

  /** Whether the last pure acknowledgement that waits says the same. */
  private repeatsHeldAck(flow: number, ack: number): boolean {
    const last = this.x.flows.words[flow + X_ACKS_TAIL]!;
    return last !== 0 && this.ackAt(this.headerOf(last)) === ack;
  }

  /** Where the copy of a held packet has its TCP header. */
  private headerOf(slot: number): number {
    const { holds, log } = this.x;
    const h = holds.index(slot);
    return log.words[log.recordIndex(holds.words[h + H_RECORD]!) + R_COPY]! + holds.words[h + H_L4]!;
  }

  private ackAt(l4: number): number {
    return read32(this.x.log.data, l4 + 8);
  }

  /** For reports: both sides' SYN options. */
  describeSyn(primary: number, secondary: number): string {
    return `${formatSynOptions(primary)} / ${formatSynOptions(secondary)}`;
  }

  private primarySyn(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    hold: number,
    comparing: boolean,
    nowMs: number,
  ): Outcome {
    const x = this.x;
    const packed = packSynOptions(this.synOptions(v), (v.flags & TCP_ACK) !== 0);
    if (x.tcp.syns.primaryReopens(flow, v.seq)) {
      // The guest has begun a new connection: what it had said in the old one will never be asked for again.
      x.counters.values[C_PRIMARY_REOPENED]!++;
      x.dropHeld(flow);
      x.tcp.resetPrimary(flow);
    }
    const wasMatched = (x.flows.words[flow + X_FLAGS]! & XF_MATCHED) !== 0;
    const outcome = x.tcp.syns.primarySyn(flow, v, packed);
    if (!comparing) return this.keep(id, flow, v, buf, hold, nowMs) === 0 ? EXHAUSTED : WAIT;
    if (outcome === DIVERGED) return this.holdDiverged(id, flow, v, buf, hold, nowMs);
    if (outcome === EQUAL) {
      if (!wasMatched) x.deltas.store(v, x.flows.words[flow + X_DELTA]!);
      const stored = wasMatched ? EQUAL : this.storeHeld(flow);
      if (stored === DIVERGED || stored === EXHAUSTED) {
        this.keep(id, flow, v, buf, hold, nowMs);
        return stored;
      }
      const first = seqAdd(v.seq, 1);
      const rest = v.payloadBytes > 0 ? x.stream.primary(flow, first, buf, v.payload, v.payloadBytes) : 0;
      if (rest === DIFFERS) return this.holdDiverged(id, flow, v, buf, hold, nowMs);
      if (rest === 0 && x.release.contentMayLeave(flow, v.flags)) {
        this.leave(id, flow, buf, v.start, v.limit - v.start, v.l4, hold);
        if (x.flows.words[flow + X_HELD_HEAD] !== 0) this.releaseReady(flow, nowMs);
        return EQUAL;
      }
      const record = this.keep(id, flow, v, buf, hold, nowMs);
      if (record === 0) return EXHAUSTED;
      if (rest === 0) return WAIT;
      const from = seqAdd(first, v.payloadBytes - rest);
      return x.stream.storePrimary(flow, record, v.start - v.head, from, buf, v.end - rest, rest);
    }
    return this.keep(id, flow, v, buf, hold, nowMs) === 0 ? EXHAUSTED : WAIT;
  }

  private secondarySyn(v: PacketView, buf: Buffer, nowMs: number): Outcome {
    const x = this.x;
    if (!parseTcpOptions(v, this.options) || (v.flags & (TCP_RST | TCP_FIN)) !== 0) {
      x.counters.values[C_SECONDARY_MALFORMED]!++;
      x.lastFlow = -1;
      return EQUAL;
    }
    const flow = this.flowOf(v, nowMs);
    if (flow < 0) {
      x.counters.values[C_SECONDARY_FLOWS_FULL]!++;
      return EQUAL;
    }
    const packed = packSynOptions(this.options, (v.flags & TCP_ACK) !== 0);
    if (x.tcp.syns.secondaryReopens(flow, v.seq)) {
      x.counters.values[C_SECONDARY_REOPENED]!++;
      x.tcp.resetSecondary(flow);
    }
    const wasMatched = (x.flows.words[flow + X_FLAGS]! & XF_MATCHED) !== 0;
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
      x.deltas.store(v, x.flows.words[flow + X_DELTA]!);
      const content = this.storeHeld(flow);
      if (content === DIVERGED || content === EXHAUSTED) return content;
    }
    this.releaseReady(flow, nowMs);
    return EQUAL;
  }

  /** A held packet leaves without having been compared: should the PVM repeat it, there is its copy to compare with. */
  remember(slot: number): void {
    const { holds, log, stream } = this.x;
    const h = holds.index(slot);
    const hw = holds.words;
    const record = hw[h + H_RECORD]!;
    const r = log.recordIndex(record);
    const syn = (hw[h + H_FLAGS]! & TCP_SYN) !== 0 ? 1 : 0;
    const bytes = (hw[h + H_END]! - hw[h + H_SEQ]! - syn) | 0;
    // Else it is in the list or the history already.
    if (bytes <= 0 || log.words[r + R_BYTES] !== 0) return;
    const l4 = this.headerOf(slot);
    const at = l4 + ((log.data[l4 + 12]! >>> 4) << 2);
    stream.remember(hw[h + H_FLOW]!, record, seqAdd(hw[h + H_SEQ]!, syn), at, bytes);
  }

  /** Data that the PVM sent on or behind its SYN before the SVM's came takes part now that the streams are matched. */
  private storeHeld(flow: number): Outcome {
    const x = this.x;
    const hw = x.holds.words;
    for (let slot = x.flows.words[flow + X_HELD_HEAD]!; slot !== 0; slot = hw[x.holds.index(slot) + H_FLOW_NEXT]!) {
      const h = x.holds.index(slot);
      const syn = (hw[h + H_FLAGS]! & TCP_SYN) !== 0 ? 1 : 0;
      const bytes = (hw[h + H_END]! - hw[h + H_SEQ]! - syn) | 0;
      if (bytes <= 0) continue;
      const record = hw[h + H_RECORD]!;
      const r = x.log.recordIndex(record);
      const from = x.log.words[r + R_COPY]!;
      // A copy: what is logged of it may move the record itself.
      const packet = Buffer.from(x.log.data.subarray(from, from + x.log.words[r + R_COPY_BYTES]!));
      const l4 = hw[h + H_L4]!;
      const at = l4 + ((packet[l4 + 12]! >>> 4) << 2);
      const rest = x.stream.primary(flow, seqAdd(hw[h + H_SEQ]!, syn), packet, at, bytes);
      if (rest === DIFFERS) return DIVERGED;
      if (rest === 0) continue;
      const stored = x.stream.storePrimary(flow, record, 0, seqAdd(hw[h + H_END]!, -rest), packet, at + bytes - rest, rest);
      if (stored !== WAIT) return stored;
    }
    return WAIT;
  }

  private dropMalformed(id: number): Outcome {
    this.x.counters.values[C_PRIMARY_MALFORMED]!++;
    this.x.lastFlow = -1;
    this.x.drop(id);
    return EQUAL;
  }

  private dropUnclean(id: number): Outcome {
    this.x.counters.values[C_SIGNED_DROPPED]!++;
    this.x.lastFlow = -1;
    this.x.drop(id);
    return EQUAL;
  }

  /** While a checkpoint is awaited, a connection first seen now still has to know where it stands. */
  private startPaused(flow: number, v: PacketView): void {
    const w = this.x.flows.words;
    if ((w[flow + X_FLAGS]! & XF_BASED) !== 0 || v.payloadBytes === 0 || (v.flags & TCP_RST) !== 0) return;
    this.x.stream.range.startMidstream(flow, v.seq);
  }

  private flowOf(v: PacketView, nowMs: number): number {
    const x = this.x;
    let flow = x.flows.find(v, false);
    x.lastFlow = flow;
    if (flow >= 0) {
      if (x.isStale(flow)) {
        x.tcp.align(flow);
        x.flows.words[flow + X_EPOCH] = x.epoch;
      }
      return flow;
    }
    flow = x.insertFlow(v);
    x.lastFlow = flow;
    if (flow < 0) return -1;
    x.flows.words[flow + X_EPOCH] = x.epoch;
    x.flows.words[flow + FLOW_DEADLINE] = nowMs + TCP_TIMEOUTS.synReceivedMs;
    x.wheel.arm(flow);
    if ((v.flags & TCP_SYN) === 0) x.tcp.adopt(flow, x.deltas.find(v));
    return flow;
  }

  private keep(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): number {
    const end = seqAdd(v.seq, v.payloadBytes + ((v.flags & TCP_SYN) !== 0 ? 1 : 0));
    const x = this.x;
    const tail = (hold & HF_ACK_ONLY) !== 0 ? 0 : x.flows.words[flow + X_HELD_TAIL]!;
    if (tail !== 0 && seqDiff(v.seq, x.holds.words[x.holds.index(tail) + H_END]!) < 0) {
      x.flows.words[flow + X_FLAGS] = x.flows.words[flow + X_FLAGS]! | XF_DISORDER;
    }
    return x.hold(id, flow, v, buf, v.seq, end, hold, nowMs);
  }

  private holdDiverged(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): Outcome {
    this.keep(id, flow, v, buf, hold, nowMs);
    return DIVERGED;
  }

  /** How the SVM numbers this connection was forgotten: only a checkpoint brings the two together. */
  private holdUnknown(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): Outcome {
    this.x.counters.values[C_NUMBERS_UNKNOWN]!++;
    this.x.tcp.notePrimary(flow, v);
    this.startPaused(flow, v);
    this.x.difference.set(CheckpointCause.NOT_COMPARABLE, flow, v.seq);
    return this.holdDiverged(id, flow, v, buf, hold, nowMs);
  }

  /** Lets a packet out now. buf holds it and its frame's padding at [off, off+len), its TCP header at l4. */
  private leave(id: number, flow: number, buf: Buffer, off: number, len: number, l4: number, hold: number): void {
    if (this.x.prefixes.leaveInTwo(id, flow, buf, off, len, l4, hold)) return;
    const partial = (hold & HF_PARTIAL) !== 0;
    const lowered = this.x.release.lower(flow, buf, l4, hold & 0xff, partial);
    if (lowered || (hold & HF_DIRTY) !== 0) this.x.acceptRewritten(id, buf, off, len, partial);
    else this.x.accept(id, buf, off, len);
  }

  private leaveHeld(slot: number, nowMs: number): void {
    const x = this.x;
    const h = x.holds.index(slot);
    const hw = x.holds.words;
    const r = x.log.recordIndex(hw[h + H_RECORD]!);
    const copy = x.log.words[r + R_COPY]!;
    const head = (hw[h + H_FLAGS]! >>> HF_HEAD_SHIFT) & 0xff;
    const flow = hw[h + H_FLOW]!;
    const l4 = copy + hw[h + H_L4]!;
    let flags = hw[h + H_FLAGS]!;
    if (
      this.echo >= 0 &&
      (flags & (HF_ACK_ONLY | HF_SIGNED)) === HF_ACK_ONLY &&
      x.release.raiseEcho(x.log.data, l4, this.echo, (flags & HF_PARTIAL) !== 0)
    ) {
      flags |= HF_DIRTY;
    }
    x.counters.noteHold((nowMs - hw[h + H_TIME]!) | 0);
    noteHeldLeft(x, slot);
    if ((flags & HF_ACK_ONLY) === 0 && x.prefixes.leaveRest(flow, slot)) {
      x.holds.remove(slot);
      return;
    }
    this.leave(hw[h + H_ID]!, flow, x.log.data, copy + head, x.log.words[r + R_COPY_BYTES]! - head, l4, flags);
    x.holds.remove(slot);
  }

  /** Takes out of a PVM packet's header what nobody compares. MALFORMED; UNCLEAN; HF_DIRTY: bytes changed; HF_SIGNED; 0: nothing. */
  private clean(v: PacketView, partial: boolean): number {
    const { options, canon } = this;
    if (!canonicalTcp(v, options, partial, canon)) return MALFORMED;
    const counters = this.x.counters.values;
    if (options.signature) counters[C_SIGNATURE]!++;
    if (canon.refused) return UNCLEAN;
    counters[C_SACK_REMOVED]! += canon.sack;
    counters[C_MPTCP_REMOVED]! += canon.mptcp;
    counters[C_OPTIONS_REMOVED]! += canon.others;
    counters[C_FIELDS_CLEARED]! += canon.cleared;
    return (canon.changed ? HF_DIRTY : 0) | (options.signature ? HF_SIGNED : 0);
  }

  private synOptions(v: PacketView): TcpOptions {
    parseTcpOptions(v, this.options);
    return this.options;
  }
}
