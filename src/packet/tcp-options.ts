// TCP options (RFC 9293 3.2, RFC 7323, RFC 2018, RFC 2385, RFC 5925, RFC 7413, RFC 8684).

import { read32 } from '../core/big-endian';
import { checksumAdjust16 } from './checksum';
import { TCP_CHECKSUM_AT } from './tcp-header';
import { IPPROTO_TCP, type PacketView } from './view';

export const TCPOPT_EOL = 0; // TCPOPT_EOL
export const TCPOPT_NOP = 1; // TCPOPT_NOP
export const TCPOPT_MSS = 2; // TCPOPT_MSS
export const TCPOPT_WINDOW = 3; // TCPOPT_WINDOW
export const TCPOPT_SACK_PERM = 4; // TCPOPT_SACK_PERM
export const TCPOPT_SACK = 5; // TCPOPT_SACK
export const TCPOPT_TIMESTAMP = 8; // TCPOPT_TIMESTAMP
export const TCPOPT_MD5SIG = 19; // TCPOPT_MD5SIG
export const TCPOPT_AO = 29; // TCPOPT_AO
export const TCPOPT_MPTCP = 30; // TCPOPT_MPTCP
export const TCPOPT_FASTOPEN = 34; // TCPOPT_FASTOPEN
export const TCPOPT_EXP = 254; // TCPOPT_EXP
export const TCPOPT_FASTOPEN_MAGIC = 0xf989; // TCPOPT_FASTOPEN_MAGIC

/** The usual beginning of the options in an open connection. */
const NOP_NOP_TIMESTAMP = ((TCPOPT_NOP << 24) | (TCPOPT_NOP << 16) | (TCPOPT_TIMESTAMP << 8) | 10) >>> 0;
const HEADER_WITH_TIMESTAMP = 32;

/** Has the segment a timestamp, in its usual place, and no other option? */
export function bearsOnlyTimestamp(v: PacketView): boolean {
  return v.payload - v.l4 === HEADER_WITH_TIMESTAMP && read32(v.buf, v.l4 + 20) === NOP_NOP_TIMESTAMP;
}

/** Reused for every packet. Offsets are absolute in the packet's buffer; -1 where the option is absent. */
export class TcpOptions {
  mss = -1;
  windowScale = -1;
  sackPermitted = false;
  /** Offset of TSval; TSecr stands 4 bytes on. */
  timestampOffset = -1;
  tsVal = 0;
  tsEcr = 0;
  /** Offset of the first SACK edge, and how many blocks (of two edges) follow. */
  sackOffset = -1;
  sackBlocks = 0;
  /** First MPTCP option, from its kind byte; there may be more. */
  mptcpOffset = -1;
  mptcpBytes = 0;
  /** TCP-MD5 or TCP-AO: the header is signed. */
  signature = false;
  /** Fast Open cookie (or the request for one), from its kind byte; also in its experimental form. */
  fastOpenOffset = -1;
}

/**
 * Reads the options of the TCP packet in the view. False: a length leads nowhere, or SACK or timestamps come twice
 * (then it is anybody's guess which the receiver takes). Options whose length is not theirs are passed over, as
 * receivers do.
 */
export function parseTcpOptions(view: PacketView, o: TcpOptions): boolean {
  o.mss = -1;
  o.windowScale = -1;
  o.sackPermitted = false;
  o.timestampOffset = -1;
  o.tsVal = 0;
  o.tsEcr = 0;
  o.sackOffset = -1;
  o.sackBlocks = 0;
  o.mptcpOffset = -1;
  o.mptcpBytes = 0;
  o.signature = false;
  o.fastOpenOffset = -1;
  const buf = view.buf;
  const end = view.payload;
  for (let at = view.l4 + 20; at < end; ) {
    const kind = buf[at]!;
    if (kind === TCPOPT_EOL) return true;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return false;
    const bytes = buf[at + 1]!;
    if (bytes < 2 || at + bytes > end) return false;
    switch (kind) {
      case TCPOPT_MSS:
        if (bytes === 4) o.mss = (buf[at + 2]! << 8) | buf[at + 3]!;
        break;
      case TCPOPT_WINDOW:
        if (bytes === 3) o.windowScale = buf[at + 2]!;
        break;
      case TCPOPT_SACK_PERM:
        if (bytes === 2) o.sackPermitted = true;
        break;
      case TCPOPT_SACK:
        if (((bytes - 2) & 7) !== 0 || o.sackOffset >= 0) return false;
        o.sackOffset = at + 2;
        o.sackBlocks = (bytes - 2) >> 3;
        break;
      case TCPOPT_TIMESTAMP:
        if (o.timestampOffset >= 0) return false;
        if (bytes === 10) {
          o.timestampOffset = at + 2;
          o.tsVal = read32(buf, at + 2);
          o.tsEcr = read32(buf, at + 6);
        }
        break;
      case TCPOPT_MD5SIG:
      case TCPOPT_AO:
        o.signature = true;
        break;
      case TCPOPT_MPTCP:
        if (o.mptcpOffset < 0) {
          o.mptcpOffset = at;
          o.mptcpBytes = bytes;
        }
        break;
      case TCPOPT_FASTOPEN:
        o.fastOpenOffset = at;
        break;
      case TCPOPT_EXP:
        if (bytes >= 4 && ((buf[at + 2]! << 8) | buf[at + 3]!) === TCPOPT_FASTOPEN_MAGIC) o.fastOpenOffset = at;
        break;
    }
    at += bytes;
  }
  return true;
}

/** Offset of the TSval in the TCP header at l4 of a packet whose options parseTcpOptions would accept, or -1. */
export function timestampOffset(buf: Uint8Array, l4: number): number {
  const end = l4 + ((buf[l4 + 12]! >>> 4) << 2);
  if (end - l4 < 32) return -1;
  if (read32(buf, l4 + 20) === NOP_NOP_TIMESTAMP) return l4 + 24;
  for (let at = l4 + 20; at < end; ) {
    const kind = buf[at]!;
    if (kind === TCPOPT_EOL) return -1;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return -1;
    const bytes = buf[at + 1]!;
    if (bytes < 2 || at + bytes > end) return -1;
    if (kind === TCPOPT_TIMESTAMP && bytes === 10) return at + 2;
    at += bytes;
  }
  return -1;
}

/** Overwrites [off, off+bytes) of the packet's TCP header with NOPs and mends the checksum, unless that is partial. */
export function nopOut(buf: Uint8Array, view: PacketView, off: number, bytes: number, partialChecksum: boolean): void {
  if (view.protocol === IPPROTO_TCP) overwrite(buf, view, off, bytes, TCPOPT_NOP, partialChecksum);
}

/** The same with any byte, in a TCP header. True when it was not there already. */
export function overwrite(
  buf: Uint8Array,
  view: PacketView,
  off: number,
  bytes: number,
  value: number,
  partialChecksum: boolean,
): boolean {
  const l4 = view.l4;
  let was = 0;
  let is = 0;
  let changed = false;
  for (let i = off; i < off + bytes; i++) {
    // A byte on an even place of the segment is the high half of its word.
    const shift = ((i - l4) & 1) === 0 ? 8 : 0;
    if (buf[i] !== value) changed = true;
    was += buf[i]! << shift;
    is += value << shift;
    buf[i] = value;
  }
  // At most 40 bytes: neither sum leaves 22 bits.
  if (changed && !partialChecksum) checksumAdjust16(buf, l4 + TCP_CHECKSUM_AT, fold(was), fold(is));
  return changed;
}

function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}
