// The fields of a verified TCP packet that leaves: no acknowledgement and no window that the SVM has not granted too
// (ack <= min(ack PVM, ack SVM)), and never less than what was let out before, so that the peer sees no step back. Nor
// an older timestamp: a packet that was held while a later one left would be discarded by the peer (PAWS, RFC 7323
// section 5).

import * as f from '../compare/flow-words';
import type { FlowTable } from '../conntrack/flow-table';
import { read16, read32, write32 } from '../core/big-endian';
import { seqAdd, seqDiff, seqMax } from '../core/seq32';
import { setAck, setWindow, setWord } from '../packet/tcp-edit';
import { TCP_ACK_AT, TCP_WINDOW_AT, TSECR_FROM_TSVAL } from '../packet/tcp-header';
import { timestampOffset } from '../packet/tcp-options';
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../packet/view';
import { C_ACK_LOWERED, C_ECHO_RAISED, C_TIMESTAMP_RAISED, C_WINDOW_LOWERED, type PrimaryCounters } from './counters';

/** The SVM has acknowledged something, in this connection and not in the next one of the tuple. */
const XF_GRANTED = f.XF_MATCHED | f.XF_SECONDARY_ACK;

export class TcpRelease {
  constructor(
    private readonly flows: FlowTable,
    private readonly counters: PrimaryCounters,
  ) {}

  /** Pure acknowledgements wait until the SVM has given as much, so that no false duplicate ACK arises. */
  ackMayLeave(flow: number, ack: number, window: number): boolean {
    const w = this.flows.words;
    if ((w[flow + f.X_FLAGS]! & XF_GRANTED) !== XF_GRANTED) return false;
    if (seqDiff(ack, this.grantedAck(flow)) > 0) return false;
    return this.staysOpen(flow, ack, window);
  }

  /**
   * Whether an acknowledgement that is ahead of the SVM's would, lowered to it, be news to the peer. One
   * lets go of a peer that sends again what both guests have: if every answer waited, neither side would ever move.
   * Where nothing is known to have left (a daemon that was started in mid-transfer), anything may be news.
   */
  ackBringsNews(flow: number, window: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    if ((flags & XF_GRANTED) !== XF_GRANTED) return false;
    const granted = w[flow + f.X_SECONDARY_ACK]!;
    if ((flags & f.XF_RELEASED) !== 0 && seqDiff(granted, w[flow + f.X_RELEASED_ACK]!) <= 0) return false;
    return this.staysOpen(flow, granted, window);
  }

  /** Is this the acknowledgement that was released last? */
  wasTold(flow: number, ack: number): boolean {
    const w = this.flows.words;
    return (w[flow + f.X_FLAGS]! & f.XF_RELEASED) !== 0 && w[flow + f.X_RELEASED_ACK] === ack;
  }

  /** Was as much released before? */
  wasToldAtLeast(flow: number, ack: number): boolean {
    const w = this.flows.words;
    return (w[flow + f.X_FLAGS]! & f.XF_RELEASED) !== 0 && seqDiff(ack, w[flow + f.X_RELEASED_ACK]!) <= 0;
  }

  /**
   * Takes back the acknowledgement of a segment, whose checksum is still to be made, to the last one released.
   */
  lowerToTold(flow: number, buf: Buffer, l4: number): void {
    if (this.wasToldAtLeast(flow, read32(buf, l4 + TCP_ACK_AT))) return;
    const w = this.flows.words;
    if ((w[flow + f.X_FLAGS]! & f.XF_RELEASED) !== 0) write32(buf, l4 + TCP_ACK_AT, w[flow + f.X_RELEASED_ACK]!);
  }

  /** Would this acknowledgement be lowered? */
  lowersAck(flow: number, ack: number): boolean {
    return seqDiff(ack, this.grantedAck(flow)) > 0;
  }

  /** A window clamped to nothing would stop the peer. */
  staysOpen(flow: number, ack: number, window: number): boolean {
    return window === 0 || this.grantedWindow(flow, ack, window, false) > 0;
  }

  /** A packet with content can leave once it is known what the SVM acknowledges. */
  contentMayLeave(flow: number, tcpFlags: number): boolean {
    return (tcpFlags & TCP_ACK) === 0 || (this.flows.words[flow + f.X_FLAGS]! & XF_GRANTED) === XF_GRANTED;
  }

  /**
   * A FIN leaves with its whole acknowledgement: the guest would not send the rest later by itself. The
   * peer would send its own end again, and where one guest has forgotten the connection by then and the other has not,
   * they answer differently.
   */
  endMayLeave(flow: number, tcpFlags: number, ack: number): boolean {
    return (tcpFlags & (TCP_FIN | TCP_ACK)) !== (TCP_FIN | TCP_ACK) || !this.lowersAck(flow, ack);
  }

