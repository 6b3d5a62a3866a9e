// Which packets of neighbour discovery (RFC 4861, RFC 7527, RFC 8106, RFC 4191) are well formed and small. They are
// never compared, so they may carry nothing beyond their purpose. A redirect quotes a whole packet, and is not among
// them.

import { read16, read32 } from '../core/big-endian';
import type { PacketView } from './view';

const NDISC_ROUTER_SOLICITATION = 133; // NDISC_ROUTER_SOLICITATION
const NDISC_ROUTER_ADVERTISEMENT = 134; // NDISC_ROUTER_ADVERTISEMENT
const NDISC_NEIGHBOUR_SOLICITATION = 135; // NDISC_NEIGHBOUR_SOLICITATION
const NDISC_NEIGHBOUR_ADVERTISEMENT = 136; // NDISC_NEIGHBOUR_ADVERTISEMENT
/** Receivers take nothing less: it proves that no router has forwarded the packet. */
const HOP_LIMIT = 255;
const HOP_LIMIT_OFFSET = 7;

const ND_OPT_SOURCE_LL_ADDR = 1; // ND_OPT_SOURCE_LL_ADDR
const ND_OPT_TARGET_LL_ADDR = 2; // ND_OPT_TARGET_LL_ADDR
const ND_OPT_PREFIX_INFO = 3; // ND_OPT_PREFIX_INFO
const ND_OPT_MTU = 5; // ND_OPT_MTU
const ND_OPT_NONCE = 14; // ND_OPT_NONCE
const ND_OPT_ROUTE_INFO = 24; // ND_OPT_ROUTE_INFO
const ND_OPT_RDNSS = 25; // ND_OPT_RDNSS
const ND_OPT_DNSSL = 31; // ND_OPT_DNSSL

/** A router announces a few prefixes and name servers; what is larger is compared as any other packet. */
const MAX_ROUTER_ADVERTISEMENT_BYTES = 256;
const ALL_ROUTERS = 2; // ff02::2
const ALL_NODES = 1; // ff02::1
const SOLICITED_NODE = 0xff000000; // ff02::1:ff00:0/104

/** v is an ICMPv6 packet, whole. */
export function isNeighbourDiscovery(v: PacketView): boolean {
  const { buf, l4 } = v;
  if (v.l4 - v.start !== 40 || buf[v.start + HOP_LIMIT_OFFSET] !== HOP_LIMIT || v.icmpCode !== 0) return false;
  switch (v.icmpType) {
    case NDISC_ROUTER_SOLICITATION:
      return isLinkGroup(v, ALL_ROUTERS) && isZero(buf, l4 + 4) && hasOptions(v, l4 + 8, SOLICITATION_OPTIONS);
    case NDISC_ROUTER_ADVERTISEMENT:
      return v.end - l4 <= MAX_ROUTER_ADVERTISEMENT_BYTES && hasOptions(v, l4 + 16, ROUTER_OPTIONS);
    case NDISC_NEIGHBOUR_SOLICITATION:
      return isZero(buf, l4 + 4) && hasOptions(v, l4 + 24, SOLICITATION_OPTIONS) && isForTarget(v);
    case NDISC_NEIGHBOUR_ADVERTISEMENT:
      // Router, solicited, override; 29 bits without a meaning. Asked for: to who asked; unasked: to all.
      return (
        (read32(buf, l4 + 4) & 0x1fffffff) === 0 &&
        hasOptions(v, l4 + 24, ADVERTISEMENT_OPTIONS) &&
        (!isMulticast(v) || isLinkGroup(v, ALL_NODES))
      );
    default:
      return false;
  }
}

/** Length in units of 8 bytes that an option must have, ANY_LENGTH, or absent: the option may not stand there. */
type Options = ReadonlyMap<number, number>;
const ANY_LENGTH = 0;
const SOLICITATION_OPTIONS: Options = new Map([
  [ND_OPT_SOURCE_LL_ADDR, 1],
  [ND_OPT_NONCE, 1],
]);
const ADVERTISEMENT_OPTIONS: Options = new Map([[ND_OPT_TARGET_LL_ADDR, 1]]);
const ROUTER_OPTIONS: Options = new Map([
  [ND_OPT_SOURCE_LL_ADDR, 1],
  [ND_OPT_PREFIX_INFO, 4],
  [ND_OPT_MTU, 1],
  [ND_OPT_ROUTE_INFO, ANY_LENGTH],
  [ND_OPT_RDNSS, ANY_LENGTH],
  [ND_OPT_DNSSL, ANY_LENGTH],
]);

/** Only these options, each as long as it must be, to the packet's end; those of a fixed message once each. */
function hasOptions(v: PacketView, from: number, allowed: Options): boolean {
  const { buf, end } = v;
  if (from > end) return false;
  let seen = 0;
  let at = from;
  while (at + 8 <= end) {
    const kind = buf[at]!;
    const units = buf[at + 1]!;
    const wanted = allowed.get(kind);
    if (wanted === undefined || units === 0 || (wanted !== ANY_LENGTH && wanted !== units)) return false;
    if (allowed !== ROUTER_OPTIONS) {
      if ((seen & (1 << kind)) !== 0) return false;
      seen |= 1 << kind;
    }
    at += units << 3;
  }
  return at === end;
}

/** To the target itself, or to the group of all whose address ends as the target's does. */
function isForTarget(v: PacketView): boolean {
  const target = v.l4 + 8;
  const low = read32(v.buf, target + 12);
  if (v.buf[target] === 0xff) return false;
  if (!isMulticast(v)) {
    const { buf } = v;
    return (
      v.dst3 === low &&
      v.dst0 === read32(buf, target) &&
      v.dst1 === read32(buf, target + 4) &&
      v.dst2 === read32(buf, target + 8)
    );
  }
  return v.dst0 === 0xff020000 && v.dst1 === 0 && v.dst2 === 1 && v.dst3 === (SOLICITED_NODE | (low & 0xffffff)) >>> 0;
}

function isMulticast(v: PacketView): boolean {
  return v.dst0 >>> 24 === 0xff;
}

/** ff02::group */
function isLinkGroup(v: PacketView, group: number): boolean {
  return v.dst0 === 0xff020000 && v.dst1 === 0 && v.dst2 === 0 && v.dst3 === group;
}

function isZero(buf: Uint8Array, at: number): boolean {
  return read16(buf, at) === 0 && read16(buf, at + 2) === 0;
}
