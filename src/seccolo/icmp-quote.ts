// The TCP segment that an ICMP error quotes (RFC 792, RFC 1191, RFC 4443): whose it is, and where its numbers stand. At
// least its ports and its sequence number are there; the rest may be cut off.

import { FLOW_GUEST, FLOW_KEY_WORDS, FLOW_META, FLOW_PEER, FLOW_PORTS, flowMeta } from '../conntrack/flow-table';
import { read32 } from '../core/big-endian';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, type PacketView } from '../packet/view';

const ICMP_DEST_UNREACH = 3; // ICMP_DEST_UNREACH
const ICMP_SOURCE_QUENCH = 4; // ICMP_SOURCE_QUENCH
const ICMP_REDIRECT = 5; // ICMP_REDIRECT
const ICMP_TIME_EXCEEDED = 11; // ICMP_TIME_EXCEEDED
const ICMP_PARAMETERPROB = 12; // ICMP_PARAMETERPROB
const ICMPV6_DEST_UNREACH = 1; // ICMPV6_DEST_UNREACH
const ICMPV6_PARAMPROB = 4; // ICMPV6_PARAMPROB; 2 and 3 between them: too big, time exceeded
const ICMP_HEADER_BYTES = 8;
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
      if (ip + 20 > v.end || buf[ip]! >>> 4 !== 4) return Quote.Unreadable;
      if (buf[ip + 9] !== IPPROTO_TCP) return Quote.None;
      const headerBytes = (buf[ip]! & 15) << 2;
      const fragmentOffset = ((buf[ip + 6]! << 8) | buf[ip + 7]!) & 0x1fff;
      if (headerBytes < 20 || fragmentOffset !== 0) return Quote.Unreadable;
      this.tcp = ip + headerBytes;
      this.key.fill(0);
      this.key[src] = read32(buf, ip + 12);
      this.key[dst] = read32(buf, ip + 16);
      this.key[FLOW_META] = flowMeta(v.zone, 4, IPPROTO_TCP);
    } else {
      if (ip + 40 > v.end || buf[ip]! >>> 4 !== 6) return Quote.Unreadable;
      // Extension headers between the two are not followed: hosts do not send TCP that way.
      if (buf[ip + 6] !== IPPROTO_TCP) return Quote.None;
      this.tcp = ip + 40;
      for (let i = 0; i < 4; i++) {
        this.key[src + i] = read32(buf, ip + 8 + i * 4);
        this.key[dst + i] = read32(buf, ip + 24 + i * 4);
      }
      this.key[FLOW_META] = flowMeta(v.zone, 6, IPPROTO_TCP);
    }
    this.end = v.end;
    if (this.tcp + LEAST_TCP_BYTES > v.end) return Quote.Unreadable;
    const srcPort = (buf[this.tcp]! << 8) | buf[this.tcp + 1]!;
    const dstPort = (buf[this.tcp + 2]! << 8) | buf[this.tcp + 3]!;
    this.key[FLOW_PORTS] = guestSent ? (srcPort << 16) | dstPort : (dstPort << 16) | srcPort;
    return Quote.Tcp;
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
