// Learning a connection's offsets from what passes on the secondary's host alone.
//
// The guest's SYN or SYN/ACK gives ISN(SVM); the first acknowledgement that the peer sends gives ISN(PVM) = ack - 1,
// because what the peer saw came from the PVM. That the first one acknowledges no more than the SYN follows from the
// output commit rule: the peer can only have received, and acknowledged, bytes that the SVM has sent too, and the SVM
// sends none before the handshake's end has passed here. Where a guest does send data earlier (Fast Open), the ISN
// cannot be derived and the connection is left alone.
//
// Timestamps: TSval of the first SYN or SYN/ACK against the first echo. The pair is about the same moment on both VMs;
// what it is off by is made good at a failover, when a timestamp is never let fall behind what the peer has seen.

import { FLOW_GUEST_ISN } from '../conntrack/flow-table';
import { TcpState } from '../conntrack/tcp-track';
import { seqAfter, seqDiff, seqMax } from '../core/seq32';
import type { TcpOptions } from '../packet/tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/view';
import {
  C_AMBIGUOUS,
  C_FAST_OPEN,
  C_LEARNED_CLIENT_OPENED,
  C_LEARNED_GUEST_OPENED,
  C_SIGNED,
  C_STRAY_ECHOES,
  type SecondaryCounters,
} from './counters';
import {
  Phase,
  S_GUEST_ACK,
  S_GUEST_EDGE,
  S_OFF,
  S_SLOT,
  S_STATE,
  S_SYN_ACK,
  S_SYN_TS,
  S_TS_OFF,
  SF_CONFIRMED,
  SF_SCALE,
  SF_SCALE_SHIFT,
  SF_SYN_TS,
  SF_WINDOW,
} from './flow-words';
import type { SecondaryFlows } from './flows';

/** The greatest scale of RFC 7323, taken where the SYN was not seen. */
const GREATEST_SCALE = 14;
/**
 * A SYN/ACK's window is not scaled, so the peer cannot have sent more than this before it hears from the guest again.
 */
const HANDSHAKE_WINDOW = 0xffff;
/** Old segments, as from a retransmission, are allowed for beyond one window. */
const OLD_SLACK = 0xffff;

export class Learner {
  constructor(
    private readonly flows: SecondaryFlows,
    private readonly counters: SecondaryCounters,
  ) {}

  /** A signed header cannot be changed, so the connection is never touched again. */
  giveUpSigned(base: number): void {
    if (this.flows.phase(base) === Phase.GivenUp) return;
    this.counters.values[C_SIGNED]!++;
    this.flows.setPhase(base, Phase.GivenUp);
    this.flows.words[base + S_OFF] = 0;
    this.flows.words[base + S_TS_OFF] = 0;
    this.flows.publish(base);
  }

  /** A SYN or SYN/ACK of the guest. */
  guestSyn(base: number, v: PacketView, o: TcpOptions): void {
    const { words } = this.flows;
    const phase = this.flows.phase(base);
    if (o.fastOpenOffset >= 0) this.counters.values[C_FAST_OPEN]!++;
    this.noteScale(base, o);
    if (phase === Phase.GivenUp || phase === Phase.Learned) return;
    // A straggler of an open connection proves nothing.
    if (this.flows.tracker.state(base) >= TcpState.Established) return;
    const answer = (v.flags & TCP_ACK) !== 0;
    if (answer) words[base + S_SYN_ACK] = v.ack;
    // Of a retransmitted SYN, or of a SYN that became a SYN/ACK (simultaneous open), the first timestamp counts.
    if (phase === Phase.Settled && o.timestampOffset >= 0) {
      words[base + S_SYN_TS] = o.tsVal;
      words[base + S_STATE]! |= SF_SYN_TS;
    }
    if (!answer && v.payloadBytes > 0) {
      // The peer may acknowledge the SYN alone or its data too.
      this.giveUpAmbiguous(base);
      return;
    }
    const next = answer ? Phase.SynAnswered : Phase.SynSent;
    if (next < phase) return;
    this.flows.setPhase(base, next);
    this.flows.publish(base);
  }

  /** Any other segment of the guest. */
  guestSegment(base: number, v: PacketView): void {
    const { words } = this.flows;
    const phase = this.flows.phase(base);
    if (phase === Phase.SynAnswered) {
      if (v.payloadBytes > 0 || (v.flags & TCP_FIN) !== 0) this.giveUpAmbiguous(base);
    } else if (phase === Phase.Learned && (words[base + S_STATE]! & SF_CONFIRMED) === 0 && (v.flags & TCP_RST) === 0) {
      words[base + S_STATE]! |= SF_CONFIRMED;
      this.flows.publish(base);
    }
  }

