// The secondary's engine (xt_SECCOLO): makes the SVM's TCP connections bear the PVM's numbers, so that they outlive the
// PVM. Bytes and a time come in, a verdict goes out; packets are changed in place and keep their length.
//
// Peer to guest, always: ack, SACK edges and TSecr go from the peer's numbers to the guest's. Guest to peer, after the
// failover (or always, where the receiver expects translated packets): seq and TSval the other way.

import { OffsetTable, Rank } from '../conntrack/offset-table';
import { Track } from '../conntrack/tcp-track';
import { FirstFragment, readFirstFragment } from '../packet/first-fragment';
import { PARSE_OK, parseIp } from '../packet/parse';
import { nopOut, parseTcpOptions, TcpOptions } from '../packet/tcp-options';
import {
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  PacketView,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../packet/view';
import {
  C_CHECKPOINTS,
  C_FAILOVERS,
  C_GUEST_FRAGMENTS,
  C_GUEST_MALFORMED,
  C_GUEST_PACKETS,
  C_GUEST_REWRITTEN,
  C_GUEST_UNDECIDED,
  C_HANDSHAKE_RESETS,
  C_HANDSHAKE_SYNS,
  C_MALFORMED_OPTIONS,
  C_MPTCP_REMOVED,
  C_PEER_FRAGMENTS,
  C_PEER_MALFORMED,
  C_PEER_PACKETS,
  C_PEER_REWRITTEN,
  C_PEER_WAITED,
  C_REOPENED,
  C_STRAY_ENDS,
  SecondaryCounters,
} from './counters';
import { Phase, S_STATE, SF_FINISHED } from './flow-words';
import { SecondaryFlows } from './flows';
import { type LinkSource, writeFrameHead } from './frame-head';
import { Learner } from './learn';
import { Numbering } from './numbering';
import { Reminders } from './reminders';
import { type SecondaryMode, type SecondaryStatus, statusOf } from './status';
import { Translator } from './translator';

export const SecondaryVerdict = {
  Accept: 0,
  /** The bytes were changed in place; the length is the same, the checksum right (or still partial). */
  AcceptRewritten: 1,
  Drop: 2,
  /** Only of the peer, while the engine is `undecided`: to be handed in again, unchanged, when it is not any more. */
  Wait: 3,
} as const;
export type SecondaryVerdict = (typeof SecondaryVerdict)[keyof typeof SecondaryVerdict];

export interface SecondaryOptions {
  mode: SecondaryMode;
  /** Memory that outlives the process; its size bounds the connections (OffsetTable.bytesFor). Aligned to 4 bytes. */
  offsets: Uint8Array | ArrayBuffer;
  /** 64 random bits against aimed collisions. */
  seed: readonly [number, number];
  nowMs: number;
}

const { Accept, AcceptRewritten, Drop, Wait } = SecondaryVerdict;

/** Longer than the first retransmission timeout of a SYN/ACK (RFC 6298: 1 s). */
const HANDSHAKE_GRACE_MS = 2000;

export class SecondaryEngine {
  readonly counters = new SecondaryCounters();
  readonly mode: SecondaryMode;
  /** To be set before a packet is handed in: whose frame it came in. */
  readonly link: LinkSource = { macHigh: 0, macLow: 0, outerTag: 0, innerTag: 0 };
  private readonly offsets: OffsetTable;
  private readonly flows: SecondaryFlows;
  private readonly learner: Learner;
  private readonly translator: Translator;
  private readonly reminders: Reminders;
  private readonly numbering: Numbering;
  private readonly view = new PacketView();
  private readonly options = new TcpOptions();
  /** When the failover was; after a restart, when this process began. */
  private failoverMs: number;

  constructor(options: SecondaryOptions) {
    this.mode = options.mode;
    const memory = options.offsets;
    this.offsets = new OffsetTable(
      memory instanceof Uint8Array
        ? new Uint32Array(memory.buffer, memory.byteOffset, memory.byteLength >>> 2)
        : new Uint32Array(memory, 0, memory.byteLength >>> 2),
    );
    this.flows = new SecondaryFlows(this.offsets, this.counters, options.seed);
    this.learner = new Learner(this.flows, this.counters);
    this.translator = new Translator(this.flows, this.counters);
    this.reminders = new Reminders(this.flows, this.translator, this.counters);
    this.flows.restore(options.nowMs);
    this.numbering = new Numbering(this.flows, this.counters);
    this.failoverMs = options.nowMs;
  }

  get failedOver(): boolean {
    return this.offsets.failedOver;
  }

  /** Connections that have not ended. */
  get living(): number {
    return this.flows.table.size - this.offsets.countOf(Rank.Finished);
  }

  /** Numbers for `status`. */
  status(): SecondaryStatus {
    return statusOf(this.mode, this.offsets, this.flows);
  }

  /**
   * A packet on its way to the guest: the IP header at off, len bytes at hand. Packets of different zones (VLANs) are
   * of different connections.
   */
  fromPeer(
    buf: Uint8Array,
    off: number,
    len: number,
    partialChecksum: boolean,
    nowMs: number,
    zone = 0,
  ): SecondaryVerdict {
    const c = this.counters.values;
    const v = this.view;
    v.zone = zone;
    c[C_PEER_PACKETS]!++;
    let changed = false;
    if (parseIp(v, buf, off, len) !== PARSE_OK) {
      c[C_PEER_MALFORMED]!++;
    } else if (v.fragment) {
      c[C_PEER_FRAGMENTS]!++;
      if (readFirstFragment(v) === FirstFragment.Tcp && parseTcpOptions(v, this.options)) {
        if (this.mustWait(true)) return Wait;
        changed = this.translator.toGuest(this.flows.find(v, true), v, this.options, partialChecksum);
      }
    } else if (v.protocol === IPPROTO_TCP) {
      if (this.mustWait(true)) return Wait;
      changed = this.peerTcp(partialChecksum, nowMs);
    } else if (v.protocol === IPPROTO_ICMP || v.protocol === IPPROTO_ICMPV6) {
      changed = this.translator.quote(v, true);
    }
    if (!changed) return Accept;
    c[C_PEER_REWRITTEN]!++;
    return AcceptRewritten;
  }

  /** A packet that the guest sent. */
  fromGuest(
    buf: Uint8Array,
    off: number,
    len: number,
    partialChecksum: boolean,
    nowMs: number,
    zone = 0,
  ): SecondaryVerdict {
    const c = this.counters.values;
    const v = this.view;
    v.zone = zone;
    c[C_GUEST_PACKETS]!++;
    if (parseIp(v, buf, off, len) !== PARSE_OK) {
      c[C_GUEST_MALFORMED]!++;
      return Drop;
    }
    let verdict: SecondaryVerdict = Accept;
    if (v.fragment) {
      c[C_GUEST_FRAGMENTS]!++;
      verdict = this.guestFragment(partialChecksum);
    } else if (v.protocol === IPPROTO_TCP) {
      verdict = this.guestTcp(partialChecksum, nowMs);
    } else if (v.protocol === IPPROTO_ICMP || v.protocol === IPPROTO_ICMPV6) {
      if (this.translatesGuest && this.translator.quote(v, false)) verdict = AcceptRewritten;
    }
    if (verdict === AcceptRewritten) c[C_GUEST_REWRITTEN]!++;
    return verdict;
  }

  /**
   * DO_CHECKPOINT: the SVM is the PVM's copy from here on, numbers included, so every offset is void; unless it shows
   * afterwards that it is not (numbering.ts). All packets that the guest sent before it stopped must have been handed
   * in. False, and nothing done, after a failover: there is no PVM to be a copy of.
   */
  checkpoint(_nowMs: number): boolean {
    if (this.failedOver) return false;
    this.numbering.checkpoint();
    this.counters.values[C_CHECKPOINTS]!++;
    return true;
  }

  /**
   * DO_FAILOVER: what lives keeps its offsets, and its handshakes may still finish; new connections are the guest's
   * own. From here on the guest's packets are translated too. False when it had been done before (also by an earlier
   * process).
   */
  failover(nowMs: number): boolean {
    if (this.failedOver) return false;
    this.offsets.failedOver = true;
    this.failoverMs = nowMs;
    this.counters.values[C_FAILOVERS]!++;
    return true;
  }

  /**
   * For walks after a failover: the first connection behind `base` whose peer needs a reminder, or -1.
   * Start with -1.
   */
  nextToRemind(base: number): number {
    const { table } = this.flows;
    let next = table.next(base);
    while (next >= 0 && !this.reminders.mayRemind(this.flows.aligned(next))) next = table.next(next);
    return next;
  }

  /**
   * Writes to `out` from `off` on the frame that reminds (0) or asks (1) the peer of such a connection; see
   * reminders.ts. Returns its bytes, 0 where the connection's MAC addresses are not known. `out` has room for
   * MAX_ACK_FRAME_BYTES.
   */
  writeReminder(base: number, which: 0 | 1, out: Uint8Array, off: number): number {
    const head = writeFrameHead(this.flows.words, base, true, out, off);
    return head === 0 ? 0 : head + this.reminders.write(base, which, out, off + head);
  }

  /**
   * After a failover: the guest has not shown yet whether the last checkpoint came about. Ask it, and decide() after a
   * while.
   */
  get undecided(): boolean {
    return this.failedOver && this.numbering.inDoubt;
  }

  /** For walks while undecided: the first connection behind `base` to ask the guest on, or -1. Start with -1. */
  nextToAsk(base: number): number {
    return this.numbering.nextToAsk(base);
  }

  /** Writes the frame that makes the guest speak on such a connection; as writeReminder(). */
  writeQuestion(base: number, out: Uint8Array, off: number): number {
    const head = writeFrameHead(this.flows.words, base, false, out, off);
    return head === 0 ? 0 : head + this.numbering.writeQuestion(base, out, off + head);
  }

  /**
   * The guest does not answer: `missed`: the last checkpoint did not come about, as far as its controller tells. What
   * the guest's handshakes have let expect since counts, too.
   */
  decide(missed: boolean): void {
    this.numbering.decideUntold(missed);
  }

  /** PROXY_RESET: forgets every connection and the failover. */
  reset(): void {
    this.offsets.failedOver = false;
    this.numbering.forget();
    this.flows.clear();
  }

  /** Forgets what has been idle for too long; to be called about once a second. */
  tick(nowMs: number): void {
    this.flows.expire(nowMs);
  }

  /**
   * A SYN of a handshake begun before the failover. If the peer has answered the PVM's, it takes the SVM's for a stray
   * and answers in the PVM's numbers, to which the guest would reply with a reset; or, where the two ISNs lie close
   * together, it ends the handshake itself (Linux, for a SYN inside its window). So the peer's own SYN/ACK gets the
   * time to be retransmitted first.
   */
  private mayHarmHandshake(v: PacketView, nowMs: number): boolean {
    return (v.flags & (TCP_SYN | TCP_ACK)) === TCP_SYN && ((nowMs - this.failoverMs) | 0) < HANDSHAKE_GRACE_MS;
  }

  /**
   * The segment is of a connection whose numbers are not known: translated wrongly, the peer's would confirm what the
   * guest has not sent, and the guest's data would stand at a wrong place in the peer's stream. The guest retransmits.
   */
  private mustWait(fromPeer: boolean): boolean {
    if (!this.undecided || !this.numbering.concerns(this.view, fromPeer)) return false;
    this.counters.values[fromPeer ? C_PEER_WAITED : C_GUEST_UNDECIDED]!++;
    return true;
  }

  private get translatesGuest(): boolean {
    return this.mode === 'always' || this.failedOver;
  }

  private peerTcp(partial: boolean, nowMs: number): boolean {
    const c = this.counters.values;
    const { view: v, options: o, flows, learner } = this;
    if (!parseTcpOptions(v, o)) c[C_MALFORMED_OPTIONS]!++;
    const base = flows.find(v, true);
    if (base < 0) return this.removeMptcp(partial);
    // Signed connections are known by the guest's SYN; a signature in a packet of the peer proves nothing.
    if (o.signature) return false;
    const rst = (v.flags & TCP_RST) !== 0;
    const believed = (v.flags & (TCP_RST | TCP_FIN)) === 0 || learner.inWindow(base, v.seq, !rst);
    if (believed) this.noteEnd(base, flows.tracker.packet(base, true, v.flags, v.seq, nowMs));
    else c[C_STRAY_ENDS]!++;
    if (rst && flows.phase(base) === Phase.SynSent) return this.translator.refusal(base, v, partial);
    let changed = this.removeMptcp(partial);
    if ((v.flags & TCP_ACK) !== 0) {
      if (!rst) learner.peerSegment(base, v, o);
      if (!rst) {
        if (o.timestampOffset >= 0) learner.peerEcho(base, v, o);
        if (learner.inWindow(base, v.seq, true)) this.reminders.notePeer(base, v.ack, this.link);
      }
      if (this.translator.toGuest(base, v, o, partial)) changed = true;
    }
    return changed;
  }

  private guestTcp(partial: boolean, nowMs: number): SecondaryVerdict {
    const c = this.counters.values;
    const { view: v, options: o, flows, learner } = this;
    if (!parseTcpOptions(v, o)) {
      c[C_MALFORMED_OPTIONS]!++;
      c[C_GUEST_MALFORMED]!++;
      return Drop;
    }
    if (this.numbering.inDoubt) this.numbering.judge(v, o, this.failedOver);
    if (this.mustWait(false)) return Drop;
    const syn = (v.flags & TCP_SYN) !== 0;
    const rst = (v.flags & TCP_RST) !== 0;
    let base = flows.find(v, false);
    if (base < 0) {
      // A connection that opens after the failover is the guest's own affair.
      if (this.failedOver) return Accept;
      if (!rst && (v.flags & (TCP_SYN | TCP_ACK)) !== 0) base = flows.create(v);
      if (base < 0) return this.removeMptcp(partial) ? AcceptRewritten : Accept;
    }
    if (this.failedOver && flows.phase(base) === Phase.SynSent && (rst || this.mayHarmHandshake(v, nowMs))) {
      c[rst ? C_HANDSHAKE_RESETS : C_HANDSHAKE_SYNS]!++;
      return Drop;
    }
    const event = flows.tracker.packet(base, false, v.flags, v.seq, nowMs);
    if (event === Track.Reopen) {
      c[C_REOPENED]!++;
      if (this.failedOver) {
        flows.remove(base);
        return Accept;
      }
      flows.restart(base);
    } else {
      this.noteEnd(base, event);
    }
    if (o.signature) {
      learner.giveUpSigned(base);
      return Accept;
    }
    if (syn && !rst) learner.guestSyn(base, v, o);
    else learner.guestSegment(base, v);
    if ((v.flags & TCP_ACK) !== 0 && !rst) {
      learner.guestWindow(base, v);
      this.reminders.noteGuest(base, v, o, this.link);
    }
    let changed = this.removeMptcp(partial);
    if (this.translatesGuest && this.translator.toPeer(base, v, o, this.failedOver, partial)) changed = true;
    return changed ? AcceptRewritten : Accept;
  }

  /**
   * Only the first fragment has a TCP header; the checksum in it covers the whole, and follows what is changed here.
   */
  private guestFragment(partial: boolean): SecondaryVerdict {
    if (!this.translatesGuest) return Accept;
    switch (readFirstFragment(this.view)) {
      case FirstFragment.Tcp:
        if (this.mustWait(false)) return Drop;
        return this.translateFirstFragment(partial) ? AcceptRewritten : Accept;
      case FirstFragment.Cut:
        // A header spread over fragments cannot be translated, and its sequence number may be another connection's.
        this.counters.values[C_GUEST_MALFORMED]!++;
        return Drop;
      default:
        return Accept;
    }
  }

  private translateFirstFragment(partial: boolean): boolean {
    const { view: v, options: o } = this;
    return parseTcpOptions(v, o) && this.translator.toPeer(this.flows.find(v, false), v, o, this.failedOver, partial);
  }

  /** MPTCP's keys differ between the VMs; without the option on both SYNs a connection is plain TCP. */
  private removeMptcp(partial: boolean): boolean {
    const { view: v, options: o } = this;
    if (o.mptcpOffset < 0 || (v.flags & TCP_SYN) === 0 || o.signature || this.failedOver) return false;
    // One at a time: a SYN may carry several.
    while (o.mptcpOffset >= 0) {
      nopOut(v.buf, v, o.mptcpOffset, o.mptcpBytes, partial);
      this.counters.values[C_MPTCP_REMOVED]!++;
      parseTcpOptions(v, o);
    }
    return true;
  }

  private noteEnd(base: number, event: Track): void {
    if (event !== Track.Finished && event !== Track.Revived) return;
    const { words } = this.flows;
    if (event === Track.Finished) words[base + S_STATE]! |= SF_FINISHED;
    else words[base + S_STATE]! &= ~SF_FINISHED;
    this.flows.publish(base);
  }
}