  /**
   * Lowers acknowledgement and window of the packet whose TCP header is at l4 of buf, raises its timestamp to what left
   * before, and mends its checksum unless that is partial. Returns true when a byte changed. Notes what is let out,
   * unless the peer will not heed it.
   */
  lower(flow: number, buf: Buffer, l4: number, tcpFlags: number, partial: boolean, note = true): boolean {
    const w = this.flows.words;
    const syn = (tcpFlags & TCP_SYN) !== 0;
    if ((tcpFlags & TCP_ACK) === 0 && !syn) return false;
    const ack = read32(buf, l4 + TCP_ACK_AT);
    const window = read16(buf, l4 + TCP_WINDOW_AT);
    const granted = this.grantedAck(flow);
    const newAck = (tcpFlags & TCP_ACK) !== 0 && seqDiff(ack, granted) > 0 ? granted : ack;
    const newWindow = this.grantedWindow(flow, newAck, window, syn);
    let changed = this.raiseTimestamp(flow, buf, l4, partial);
    if (newAck !== ack) {
      this.counters.values[C_ACK_LOWERED]!++;
      setAck(buf, l4, ack, newAck, partial);
      changed = true;
    }
    if (newWindow !== window) {
      this.counters.values[C_WINDOW_LOWERED]!++;
      setWindow(buf, l4, window, newWindow, partial);
      changed = true;
    }
    if ((tcpFlags & TCP_ACK) === 0 || !note) return changed;
    const flags = w[flow + f.X_FLAGS]!;
    const edge = seqAdd(newAck, syn ? newWindow : newWindow << this.scale(flags));
    if ((flags & f.XF_RELEASED) === 0) {
      w[flow + f.X_RELEASED_ACK] = newAck;
      w[flow + f.X_RELEASED_EDGE] = edge;
      w[flow + f.X_FLAGS] = flags | f.XF_RELEASED;
    } else {
      w[flow + f.X_RELEASED_ACK] = seqMax(w[flow + f.X_RELEASED_ACK]!, newAck);
      w[flow + f.X_RELEASED_EDGE] = seqMax(w[flow + f.X_RELEASED_EDGE]!, edge);
    }
    return changed;
  }

  /** The peer must not see time run backwards. True when a byte changed. */
  raiseTimestamp(flow: number, buf: Buffer, l4: number, partial: boolean): boolean {
    const at = timestampOffset(buf, l4);
    if (at < 0) return false;
    const w = this.flows.words;
    const value = read32(buf, at);
    const known = (w[flow + f.X_FLAGS]! & f.XF_TSVAL) !== 0;
    const latest = w[flow + f.X_RELEASED_TSVAL]!;
    if (known && seqDiff(value, latest) < 0) {
      this.counters.values[C_TIMESTAMP_RAISED]!++;
      setWord(buf, l4, at, value, latest, partial);
      return true;
    }
    w[flow + f.X_RELEASED_TSVAL] = value;
    if (!known) w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_TSVAL;
    return false;
  }

  /**
   * An acknowledgement that has waited for the SVM's answers what the SVM has answered: with the echo of the old one
   * the peer would measure the wait as its round trip. True when a byte changed.
   */
  raiseEcho(buf: Buffer, l4: number, echo: number, partial: boolean): boolean {
    const tsVal = timestampOffset(buf, l4);
    if (tsVal < 0) return false;
    const at = tsVal + TSECR_FROM_TSVAL;
    const value = read32(buf, at);
    if (seqDiff(echo, value) <= 0) return false;
    this.counters.values[C_ECHO_RAISED]!++;
    setWord(buf, l4, at, value, echo, partial);
    return true;
  }

  private grantedAck(flow: number): number {
    const w = this.flows.words;
    const secondary = w[flow + f.X_SECONDARY_ACK]!;
    return (w[flow + f.X_FLAGS]! & f.XF_RELEASED) !== 0 ? seqMax(secondary, w[flow + f.X_RELEASED_ACK]!) : secondary;
  }

  /** Window field that may leave with this acknowledgement, at most `window`. */
  private grantedWindow(flow: number, ack: number, window: number, syn: boolean): number {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    const shift = this.scale(flags);
    let limit = w[flow + (syn ? f.X_SECONDARY_SYN_WINDOW : f.X_SECONDARY_WINDOW)]!;
    if (window <= limit) return window;
    if (!syn && (flags & f.XF_RELEASED) !== 0 && (flags & f.XF_SCALE) !== 0) {
      // The edge that was let out before had the SVM's consent then; taking it back would shrink the peer's window.
      const before = seqDiff(w[flow + f.X_RELEASED_EDGE]!, ack) >> shift;
      if (before > limit) limit = before;
    }
    return Math.min(window, limit);
  }

  private scale(flags: number): number {
    return (flags & f.XF_SCALE) !== 0 ? (flags >>> f.XF_SCALE_SHIFT) & 15 : 0;
  }
}
