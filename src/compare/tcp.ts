// TCP: two connections that must say the same. Payload goes to the stream comparator; this file matches the SYNs (and so
// the two numberings), and compares where the streams end (FIN) or break (RST). Not compared: IP header, checksums,
// timestamps, window, PSH and ECN, and the acknowledgement, which the release lowers to what both sides have given.

import type { FlowTable } from '../conntrack/flow-table';
import { MAX_POSITION_SPAN, MAX_SEGMENT_AHEAD } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';
import {
  LAST_KNOWN,
  X_BASE,
  X_DELTA,
  X_FLAGS,
  X_GAP,
  X_GAP_END,
  X_HISTORY,
  X_LAST_BYTE,
  X_LAST_END,
  X_ODD,
  X_PRIMARY_ACK,
  X_PRIMARY_FIN,
  X_PRIMARY_ISN,
  X_PRIMARY_NEXT,
  X_PRIMARY_RST,
  X_PRIMARY_SYN_ACK,
  X_PRIMARY_SYN_OPTIONS,
  X_PRIMARY_SYN_WINDOW,
  X_PRIMARY_URGENT,
  X_PRIMARY_WINDOW,
  X_RELEASED_ACK,
  X_RELEASED_EDGE,
  X_SECONDARY_ACK,
  X_SECONDARY_FIN,
  X_SECONDARY_ISN,
  X_SECONDARY_RST,
  X_SECONDARY_SYN_ACK,
  X_SECONDARY_SYN_OPTIONS,
  X_SECONDARY_SYN_WINDOW,
  X_SECONDARY_URGENT,
  X_SECONDARY_WINDOW,
  X_VERIFIED,
  XF_AHEAD,
  XF_BASED,
  XF_FAR_ACK,
  XF_HALF_OPEN,
  XF_MATCHED,
  XF_MIDSTREAM,
  XF_ODD,
  XF_PREFIX_NOTED,
  XF_PRIMARY_ACK,
  XF_PRIMARY_FIN,
  XF_PRIMARY_ISN,
  XF_PRIMARY_REFUSED,
  XF_PRIMARY_RST,
  XF_PRIMARY_SYN,
  XF_RELEASED,
  XF_SCALE,
  XF_SCALE_SHIFT,
  XF_SECONDARY_ACK,
  XF_SECONDARY_FIN,
  XF_SECONDARY_ISN,
  XF_SECONDARY_REFUSED,
  XF_SECONDARY_RST,
  XF_SECONDARY_SYN,
  XF_TSVAL,
  XF_UNKNOWN,
  XO_PRIMARY_OFFER,
  XO_PRIMARY_URGENT,
  XO_SECONDARY_OFFER,
  XO_SECONDARY_URGENT,
} from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EQUAL, type Outcome, WAIT } from './outcome';
import type { StreamComparator } from './stream';
import { sameSynOffer, synHasAck, synWindowScale } from './tcp-syn';
import { UrgentMarks } from './urgent';

const XF_PRIMARY_SIDE = XF_PRIMARY_ISN | XF_PRIMARY_FIN | XF_PRIMARY_RST | XF_PRIMARY_REFUSED;
const XO_OFFERS = XO_PRIMARY_OFFER | XO_SECONDARY_OFFER;
const SCALE_BITS = 15 << XF_SCALE_SHIFT;
const MAX_WINDOW_FIELD = 0xffff;
/** Stands beside the TCP flags of a RST that refuses a SYN: it has no number of its own, and the peer's SYN is all that it acknowledges. */
export const REFUSAL = 1 << 13;
/** What a flow may bear of a connection whose SYN was never seen. */
const XF_WITHOUT_SYN = XF_BASED | XF_MATCHED | XF_RELEASED | XF_PRIMARY_ACK | XF_PRIMARY_RST | XF_UNKNOWN;

/** Is it a RST that takes its number from the segment that it answers (RFC 9293 section 3.5.2)? */
export function hasPeersNumber(tcpFlags: number): boolean {
  return (tcpFlags & (TCP_RST | TCP_ACK)) === TCP_RST;
}

