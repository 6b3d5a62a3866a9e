// TCP options (RFC 9293 3.2, RFC 7323, RFC 2018, RFC 2385, RFC 5925, RFC 7413, RFC 8684).

import { checksumAdjustBytes } from './checksum';
import { IPPROTO_TCP, type PacketView } from './view';

const TCPOPT_EOL = 0; // TCPOPT_EOL
const TCPOPT_NOP = 1; // TCPOPT_NOP
const TCPOPT_MSS = 2; // TCPOPT_MSS
const TCPOPT_WINDOW = 3; // TCPOPT_WINDOW
const TCPOPT_SACK_PERM = 4; // TCPOPT_SACK_PERM
const TCPOPT_SACK = 5; // TCPOPT_SACK
const TCPOPT_TIMESTAMP = 8; // TCPOPT_TIMESTAMP
const TCPOPT_MD5SIG = 19; // TCPOPT_MD5SIG
const TCPOPT_AO = 29; // TCPOPT_AO
const TCPOPT_MPTCP = 30; // TCPOPT_MPTCP
const TCPOPT_FASTOPEN = 34; // TCPOPT_FASTOPEN

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
  /** First MPTCP option, from its kind byte. */
  mptcpOffset = -1;
  mptcpBytes = 0;
  /** TCP-MD5 or TCP-AO: the header is signed. */
  signature = false;
  fastOpenOffset = -1;
}

/** Reads the options of the TCP packet in the view. False: a length leads nowhere. */
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
        o.sackPermitted = true;
        break;
      case TCPOPT_SACK:
        if (((bytes - 2) & 7) !== 0) return false;
        o.sackOffset = at + 2;
        o.sackBlocks = (bytes - 2) >> 3;
        break;
      case TCPOPT_TIMESTAMP:
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
    }
    at += bytes;
  }
  return true;
}

/** Overwrites [off, off+bytes) of the packet's TCP header with NOPs and mends the checksum, unless that is partial. */
export function nopOut(buf: Uint8Array, view: PacketView, off: number, bytes: number, partialChecksum: boolean): void {
  const l4 = view.l4;
  if (view.protocol !== IPPROTO_TCP) return;
  for (let i = off; i < off + bytes; i++) {
    const old = buf[i]!;
    buf[i] = TCPOPT_NOP;
    if (!partialChecksum) checksumAdjustBytes(buf, l4 + 16, i - l4, old, TCPOPT_NOP);
  }
}

function read32(buf: Uint8Array, at: number): number {
  return ((buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!) >>> 0;
}
