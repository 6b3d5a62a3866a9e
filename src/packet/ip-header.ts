// Where the fields of IP headers stand (RFC 791 section 3.1, RFC 8200 sections 3 and 4.5), as offsets from their
// beginning, and what is read or written of a header without taking the whole packet apart.

import { read16, write16 } from '../core/big-endian';

/** Without options. */
export const IPV4_HEADER_BYTES = 20;
export const IPV4_LENGTH_AT = 2;
export const IPV4_ID_AT = 4;
/** Flags, and the fragment's offset in units of 8 bytes. */
export const IPV4_FRAGMENT_AT = 6;
export const IPV4_TTL_AT = 8;
export const IPV4_PROTOCOL_AT = 9;
export const IPV4_CHECKSUM_AT = 10;
export const IPV4_SOURCE_AT = 12;
export const IPV4_DESTINATION_AT = 16;
/** Version 4, five words. */
export const IPV4_FIRST_BYTE = 0x45;
export const IP_DF = 0x4000; // IP_DF
export const IP_MF = 0x2000; // IP_MF
export const IP_OFFSET = 0x1fff; // IP_OFFSET

/** Without extension headers. */
export const IPV6_HEADER_BYTES = 40;
export const IPV6_LENGTH_AT = 4;
export const IPV6_NEXT_HEADER_AT = 6;
export const IPV6_HOP_LIMIT_AT = 7;
export const IPV6_SOURCE_AT = 8;
export const IPV6_DESTINATION_AT = 24;
/** Version 6; traffic class and flow label follow. */
export const IPV6_FIRST_BYTE = 0x60;

/** Of IPv6's fragment header, whose first byte names the next header. */
export const FRAGMENT_HEADER_BYTES = 8;
/** The offset in bytes, whose lowest bit says that more fragments follow. */
export const FRAGMENT_OFFSET_AT = 2;
export const FRAGMENT_ID_AT = 4;
export const IP6_MF = 1; // IP6_MF
export const IP6_OFFSET = 0xfff8; // IP6_OFFSET

/** Family of the packet at `ip`, by its version: 6 for all that is not 4. */
export function ipFamily(buf: Uint8Array, ip: number): 4 | 6 {
  return buf[ip]! >>> 4 === 4 ? 4 : 6;
}

/** What follows the fixed header of the packet at `ip`: a protocol, or the first of IPv6's extension headers. */
export function firstProtocol(buf: Uint8Array, ip: number): number {
  return buf[ip + (ipFamily(buf, ip) === 4 ? IPV4_PROTOCOL_AT : IPV6_NEXT_HEADER_AT)]!;
}

/** Length of the packet at `ip`, with its header, as the header gives it. */
export function readIpBytes(buf: Uint8Array, ip: number): number {
  return ipFamily(buf, ip) === 4
    ? read16(buf, ip + IPV4_LENGTH_AT)
    : IPV6_HEADER_BYTES + read16(buf, ip + IPV6_LENGTH_AT);
}

/** Writes it. The checksum of an IPv4 header is left to the caller. */
export function writeIpBytes(buf: Uint8Array, ip: number, family: number, packetBytes: number): void {
  if (family === 4) write16(buf, ip + IPV4_LENGTH_AT, packetBytes);
  else write16(buf, ip + IPV6_LENGTH_AT, packetBytes - IPV6_HEADER_BYTES);
}
