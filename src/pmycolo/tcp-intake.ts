// TCP packets of both sides on their way into the comparison.

import * as f from '../compare/flow-words';
import { CheckpointCause, DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import { DIFFERS } from '../compare/stream';
import { hasPeersNumber, REFUSAL } from '../compare/tcp';
import { FLOW_DEADLINE } from '../conntrack/flow-table';
import { TCP_TIMEOUTS } from '../conntrack/timeouts';
import { read32 } from '../core/big-endian';
import { MAX_PROBE_SOURCE_BYTES } from '../core/limits';
import { seqAdd } from '../core/seq32';
import { isPlainTcp } from '../packet/tcp-canon';
import { TSECR_FROM_TSVAL } from '../packet/tcp-header';
import { timestampOffset } from '../packet/tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';
import type { PrimaryContext } from './context';
import {
  C_COMPARED,
  C_KEEPALIVE_RESTORED,
  C_LATE_RESET_DROPPED,
  C_NUMBERS_UNKNOWN,
  C_PRIMARY_MALFORMED,
  C_SECONDARY_LOG_FULL,
  C_SECONDARY_MALFORMED,
  C_SECONDARY_UNMATCHED,
  C_SIGNED_DROPPED,
} from './counters';
import { Cost, type FlowHandler, NO_ROOM, REFUSED } from './flow-handler';
import { complete, completesHandshake } from './handshake';
import { HF_ACK_ONLY, HF_DIRTY, HF_PARTIAL, HF_SIGNED, HF_TCP, holdFlags } from './holds';
import { restoreLastByte } from './keepalive';
import { PlainWay } from './plain-way';
import { leaveAsProbe } from './probe';
import { MALFORMED, TcpClean, UNCLEAN } from './tcp-clean';
import { NO_ECHO, TcpOutlet } from './tcp-outlet';
import { TcpSynIntake } from './tcp-syn-intake';

/** A RST that refuses a SYN (RFC 9293 section 3.10.7.1): it has no sequence number of its own. */
function isRefusal(v: PacketView): boolean {
  return v.seq === 0 && (v.flags & (TCP_RST | TCP_ACK)) === (TCP_RST | TCP_ACK);
}

/**
 * The SYN that it acknowledges distinguishes refusals; as an acknowledgement of the connection it counts for nothing.
 */
function nameRefusal(v: PacketView): void {
  v.seq = v.ack;
  v.flags = TCP_RST | REFUSAL;
}

function isPureAck(v: PacketView): boolean {
  return v.payloadBytes === 0 && (v.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) === TCP_ACK;
}

const BOTH_ENDS = f.XF_PRIMARY_FIN | f.XF_SECONDARY_FIN;
const ENDS_AND_RESETS = BOTH_ENDS | f.XF_PRIMARY_RST | f.XF_SECONDARY_RST;

export class TcpIntake implements FlowHandler {
  private readonly outlet: TcpOutlet;
  private readonly syns: TcpSynIntake;
  private readonly cleaner: TcpClean;
  private readonly plain: PlainWay;

  constructor(private readonly x: PrimaryContext) {
    this.outlet = new TcpOutlet(x);
    this.syns = new TcpSynIntake(x, this.outlet);
    this.cleaner = new TcpClean(x.counters);
    this.plain = new PlainWay(x, this.outlet);
  }

  admit(v: PacketView, partial: boolean, comparing: boolean): number {
    let hold = holdFlags(v, partial) | HF_TCP;
    if (!isPlainTcp(v)) {
      const cleaned = this.cleaner.clean(v, partial);
      if (cleaned === MALFORMED) return this.refuse(C_PRIMARY_MALFORMED);
      if (cleaned === UNCLEAN) {
        // What is held now leaves by the checkpoint, which covers all of it.
        if (comparing) return this.refuse(C_SIGNED_DROPPED);
        hold |= HF_SIGNED;
      } else hold |= cleaned;
    }
    // No TCP sends this, and a peer would obey its RST.
    if ((v.flags & TCP_SYN) !== 0 && (v.flags & (TCP_RST | TCP_FIN)) !== 0) return this.refuse(C_PRIMARY_MALFORMED);
    return hold;
  }

  admitSecondary(v: PacketView): boolean {
    if ((v.flags & TCP_SYN) === 0 || this.syns.isWellFormed(v)) return true;
    this.x.counters.values[C_SECONDARY_MALFORMED]!++;
    return false;
  }

  flowOf(v: PacketView, nowMs: number): number {
    const x = this.x;
    const known = x.flows.find(v, false);
    if (known >= 0) {
      if (x.isStale(known)) x.alignTcp(known);
      return known;
    }
    const flow = x.insertFlow(v);
    if (flow < 0) return NO_ROOM;
    x.flows.words[flow + f.X_EPOCH] = x.epoch;
    x.flows.words[flow + FLOW_DEADLINE] = nowMs + TCP_TIMEOUTS.synReceivedMs;
    x.wheel.arm(flow);
    if ((v.flags & TCP_SYN) === 0) x.tcp.life.adopt(flow, x.deltas.find(v));
    return flow;
  }

  /** A PVM packet. `comparing` is false while a checkpoint is awaited: then it is only noted and held. */
  primary(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    hold: number,
    comparing: boolean,
    nowMs: number,
  ): Outcome {
    if (comparing && this.plain.primary(id, flow, v, buf, hold, nowMs)) return WAIT;
    const { x, outlet } = this;
    x.tracker.packet(flow, false, v.flags, v.seq, nowMs);
    if (isRefusal(v)) nameRefusal(v);
    hold |= v.flags;
    if ((v.flags & TCP_SYN) !== 0) return this.syns.primary(id, flow, v, buf, hold, comparing, nowMs);
    if (!comparing) {
      // Noted first: where the PVM's stream ends is known from its first packet, not by comparison with what was never
      // set.
      x.tcp.notePrimary(flow, v);
      this.startPaused(flow, v);
      return outlet.keep(id, flow, v, buf, hold, nowMs) === 0 ? EXHAUSTED : WAIT;
    }
    const flags = x.flows.words[flow + f.X_FLAGS]!;
    if ((flags & (f.XF_UNKNOWN | f.XF_HALF_OPEN)) !== 0) {
      if ((flags & f.XF_UNKNOWN) !== 0 && (!hasPeersNumber(v.flags) || v.payloadBytes > 0)) {
        return this.holdUnknown(id, flow, v, buf, hold, nowMs);
      }
      if (completesHandshake(x, flow, v)) complete(x, flow);
    }
    const noted = x.tcp.notePrimary(flow, v);
    if (noted === DIVERGED) return outlet.holdDiverged(id, flow, v, buf, hold, nowMs);
    if ((flags & ENDS_AND_RESETS) === BOTH_ENDS && this.isOfForgotten(flow, v)) {
      x.counters.values[C_LATE_RESET_DROPPED]!++;
      x.drop(id);
      return EQUAL;
    }
    if (v.payloadBytes === 0 && (v.flags & (TCP_FIN | TCP_RST | TCP_URG)) === 0) {
      if (x.flows.words[flow + f.X_ACKS_HEAD] === 0 && x.release.ackMayLeave(flow, v.ack, v.window)) {
        outlet.leaveNow(id, flow, v, buf, hold);
        return EQUAL;
      }
      // The peer has sent again what the PVM has, because it was not told what the SVM has: this one tells it, the
      // first waits.
      if (outlet.repeatsHeldAck(flow, v.ack) && x.release.ackBringsNews(flow, v.window)) {
        outlet.leaveNow(id, flow, v, buf, hold);
        return EQUAL;
      }
      return outlet.keep(id, flow, v, buf, hold | HF_ACK_ONLY, nowMs) === 0 ? EXHAUSTED : WAIT;
    }
    /** Bytes at its end that the SVM has not sent. */
    let rest = 0;
    const matched = (x.flows.words[flow + f.X_FLAGS]! & f.XF_MATCHED) !== 0;
    // Where a reset stands, its peer may have had a say in: a stream that is not known yet does not begin there.
    const placed = (v.flags & TCP_RST) === 0 || (x.flows.words[flow + f.X_FLAGS]! & f.XF_BASED) !== 0;
    if (v.payloadBytes > 0 && matched && !placed) {
      // Nor do its bytes have a place to be compared at.
      x.difference.set(CheckpointCause.RST, flow, v.seq);
      return outlet.holdDiverged(id, flow, v, buf, hold, nowMs);
    }
    if (v.payloadBytes === 1 && x.tcp.repeatsLastByte(flow, v)) {
      if (restoreLastByte(x.flows, flow, v, (hold & HF_PARTIAL) !== 0)) {
        x.counters.values[C_KEEPALIVE_RESTORED]!++;
        hold |= HF_DIRTY;
      }
    } else if (v.payloadBytes > 0 && matched) {
      x.counters.values[C_COMPARED]!++;
      rest = x.stream.primary(flow, v.seq, buf, v.payload, v.payloadBytes);
      if (rest === DIFFERS) return outlet.holdDiverged(id, flow, v, buf, hold, nowMs);
    }
    const end = seqAdd(v.seq, v.payloadBytes);
    if (
      rest === 0 &&
      x.tcp.isVerified(flow, v.seq, end, v.flags) &&
      x.release.contentMayLeave(flow, v.flags) &&
      x.release.endMayLeave(flow, v.flags, v.ack)
    ) {
      if (v.payloadBytes > 0) x.tcp.noteLeft(flow, end, buf[v.end - 1]!);
      outlet.leaveNow(id, flow, v, buf, hold);
      // What this packet brought (a FIN, an end) may have been all that others waited for.
      if (x.flows.words[flow + f.X_HELD_HEAD] !== 0) outlet.releaseReady(flow, NO_ECHO, nowMs);
      return EQUAL;
    }
    if (
      rest > 0 &&
      (hold & HF_SIGNED) === 0 &&
      outlet.isBehindHeld(flow, v.seq) &&
      (v.flags & (TCP_FIN | TCP_RST | TCP_ACK)) === TCP_ACK &&
      v.end - v.start <= MAX_PROBE_SOURCE_BYTES &&
      x.release.contentMayLeave(flow, v.flags) &&
      x.stream.repeatsPending(flow, seqAdd(end, -rest), buf, v.end - rest, rest)
    ) {
      leaveAsProbe(x, id, flow, v, buf);
      // Its beginning may have filled a gap that others waited behind.
      outlet.releaseReady(flow, NO_ECHO, nowMs);
      return WAIT;
    }
    const record = outlet.keep(id, flow, v, buf, hold, nowMs);
    if (record === 0) return EXHAUSTED;
    if (rest > 0) {
      const stored = x.stream.storePrimary(flow, record, v.start - v.head, seqAdd(end, -rest), buf, v.end - rest, rest);
      if (stored !== WAIT) return stored;
      outlet.releaseReady(flow, NO_ECHO, nowMs);
    } else x.prefixes.note(flow, NO_ECHO, nowMs);
    return WAIT;
  }

  /**
   * Both guests have ended their streams, and the PVM has forgotten the connection: so it answers a segment of a peer
   * that knows all it said, which the SVM need not have forgotten at the same time. The first such reset is as if lost:
   * a peer that waits for an answer asks again, and the next is held and compared.
   */
  private isOfForgotten(flow: number, v: PacketView): boolean {
    if ((v.flags & TCP_RST) === 0 || !hasPeersNumber(v.flags) || v.payloadBytes > 0) return false;
    return v.seq === seqAdd(this.x.flows.words[flow + f.X_PRIMARY_FIN]!, 1);
  }

  /** An SVM packet while comparing. */
  secondary(flow: number, v: PacketView, buf: Buffer, nowMs: number): Outcome {
    if (this.plain.secondary(flow, v, buf, nowMs)) return EQUAL;
    const { x, outlet } = this;
    if ((v.flags & TCP_SYN) !== 0) return this.syns.secondary(flow, v, buf, nowMs);
    const w = x.flows.words;
    const refusal = isRefusal(v);
    if (refusal) nameRefusal(v);
    if ((w[flow + f.X_FLAGS]! & f.XF_MATCHED) === 0) {
      if ((v.flags & TCP_RST) !== 0 && (w[flow + f.X_FLAGS]! & f.XF_PRIMARY_SYN) !== 0) {
        return x.tcp.noteSecondary(flow, v, v.seq);
      }
      if ((w[flow + f.X_FLAGS]! & f.XF_UNKNOWN) !== 0 && hasPeersNumber(v.flags)) {
        const noted = x.tcp.noteSecondary(flow, v, v.seq);
        outlet.releaseReady(flow, NO_ECHO, nowMs);
        return noted;
      }
      x.counters.values[C_SECONDARY_UNMATCHED]!++;
      return EQUAL;
    }
    const seq = refusal ? v.seq : seqAdd(v.seq, w[flow + f.X_DELTA]!);
    const acksWait = w[flow + f.X_ACKS_HEAD] !== 0;
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
      x.tcp.notePushed(flow, (v.flags & (TCP_PSH | TCP_FIN)) !== 0);
    }
    let echo = NO_ECHO;
    if (acksWait || w[flow + f.X_HELD_HEAD] !== 0) {
      const at = timestampOffset(buf, v.l4);
      if (at >= 0) echo = read32(buf, at + TSECR_FROM_TSVAL);
    }
    outlet.releaseReady(flow, echo, nowMs);
    if (repeats) outlet.repeatAck(flow, echo, nowMs);
    return EQUAL;
  }

  isAhead(flow: number): boolean {
    const w = this.x.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    const odd = w[flow + f.X_ODD]!;
    if ((flags & f.XF_SECONDARY_SYN) !== 0 || (odd & f.XO_SECONDARY_OFFER) !== 0) return true;
    if ((odd & f.XO_PEER_RESET) !== 0) return false;
    const ends = flags & (f.XF_PRIMARY_FIN | f.XF_SECONDARY_FIN);
    if (ends === f.XF_SECONDARY_FIN) return true;
    // Where both have ended, a reset says that the SVM has forgotten the connection, which the PVM need not have at the
    // same time.
    if (ends === 0 || ends === f.XF_PRIMARY_FIN) {
      if ((flags & (f.XF_PRIMARY_RST | f.XF_SECONDARY_RST)) === f.XF_SECONDARY_RST) return true;
    }
    return this.x.stream.secondaryAhead(flow);
  }

  aheadMark(flow: number): number {
    return this.x.flows.words[flow + f.X_VERIFIED]!;
  }

  firstUnverified(flow: number): number {
    return this.outlet.firstUnverified(flow);
  }

  onMove(flow: number, oldId: number, newId: number): void {
    this.x.stream.onMove(flow, oldId, newId);
  }

  leavesUncompared(slot: number): boolean {
    return this.outlet.leavesUncompared(slot);
  }

  settleHeld(flow: number, released: boolean): void {
    const { flows, stream, deltas } = this.x;
    const w = flows.words;
    // A SYN that leaves alone begins a connection that the SVM may number otherwise.
    if (released && (w[flow + f.X_FLAGS]! & f.XF_MATCHED) === 0) deltas.incomplete();
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) === 0) return;
    if (released) stream.coverPrimary(flow, w[flow + f.X_PRIMARY_NEXT]!);
    else {
      stream.dropPrimaryPending(flow);
      stream.range.retract(flow);
    }
  }

  costToForget(flow: number): Cost {
    const { tracker, flows } = this.x;
    const complete = this.x.isStale(flow) || (flows.words[flow + f.X_FLAGS]! & f.XF_HALF_OPEN) === 0;
    return complete && tracker.phase(flow) === 'established' ? Cost.Open : Cost.Handshake;
  }

  /** A connection that has not ended for certain may go on after a long silence, and be known by its numbers still. */
  forget(flow: number): void {
    const { tracker, deltas, flows } = this.x;
    const phase = tracker.phase(flow);
    if (phase === 'new' || phase === 'established') return;
    // Also what a checkpoint covers: then its delta is void.
    if (this.x.isStale(flow) || this.wasReset(flow)) deltas.remove(flows.words, flow);
    else deltas.left(flows.words, flow);
  }

  /** Have both guests reset it? */
  private wasReset(flow: number): boolean {
    const w = this.x.flows.words;
    const both = f.XF_MATCHED | f.XF_PRIMARY_RST | f.XF_SECONDARY_RST;
    return (w[flow + f.X_FLAGS]! & both) === both && w[flow + f.X_PRIMARY_RST] === w[flow + f.X_SECONDARY_RST];
  }

  private refuse(counter: number): number {
    this.x.counters.values[counter]!++;
    return REFUSED;
  }

  /** While a checkpoint is awaited, a connection first seen now still has to know where it stands. */
  private startPaused(flow: number, v: PacketView): void {
    const w = this.x.flows.words;
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) !== 0 || v.payloadBytes === 0 || (v.flags & TCP_RST) !== 0) return;
    this.x.stream.range.startMidstream(flow, v.seq);
  }

  /** How the SVM numbers this connection was forgotten: only a checkpoint brings the two together. */
  private holdUnknown(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): Outcome {
    this.x.counters.values[C_NUMBERS_UNKNOWN]!++;
    this.x.tcp.notePrimary(flow, v);
    this.startPaused(flow, v);
    this.x.difference.set(CheckpointCause.NOT_COMPARABLE, flow, v.seq);
    return this.outlet.holdDiverged(id, flow, v, buf, hold, nowMs);
  }
}
