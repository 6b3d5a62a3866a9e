// The unsolicited neighbour advertisement (RFC 4861 sections 4.4 and 7.2.6): tells everybody on the link that an IPv6 address
// is at this MAC address now.

import { transportChecksum } from './checksum';
import { ETH_ALEN, ETH_HLEN, ETH_P_IPV6, writeFrameHeader } from './ethernet';
import { parseIp } from './parse';
import { IPPROTO_ICMPV6, PacketView } from './view';

const NDISC_NEIGHBOUR_ADVERTISEMENT = 136; // NDISC_NEIGHBOUR_ADVERTISEMENT
const NA_ROUTER = 0x80;
const NA_OVERRIDE = 0x20;
const ND_OPT_TARGET_LL_ADDR = 2; // ND_OPT_TARGET_LL_ADDR
/** Receivers take nothing less: it proves that no router has forwarded the packet. */
const HOP_LIMIT = 255;

const IPV6_BYTES = 40;
/** ICMPv6 header, target address, target link-layer address option. */
const NA_BYTES = 32;
export const NA_FRAME_BYTES = ETH_HLEN + IPV6_BYTES + NA_BYTES;

/** ff02::1, and the group's MAC address (RFC 2464 section 7). */
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);

/** The frame for one address (16 bytes, network order). `router`: the guest forwards packets; else hosts forget it as a router. */
export function unsolicitedNaFrame(mac: Uint8Array, address: Uint8Array, router = false): Buffer {
  const frame = Buffer.alloc(NA_FRAME_BYTES);
  const ip = writeFrameHeader(frame, 0, ALL_NODES_MAC, mac, ETH_P_IPV6);
  frame[ip] = 6 << 4;
  frame[ip + 5] = NA_BYTES;
  frame[ip + 6] = IPPROTO_ICMPV6;
  frame[ip + 7] = HOP_LIMIT;
  frame.set(address, ip + 8);
  frame.set(ALL_NODES, ip + 24);
  const icmp = ip + IPV6_BYTES;
  frame[icmp] = NDISC_NEIGHBOUR_ADVERTISEMENT;
  frame[icmp + 4] = NA_OVERRIDE | (router ? NA_ROUTER : 0);
  frame.set(address, icmp + 8);
  frame[icmp + 24] = ND_OPT_TARGET_LL_ADDR;
  frame[icmp + 25] = 1; // in units of 8 bytes
  frame.set(mac.subarray(0, ETH_ALEN), icmp + 26);
  const view = new PacketView();
  parseIp(view, frame, ip, frame.length - ip);
  frame.writeUInt16BE(transportChecksum(view), icmp + 2);
  return frame;
}
