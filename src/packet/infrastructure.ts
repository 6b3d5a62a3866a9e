// Packets by which a host keeps its place on the link: neighbour discovery (RFC 4861), multicast membership (RFC 2710,
// 3810, 3376). The two VMs' clocks make them differ; they carry no service.

import { IPPROTO_ICMPV6, IPPROTO_IGMP, type PacketView } from './view';

const ICMPV6_MLD_QUERY = 130; // ICMPV6_MGM_QUERY
const ICMPV6_MLD_DONE = 132; // ICMPV6_MGM_REDUCTION
const NDISC_ROUTER_SOLICITATION = 133; // NDISC_ROUTER_SOLICITATION
const NDISC_NEIGHBOUR_SOLICITATION = 135; // NDISC_NEIGHBOUR_SOLICITATION
const NDISC_REDIRECT = 137; // NDISC_REDIRECT
const ICMPV6_MLD2_REPORT = 143; // ICMPV6_MLD2_REPORT

/** May pass on the PVM's word alone, and is not wanted from the SVM. */
export function isInfrastructure(v: PacketView): boolean {
  if (v.fragment) return false;
  if (v.family === 4) return v.protocol === IPPROTO_IGMP;
  if (v.protocol !== IPPROTO_ICMPV6) return false;
  const t = v.icmpType;
  return (
    (t >= ICMPV6_MLD_QUERY && t <= ICMPV6_MLD_DONE) ||
    (t >= NDISC_ROUTER_SOLICITATION && t <= NDISC_REDIRECT) ||
    t === ICMPV6_MLD2_REPORT
  );
}

/**
 * A question for a neighbour or a router: the sender has lost (or never had) what it asks for. A solicitation without a source asks
 * whether the sender's own address is free (RFC 4862).
 */
export function isNeighbourRequest(v: PacketView): boolean {
  if (v.fragment || v.family !== 6 || v.protocol !== IPPROTO_ICMPV6) return false;
  if (v.icmpType === NDISC_NEIGHBOUR_SOLICITATION) return (v.src0 | v.src1 | v.src2 | v.src3) !== 0;
  return v.icmpType === NDISC_ROUTER_SOLICITATION;
}
