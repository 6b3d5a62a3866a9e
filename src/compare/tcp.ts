// TCP: two connections that must send the same. The SYNs, and so the two numberings, are matched by syn-match, payload
// goes to the stream comparator; this file compares where the streams end (FIN) or break (RST). Not compared: IP
// header, checksums, timestamps, window, PSH and ECN, and the acknowledgement, which the release lowers to what both
// sides have given.

import type { FlowTable } from '../conntrack/flow-table';
import { MAX_POSITION_SPAN, MAX_SEGMENT_AHEAD } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';
import { FlowLife } from './flow-life';
import * as f from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EQUAL, type Outcome } from './outcome';
import type { StreamComparator } from './stream';
import { SynMatch } from './syn-match';
import { UrgentMarks } from './urgent';

const MAX_WINDOW_FIELD = 0xffff;
/**
 * Stands beside the TCP flags of a RST that refuses a SYN: it has no number of its own, and the peer's SYN is all that
 * it acknowledges.
 */
export const REFUSAL = 1 << 13;

/** Is it a RST that takes its number from the segment that it answers (RFC 9293 section 3.5.2)? */
export function hasPeersNumber(tcpFlags: number): boolean {
  return (tcpFlags & (TCP_RST | TCP_ACK)) === TCP_RST;
}

export class TcpComparator {
  readonly syns: SynMatch;
  readonly life: FlowLife;
  private readonly urgent: UrgentMarks;

  constructor(
    private readonly flows: FlowTable,
    readonly stream: StreamComparator,
    private readonly difference: Difference,
    /** Somebody on the way translates the SVM's numbers into the PVM's, but for those of its SYNs. */
    translated: boolean,
  ) {
    this.life = new FlowLife(flows, stream);
    this.syns = new SynMatch(flows, stream, difference, translated);
    this.urgent = new UrgentMarks(flows, stream, difference);
  }

  /** Notes acknowledgement, window and ends of a PVM segment (no SYN); EQUAL or DIVERGED. */
  notePrimary(flow: number, v: PacketView): Outcome {
    const w = this.flows.words;
    let flags = w[flow + f.X_FLAGS]!;
    if ((v.flags & TCP_RST) !== 0) {
      w[flow + f.X_PRIMARY_RST] = v.seq;
      flags = (v.flags & REFUSAL) !== 0 ? flags | f.XF_PRIMARY_REFUSED : flags & ~f.XF_PRIMARY_REFUSED;
      w[flow + f.X_FLAGS] = flags | f.XF_PRIMARY_RST;
      return this.compareRst(flow);
    }
    if ((v.flags & TCP_ACK) !== 0) flags = this.notePrimaryAck(flow, flags, v.ack, v.window);
    const end = seqAdd(v.seq, v.payloadBytes);
    if (v.payloadBytes > 0 || (v.flags & TCP_FIN) !== 0) this.stream.range.primarySays(flow, flags, v.seq, end);
    if ((v.flags & TCP_FIN) !== 0) {
      if ((flags & f.XF_BASED) === 0 && v.payloadBytes === 0) {
        w[flow + f.X_FLAGS] = flags;
        this.stream.range.start(flow, v.seq);
        flags = w[flow + f.X_FLAGS]!;
      }
      w[flow + f.X_PRIMARY_FIN] = end;
      flags |= f.XF_PRIMARY_FIN;
    }
    w[flow + f.X_FLAGS] = flags;
    if (((v.flags & TCP_URG) | (flags & f.XF_ODD)) !== 0 && this.urgent.primary(flow, v, end) === DIVERGED)
      return DIVERGED;
    return this.compareEnds(flow);
  }

  /** The same for the PVM's next segment of content, in a stream that neither side has ended and nothing is odd of. */
  noteNext(flow: number, v: PacketView): void {
    const w = this.flows.words;
    w[flow + f.X_FLAGS] = this.notePrimaryAck(flow, w[flow + f.X_FLAGS]!, v.ack, v.window);
    this.stream.range.primaryGoesOn(flow, seqAdd(v.seq, v.payloadBytes));
  }

  /** And for the SVM's like it. */
  noteNextOfSecondary(flow: number, v: PacketView): void {
    const w = this.flows.words;
    if (seqDiff(v.ack, w[flow + f.X_SECONDARY_ACK]!) >= 0) {
      w[flow + f.X_SECONDARY_ACK] = v.ack;
      w[flow + f.X_SECONDARY_WINDOW] = v.window;
    }
    this.notePushed(flow, (v.flags & TCP_PSH) !== 0);
  }

  /** The SVM's latest content: does it end a write (PSH or FIN), so that nothing more of it is on the way? */
  notePushed(flow: number, pushed: boolean): void {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    w[flow + f.X_FLAGS] = pushed ? flags | f.XF_SECONDARY_PUSHED : flags & ~f.XF_SECONDARY_PUSHED;
  }

