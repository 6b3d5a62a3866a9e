// Internet checksums: full (RFC 1071) and incremental (RFC 1624). A partial checksum (CHECKSUM_PARTIAL) holds only the sum
// of the pseudo-header: changes of the segment must not be adjusted into it.

import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, type PacketView } from './view';

/** A 16-bit word on an even offset of the segment changed from `from` to `to`; the sum stands at sumOff. */
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

/** Folded one's complement sum of [off, off+len), not inverted. */
export function sumBytes(buf: Uint8Array, off: number, len: number, start = 0): number {
  let sum = start;
  const end = off + (len & ~1);
  for (let i = off; i < end; i += 2) sum += (buf[i]! << 8) | buf[i + 1]!;
  if ((len & 1) !== 0) sum += buf[end]! << 8;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

/** The checksum that the packet's TCP, UDP, ICMP or ICMPv6 header should carry. */
export function transportChecksum(view: PacketView): number {
  const { buf, l4 } = view;
  const bytes = view.end - l4;
  const at = checksumOffset(view);
  let sum = 0;
  if (view.protocol !== IPPROTO_ICMP) {
    const src = view.family === 4 ? view.start + 12 : view.start + 8;
    sum = sumBytes(buf, src, view.family === 4 ? 8 : 32, bytes + view.protocol);
  }
  sum = sumBytes(buf, l4, bytes, sum);
  // The field itself counts as zero.
  sum += ~((buf[at]! << 8) | buf[at + 1]!) & 0xffff;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const result = ~sum & 0xffff;
  return result === 0 && view.protocol === IPPROTO_UDP ? 0xffff : result;
}

/** Offset in the buffer of the transport checksum, or -1 for a protocol without one that we know. */
export function checksumOffset(view: PacketView): number {
  switch (view.protocol) {
    case IPPROTO_TCP:
      return view.l4 + 16;
    case IPPROTO_UDP:
      return view.l4 + 6;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return view.l4 + 2;
    default:
      return -1;
  }
}
