// What a fragment says of itself (RFC 791, RFC 8200 4.5), and the header of the packet that fragments make together.

import { read16, write16 } from '../core/big-endian';
import { ipv4HeaderChecksum } from './checksum';
import type { PacketView } from './view';

const IPV6_HEADER_BYTES = 40;
/** Of IPv6's fragment header. */
export const FRAGMENT_HEADER_BYTES = 8;

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
    const word = read16(buf, view.start + 6);
    fields.id = read16(buf, view.start + 4);
    fields.offset = (word & 0x1fff) << 3; // IP_OFFSET
    fields.more = (word & 0x2000) !== 0; // IP_MF
    return;
  }
  const at = view.l4 - FRAGMENT_HEADER_BYTES;
  const word = read16(buf, at + 2);
  fields.id = ((read16(buf, at + 4) << 16) | read16(buf, at + 6)) >>> 0;
  fields.offset = word & 0xfff8; // IP6_OFFSET
  fields.more = (word & 1) !== 0; // IP6_MF
}

/** Makes the IPv4 header of headerBytes at `ip`, a first fragment's, that of a whole packet of so many bytes. */
export function mendIpv4Header(buf: Uint8Array, ip: number, headerBytes: number, packetBytes: number): void {
  write16(buf, ip + 2, packetBytes);
  write16(buf, ip + 6, read16(buf, ip + 6) & 0xc000);
  write16(buf, ip + 10, ipv4HeaderChecksum(buf, ip, headerBytes));
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
  write16(buf, ip + 4, packetBytes - IPV6_HEADER_BYTES);
  let field = ip + 6;
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
