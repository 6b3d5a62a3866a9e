// Applies a connection's offsets to a packet of it, in either direction, and to ICMP errors that quote one.

import { FLOW_GUEST_ISN } from '../conntrack/flow-table';
import { seqDiff } from '../core/seq32';
import { Quote, QuotedSegment } from '../packet/icmp-quote';
import { addToAck, addToQuoted, addToSack, addToSeq, addToTsEcr, addToTsVal } from '../packet/tcp-edit';
import type { TcpOptions } from '../packet/tcp-options';
import { type PacketView, TCP_ACK } from '../packet/view';
import {
  C_ICMP_TRANSLATED,
  C_ICMP_UNREADABLE,
  C_REFUSALS,
  C_TIMESTAMPS_RAISED,
  type SecondaryCounters,
} from './counters';
import { Phase, S_OFF, S_SLOT, S_TS_OFF } from './flow-words';
import type { SecondaryFlows } from './flows';

/** All methods return true when they changed the packet. `base` may be -1: no such flow. */
export class Translator {
  private readonly quoted = new QuotedSegment();

  constructor(
    private readonly flows: SecondaryFlows,
    private readonly counters: SecondaryCounters,
  ) {}

  /** ack, SACK edges, TSecr from the peer's numbers to the guest's. Without ACK none of them means anything. */
  toGuest(base: number, v: PacketView, o: TcpOptions, partial: boolean): boolean {
    if (base < 0 || (v.flags & TCP_ACK) === 0 || o.signature) return false;
    const off = this.flows.words[base + S_OFF]!;
    const tsOff = this.flows.words[base + S_TS_OFF]!;
    if (off !== 0) {
      addToAck(v, -off, partial);
      if (o.sackBlocks > 0) addToSack(v, o, -off, partial);
    }
    const timed = tsOff !== 0 && o.timestampOffset >= 0;
    if (timed) addToTsEcr(v, o, -tsOff, partial);
    return off !== 0 || timed;
  }

  /** seq and TSval from the guest's numbers to the peer's. `failedOver`: the peer really sees them. */
  toPeer(base: number, v: PacketView, o: TcpOptions, failedOver: boolean, partial: boolean): boolean {
    if (base < 0 || o.signature) return false;
    const { words } = this.flows;
    const off = words[base + S_OFF]!;
    if (off !== 0) addToSeq(v, off, partial);
    if (o.timestampOffset < 0) return off !== 0;
    if (failedOver) this.raiseTimestamps(base, o.tsVal);
    const tsOff = words[base + S_TS_OFF]!;
    if (tsOff !== 0) addToTsVal(v, o, tsOff, partial);
    return off !== 0 || tsOff !== 0;
  }

  /** A RST that refuses the guest's SYN must acknowledge that very SYN, or the guest would go on trying. */
  refusal(base: number, v: PacketView, partial: boolean): boolean {
    if ((v.flags & TCP_ACK) === 0) return false;
    this.counters.values[C_REFUSALS]!++;
    const off = seqDiff(this.flows.words[base + FLOW_GUEST_ISN]! + 1, v.ack);
    if (off === 0) return false;
    addToAck(v, off, partial);
    return true;
  }

  /** An ICMP error about a TCP segment. */
  quote(v: PacketView, toGuest: boolean): boolean {
    const { quoted } = this;
    const found = quoted.read(v, toGuest);
    if (found !== Quote.Tcp) {
      if (found === Quote.Unreadable) this.counters.values[C_ICMP_UNREADABLE]!++;
      return false;
    }
    const base = this.flows.findKey(quoted.key);
    const off = base < 0 ? 0 : this.flows.words[base + S_OFF]!;
    if (off === 0) return false;
    if (toGuest) {
      // The segment that the guest sent, as the peer's side of the network saw it.
      addToQuoted(v, quoted.seqAt, -off, quoted.tcp, quoted.end);
    } else {
      // The segment that the guest received, whose acknowledgement had been translated for it.
      if (!quoted.acknowledges(v.buf)) return false;
      addToQuoted(v, quoted.ackAt, off, quoted.tcp, quoted.end);
    }
    this.counters.values[C_ICMP_TRANSLATED]!++;
    return true;
  }

  /**
   * Never lets the peer see a timestamp older than one that it has echoed: it would take every segment for an old
   * duplicate (PAWS).
   */
  raiseTimestamps(base: number, tsVal: number): void {
    const { words, offsets } = this.flows;
    const slot = words[base + S_SLOT]!;
    const phase = this.flows.phase(base);
    if (!offsets.echoKnown(slot) || (phase !== Phase.Learned && phase !== Phase.Settled)) return;
    const lag = seqDiff(offsets.echo(slot), tsVal + words[base + S_TS_OFF]!);
    if (lag <= 0) return;
    words[base + S_TS_OFF] = words[base + S_TS_OFF]! + lag;
    this.flows.publish(base);
    this.counters.values[C_TIMESTAMPS_RAISED]!++;
  }
}
