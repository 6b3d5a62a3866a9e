// Which packets of multicast membership (IGMP: RFC 1112, 2236, 3376; MLD: RFC 2710, 3810) are well formed and small.
// They are never compared, so they may carry group addresses and nothing else: to the right
// destination, link-local, with consistent lengths.

import { read16, read32 } from '../core/big-endian';
import type { PacketView } from './view';

const IGMP_QUERY = 0x11; // IGMP_HOST_MEMBERSHIP_QUERY
const IGMP_REPORT = 0x12; // IGMP_HOST_MEMBERSHIP_REPORT
const IGMPV2_REPORT = 0x16; // IGMPV2_HOST_MEMBERSHIP_REPORT
const IGMP_LEAVE = 0x17; // IGMP_HOST_LEAVE_MESSAGE
const IGMPV3_REPORT = 0x22; // IGMPV3_HOST_MEMBERSHIP_REPORT
const MLD_QUERY = 130; // ICMPV6_MGM_QUERY
const MLD_REPORT = 131; // ICMPV6_MGM_REPORT
const MLD_DONE = 132; // ICMPV6_MGM_REDUCTION
const MLD2_REPORT = 143; // ICMPV6_MLD2_REPORT

const IGMP_BYTES = 8;
const MLD_BYTES = 24;
/**
 * Of the message: about 30 groups of IPv4, 12 of IPv6. A guest in more of them has its reports compared as any other
 * packet.
 */
const MAX_MEMBERSHIP_BYTES = 256;
/** RFC 3376 section 4, RFC 3810 section 5: no router may forward it. */
const TTL = 1;

const ALL_ROUTERS = 0xe0000002; // 224.0.0.2
const ALL_IGMPV3_ROUTERS = 0xe0000016; // 224.0.0.22
const ROUTER_ALERT = 0x94040000; // IPOPT_RA, RFC 2113

/** v is an IGMP packet, whole. */
export function isIgmp(v: PacketView): boolean {
  const { buf, start, l4, dst0 } = v;
  const bytes = v.end - l4;
  if (buf[start + 8] !== TTL || dst0 >>> 28 !== 0xe || bytes < IGMP_BYTES || bytes > MAX_MEMBERSHIP_BYTES) return false;
  if (l4 - start !== 20 && !(l4 - start === 24 && read32(buf, start + 20) === ROUTER_ALERT)) return false;
  const group = read32(buf, l4 + 4);
  switch (buf[l4]) {
    case IGMP_QUERY:
      return (group === 0 || group === dst0) && isQuery(v, IGMP_BYTES, 12, 4);
    case IGMP_REPORT:
    case IGMPV2_REPORT:
      return bytes === IGMP_BYTES && buf[l4 + 1] === 0 && group === dst0;
    case IGMP_LEAVE:
      return bytes === IGMP_BYTES && buf[l4 + 1] === 0 && dst0 === ALL_ROUTERS && group >>> 28 === 0xe;
    case IGMPV3_REPORT:
      return buf[l4 + 1] === 0 && dst0 === ALL_IGMPV3_ROUTERS && hasRecords(v, 8, 4);
    default:
      return false;
  }
}

/** v is an ICMPv6 packet, whole. */
export function isMld(v: PacketView): boolean {
  const { buf, start, l4 } = v;
  const bytes = v.end - l4;
  if (bytes < IGMP_BYTES || bytes > MAX_MEMBERSHIP_BYTES || v.icmpCode !== 0) return false;
  if (buf[start + 7] !== TTL || v.dst0 >>> 16 !== 0xff02 || !hasRouterAlert(v)) return false;
  // From the link, or from a host that has no address yet.
  const unspecified = (v.src0 | v.src1 | v.src2 | v.src3) === 0;
  if (!unspecified && v.src0 >>> 22 !== 0x3fa) return false;
  switch (v.icmpType) {
    case MLD_QUERY:
      return bytes >= MLD_BYTES && read16(buf, l4 + 6) === 0 && isQuery(v, MLD_BYTES, 28, 16);
    case MLD_REPORT:
      return bytes === MLD_BYTES && read32(buf, l4 + 4) === 0 && isGroupOfDestination(v);
    case MLD_DONE:
      return bytes === MLD_BYTES && read32(buf, l4 + 4) === 0 && isLinkGroup(v, 2) && buf[l4 + 8] === 0xff;
    case MLD2_REPORT:
      return isLinkGroup(v, 0x16) && hasRecords(v, 20, 16);
    default:
      return false;
  }
}

/**
 * A hop-by-hop header of 8 bytes with the alert for MLD (RFC 2711, value 0) and padding, and nothing else before the
 * message.
 */
function hasRouterAlert(v: PacketView): boolean {
  const { buf, start } = v;
  const at = start + 40;
  if (buf[start + 6] !== 0 || v.l4 !== at + 8) return false;
  const first = read32(buf, at) & 0xffff;
  const [middle, last] = [read16(buf, at + 4), read16(buf, at + 6)];
  // Alert, PadN of none; or PadN of none, alert.
  return (first === 0x0502 && middle === 0 && last === 0x0100) || (first === 0x0100 && middle === 0x0502 && last === 0);
}

/**
 * The old form, of `plain` bytes; or the new one, of `fixed` bytes with the number of sources, of so many bytes each,
 * at its end.
 */
function isQuery(v: PacketView, plain: number, fixed: number, sourceBytes: number): boolean {
  const bytes = v.end - v.l4;
  if (bytes === plain) return true;
  return bytes >= fixed && bytes === fixed + read16(v.buf, v.l4 + fixed - 2) * sourceBytes;
}

/**
 * A report's group records, whose heads are of so many bytes, their sources of so many, without auxiliary data, to its
 * end.
 */
function hasRecords(v: PacketView, headBytes: number, sourceBytes: number): boolean {
  const { buf, l4, end } = v;
  if (read16(buf, l4 + 4) !== 0) return false;
  let left = read16(buf, l4 + 6);
  let at = l4 + 8;
  for (; left > 0 && at + headBytes <= end; left--) {
    if (buf[at + 1] !== 0) return false;
    at += headBytes + read16(buf, at + 2) * sourceBytes;
  }
  return left === 0 && at === end;
}

function isGroupOfDestination(v: PacketView): boolean {
  const at = v.l4 + 8;
  const { buf } = v;
  return (
    v.dst0 === read32(buf, at) &&
    v.dst1 === read32(buf, at + 4) &&
    v.dst2 === read32(buf, at + 8) &&
    v.dst3 === read32(buf, at + 12)
  );
}

function isLinkGroup(v: PacketView, group: number): boolean {
  return v.dst0 === 0xff020000 && v.dst1 === 0 && v.dst2 === 0 && v.dst3 === group;
}
