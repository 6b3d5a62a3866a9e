// Moves numbers in packets by an offset, in place, with the checksum mended incrementally (RFC 1624). A partial
// checksum covers only the pseudo-header, which no change here touches, so it stays as it is.

import { read32, write32 } from '../core/big-endian';
import { checksumAdjust16, checksumAdjust32At } from '../packet/checksum';
import type { TcpOptions } from '../packet/tcp-options';
import type { PacketView } from '../packet/view';

const TCP_SEQ = 4;
const TCP_ACK_SEQ = 8;
const TCP_CHECK = 16;

/** Offsets are words modulo 2^32 that are added. */
export function addToSeq(v: PacketView, off: number, partialChecksum: boolean): void {
  addTo(v, v.l4 + TCP_SEQ, off, partialChecksum);
}

export function addToAck(v: PacketView, off: number, partialChecksum: boolean): void {
  addTo(v, v.l4 + TCP_ACK_SEQ, off, partialChecksum);
}

/** Every edge of every block, the duplicate one of RFC 2883 included: all are positions in the other side's stream. */
export function addToSack(v: PacketView, o: TcpOptions, off: number, partialChecksum: boolean): void {
  for (let i = 0; i < o.sackBlocks * 2; i++) addTo(v, o.sackOffset + i * 4, off, partialChecksum);
}

export function addToTsVal(v: PacketView, o: TcpOptions, off: number, partialChecksum: boolean): void {
  addTo(v, o.timestampOffset, off, partialChecksum);
}

export function addToTsEcr(v: PacketView, o: TcpOptions, off: number, partialChecksum: boolean): void {
  addTo(v, o.timestampOffset + 4, off, partialChecksum);
}

function addTo(v: PacketView, at: number, off: number, partialChecksum: boolean): void {
  const { buf, l4 } = v;
  const old = read32(buf, at);
  const moved = (old + off) >>> 0;
  write32(buf, at, moved);
  if (!partialChecksum) checksumAdjust32At(buf, l4 + TCP_CHECK, at - l4, old, moved);
}

/**
 * A number of a TCP header that an ICMP error quotes: `at` is the field, `quote` the quoted TCP header, `quoteEnd` the
 * end of what is quoted. The quoted checksum follows where it is quoted, and the ICMP checksum in any case.
 */
export function addToQuoted(v: PacketView, at: number, off: number, quote: number, quoteEnd: number): void {
  const { buf, l4 } = v;
  const icmpCheck = l4 + 2;
  const old = read32(buf, at);
  const moved = (old + off) >>> 0;
  write32(buf, at, moved);
  checksumAdjust32At(buf, icmpCheck, at - l4, old, moved);
  const sumAt = quote + TCP_CHECK;
  if (sumAt + 2 > quoteEnd) return;
  const oldSum = (buf[sumAt]! << 8) | buf[sumAt + 1]!;
  checksumAdjust32At(buf, sumAt, at - quote, old, moved);
  checksumAdjust16(buf, icmpCheck, oldSum, (buf[sumAt]! << 8) | buf[sumAt + 1]!);
}
