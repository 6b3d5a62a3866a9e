// One flow of two captures through the primary's engine. A difference ends the flow: later differences may be its
// consequences, and only a running pair has checkpoints.

import { comparedFrom } from '../compare/datagram';
import { CheckpointCause as Cause, type CheckpointCause, DIVERGED } from '../compare/outcome';
import { seqDiff } from '../core/seq32';
import { hasExtensionHeaders, viewWhole } from '../packet/ip-canon';
import { parseIp } from '../packet/parse';
import { TCP_SEQ_AT } from '../packet/tcp-header';
import { IPPROTO_TCP, PacketView, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/view';
import { C_PRIMARY_MALFORMED, C_SECONDARY_MALFORMED, C_SECONDARY_UNMATCHED } from '../pmycolo/counters';
import { PrimaryEngine } from '../pmycolo/engine';
import {
  firstHeld,
  firstPending,
  isMismatched,
  isTcp,
  missingBytes,
  secondaryRest,
  streamEnds,
  streamOffset,
  synOffers,
  verifiedRange,
  type WaitingBytes,
} from '../pmycolo/explain';
import { count, PRIMARY, SECONDARY, type Side } from './side';

/** Bytes kept of each side of a difference. */
export const SHOWN_BYTES = 64;

/** Bytes that one side of a flow may be ahead of the other. */
export const MAX_AHEAD_BYTES = 64 << 20;
const MAX_AHEAD_PACKETS = 1 << 17;

/** A difference found in a flow. */
export interface Finding {
  /** The daemon's cause for a checkpoint, or `primary_silent` or `secondary_silent` at the end of a capture. */
  cause: CheckpointCause | 'primary_silent' | 'secondary_silent';
  /**
   * TCP: place of the first differing byte in the guest's stream, counted from the capture's first byte where the
   * stream's beginning is not captured. Other protocols: offset behind the UDP header, in the ICMP message, or behind
   * the IP header.
   */
  offset?: number;
  /** From the first differing byte on, hex, at most SHOWN_BYTES. */
  primary: string;
  secondary: string;
  /** Explanation beside the bytes. */
  detail?: string;
  /** Number of the packet in each file at which it was found; 0 = none of this flow yet. */
  primaryPacket: number;
  secondaryPacket: number;
}

export interface FlowSize {
  packets: readonly [number, number];
  /** IP headers included. */
  bytes: readonly [number, number];
  /** Connections that each side began. */
  syns: readonly [number, number];
  firstSeq: number;
}

export class FlowComparison {
  finding: Finding | undefined;
  /** Packets and pieces that could not be compared and count as no difference, by reason. */
  readonly notCompared = new Map<string, number>();
  comparedBytes = 0;
  /** The comparison of this flow is over. */
  over = false;
  private readonly engine: PrimaryEngine;
  private readonly view = new PacketView();
  /** Number of the packet last taken, by side. */
  private readonly numbers = [0, 0];
  /** Connections begun so far, and the ISN of the last. */
  private readonly begun = [0, 0];
  private readonly isn = [-1, -1];
  /** Packets of the side that has begun a connection which the other side begins later. */
  private waiting: { packet: Buffer; number: number }[] = [];
  private waitingSide: Side = PRIMARY;
  private waitingBytes = 0;
  /** Compared bytes of the datagrams that the engine holds, by packet number. */
  private readonly datagrams = new Map<number, number>();
  private verified = 0;
  private verifiedIsn = -1;

  constructor(
    private readonly size: FlowSize,
    private readonly translated: boolean,
    private readonly maxAheadBytes: number,
  ) {
    const packets = size.packets[0] + size.packets[1];
    const held = Math.min(size.bytes[0] + size.bytes[1] + packets * 8 + 1024, maxAheadBytes);
    // The engine's bounds limit how far one side is ahead; a small flow fits as a whole.
    const records = 2 ** Math.ceil(Math.log2(4 * Math.min(packets, MAX_AHEAD_PACKETS) + 64));
    const accepted = (id: number): void => {
      this.comparedBytes += this.datagrams.get(id) ?? 0;
      this.datagrams.delete(id);
    };
    this.engine = new PrimaryEngine(
      {
        limits: {
          maxFlows: 1,
          maxHeldPackets: Math.min(size.packets[0], MAX_AHEAD_PACKETS) + 1,
          maxHeldBytes: held,
          logBytes: 2 * held + 0x10000,
          logRecords: records,
        },
        icmpAnswers: 'ordered',
      },
      {
        accept: accepted,
        acceptRewritten: accepted,
        drop: () => {},
        requestCheckpoint: (cause) => this.differs(cause),
      },
    );
  }

  /** A packet of the guest in this flow, in the order of its file. Its bytes may be changed. */
  take(side: Side, buf: Buffer, off: number, bytes: number, number: number): void {
    if (this.waiting.length > 0 && this.waitingSide === side) {
      this.wait(buf, off, bytes, number);
    } else if (!this.begins(side, buf, off, bytes)) {
      this.feed(side, buf, off, bytes, number);
    } else if (this.isAhead(side)) {
      this.waitingSide = side;
      this.wait(buf, off, bytes, number);
    } else {
      // All packets of earlier connections have been fed.
      if (this.begun[side]! > 1) this.settle();
      this.feed(side, buf, off, bytes, number);
      this.drain();
    }
  }

  /** Both captures have ended: the rest was sent by one side only. */
  finish(): void {
    this.settle();
    const { counters, stream } = this.engine.context;
    if (stream.secondaryUnchecked > 0) this.leaveOut('repetition');
    const damaged = counters.values[C_PRIMARY_MALFORMED]! + counters.values[C_SECONDARY_MALFORMED]!;
    if (damaged > 0) this.leaveOut('malformed', damaged);
    const unmatched = counters.values[C_SECONDARY_UNMATCHED]!;
    if (unmatched > 0) this.leaveOut('before_syn', unmatched);
  }

  /** Reports the rest, which was sent by one side only. */
  private settle(): void {
    const { engine, flow } = this;
    if (this.over || flow < 0) return;
    const tcp = isTcp(engine, flow);
    if (tcp && this.passHoles(flow)) return;
    const held = firstHeld(engine, flow);
    const rest = secondaryRest(engine, flow);
    if (held === undefined && rest === undefined) return;
    const finding = this.found(held !== undefined ? 'secondary_silent' : 'primary_silent');
    if (held !== undefined) {
      finding.primary = hex(held.buf, held.at, held.bytes);
      finding.offset = this.offsetOf(held, tcp);
      const set = FLAG_NAMES.filter(([bit]) => ((held.flags ?? 0) & bit) !== 0).map(([, name]) => name);
      if (set.length > 0) finding.detail = `only the primary sends this ${set.join(' and ')}`;
      if (((held.flags ?? 0) & TCP_SYN) !== 0) finding.offset = undefined;
    }
    const pending = firstPending(engine, flow, false);
    if (pending !== undefined) {
      finding.secondary = hex(pending.buf, pending.at, pending.bytes);
      finding.offset ??= this.offsetOf(pending, tcp);
    } else if (held === undefined) finding.detail = REST_TEXT[rest!];
    if (tcp && held !== undefined && isMismatched(engine, flow))
      finding.detail = 'the connections do not belong together';
  }

  /** The engine's flow, or -1. */
  private get flow(): number {
    return this.engine.context.flows.next(-1);
  }

  /**
   * A guest sends its stream in order: a piece missing before later ones of the same side was lost by the capture.
   * Bytes behind such holes are compared where possible. True: a difference was found there.
   */
  private passHoles(flow: number): boolean {
    const { stream } = this.engine.context;
    for (;;) {
      const missing = missingBytes(this.engine, flow);
      if (missing === 0) return false;
      this.leaveOut('hole_in_capture');
      if (stream.passOver(flow, missing) === DIVERGED) {
        this.differs(this.engine.difference.cause);
        return true;
      }
      this.verified = (this.verified + missing) >>> 0;
      this.countStream();
    }
  }

  private leaveOut(reason: string, times = 1): void {
    count(this.notCompared, reason, times);
  }

  /** Is it a SYN of a new connection of this side? Then it is counted. */
  private begins(side: Side, buf: Buffer, off: number, bytes: number): boolean {
    const v = this.view;
    parseIp(v, buf, off, bytes);
    if (hasExtensionHeaders(v)) viewWhole(v);
    if (v.protocol !== IPPROTO_TCP || (v.flags & TCP_SYN) === 0 || this.isn[side] === v.seq) return false;
    this.isn[side] = v.seq;
    this.begun[side]!++;
    return true;
  }

  /** Has this side begun a connection that the other has not begun yet? */
  private isAhead(side: Side): boolean {
    const other = side === PRIMARY ? SECONDARY : PRIMARY;
    return this.begun[side]! > this.begun[other]! && this.size.syns[other] >= this.begun[side]!;
  }

  private wait(buf: Buffer, off: number, bytes: number, number: number): void {
    this.waitingBytes += bytes;
    if (this.waitingBytes > this.maxAheadBytes) {
      this.differs(Cause.EXHAUSTED);
      return;
    }
    this.waiting.push({ packet: Buffer.from(buf.subarray(off, off + bytes)), number });
  }

  /** Feeds waiting packets, up to the next connection that the other side has not begun. */
  private drain(): void {
    const { waiting, waitingSide: side } = this;
    let n = 0;
    for (; n < waiting.length && !this.over; n++) {
      const { packet, number } = waiting[n]!;
      if (this.begins(side, packet, 0, packet.length) && this.isAhead(side)) break;
      this.waitingBytes -= packet.length;
      this.feed(side, packet, 0, packet.length, number);
    }
    this.waiting = waiting.slice(n);
  }

  private feed(side: Side, buf: Buffer, off: number, bytes: number, number: number): void {
    if (this.over) return;
    this.numbers[side] = number;
    const v = this.view;
    parseIp(v, buf, off, bytes);
    if (hasExtensionHeaders(v)) viewWhole(v);
    if (v.protocol !== IPPROTO_TCP) {
      if (side === PRIMARY) this.datagrams.set(number, v.end - comparedFrom(v));
    } else if (side === SECONDARY && this.translated && (v.flags & TCP_SYN) !== 0 && this.isn[PRIMARY] !== -1) {
      // Only the SYN of a translated connection still has the secondary's own number.
      buf.writeUInt32BE(this.isn[PRIMARY]!, v.l4 + TCP_SEQ_AT);
    }
    if (side === PRIMARY) this.engine.primary(number, buf, off, bytes, false, 0);
    else this.engine.secondary(buf, off, bytes, 0);
    if (v.protocol === IPPROTO_TCP) this.countStream();
  }

  private countStream(): void {
    const { flow } = this;
    const range = flow < 0 ? undefined : verifiedRange(this.engine, flow);
    if (range === undefined) return;
    if (this.verifiedIsn !== range.isn) {
      this.verifiedIsn = range.isn;
      this.verified = range.base;
    }
    const more = seqDiff(range.verified, this.verified);
    if (more <= 0) return;
    this.comparedBytes += more;
    this.verified = range.verified;
  }

  /** The engine asks for a checkpoint. */
  private differs(cause: CheckpointCause): void {
    const { engine } = this;
    const d = engine.difference;
    if (cause === Cause.EXHAUSTED && missingBytes(engine, this.flow) > 0) {
      this.leaveOut('hole_in_capture');
      this.over = true;
      return;
    }
    const finding = this.found(cause);
    if (cause === Cause.EXHAUSTED) {
      finding.detail = 'one side is too far ahead of the other to be compared';
      return;
    }
    finding.offset = isTcp(engine, d.flow) ? this.streamOffset(d.position) : d.position;
    if (d.primary !== undefined) finding.primary = hex(d.primary, d.primaryOffset, d.primaryBytes);
    if (d.secondary !== undefined) finding.secondary = hex(d.secondary, d.secondaryOffset, d.secondaryBytes);
    if (cause === Cause.SYN_OPTIONS) {
      finding.offset = undefined;
      const { primary, secondary } = synOffers(engine, d.flow);
      finding.detail = `primary: ${primary}; secondary: ${secondary}`;
    }
    if (cause === Cause.LENGTH) {
      finding.detail = `primary: ${d.position + d.primaryBytes} bytes; secondary: ${d.position + d.secondaryBytes} bytes`;
    }
    if (cause === Cause.FIN) finding.detail = this.describeEnds();
    if (cause === Cause.URGENT) finding.detail = 'the two mark other bytes as urgent, or one marks none';
    if (cause === Cause.RST) finding.detail = 'one side resets the connection';
  }

  private describeEnds(): string {
    const { primary, secondary } = streamEnds(this.engine, this.flow);
    const end = (position: number | undefined): string =>
      position === undefined ? 'goes on' : `ends at ${this.streamOffset(position)}`;
    return `primary ${end(primary)}; secondary ${end(secondary)}`;
  }

  private found(cause: Finding['cause']): Finding {
    this.over = true;
    const finding: Finding = {
      cause,
      primary: '',
      secondary: '',
      primaryPacket: this.numbers[PRIMARY]!,
      secondaryPacket: this.numbers[SECONDARY]!,
    };
    this.finding = finding;
    return finding;
  }

  private offsetOf(waiting: WaitingBytes, tcp: boolean): number {
    return tcp ? this.streamOffset(waiting.position) : waiting.position;
  }

  private streamOffset(position: number): number {
    return streamOffset(this.engine, this.flow, position) ?? Math.max(0, seqDiff(position, this.size.firstSeq));
  }
}

const FLAG_NAMES = [
  [TCP_SYN, 'SYN'],
  [TCP_FIN, 'FIN'],
  [TCP_RST, 'RST'],
] as const;

const REST_TEXT = {
  bytes: undefined,
  'other SYN options': 'only the secondary retransmits its SYN with other options',
  SYN: 'only the secondary sends its SYN',
  RST: 'only the secondary sends a RST',
  FIN: 'only the secondary sends a FIN',
} as const;

function hex(buf: Buffer, off: number, bytes: number): string {
  return buf.toString('hex', off, off + Math.min(bytes, SHOWN_BYTES));
}