  /** What the guest acknowledges and offers: the bounds within which a segment of its peer is believed. */
  guestWindow(base: number, v: PacketView): void {
    const { words } = this.flows;
    const state = words[base + S_STATE]!;
    const scale =
      (v.flags & TCP_SYN) !== 0 ? 0 : (state & SF_SCALE) !== 0 ? (state >>> SF_SCALE_SHIFT) & 0xf : GREATEST_SCALE;
    const edge = (v.ack + (v.window << scale)) >>> 0;
    if ((state & SF_WINDOW) === 0) {
      words[base + S_GUEST_ACK] = v.ack;
      words[base + S_GUEST_EDGE] = edge;
      words[base + S_STATE] = state | SF_WINDOW;
    } else {
      words[base + S_GUEST_ACK] = seqMax(words[base + S_GUEST_ACK]!, v.ack);
      words[base + S_GUEST_EDGE] = seqMax(words[base + S_GUEST_EDGE]!, edge);
    }
  }

  /** A segment of the peer with ACK and without RST: learns the offsets if it is the one that gives them. */
  peerSegment(base: number, v: PacketView, o: TcpOptions): void {
    const { words } = this.flows;
    const phase = this.flows.phase(base);
    const syn = (v.flags & TCP_SYN) !== 0;
    if (phase === Phase.SynSent) {
      if (!syn) return;
      this.counters.values[C_LEARNED_GUEST_OPENED]!++;
    } else if (phase === Phase.SynAnswered) {
      // A peer's SYN/ACK in answer to the guest's (simultaneous open) gives as much.
      const ahead = seqDiff(v.seq, words[base + S_SYN_ACK]!);
      if (!syn && (ahead < 0 || ahead > HANDSHAKE_WINDOW)) return;
      this.counters.values[C_LEARNED_CLIENT_OPENED]!++;
    } else {
      return;
    }
    words[base + S_OFF] = v.ack - 1 - words[base + FLOW_GUEST_ISN]!;
    const timed = o.timestampOffset >= 0 && (words[base + S_STATE]! & SF_SYN_TS) !== 0;
    words[base + S_TS_OFF] = timed ? o.tsEcr - words[base + S_SYN_TS]! : 0;
    this.flows.setPhase(base, Phase.Learned);
    this.flows.publish(base);
  }

  /** Keeps the newest timestamp that the peer has echoed, for every connection. */
  peerEcho(base: number, v: PacketView, o: TcpOptions): void {
    const phase = this.flows.phase(base);
    if (phase !== Phase.Learned && phase !== Phase.Settled) return;
    if (!this.inWindow(base, v.seq, true)) {
      this.counters.values[C_STRAY_ECHOES]!++;
      return;
    }
    const { offsets } = this.flows;
    const slot = this.flows.words[base + S_SLOT]!;
    if (!offsets.echoKnown(slot) || seqAfter(o.tsEcr, offsets.echo(slot))) offsets.noteEcho(slot, o.tsEcr);
  }

  /** True when a sequence number of the peer may be real; `old`: also when the guest has it already. */
  inWindow(base: number, seq: number, old: boolean): boolean {
    const { words } = this.flows;
    if ((words[base + S_STATE]! & SF_WINDOW) === 0) return true;
    const ack = words[base + S_GUEST_ACK]!;
    const size = seqDiff(words[base + S_GUEST_EDGE]!, ack);
    const ahead = seqDiff(seq, ack);
    return ahead <= size && ahead >= (old ? -(size + OLD_SLACK) : 0);
  }

  private giveUpAmbiguous(base: number): void {
    this.counters.values[C_AMBIGUOUS]!++;
    this.flows.setPhase(base, Phase.GivenUp);
    this.flows.publish(base);
  }

  private noteScale(base: number, o: TcpOptions): void {
    const { words } = this.flows;
    const scale = Math.min(Math.max(o.windowScale, 0), GREATEST_SCALE);
    const state = words[base + S_STATE]! & ~(0xf << SF_SCALE_SHIFT);
    words[base + S_STATE] = state | SF_SCALE | (scale << SF_SCALE_SHIFT);
  }
}
