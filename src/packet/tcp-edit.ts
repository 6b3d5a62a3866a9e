// Changes fields of a TCP header in place, its checksum with them, incrementally (RFC 1624). A partial checksum covers
// the pseudo-header only, of which none of these fields is part, so it stays as it is.
//
// l4 is the header's offset in buf; `from` is what the field holds now.

import { read16, read32, write16, write32 } from '../core/big-endian';
import { checksumAdjust16, checksumAdjust32, checksumAdjust32At } from './checksum';
import { ICMP_CHECKSUM_AT } from './icmp-header';
import { TCP_ACK_AT, TCP_CHECKSUM_AT, TCP_SEQ_AT, TCP_WINDOW_AT, TSECR_FROM_TSVAL } from './tcp-header';
import type { TcpOptions } from './tcp-options';
import type { PacketView } from './view';

export function setAck(buf: Uint8Array, l4: number, from: number, to: number, partial: boolean): void {
  write32(buf, l4 + TCP_ACK_AT, to);
  if (!partial) checksumAdjust32(buf, l4 + TCP_CHECKSUM_AT, from, to);
}

export function setWindow(buf: Uint8Array, l4: number, from: number, to: number, partial: boolean): void {
  set16(buf, l4, TCP_WINDOW_AT, from, to, partial);
}

/** A field of two bytes of the fixed header, by its offset from the header's beginning. */
export function set16(buf: Uint8Array, l4: number, field: number, from: number, to: number, partial: boolean): void {
  write16(buf, l4 + field, to);
  if (!partial) checksumAdjust16(buf, l4 + TCP_CHECKSUM_AT, from, to);
}

/** A word at any offset of the buffer, as those of options are. */
export function setWord(buf: Uint8Array, l4: number, at: number, from: number, to: number, partial: boolean): void {
  write32(buf, at, to);
  if (!partial) checksumAdjust32At(buf, l4 + TCP_CHECKSUM_AT, at - l4, from, to);
}

/** What is added is a word modulo 2^32. */
export function addToSeq(v: PacketView, off: number, partial: boolean): void {
  addTo(v, v.l4 + TCP_SEQ_AT, off, partial);
}

export function addToAck(v: PacketView, off: number, partial: boolean): void {
  addTo(v, v.l4 + TCP_ACK_AT, off, partial);
}

/** Every edge of every block, the duplicate one of RFC 2883 included: all are positions in the other side's stream. */
export function addToSack(v: PacketView, o: TcpOptions, off: number, partial: boolean): void {
  for (let i = 0; i < o.sackBlocks * 2; i++) addTo(v, o.sackOffset + i * 4, off, partial);
}

export function addToTsVal(v: PacketView, o: TcpOptions, off: number, partial: boolean): void {
  addTo(v, o.timestampOffset, off, partial);
}

export function addToTsEcr(v: PacketView, o: TcpOptions, off: number, partial: boolean): void {
  addTo(v, o.timestampOffset + TSECR_FROM_TSVAL, off, partial);
}

function addTo(v: PacketView, at: number, off: number, partial: boolean): void {
  const old = read32(v.buf, at);
  setWord(v.buf, v.l4, at, old, (old + off) >>> 0, partial);
}

/**
 * A number of a TCP header that an ICMP error, the packet in the view, quotes: `at` is the field, `quote` the quoted
 * header, `quoteEnd` the end of the quotation. The quoted checksum follows where it is quoted, and the ICMP checksum in
 * any case.
 */
export function addToQuoted(v: PacketView, at: number, off: number, quote: number, quoteEnd: number): void {
  const { buf, l4 } = v;
  const icmpSum = l4 + ICMP_CHECKSUM_AT;
  const old = read32(buf, at);
  const moved = (old + off) >>> 0;
  write32(buf, at, moved);
  checksumAdjust32At(buf, icmpSum, at - l4, old, moved);
  const sumAt = quote + TCP_CHECKSUM_AT;
  if (sumAt + 2 > quoteEnd) return;
  const oldSum = read16(buf, sumAt);
  checksumAdjust32At(buf, sumAt, at - quote, old, moved);
  checksumAdjust16(buf, icmpSum, oldSum, read16(buf, sumAt));
}
