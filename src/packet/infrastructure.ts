// Packets that maintain a host's presence on the link: neighbour discovery (RFC 4861), multicast membership (RFC 2710,
// 3810, 3376). The two VMs' clocks make them differ; they carry no service. They are not compared, so only well-formed
// small ones count; all others of these protocols are compared like any packet.

import { isIgmp, isMld } from './membership';
import { isNeighbourDiscovery } from './neighbour-discovery';
import { IPPROTO_ICMPV6, IPPROTO_IGMP, type PacketView } from './view';

const ICMPV6_MLD_QUERY = 130; // ICMPV6_MGM_QUERY
const NDISC_NEIGHBOUR_SOLICITATION = 135; // NDISC_NEIGHBOUR_SOLICITATION
const NDISC_NEIGHBOUR_ADVERTISEMENT = 136; // NDISC_NEIGHBOUR_ADVERTISEMENT

/** Of the target address (RFC 4861 sections 4.3 and 4.4). */
const TARGET_OFFSET = 8;

/** The PVM's leaves without comparison, the SVM's is dropped. */
export function isInfrastructure(v: PacketView): boolean {
  if (v.protocol !== IPPROTO_ICMPV6 && v.protocol !== IPPROTO_IGMP) return false;
  if (v.fragment) return false;
  if (v.family === 4) return v.protocol === IPPROTO_IGMP && isIgmp(v);
  if (v.family !== 6 || v.protocol !== IPPROTO_ICMPV6 || v.icmpType < ICMPV6_MLD_QUERY) return false;
  return isNeighbourDiscovery(v) || isMld(v);
}

/**
 * A question for a neighbour: the sender has lost (or never had) what it asks for. A solicitation without a source asks
 * whether the sender's own address is free (RFC 4862). A router solicitation is no sign of a loss: a host sends it when
 * its link comes up, and by a timer.
 */
export function isNeighbourRequest(v: PacketView): boolean {
  if (v.fragment || v.family !== 6 || v.protocol !== IPPROTO_ICMPV6) return false;
  return v.icmpType === NDISC_NEIGHBOUR_SOLICITATION && (v.src0 | v.src1 | v.src2 | v.src3) !== 0;
}

/** An answer to one, or an announcement. */
export function isNeighbourAdvertisement(v: PacketView): boolean {
  return !v.fragment && v.family === 6 && v.protocol === IPPROTO_ICMPV6 && v.icmpType === NDISC_NEIGHBOUR_ADVERTISEMENT;
}

/**
 * Offset in the view's buffer of the address that a neighbour solicitation or advertisement is about, or -1: it is cut
 * off.
 */
export function neighbourTarget(v: PacketView): number {
  return v.end - v.l4 < TARGET_OFFSET + 16 ? -1 : v.l4 + TARGET_OFFSET;
}
