// General queries for multicast groups, IGMPv3 (RFC 3376 section 4.1) and MLDv2 (RFC 3810 section 5.1): a host answers
// with reports of its groups, from which a snooping switch learns where they are wanted. Hosts of older versions answer
// in theirs.

import { icmpChecksum, ipv4HeaderChecksum, transportChecksum } from './checksum';
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, writeFrameHeader } from './ethernet';
import { ALL_NODES, ALL_NODES_MAC } from './neighbour';
import { parseIp } from './parse';
import { IPPROTO_ICMPV6, IPPROTO_IGMP, PacketView } from './view';

const IGMP_HOST_MEMBERSHIP_QUERY = 0x11; // IGMP_HOST_MEMBERSHIP_QUERY
const ICMPV6_MGM_QUERY = 130; // ICMPV6_MGM_QUERY
/** A querier's robustness and interval, as the RFCs have them by default. */
const ROBUSTNESS = 2;
const INTERVAL_S = 125;
/** The guest answers within this time: 100 ms, in tenths of a second and in milliseconds. */
const IGMP_RESPONSE = 1;
const MLD_RESPONSE_MS = 100;

/** 224.0.0.1, and the group's MAC address (RFC 1112 section 6.4). */
const ALL_HOSTS = Uint8Array.of(224, 0, 0, 1);
const ALL_HOSTS_MAC = Uint8Array.of(0x01, 0x00, 0x5e, 0, 0, 1);
/** Of no host: locally administered. */
const QUERIER_MAC = Uint8Array.of(0x02, 0xc0, 0x10, 0, 0, 1);
/**
 * A query must come from a link-local address, and the lowest becomes the link's querier: the highest of all never
 * does. IGMP takes 0.0.0.0, which no election counts (RFC 4541 section 2.1.1).
 */
const QUERIER = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);

const IPV4_BYTES = 24;
const IGMP_BYTES = 12;

export function igmpQueryFrame(): Buffer {
  const frame = Buffer.alloc(ETH_HLEN + IPV4_BYTES + IGMP_BYTES);
  const ip = writeFrameHeader(frame, 0, ALL_HOSTS_MAC, QUERIER_MAC, ETH_P_IP);
  frame[ip] = 0x40 | (IPV4_BYTES >>> 2);
  frame[ip + 1] = 0xc0; // Internetwork Control
  frame[ip + 3] = IPV4_BYTES + IGMP_BYTES;
  frame[ip + 8] = 1; // time to live
  frame[ip + 9] = IPPROTO_IGMP;
  frame.set(ALL_HOSTS, ip + 16);
  frame.set([0x94, 4, 0, 0], ip + 20); // Router Alert (RFC 2113)
  frame.writeUInt16BE(ipv4HeaderChecksum(frame, ip, IPV4_BYTES), ip + 10);
  const igmp = ip + IPV4_BYTES;
  frame[igmp] = IGMP_HOST_MEMBERSHIP_QUERY;
  frame[igmp + 1] = IGMP_RESPONSE;
  frame[igmp + 8] = ROBUSTNESS;
  frame[igmp + 9] = INTERVAL_S;
  frame.writeUInt16BE(icmpChecksum(frame, igmp, IGMP_BYTES), igmp + 2);
  return frame;
}

const IPV6_BYTES = 40;
const HOP_BY_HOP_BYTES = 8;
const MLD_BYTES = 28;

export function mldQueryFrame(): Buffer {
  const frame = Buffer.alloc(ETH_HLEN + IPV6_BYTES + HOP_BY_HOP_BYTES + MLD_BYTES);
  const ip = writeFrameHeader(frame, 0, ALL_NODES_MAC, QUERIER_MAC, ETH_P_IPV6);
  frame[ip] = 6 << 4;
  frame[ip + 5] = HOP_BY_HOP_BYTES + MLD_BYTES;
  frame[ip + 7] = 1; // hop limit
  frame.set(QUERIER, ip + 8);
  frame.set(ALL_NODES, ip + 24);
  // Router Alert (RFC 2711), then PadN.
  frame.set([IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0], ip + IPV6_BYTES);
  const mld = ip + IPV6_BYTES + HOP_BY_HOP_BYTES;
  frame[mld] = ICMPV6_MGM_QUERY;
  frame.writeUInt16BE(MLD_RESPONSE_MS, mld + 4);
  frame[mld + 24] = ROBUSTNESS;
  frame[mld + 25] = INTERVAL_S;
  const view = new PacketView();
  parseIp(view, frame, ip, frame.length - ip);
  frame.writeUInt16BE(transportChecksum(view), mld + 2);
  return frame;
}
