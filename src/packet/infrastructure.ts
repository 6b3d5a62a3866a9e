// Packets by which a host keeps its place on the link: neighbour discovery (RFC 4861), multicast membership (RFC 2710,
// 3810, 3376). The two VMs' clocks make them differ; they carry no service.

import { IPPROTO_ICMPV6, IPPROTO_IGMP, type PacketView } from './view';

const ICMPV6_MLD_QUERY = 130; // ICMPV6_MGM_QUERY
const ICMPV6_MLD_DONE = 132; // ICMPV6_MGM_REDUCTION
const NDISC_ROUTER_SOLICITATION = 133; // NDISC_ROUTER_SOLICITATION
const NDISC_NEIGHBOUR_SOLICITATION = 135; // NDISC_NEIGHBOUR_SOLICITATION
const NDISC_REDIRECT = 137; // NDISC_REDIRECT
const ICMPV6_MLD2_REPORT = 143; // ICMPV6_MLD2_REPORT

export function isInfrastructure(v: PacketView): boolean {
  if (v.protocol === IPPROTO_ICMPV6) {
    const t = v.icmpType;
    return (t >= ICMPV6_MLD_QUERY && t <= ICMPV6_MLD_DONE) || (t >= NDISC_ROUTER_SOLICITATION && t <= NDISC_REDIRECT) || t === ICMPV6_MLD2_REPORT;
  }
  return v.protocol === IPPROTO_IGMP && v.family === 4;
}

/** A request for somebody's address: the sender has lost (or never had) what it asks for. */
export function isNeighbourRequest(v: PacketView): boolean {
  return v.protocol === IPPROTO_ICMPV6 && v.icmpType === NDISC_NEIGHBOUR_SOLICITATION;
}
