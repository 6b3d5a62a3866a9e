// The fields of a fragment (RFC 791, RFC 8200 4.5), and the header of the reassembled packet.

import { read16, read32, write16 } from '../core/big-endian';
import { ipv4HeaderChecksum } from './checksum';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID_AT,
  FRAGMENT_OFFSET_AT,
  IP_MF,
  IP_OFFSET,
  IP6_MF,
  IP6_OFFSET,
  IPV4_CHECKSUM_AT,
  IPV4_FRAGMENT_AT,
  IPV4_ID_AT,
  IPV4_LENGTH_AT,
  IPV6_HEADER_BYTES,
  IPV6_LENGTH_AT,
  IPV6_NEXT_HEADER_AT,
} from './ip-header';
import type { PacketView } from './view';

/** Reused for every fragment. */
export class FragmentFields {
  id = 0;
  /** Where its payload belongs in the datagram's. */
  offset = 0;
  /** There are fragments behind it. */
  more = false;
}

/** Reads the fields of a view that parseIp() has called a fragment. */
export function readFragment(fields: FragmentFields, view: PacketView): void {
  const { buf } = view;
  if (view.family === 4) {
    const word = read16(buf, view.start + IPV4_FRAGMENT_AT);
    fields.id = read16(buf, view.start + IPV4_ID_AT);
    fields.offset = (word & IP_OFFSET) << 3;
    fields.more = (word & IP_MF) !== 0;
    return;
  }
  const at = view.l4 - FRAGMENT_HEADER_BYTES;
  const word = read16(buf, at + FRAGMENT_OFFSET_AT);
  fields.id = read32(buf, at + FRAGMENT_ID_AT);
  fields.offset = word & IP6_OFFSET;
  fields.more = (word & IP6_MF) !== 0;
}

/** Turns the IPv4 header of headerBytes at `ip`, a first fragment's, into that of a whole packet of packetBytes. */
export function mendIpv4Header(buf: Uint8Array, ip: number, headerBytes: number, packetBytes: number): void {
  write16(buf, ip + IPV4_LENGTH_AT, packetBytes);
  write16(buf, ip + IPV4_FRAGMENT_AT, read16(buf, ip + IPV4_FRAGMENT_AT) & ~(IP_MF | IP_OFFSET));
  write16(buf, ip + IPV4_CHECKSUM_AT, ipv4HeaderChecksum(buf, ip, headerBytes));
}

/**
 * The same for IPv6, where the fragment header has been left out: it would stand at `cut`, behind the headers that
 * every fragment has, and names `nextHeader` as what follows.
 */
export function mendIpv6Header(
  buf: Uint8Array,
  ip: number,
  cut: number,
  nextHeader: number,
  packetBytes: number,
): void {
  write16(buf, ip + IPV6_LENGTH_AT, packetBytes - IPV6_HEADER_BYTES);
  let field = ip + IPV6_NEXT_HEADER_AT;
  // parseIp() has come through here before.
  for (let at = ip + IPV6_HEADER_BYTES; at < cut; ) {
    const kind = buf[field]!;
    field = at;
    at += extensionBytes(buf, at, kind);
  }
  buf[field] = nextHeader;
}

function extensionBytes(buf: Uint8Array, at: number, kind: number): number {
  if (kind === 51) return (buf[at + 1]! + 2) << 2; // IPPROTO_AH
  if (kind === 44) return FRAGMENT_HEADER_BYTES; // IPPROTO_FRAGMENT, atomic
  return (buf[at + 1]! + 1) << 3;
}