  /** Is this a duplicate of the SVM's last acknowledgement? To be asked before noteSecondary(). */
  secondaryRepeatsAck(flow: number, v: PacketView): boolean {
    const w = this.flows.words;
    return (
      (w[flow + f.X_FLAGS]! & f.XF_SECONDARY_ACK) !== 0 &&
      v.ack === w[flow + f.X_SECONDARY_ACK] &&
      v.window === w[flow + f.X_SECONDARY_WINDOW]
    );
  }

  /** The same for the SVM; seq is already in the PVM's numbers. */
  noteSecondary(flow: number, v: PacketView, seq: number): Outcome {
    const w = this.flows.words;
    let flags = w[flow + f.X_FLAGS]!;
    if ((v.flags & TCP_ACK) !== 0) {
      // That of a RST grants nothing.
      const window = (v.flags & TCP_RST) !== 0 ? 0 : v.window;
      if ((flags & f.XF_SECONDARY_ACK) === 0) {
        w[flow + f.X_SECONDARY_ACK] = v.ack;
        w[flow + f.X_SECONDARY_WINDOW] = window;
        flags |= f.XF_SECONDARY_ACK;
      } else if (seqDiff(v.ack, w[flow + f.X_SECONDARY_ACK]!) >= 0) {
        // A segment that was overtaken on the way must not bring back an old window.
        w[flow + f.X_SECONDARY_ACK] = v.ack;
        w[flow + f.X_SECONDARY_WINDOW] = window;
      }
    }
    if ((v.flags & TCP_RST) !== 0) {
      w[flow + f.X_SECONDARY_RST] = seq;
      flags = (v.flags & REFUSAL) !== 0 ? flags | f.XF_SECONDARY_REFUSED : flags & ~f.XF_SECONDARY_REFUSED;
      w[flow + f.X_FLAGS] = flags | f.XF_SECONDARY_RST;
      return this.compareRst(flow);
    }
    const end = seqAdd(seq, v.payloadBytes);
    if ((v.flags & TCP_FIN) !== 0) {
      w[flow + f.X_SECONDARY_FIN] = end;
      flags |= f.XF_SECONDARY_FIN;
    }
    w[flow + f.X_FLAGS] = flags;
    if (((v.flags & TCP_URG) | (flags & f.XF_ODD)) !== 0 && this.urgent.secondary(flow, v, seq, end) === DIVERGED) {
      return DIVERGED;
    }
    if ((flags & f.XF_PRIMARY_FIN) !== 0 && v.payloadBytes > 0 && seqDiff(end, w[flow + f.X_PRIMARY_FIN]!) > 0) {
      return this.diverge(CheckpointCause.FIN, flow, w[flow + f.X_PRIMARY_FIN]!);
    }
    return this.compareEnds(flow);
  }

  /**
   * A segment of content without SYN, FIN or RST that both sides have sent, the next of an even stream
   * (StreamComparator.isEven): what notePrimary and noteSecondary would note.
   */
  noteAgreed(flow: number, v: PacketView, secondaryAck: number, secondaryWindow: number): void {
    const w = this.flows.words;
    const flags = this.notePrimaryAck(flow, w[flow + f.X_FLAGS]!, v.ack, v.window);
    if ((flags & f.XF_SECONDARY_ACK) === 0 || seqDiff(secondaryAck, w[flow + f.X_SECONDARY_ACK]!) >= 0) {
      w[flow + f.X_SECONDARY_ACK] = secondaryAck;
      w[flow + f.X_SECONDARY_WINDOW] = secondaryWindow;
    }
    w[flow + f.X_FLAGS] = flags | f.XF_SECONDARY_ACK;
    const end = seqAdd(v.seq, v.payloadBytes);
    this.stream.range.primaryGoesOn(flow, end);
    this.noteLeft(flow, end, v.buf[v.end - 1]!);
  }

  /** Content of the PVM has left, up to `end`, with this byte last. */
  noteLeft(flow: number, end: number, byte: number): void {
    const w = this.flows.words;
    if (w[flow + f.X_LAST_BYTE] !== 0 && seqDiff(end, w[flow + f.X_LAST_END]!) <= 0) return;
    w[flow + f.X_LAST_BYTE] = f.LAST_KNOWN | byte;
    w[flow + f.X_LAST_END] = end;
  }

  /** Is this one byte in the place of the one furthest on that has left, as a keepalive is? */
  repeatsLastByte(flow: number, v: PacketView): boolean {
    const w = this.flows.words;
    const end = seqAdd(v.seq, 1);
    return (
      w[flow + f.X_LAST_BYTE] !== 0 &&
      w[flow + f.X_LAST_END] === end &&
      (v.flags | TCP_PSH) === (TCP_ACK | TCP_PSH) &&
      this.isVerified(flow, v.seq, end, v.flags)
    );
  }

  /**
   * May a segment of the peer with this number be what the PVM waits for next? Where it has acknowledged nothing yet,
   * any may.
   */
  isInPrimaryWindow(flow: number, seq: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    if ((flags & f.XF_PRIMARY_ACK) === 0) return true;
    const scale = (flags & f.XF_SCALE) !== 0 ? (flags >>> f.XF_SCALE_SHIFT) & 15 : 0;
    const ahead = seqDiff(seq, w[flow + f.X_PRIMARY_ACK]!);
    return ahead >= 0 && ahead <= w[flow + f.X_PRIMARY_WINDOW]! << scale;
  }

