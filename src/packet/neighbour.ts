// Neighbour discovery (RFC 4861): a host's claims of its own addresses, and the unsolicited neighbour advertisement
// (section 7.2.6), which announces on the link that an IPv6 address is at this MAC address now.

import { transportChecksum } from './checksum';
import { ETH_ALEN, ETH_HLEN, ETH_P_IPV6, writeFrameHeader } from './ethernet';
import { parseIp } from './parse';
import { IPPROTO_ICMPV6, PacketView } from './view';

const NDISC_ROUTER_SOLICITATION = 133; // NDISC_ROUTER_SOLICITATION
const NDISC_ROUTER_ADVERTISEMENT = 134; // NDISC_ROUTER_ADVERTISEMENT
const NDISC_NEIGHBOUR_ADVERTISEMENT = 136; // NDISC_NEIGHBOUR_ADVERTISEMENT
const NA_ROUTER = 0x80;
const NA_SOLICITED = 0x40;
const NA_OVERRIDE = 0x20;
const ND_OPT_SOURCE_LL_ADDR = 1; // ND_OPT_SOURCE_LL_ADDR
const ND_OPT_TARGET_LL_ADDR = 2; // ND_OPT_TARGET_LL_ADDR
/** Receivers take nothing less: it proves that no router has forwarded the packet. */
const HOP_LIMIT = 255;

const IPV6_BYTES = 40;
/** ICMPv6 header, target address, target link-layer address option. */
const NA_BYTES = 32;
export const NA_FRAME_BYTES = ETH_HLEN + IPV6_BYTES + NA_BYTES;

/** ff02::1, and the group's MAC address (RFC 2464 section 7). */
export const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
export const ALL_NODES_MAC = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);

/**
 * An address that the sender of a neighbour discovery message claims as its own. Reused; offsets in the buffer that was
 * parsed.
 */
export class NeighbourClaim {
  /** Of the 16 bytes of the address. */
  address = 0;
  /** Of the MAC address that goes with it, -1 when the message names none: the frame's source then. */
  mac = -1;
  /** Whether the sender is a router by this message; undefined: the message does not say. */
  router: boolean | undefined;
  /**
   * Neighbours are to replace what they know (the O flag); false for an anycast address, or one that is held for
   * another.
   */
  override = true;
  /** An advertisement that answers somebody's question. */
  solicited = false;
}

/**
 * Length of the own fields, before the options, of types 133 to 136: the solicitation and advertisement of routers, of
 * neighbours.
 */
const FIXED_BYTES: readonly number[] = [8, 16, 24, 24];

/**
 * Fills the claim from a parsed packet. False: it claims no address (a probe, RFC 4862), is none of these messages, or
 * is not valid (RFC 4861 section 6.1 and 7.1: hop limit 255, code 0, lengths). Whether the address can be anybody's is
 * not looked at.
 */
export function parseNeighbourClaim(claim: NeighbourClaim, v: PacketView): boolean {
  const { buf, l4, end } = v;
  const fixed = FIXED_BYTES[v.icmpType - NDISC_ROUTER_SOLICITATION];
  if (v.family !== 6 || v.protocol !== IPPROTO_ICMPV6 || v.fragment || fixed === undefined) return false;
  if (buf[v.start + 7] !== HOP_LIMIT || v.icmpCode !== 0 || l4 + fixed > end) return false;
  const advertisement = v.icmpType === NDISC_NEIGHBOUR_ADVERTISEMENT;
  claim.address = advertisement ? l4 + 8 : v.start + 8;
  claim.mac = -1;
  claim.router = advertisement ? (buf[l4 + 4]! & NA_ROUTER) !== 0 : undefined;
  if (v.icmpType === NDISC_ROUTER_ADVERTISEMENT) claim.router = true;
  claim.solicited = advertisement && (buf[l4 + 4]! & NA_SOLICITED) !== 0;
  claim.override = !advertisement || (buf[l4 + 4]! & NA_OVERRIDE) !== 0;
  const wanted = advertisement ? ND_OPT_TARGET_LL_ADDR : ND_OPT_SOURCE_LL_ADDR;
  for (let at = l4 + fixed; at + 8 <= end; ) {
    const bytes = buf[at + 1]! * 8;
    if (bytes === 0 || at + bytes > end) return false;
    if (buf[at] === wanted) claim.mac = at + 2;
    at += bytes;
  }
  return advertisement || (v.src0 | v.src1 | v.src2 | v.src3) !== 0;
}

/**
 * The frame for one address (16 bytes, network order). `router`: the guest forwards packets; without it hosts take it
 * off their lists of routers. `override` as in a NeighbourClaim.
 */
export function unsolicitedNaFrame(mac: Uint8Array, address: Uint8Array, router = false, override = true): Buffer {
  return naFrame(ALL_NODES_MAC, ALL_NODES, mac, address, (override ? NA_OVERRIDE : 0) | (router ? NA_ROUTER : 0));
}

/** The frame that answers who asked from (toMac, to): `address` is at `mac`. */
export function solicitedNaFrame(
  toMac: Uint8Array,
  to: Uint8Array,
  mac: Uint8Array,
  address: Uint8Array,
  router: boolean,
  override: boolean,
): Buffer {
  return naFrame(toMac, to, mac, address, NA_SOLICITED | (override ? NA_OVERRIDE : 0) | (router ? NA_ROUTER : 0));
}

function naFrame(toMac: Uint8Array, to: Uint8Array, mac: Uint8Array, address: Uint8Array, flags: number): Buffer {
  const frame = Buffer.alloc(NA_FRAME_BYTES);
  const ip = writeFrameHeader(frame, 0, toMac, mac, ETH_P_IPV6);
  frame[ip] = 6 << 4;
  frame[ip + 5] = NA_BYTES;
  frame[ip + 6] = IPPROTO_ICMPV6;
  frame[ip + 7] = HOP_LIMIT;
  frame.set(address, ip + 8);
  frame.set(to, ip + 24);
  const icmp = ip + IPV6_BYTES;
  frame[icmp] = NDISC_NEIGHBOUR_ADVERTISEMENT;
  frame[icmp + 4] = flags;
  frame.set(address, icmp + 8);
  frame[icmp + 24] = ND_OPT_TARGET_LL_ADDR;
  frame[icmp + 25] = 1; // in units of 8 bytes
  frame.set(mac.subarray(0, ETH_ALEN), icmp + 26);
  const view = new PacketView();
  parseIp(view, frame, ip, frame.length - ip);
  frame.writeUInt16BE(transportChecksum(view), icmp + 2);
  return frame;
}
