// A packet in one line, for logs and commands; never on the packet path.

import { formatAddress } from './address';
import {
  FAMILY_LINK,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IGMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type PacketView,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
} from './view';

const PROTOCOL_NAMES = new Map([
  [IPPROTO_ICMP, 'icmp'],
  [IPPROTO_IGMP, 'igmp'],
  [IPPROTO_TCP, 'tcp'],
  [IPPROTO_UDP, 'udp'],
  [IPPROTO_ICMPV6, 'icmpv6'],
]);

const FLAG_LETTERS: readonly (readonly [number, string])[] = [
  [TCP_SYN, 'S'],
  [TCP_FIN, 'F'],
  [TCP_RST, 'R'],
  [TCP_PSH, 'P'],
  [TCP_ACK, 'A'],
];

/** `tcp`, or `proto 47`. */
export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? `proto ${protocol}`;
}

/** `10.0.0.1:80`, `[2001:db8::1]:80`; the address alone where the protocol has no ports. */
export function formatEndpoint(
  family: 4 | 6,
  words: ArrayLike<number>,
  at: number,
  protocol: number,
  port: number,
): string {
  const address = formatAddress(family, words, at);
  if (protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP) return address;
  return family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

/** `tcp 10.0.0.1:80 > 10.0.0.2:40000`; echoes show their id. */
export function formatTuple(v: PacketView): string {
  if (v.family === FAMILY_LINK) return `ethertype 0x${v.srcPort.toString(16).padStart(4, '0')}`;
  // A fragment has no ports.
  const ported = v.fragment ? -1 : v.protocol;
  const src = formatEndpoint(v.family, [v.src0, v.src1, v.src2, v.src3], 0, ported, v.srcPort);
  const dst = formatEndpoint(v.family, [v.dst0, v.dst1, v.dst2, v.dst3], 0, ported, v.dstPort);
  const icmp = v.protocol === IPPROTO_ICMP || v.protocol === IPPROTO_ICMPV6;
  return `${protocolName(v.protocol)} ${src} > ${dst}${icmp && v.srcPort !== 0 ? ` id ${v.srcPort}` : ''}`;
}

/** The tuple, and the fields of the transport header. */
export function formatPacket(v: PacketView): string {
  const tuple = formatTuple(v);
  if (v.fragment) return `${tuple} fragment, ${v.payloadBytes} bytes`;
  switch (v.protocol) {
    case IPPROTO_TCP: {
      const letters = FLAG_LETTERS.map(([bit, letter]) => ((v.flags & bit) !== 0 ? letter : '')).join('');
      const ack = (v.flags & TCP_ACK) !== 0 ? ` ack ${v.ack}` : '';
      return `${tuple} [${letters}] seq ${v.seq}${ack} win ${v.window}, ${v.payloadBytes} bytes`;
    }
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return `${tuple} type ${v.icmpType} code ${v.icmpCode}, ${v.payloadBytes} bytes`;
    default:
      return `${tuple}, ${v.payloadBytes} bytes`;
  }
}