  /** May a PVM packet with this content leave, as far as content goes? `end` is behind its payload. */
  isVerified(flow: number, seq: number, end: number, tcpFlags: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    // The number of a RST without ACK is its peer's, so it is the same on both sides or means another segment.
    if ((flags & f.XF_MATCHED) === 0 && ((flags & f.XF_UNKNOWN) === 0 || !hasPeersNumber(tcpFlags) || end !== seq))
      return false;
    if (this.syns.offersDiffer(flow) || ((tcpFlags & TCP_URG) !== 0 && !this.urgent.agree(flow))) return false;
    if ((tcpFlags & TCP_SYN) !== 0 && seq !== w[flow + f.X_PRIMARY_ISN]) return false;
    if ((tcpFlags & TCP_RST) !== 0) {
      if ((flags & f.XF_SECONDARY_RST) === 0 || w[flow + f.X_SECONDARY_RST] !== seq) return false;
      if (((flags & f.XF_SECONDARY_REFUSED) !== 0) !== ((tcpFlags & REFUSAL) !== 0)) return false;
      // A RST may bear bytes, too (RFC 9293 section 3.5.3).
      return end === seq || this.stream.range.holds(flow, seq, end);
    }
    const from = (tcpFlags & TCP_SYN) !== 0 ? seqAdd(seq, 1) : seq;
    if (end !== from || (tcpFlags & TCP_FIN) !== 0) {
      if (!this.stream.range.holds(flow, from, end)) return false;
    }
    if ((tcpFlags & TCP_FIN) !== 0) return (flags & f.XF_SECONDARY_FIN) !== 0 && w[flow + f.X_SECONDARY_FIN] === end;
    return true;
  }

  /**
   * What the PVM has acknowledged is what a checkpoint covers. One that lies further on than its peer could have sent
   * since the last was no acknowledgement of this connection's: after a checkpoint the SVM's own acknowledgement is
   * needed. Returns the flags.
   */
  private notePrimaryAck(flow: number, flags: number, ack: number, window: number): number {
    const w = this.flows.words;
    if ((flags & f.XF_PRIMARY_ACK) !== 0) {
      const ahead = seqDiff(ack, w[flow + f.X_PRIMARY_ACK]!);
      const most =
        (flags & f.XF_SCALE) !== 0 ? MAX_WINDOW_FIELD << ((flags >>> f.XF_SCALE_SHIFT) & 15) : MAX_SEGMENT_AHEAD;
      // The peer's FIN takes a number and no room.
      if (ahead > most + 1 || ahead < -MAX_POSITION_SPAN) flags |= f.XF_FAR_ACK;
      else if (ahead < 0) return flags;
    }
    w[flow + f.X_PRIMARY_ACK] = ack;
    w[flow + f.X_PRIMARY_WINDOW] = window;
    return flags | f.XF_PRIMARY_ACK;
  }

  private compareEnds(flow: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    if ((flags & f.XF_SECONDARY_FIN) === 0) return EQUAL;
    const fin = w[flow + f.X_SECONDARY_FIN]!;
    if ((flags & f.XF_PRIMARY_FIN) !== 0 && w[flow + f.X_PRIMARY_FIN] !== fin) {
      return this.diverge(CheckpointCause.FIN, flow, fin);
    }
    if ((flags & f.XF_BASED) !== 0 && seqDiff(w[flow + f.X_PRIMARY_NEXT]!, fin) > 0) {
      return this.diverge(CheckpointCause.FIN, flow, fin);
    }
    return EQUAL;
  }

  private compareRst(flow: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    // Unequal RSTs may be answers to different stray segments whose counterparts are still to come: they wait.
    // One side refuses what the other accepts.
    if ((flags & (f.XF_PRIMARY_SYN | f.XF_SECONDARY_SYN)) !== 0 && (flags & f.XF_MATCHED) === 0) {
      return this.diverge(CheckpointCause.RST, flow, w[flow + f.X_PRIMARY_ISN]!);
    }
    // The SVM reset before bytes that the PVM has sent.
    if (
      (flags & (f.XF_SECONDARY_RST | f.XF_SECONDARY_REFUSED)) === f.XF_SECONDARY_RST &&
      (flags & f.XF_BASED) !== 0 &&
      seqDiff(w[flow + f.X_SECONDARY_RST]!, w[flow + f.X_VERIFIED]!) <= 0 &&
      seqDiff(w[flow + f.X_PRIMARY_NEXT]!, w[flow + f.X_VERIFIED]!) > 0
    ) {
      return this.diverge(CheckpointCause.RST, flow, w[flow + f.X_VERIFIED]!);
    }
    return EQUAL;
  }

  private diverge(cause: CheckpointCause, flow: number, position: number): Outcome {
    this.difference.set(cause, flow, position);
    return DIVERGED;
  }
}
