// The TCP segment that an ICMP error quotes (RFC 792, RFC 1191, RFC 4443): whose it is, and where its numbers stand. At
// least its ports and its sequence number are there; the rest may be cut off.

import { read16, read32 } from '../core/big-endian';
import { ICMP_HEADER_BYTES } from './icmp-header';
import {
  IP_OFFSET,
  IPV4_DESTINATION_AT,
  IPV4_FRAGMENT_AT,
  IPV4_HEADER_BYTES,
  IPV4_PROTOCOL_AT,
  IPV4_SOURCE_AT,
  IPV6_DESTINATION_AT,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER_AT,
  IPV6_SOURCE_AT,
} from './ip-header';
import { TCP_ACK_AT, TCP_DESTINATION_AT, TCP_FLAGS_AT, TCP_SEQ_AT, TCP_SOURCE_AT } from './tcp-header';
import { FLOW_GUEST, FLOW_KEY_WORDS, FLOW_META, FLOW_PEER, FLOW_PORTS, flowMeta } from './tuple';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, type PacketView, TCP_ACK } from './view';

const ICMP_DEST_UNREACH = 3; // ICMP_DEST_UNREACH
const ICMP_SOURCE_QUENCH = 4; // ICMP_SOURCE_QUENCH
const ICMP_REDIRECT = 5; // ICMP_REDIRECT
const ICMP_TIME_EXCEEDED = 11; // ICMP_TIME_EXCEEDED
const ICMP_PARAMETERPROB = 12; // ICMP_PARAMETERPROB
const ICMPV6_DEST_UNREACH = 1; // ICMPV6_DEST_UNREACH
const ICMPV6_PARAMPROB = 4; // ICMPV6_PARAMPROB; 2 and 3 between them: too big, time exceeded
/** Ports and sequence number. */
const LEAST_TCP_BYTES = 8;

export const Quote = { None: 0, Unreadable: 1, Tcp: 2 } as const;
export type Quote = (typeof Quote)[keyof typeof Quote];

export class QuotedSegment {
  /** As of a flow record, for FlowTable.findKey. */
  readonly key = new Uint32Array(FLOW_KEY_WORDS);
  /** Offset in the packet's buffer of the quoted TCP header, and the end of the quotation. */
  tcp = 0;
  end = 0;

  /** `guestSent`: the quoted segment is one that the guest had sent (so the error goes to the guest). */
  read(v: PacketView, guestSent: boolean): Quote {
    if (!isError(v)) return Quote.None;
    const { buf } = v;
    const ip = v.l4 + ICMP_HEADER_BYTES;
    const src = guestSent ? FLOW_GUEST : FLOW_PEER;
    const dst = FLOW_PEER - src;
    if (v.family === 4) {
      if (ip + IPV4_HEADER_BYTES > v.end || buf[ip]! >>> 4 !== 4) return Quote.Unreadable;
      if (buf[ip + IPV4_PROTOCOL_AT] !== IPPROTO_TCP) return Quote.None;
      const headerBytes = (buf[ip]! & 15) << 2;
      const fragmentOffset = read16(buf, ip + IPV4_FRAGMENT_AT) & IP_OFFSET;
      if (headerBytes < IPV4_HEADER_BYTES || fragmentOffset !== 0) return Quote.Unreadable;
      this.tcp = ip + headerBytes;
      this.key.fill(0);
      this.key[src] = read32(buf, ip + IPV4_SOURCE_AT);
      this.key[dst] = read32(buf, ip + IPV4_DESTINATION_AT);
      this.key[FLOW_META] = flowMeta(v.zone, 4, IPPROTO_TCP);
    } else {
      if (ip + IPV6_HEADER_BYTES > v.end || buf[ip]! >>> 4 !== 6) return Quote.Unreadable;
      // Extension headers between the two are not followed: hosts do not send TCP that way.
      if (buf[ip + IPV6_NEXT_HEADER_AT] !== IPPROTO_TCP) return Quote.None;
      this.tcp = ip + IPV6_HEADER_BYTES;
      for (let i = 0; i < 4; i++) {
        this.key[src + i] = read32(buf, ip + IPV6_SOURCE_AT + i * 4);
        this.key[dst + i] = read32(buf, ip + IPV6_DESTINATION_AT + i * 4);
      }
      this.key[FLOW_META] = flowMeta(v.zone, 6, IPPROTO_TCP);
    }
    this.end = v.end;
    if (this.tcp + LEAST_TCP_BYTES > v.end) return Quote.Unreadable;
    const srcPort = read16(buf, this.tcp + TCP_SOURCE_AT);
    const dstPort = read16(buf, this.tcp + TCP_DESTINATION_AT);
    this.key[FLOW_PORTS] = guestSent ? (srcPort << 16) | dstPort : (dstPort << 16) | srcPort;
    return Quote.Tcp;
  }

  /** Does the quoted segment acknowledge something, as far as it is quoted? */
  acknowledges(buf: Uint8Array): boolean {
    const at = this.tcp + TCP_FLAGS_AT;
    return at < this.end && (buf[at]! & TCP_ACK) !== 0;
  }

  /** Offset in the packet's buffer of the quoted sequence number. */
  get seqAt(): number {
    return this.tcp + TCP_SEQ_AT;
  }

  get ackAt(): number {
    return this.tcp + TCP_ACK_AT;
  }
}

function isError(v: PacketView): boolean {
  const type = v.icmpType;
  if (v.family === 4 && v.protocol === IPPROTO_ICMP) {
    return (
      type === ICMP_DEST_UNREACH ||
      type === ICMP_SOURCE_QUENCH ||
      type === ICMP_REDIRECT ||
      type === ICMP_TIME_EXCEEDED ||
      type === ICMP_PARAMETERPROB
    );
  }
  return v.family === 6 && v.protocol === IPPROTO_ICMPV6 && type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}