export class TcpComparator {
  private readonly urgent: UrgentMarks;

  constructor(
    private readonly flows: FlowTable,
    readonly stream: StreamComparator,
    private readonly difference: Difference,
    /** Somebody on the way translates the SVM's numbers into the PVM's, but for those of its SYNs. */
    private readonly translated: boolean,
  ) {
    this.urgent = new UrgentMarks(flows, stream, difference);
  }

  /** A connection first seen without SYN: its numbers are the same on both sides, differ by a remembered delta, or are not known (negative). */
  adopt(flow: number, delta: number): void {
    const w = this.flows.words;
    if (delta < 0) {
      w[flow + X_FLAGS] = w[flow + X_FLAGS]! | XF_UNKNOWN;
      return;
    }
    w[flow + X_FLAGS] = w[flow + X_FLAGS]! | XF_MATCHED;
    w[flow + X_DELTA] = delta;
  }

  /** True when this SYN has another ISN than the connection that the flow knows: the caller settles the old one first. */
  primaryReopens(flow: number, isn: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + X_FLAGS]!;
    return (flags & XF_PRIMARY_ISN) === 0 ? (flags & XF_WITHOUT_SYN) !== 0 : w[flow + X_PRIMARY_ISN] !== isn;
  }

  secondaryReopens(flow: number, isn: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + X_FLAGS]!;
    if ((flags & XF_SECONDARY_ISN) === 0) return (flags & XF_MATCHED) !== 0;
    // A SYN that is repeated when its number has become known is translated, too.
    if (this.translated && (flags & XF_MATCHED) !== 0 && w[flow + X_PRIMARY_ISN] === isn) return false;
    return w[flow + X_SECONDARY_ISN] !== isn;
  }

  /** The PVM's side of the flow starts anew. The SVM's SYN, if it came first, stays. */
  resetPrimary(flow: number): void {
    const w = this.flows.words;
    this.stream.dropPrimaryList(flow);
    w[flow + X_LAST_BYTE] = 0;
    w[flow + X_ODD] = 0;
    const flags = w[flow + X_FLAGS]!;
    // In lists, whatever becomes of the connection.
    let kept = XF_AHEAD | XF_PREFIX_NOTED;
    if ((flags & XF_SECONDARY_SYN) !== 0) kept |= XF_SECONDARY_SYN | XF_SECONDARY_ISN | XF_SECONDARY_ACK;
    else this.stream.dropSecondaryList(flow);
    w[flow + X_FLAGS] = flags & kept;
    w[flow + X_HISTORY] = 0;
  }

  /** The SVM's side starts anew: nothing that it said before belongs to what follows. */
  resetSecondary(flow: number): void {
    const w = this.flows.words;
    this.stream.dropSecondaryList(flow);
    w[flow + X_FLAGS] =
      w[flow + X_FLAGS]! &
      ~(
        XF_MATCHED |
        XF_SECONDARY_ACK |
        XF_SECONDARY_FIN |
        XF_SECONDARY_RST |
        XF_SECONDARY_REFUSED |
        XF_SECONDARY_ISN |
        XF_SECONDARY_SYN
      );
    this.setOdd(flow, w[flow + X_ODD]! & XO_PRIMARY_URGENT);
  }

  /**
   * First touch of a flow after a checkpoint: the SVM has become a copy of the PVM, so all that the PVM had said is covered,
   * and every counter of the SVM's side takes the PVM's value, the window too.
   */
  align(flow: number): void {
    const w = this.flows.words;
    const old = w[flow + X_FLAGS]!;
    let flags = (old & (XF_BASED | XF_MIDSTREAM | XF_PRIMARY_SIDE | XF_SCALE | XF_TSVAL | SCALE_BITS)) | XF_MATCHED;
    if ((old & XF_PRIMARY_ISN) !== 0) {
      flags |= XF_SECONDARY_ISN;
      w[flow + X_SECONDARY_ISN] = w[flow + X_PRIMARY_ISN]!;
      if ((old & XF_BASED) === 0) {
        const next = w[flow + X_PRIMARY_NEXT]!;
        this.stream.start(flow, seqAdd(w[flow + X_PRIMARY_ISN]!, 1));
        w[flow + X_PRIMARY_NEXT] = next;
        flags |= XF_BASED;
      }
    }
    w[flow + X_DELTA] = 0;
    if ((old & XF_PRIMARY_ACK) !== 0 && (old & XF_FAR_ACK) === 0) {
      flags |= XF_PRIMARY_ACK | XF_SECONDARY_ACK;
      w[flow + X_SECONDARY_ACK] = w[flow + X_PRIMARY_ACK]!;
      w[flow + X_SECONDARY_WINDOW] = w[flow + X_PRIMARY_WINDOW]!;
      // What was held left with the PVM's own numbers.
      flags |= XF_RELEASED;
      const scale = (old & XF_SCALE) !== 0 ? (old >>> XF_SCALE_SHIFT) & 15 : 0;
      w[flow + X_RELEASED_ACK] = w[flow + X_PRIMARY_ACK]!;
      w[flow + X_RELEASED_EDGE] = seqAdd(w[flow + X_PRIMARY_ACK]!, w[flow + X_PRIMARY_WINDOW]! << scale);
    }
    w[flow + X_SECONDARY_URGENT] = w[flow + X_PRIMARY_URGENT]!;
    w[flow + X_SECONDARY_SYN_OPTIONS] = w[flow + X_PRIMARY_SYN_OPTIONS]!;
    if ((old & XF_PRIMARY_FIN) !== 0) flags |= XF_SECONDARY_FIN;
    w[flow + X_SECONDARY_FIN] = w[flow + X_PRIMARY_FIN]!;
    if ((old & XF_PRIMARY_RST) !== 0) flags |= XF_SECONDARY_RST;
    if ((old & XF_PRIMARY_REFUSED) !== 0) flags |= XF_SECONDARY_REFUSED;
    w[flow + X_SECONDARY_RST] = w[flow + X_PRIMARY_RST]!;
    w[flow + X_SECONDARY_SYN_WINDOW] = w[flow + X_PRIMARY_SYN_WINDOW]!;
    w[flow + X_FLAGS] = flags;
    this.setOdd(flow, (w[flow + X_ODD]! & XO_PRIMARY_URGENT) !== 0 ? XO_PRIMARY_URGENT | XO_SECONDARY_URGENT : 0);
    this.stream.alignPrimary(flow, w[flow + X_PRIMARY_NEXT]!);
  }

  /** SYN of the PVM, new or repeated. EQUAL: matched; WAIT: the SVM's is missing. */
  primarySyn(flow: number, v: PacketView, options: number): Outcome {
    const w = this.flows.words;
    let flags = w[flow + X_FLAGS]!;
    if ((flags & XF_PRIMARY_ISN) === 0) {
      w[flow + X_PRIMARY_ISN] = v.seq;
      w[flow + X_PRIMARY_NEXT] = seqAdd(v.seq, 1);
      w[flow + X_GAP_END] = w[flow + X_GAP]!;
      flags |= XF_PRIMARY_ISN | XF_PRIMARY_SYN;
      flags &= ~XF_MATCHED;
    } else if ((flags & XF_ODD) !== 0 || !sameSynOffer(options, w[flow + X_PRIMARY_SYN_OPTIONS]!)) {
      const outcome = this.primaryOffer(flow, v, options);
      if (outcome !== EQUAL) return outcome;
      flags = w[flow + X_FLAGS]!;
    }
    w[flow + X_PRIMARY_SYN_OPTIONS] = options;
    w[flow + X_PRIMARY_SYN_ACK] = v.ack;
    w[flow + X_PRIMARY_SYN_WINDOW] = v.window;
    // A SYN/ACK that is repeated late takes nothing back.
    if ((flags & XF_PRIMARY_ACK) === 0) {
      w[flow + X_PRIMARY_WINDOW] = this.scaledSynWindow(v.window, options);
      if ((v.flags & TCP_ACK) !== 0) {
        w[flow + X_PRIMARY_ACK] = v.ack;
        flags |= XF_PRIMARY_ACK;
      }
    }
    w[flow + X_FLAGS] = flags;
    return this.matchSyns(flow);
  }

  /**
   * A SYN is repeated, and at least one side has changed what it offers (Windows offers less in its third). What is offered anew waits for
   * the other side to offer the same; what both have offered before may be repeated.
   */
  private primaryOffer(flow: number, v: PacketView, options: number): Outcome {
    const w = this.flows.words;
    const odd = w[flow + X_ODD]!;
    const same = sameSynOffer(options, w[flow + X_PRIMARY_SYN_OPTIONS]!);
    if (same) return (odd & XO_PRIMARY_OFFER) !== 0 ? WAIT : EQUAL;
    if ((odd & XO_SECONDARY_OFFER) !== 0 && sameSynOffer(options, w[flow + X_SECONDARY_SYN_OPTIONS]!)) {
      this.setOdd(flow, odd & ~XO_OFFERS);
      return EQUAL;
    }
    w[flow + X_PRIMARY_SYN_OPTIONS] = options;
    // A third offer, or one before the first was matched: what waits would leave on another's word.
    if ((w[flow + X_FLAGS]! & XF_MATCHED) === 0 || (odd & XO_OFFERS) !== 0) {
      return this.diverge(CheckpointCause.SYN_OPTIONS, flow, v.seq);
    }
    this.setOdd(flow, odd | XO_PRIMARY_OFFER);
    return WAIT;
  }

  /** The same for the SVM, which has matched before. */
  private secondaryOffer(flow: number, options: number): Outcome {
    const w = this.flows.words;
    const odd = w[flow + X_ODD]!;
    if (sameSynOffer(options, w[flow + X_SECONDARY_SYN_OPTIONS]!)) return EQUAL;
    if ((odd & XO_PRIMARY_OFFER) !== 0 && sameSynOffer(options, w[flow + X_PRIMARY_SYN_OPTIONS]!)) {
      this.setOdd(flow, odd & ~XO_OFFERS);
      w[flow + X_SECONDARY_SYN_OPTIONS] = options;
      return EQUAL;
    }
    w[flow + X_SECONDARY_SYN_OPTIONS] = options;
    if ((odd & XO_OFFERS) !== 0) return this.diverge(CheckpointCause.SYN_OPTIONS, flow, w[flow + X_PRIMARY_ISN]!);
    this.setOdd(flow, odd | XO_SECONDARY_OFFER);
    return EQUAL;
  }

  /** SYN of the SVM, new or repeated. */
  secondarySyn(flow: number, v: PacketView, options: number): Outcome {
    const w = this.flows.words;
    let flags = w[flow + X_FLAGS]!;
    if ((flags & XF_MATCHED) !== 0) {
      const outcome = this.secondaryOffer(flow, options);
      if (outcome !== EQUAL) return outcome;
      flags = w[flow + X_FLAGS]!;
    }
    if ((flags & XF_SECONDARY_ISN) === 0) {
      w[flow + X_SECONDARY_ISN] = v.seq;
      flags |= XF_SECONDARY_ISN | XF_SECONDARY_SYN;
    }
    w[flow + X_SECONDARY_SYN_OPTIONS] = options;
    w[flow + X_SECONDARY_SYN_ACK] = v.ack;
    if ((flags & XF_SECONDARY_SYN) !== 0) {
      w[flow + X_SECONDARY_SYN_WINDOW] = v.window;
      w[flow + X_SECONDARY_WINDOW] = this.scaledSynWindow(v.window, options);
      if ((v.flags & TCP_ACK) !== 0) {
        w[flow + X_SECONDARY_ACK] = v.ack;
        flags |= XF_SECONDARY_ACK;
      }
    }
    w[flow + X_FLAGS] = flags;
    return this.matchSyns(flow);
  }

  /** Notes what a PVM segment (no SYN) says about acknowledgement, window and ends; EQUAL or DIVERGED. */
  notePrimary(flow: number, v: PacketView): Outcome {
    const w = this.flows.words;
    let flags = w[flow + X_FLAGS]!;
    if ((v.flags & TCP_RST) !== 0) {
      w[flow + X_PRIMARY_RST] = v.seq;
      flags = (v.flags & REFUSAL) !== 0 ? flags | XF_PRIMARY_REFUSED : flags & ~XF_PRIMARY_REFUSED;
      w[flow + X_FLAGS] = flags | XF_PRIMARY_RST;
      return this.compareRst(flow);
    }
    if ((v.flags & TCP_ACK) !== 0) flags = this.notePrimaryAck(flow, flags, v.ack, v.window);
    const end = seqAdd(v.seq, v.payloadBytes);
    if (v.payloadBytes > 0 || (v.flags & TCP_FIN) !== 0) {
      if ((flags & (XF_BASED | XF_PRIMARY_ISN)) !== 0 && v.seq !== w[flow + X_PRIMARY_NEXT]) {
        this.notePlace(flow, flags, v.seq, end);
      } else w[flow + X_PRIMARY_NEXT] = end;
    }
    if ((v.flags & TCP_FIN) !== 0) {
      if ((flags & XF_BASED) === 0 && v.payloadBytes === 0) {
        w[flow + X_FLAGS] = flags;
        this.stream.start(flow, v.seq);
        flags = w[flow + X_FLAGS]!;
      }
      w[flow + X_PRIMARY_FIN] = end;
      flags |= XF_PRIMARY_FIN;
    }
    w[flow + X_FLAGS] = flags;
    if (((v.flags & TCP_URG) | (flags & XF_ODD)) !== 0 && this.urgent.primary(flow, v, end) === DIVERGED)
      return DIVERGED;
    return this.compareEnds(flow);
  }

  /** Does the SVM's acknowledgement say once more what its last has said? To be asked before noteSecondary(). */
  secondaryRepeatsAck(flow: number, v: PacketView): boolean {
    const w = this.flows.words;
    return (
      (w[flow + X_FLAGS]! & XF_SECONDARY_ACK) !== 0 &&
      v.ack === w[flow + X_SECONDARY_ACK] &&
      v.window === w[flow + X_SECONDARY_WINDOW]
    );
  }

  /** The same for the SVM; seq is already in the PVM's numbers. */
  noteSecondary(flow: number, v: PacketView, seq: number): Outcome {
    const w = this.flows.words;
    let flags = w[flow + X_FLAGS]!;
    if ((v.flags & TCP_ACK) !== 0) {
      // That of a RST grants nothing.
      const window = (v.flags & TCP_RST) !== 0 ? 0 : v.window;
      if ((flags & XF_SECONDARY_ACK) === 0) {
        w[flow + X_SECONDARY_ACK] = v.ack;
        w[flow + X_SECONDARY_WINDOW] = window;
        flags |= XF_SECONDARY_ACK;
      } else if (seqDiff(v.ack, w[flow + X_SECONDARY_ACK]!) >= 0) {
        // A segment that was overtaken on the way must not bring back an old window.
        w[flow + X_SECONDARY_ACK] = v.ack;
        w[flow + X_SECONDARY_WINDOW] = window;
      }
    }
    if ((v.flags & TCP_RST) !== 0) {
      w[flow + X_SECONDARY_RST] = seq;
      flags = (v.flags & REFUSAL) !== 0 ? flags | XF_SECONDARY_REFUSED : flags & ~XF_SECONDARY_REFUSED;
      w[flow + X_FLAGS] = flags | XF_SECONDARY_RST;
      return this.compareRst(flow);
    }
    const end = seqAdd(seq, v.payloadBytes);
    if ((v.flags & TCP_FIN) !== 0) {
      w[flow + X_SECONDARY_FIN] = end;
      flags |= XF_SECONDARY_FIN;
    }
    w[flow + X_FLAGS] = flags;
    if (((v.flags & TCP_URG) | (flags & XF_ODD)) !== 0 && this.urgent.secondary(flow, v, seq, end) === DIVERGED) {
      return DIVERGED;
    }
    if ((flags & XF_PRIMARY_FIN) !== 0 && v.payloadBytes > 0 && seqDiff(end, w[flow + X_PRIMARY_FIN]!) > 0) {
      return this.diverge(CheckpointCause.FIN, flow, w[flow + X_PRIMARY_FIN]!);
    }
    return this.compareEnds(flow);
  }

  /**
   * A segment of content without SYN, FIN or RST that both sides have sent, the next of an even stream (StreamComparator.isEven):
   * what notePrimary and noteSecondary would note.
   */
  noteAgreed(flow: number, v: PacketView, secondaryAck: number, secondaryWindow: number): void {
    const w = this.flows.words;
    const flags = this.notePrimaryAck(flow, w[flow + X_FLAGS]!, v.ack, v.window);
    if ((flags & XF_SECONDARY_ACK) === 0 || seqDiff(secondaryAck, w[flow + X_SECONDARY_ACK]!) >= 0) {
      w[flow + X_SECONDARY_ACK] = secondaryAck;
      w[flow + X_SECONDARY_WINDOW] = secondaryWindow;
    }
    w[flow + X_FLAGS] = flags | XF_SECONDARY_ACK;
    const end = seqAdd(v.seq, v.payloadBytes);
    if (seqDiff(end, w[flow + X_PRIMARY_NEXT]!) > 0) w[flow + X_PRIMARY_NEXT] = end;
    this.noteLeft(flow, end, v.buf[v.end - 1]!);
  }

  /** Content of the PVM has left, up to `end`, with this byte last. */
  noteLeft(flow: number, end: number, byte: number): void {
    const w = this.flows.words;
    if (w[flow + X_LAST_BYTE] !== 0 && seqDiff(end, w[flow + X_LAST_END]!) <= 0) return;
    w[flow + X_LAST_BYTE] = LAST_KNOWN | byte;
    w[flow + X_LAST_END] = end;
  }

  /** Is this one byte in the place of the one furthest on that has left, as a keepalive is? */
  repeatsLastByte(flow: number, v: PacketView): boolean {
    const w = this.flows.words;
    const end = seqAdd(v.seq, 1);
    return (
      w[flow + X_LAST_BYTE] !== 0 &&
      w[flow + X_LAST_END] === end &&
      (v.flags | TCP_PSH) === (TCP_ACK | TCP_PSH) &&
      this.isVerified(flow, v.seq, end, v.flags)
    );
  }

  /** Has one side repeated its SYN with an offer that the other has not made yet? Nothing said on it may leave, not even in part. */
  offersDiffer(flow: number): boolean {
    return (this.flows.words[flow + X_ODD]! & XO_OFFERS) !== 0;
  }

  /** May a PVM packet with this content leave, as far as content goes? `end` is behind its payload. */
  isVerified(flow: number, seq: number, end: number, tcpFlags: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + X_FLAGS]!;
    // The number of a RST without ACK is its peer's, so it is the same on both sides or means another segment.
    if ((flags & XF_MATCHED) === 0 && ((flags & XF_UNKNOWN) === 0 || !hasPeersNumber(tcpFlags) || end !== seq)) return false;
    if (this.offersDiffer(flow) || ((tcpFlags & TCP_URG) !== 0 && !this.urgent.agree(flow))) return false;
    if ((tcpFlags & TCP_SYN) !== 0 && seq !== w[flow + X_PRIMARY_ISN]) return false;
    if ((tcpFlags & TCP_RST) !== 0) {
      if ((flags & XF_SECONDARY_RST) === 0 || w[flow + X_SECONDARY_RST] !== seq) return false;
      if (((flags & XF_SECONDARY_REFUSED) !== 0) !== ((tcpFlags & REFUSAL) !== 0)) return false;
      // A RST may bear bytes, too (RFC 9293 section 3.5.3).
      return end === seq || this.stream.isVerified(flow, seq, end);
    }
    const from = (tcpFlags & TCP_SYN) !== 0 ? seqAdd(seq, 1) : seq;
    if (end !== from || (tcpFlags & TCP_FIN) !== 0) {
      if (!this.stream.isVerified(flow, from, end)) return false;
    }
    if ((tcpFlags & TCP_FIN) !== 0) return (flags & XF_SECONDARY_FIN) !== 0 && w[flow + X_SECONDARY_FIN] === end;
    return true;
  }

  /**
   * What the PVM has acknowledged is what a checkpoint covers. One that lies further on than its peer could have sent since the
   * last was no acknowledgement of this connection's: after a checkpoint the SVM has to say where it stands. Returns the flags.
   */
  private notePrimaryAck(flow: number, flags: number, ack: number, window: number): number {
    const w = this.flows.words;
    if ((flags & XF_PRIMARY_ACK) !== 0) {
      const ahead = seqDiff(ack, w[flow + X_PRIMARY_ACK]!);
      const most = (flags & XF_SCALE) !== 0 ? MAX_WINDOW_FIELD << ((flags >>> XF_SCALE_SHIFT) & 15) : MAX_SEGMENT_AHEAD;
      // The peer's FIN takes a number and no room.
      if (ahead > most + 1 || ahead < -MAX_POSITION_SPAN) flags |= XF_FAR_ACK;
      else if (ahead < 0) return flags;
    }
    w[flow + X_PRIMARY_ACK] = ack;
    w[flow + X_PRIMARY_WINDOW] = window;
    return flags | XF_PRIMARY_ACK;
  }

  /** A segment of the PVM that is not simply the next: which places may it have passed by, and which has it come back to? */
  private notePlace(flow: number, flags: number, seq: number, end: number): void {
    const w = this.flows.words;
    const next = w[flow + X_PRIMARY_NEXT]!;
    const beyond = seqDiff(end, next);
    let gap = w[flow + X_GAP]!;
    let gapEnd = w[flow + X_GAP_END]!;
    const whole = gap === gapEnd;
    if (beyond > MAX_SEGMENT_AHEAD || beyond < -MAX_POSITION_SPAN) {
      // Further away than any window allows: of what lies before it nothing is known.
      gap = seqAdd(seq, -1);
      gapEnd = seq;
      w[flow + X_PRIMARY_NEXT] = end;
    } else if (seqDiff(seq, next) > 0) {
      if (whole) gap = next;
      gapEnd = seq;
      w[flow + X_PRIMARY_NEXT] = end;
    } else {
      if ((flags & XF_BASED) !== 0 && seqDiff(end, w[flow + X_BASE]!) < 0) {
        gap = end;
        if (whole) gapEnd = w[flow + X_BASE]!;
      } else if (!whole && seqDiff(end, gapEnd) >= 0) {
        if (seqDiff(seq, gapEnd) < 0) gapEnd = seqDiff(seq, gap) > 0 ? seq : gap;
      } else if (!whole && seqDiff(seq, gap) <= 0 && seqDiff(end, gap) > 0) gap = end;
      if (beyond > 0) w[flow + X_PRIMARY_NEXT] = end;
    }
    w[flow + X_GAP] = gap;
    w[flow + X_GAP_END] = gapEnd;
  }

  private scaledSynWindow(window: number, options: number): number {
    // A SYN's own window is never scaled, every later one is: keep it in the later ones' unit.
    const scale = synWindowScale(options);
    return scale > 0 ? window >>> scale : window;
  }

  private matchSyns(flow: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + X_FLAGS]!;
    if ((flags & XF_MATCHED) !== 0) return EQUAL;
    const both = XF_PRIMARY_SYN | XF_SECONDARY_SYN;
    if ((flags & both) !== both) return WAIT;
    const primary = w[flow + X_PRIMARY_SYN_OPTIONS]!;
    const secondary = w[flow + X_SECONDARY_SYN_OPTIONS]!;
    // Answers to different SYNs of the peer: one of them is old, the newer pair is still to come.
    if (synHasAck(primary) && synHasAck(secondary) && w[flow + X_PRIMARY_SYN_ACK] !== w[flow + X_SECONDARY_SYN_ACK]) {
      return WAIT;
    }
    if (primary !== secondary) return this.diverge(CheckpointCause.SYN_OPTIONS, flow, w[flow + X_PRIMARY_ISN]!);
    const delta = seqDiff(w[flow + X_PRIMARY_ISN]!, w[flow + X_SECONDARY_ISN]!) >>> 0;
    w[flow + X_DELTA] = this.translated ? 0 : delta;
    w[flow + X_FLAGS] = (flags & ~both) | XF_MATCHED | XF_HALF_OPEN;
    this.stream.start(flow, seqAdd(w[flow + X_PRIMARY_ISN]!, 1));
    this.stream.renumberSecondary(flow, delta);
    const scale = synWindowScale(primary);
    // Only a SYN/ACK shows that both ends scale; on a SYN the peer may still decline.
    if (synHasAck(primary)) {
      w[flow + X_FLAGS] = w[flow + X_FLAGS]! | XF_SCALE | ((scale < 0 ? 0 : scale) << XF_SCALE_SHIFT);
    }
    return EQUAL;
  }

  private compareEnds(flow: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + X_FLAGS]!;
    if ((flags & XF_SECONDARY_FIN) === 0) return EQUAL;
    const fin = w[flow + X_SECONDARY_FIN]!;
    if ((flags & XF_PRIMARY_FIN) !== 0 && w[flow + X_PRIMARY_FIN] !== fin) {
      return this.diverge(CheckpointCause.FIN, flow, fin);
    }
    if ((flags & XF_BASED) !== 0 && seqDiff(w[flow + X_PRIMARY_NEXT]!, fin) > 0) {
      return this.diverge(CheckpointCause.FIN, flow, fin);
    }
    return EQUAL;
  }

  private compareRst(flow: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + X_FLAGS]!;
    // Unequal RSTs may be answers to different stray segments whose counterparts are still to come: they wait.
    // One side refuses what the other accepts.
    if ((flags & (XF_PRIMARY_SYN | XF_SECONDARY_SYN)) !== 0 && (flags & XF_MATCHED) === 0) {
      return this.diverge(CheckpointCause.RST, flow, w[flow + X_PRIMARY_ISN]!);
    }
    // The SVM broke off before what the PVM went on to say.
    if (
      (flags & (XF_SECONDARY_RST | XF_SECONDARY_REFUSED)) === XF_SECONDARY_RST &&
      (flags & XF_BASED) !== 0 &&
      seqDiff(w[flow + X_SECONDARY_RST]!, w[flow + X_VERIFIED]!) <= 0 &&
      seqDiff(w[flow + X_PRIMARY_NEXT]!, w[flow + X_VERIFIED]!) > 0
    ) {
      return this.diverge(CheckpointCause.RST, flow, w[flow + X_VERIFIED]!);
    }
    return EQUAL;
  }

  private setOdd(flow: number, odd: number): void {
    const w = this.flows.words;
    w[flow + X_ODD] = odd;
    w[flow + X_FLAGS] = odd === 0 ? w[flow + X_FLAGS]! & ~XF_ODD : w[flow + X_FLAGS]! | XF_ODD;
  }

  private diverge(cause: CheckpointCause, flow: number, position: number): Outcome {
    this.difference.set(cause, flow, position);
    return DIVERGED;
  }
}
