// The first fragment of a fragmented TCP segment holds its header. parseIp() leaves fragments alone; this fills in the
// TCP fields.

import { read32 } from '../core/big-endian';
import { IPPROTO_TCP, type PacketView } from '../packet/view';

export const FirstFragment = {
  /** Not TCP, or a later fragment. */
  No: 0,
  /** The whole TCP header is here, and the view tells of it; payloadBytes is what of the payload is here. */
  Tcp: 1,
  /** TCP, but the header goes on in another fragment. */
  Cut: 2,
} as const;
export type FirstFragment = (typeof FirstFragment)[keyof typeof FirstFragment];

const LEAST_HEADER_BYTES = 20;

/** Reads the TCP header of a fragment in the view, if it is there. */
export function readFirstFragment(v: PacketView): FirstFragment {
  const { buf, l4 } = v;
  if (v.protocol !== IPPROTO_TCP) return FirstFragment.No;
  // RFC 791: the offset in the IPv4 header; RFC 8200: in the fragment header, which stands right before.
  const at = v.family === 4 ? v.start + 6 : l4 - 6;
  const offset = ((buf[at]! << 8) | buf[at + 1]!) & (v.family === 4 ? 0x1fff : 0xfff8);
  // A second fragment at 8 bytes lies within a header too; the first one is then cut (RFC 1858).
  if (offset !== 0) return FirstFragment.No;
  if (l4 + LEAST_HEADER_BYTES > v.end) return FirstFragment.Cut;
  const headerBytes = (buf[l4 + 12]! >>> 4) << 2;
  if (headerBytes < LEAST_HEADER_BYTES || l4 + headerBytes > v.end) return FirstFragment.Cut;
  v.srcPort = (buf[l4]! << 8) | buf[l4 + 1]!;
  v.dstPort = (buf[l4 + 2]! << 8) | buf[l4 + 3]!;
  v.seq = read32(buf, l4 + 4);
  v.ack = read32(buf, l4 + 8);
  v.flags = buf[l4 + 13]!;
  v.window = (buf[l4 + 14]! << 8) | buf[l4 + 15]!;
  v.payload = l4 + headerBytes;
  v.payloadBytes = v.end - v.payload;
  return FirstFragment.Tcp;
}
