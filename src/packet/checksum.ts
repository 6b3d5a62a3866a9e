// Internet checksums: full (RFC 1071) and incremental (RFC 1624). A partial checksum (CHECKSUM_PARTIAL) holds only the
// sum of the pseudo-header: changes of the segment must not be adjusted into it.

import { read16 } from '../core/big-endian';
import { ICMP_CHECKSUM_AT } from './icmp-header';
import { IPV4_CHECKSUM_AT, IPV4_SOURCE_AT, IPV6_SOURCE_AT } from './ip-header';
import { TCP_CHECKSUM_AT } from './tcp-header';
import { UDP_CHECKSUM_AT } from './udp-header';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, type PacketView } from './view';

/**
 * A 16-bit word on an even offset of the segment changed from `from` to `to`; the sum stands at sumOff. Not for a UDP
 * checksum of 0, which says that there is none.
 */
export function checksumAdjust16(buf: Uint8Array, sumOff: number, from: number, to: number): void {
  // HC' = ~(~HC + ~m + m')
  let sum = (~((buf[sumOff]! << 8) | buf[sumOff + 1]!) & 0xffff) + (~from & 0xffff) + to;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  buf[sumOff] = (~sum >>> 8) & 0xff;
  buf[sumOff + 1] = ~sum & 0xff;
}

/** The same for a 32-bit word on an even offset. */
export function checksumAdjust32(buf: Uint8Array, sumOff: number, from: number, to: number): void {
  let sum =
    (~((buf[sumOff]! << 8) | buf[sumOff + 1]!) & 0xffff) +
    (~(from >>> 16) & 0xffff) +
    (~from & 0xffff) +
    (to >>> 16) +
    (to & 0xffff);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  buf[sumOff] = (~sum >>> 8) & 0xff;
  buf[sumOff + 1] = ~sum & 0xff;
}

/** One byte, at any offset from the start of the segment (or header) that is summed. */
export function checksumAdjustBytes(
  buf: Uint8Array,
  sumOff: number,
  offsetInSegment: number,
  from: number,
  to: number,
): void {
  if ((offsetInSegment & 1) === 0) checksumAdjust16(buf, sumOff, from << 8, to << 8);
  else checksumAdjust16(buf, sumOff, from, to);
}

/** A 32-bit field at any offset from the start of the segment: at an odd one its bytes fall into other words. */
export function checksumAdjust32At(
  buf: Uint8Array,
  sumOff: number,
  offsetInSegment: number,
  from: number,
  to: number,
): void {
  if ((offsetInSegment & 1) !== 0) {
    // Rotating by one byte swaps the halves of every word, which is what an odd offset does to the sum.
    from = ((from << 8) | (from >>> 24)) >>> 0;
    to = ((to << 8) | (to >>> 24)) >>> 0;
  }
  checksumAdjust32(buf, sumOff, from, to);
}

/** So many words cannot bring a sum out of 32 bits. */
const CHUNK_BYTES = 0x10000;

/**
 * Folded one's complement sum of [off, off+len) and `start` (below 2^31), not inverted. off is on an even place of what
 * is summed.
 */
export function sumBytes(buf: Uint8Array, off: number, len: number, start = 0): number {
  let sum = fold(start);
  const end = off + (len & ~1);
  for (let at = off; at < end; ) {
    const stop = end - at > CHUNK_BYTES ? at + CHUNK_BYTES : end;
    for (; at < stop; at += 2) sum += (buf[at]! << 8) | buf[at + 1]!;
    sum = fold(sum);
  }
  return (len & 1) !== 0 ? fold(sum + (buf[end]! << 8)) : sum;
}

/** The checksum that the IPv4 header of headerBytes at off should carry; what its field holds now does not matter. */
export function ipv4HeaderChecksum(buf: Uint8Array, off: number, headerBytes: number): number {
  return inverse(sumBytes(buf, off, headerBytes) + (~read16(buf, off + IPV4_CHECKSUM_AT) & 0xffff));
}

/** The checksum that an ICMPv4 message of len bytes at off should carry. */
export function icmpChecksum(buf: Uint8Array, off: number, len: number): number {
  return inverse(sumBytes(buf, off, len) + (~read16(buf, off + ICMP_CHECKSUM_AT) & 0xffff));
}

/**
 * The checksum that the TCP, UDP, ICMP or ICMPv6 header in the view should carry, or -1 for a fragment and for a
 * protocol without one that we know. With a routing header that is not used up the receiver counts another address: not
 * for those.
 */
export function transportChecksum(view: PacketView): number {
  const at = checksumOffset(view);
  if (at < 0) return -1;
  const { buf, l4 } = view;
  const bytes = view.end - l4;
  const pseudo = view.protocol === IPPROTO_ICMP ? 0 : pseudoHeaderSum(view);
  // The field itself counts as zero.
  const result = inverse(sumBytes(buf, l4, bytes, pseudo) + (~read16(buf, at) & 0xffff));
  return result === 0 && view.protocol === IPPROTO_UDP ? 0xffff : result;
}

/** Folded sum of addresses, protocol and length: what a partial checksum holds. */
export function pseudoHeaderSum(view: PacketView): number {
  const v4 = view.family === 4;
  return sumBytes(
    view.buf,
    view.start + (v4 ? IPV4_SOURCE_AT : IPV6_SOURCE_AT),
    v4 ? 8 : 32,
    view.end - view.l4 + view.protocol,
  );
}

/**
 * Makes a partial checksum whole. The field holds the sum that the sender put there, so this needs no address and is
 * right behind a routing header too. False: no checksum that we know.
 */
export function completeChecksum(view: PacketView): boolean {
  const at = checksumOffset(view);
  if (at < 0) return false;
  let sum = inverse(sumBytes(view.buf, view.l4, view.end - view.l4));
  if (sum === 0 && view.protocol === IPPROTO_UDP) sum = 0xffff;
  view.buf[at] = sum >>> 8;
  view.buf[at + 1] = sum & 0xff;
  return true;
}

/** Offset in the buffer of the transport checksum, or -1 for a fragment and for a protocol without one that we know. */
export function checksumOffset(view: PacketView): number {
  if (view.fragment) return -1;
  switch (view.protocol) {
    case IPPROTO_TCP:
      return view.l4 + TCP_CHECKSUM_AT;
    case IPPROTO_UDP:
      return view.l4 + UDP_CHECKSUM_AT;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return view.l4 + ICMP_CHECKSUM_AT;
    default:
      return -1;
  }
}

function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

function inverse(sum: number): number {
  return ~fold(sum) & 0xffff;
}
