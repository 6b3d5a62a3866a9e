// The first fragment of a fragmented TCP segment holds its header. parseIp() leaves fragments alone; this fills in the
// TCP fields.

import { read16, read32 } from '../core/big-endian';
import { FRAGMENT_HEADER_BYTES, FRAGMENT_OFFSET_AT, IP_OFFSET, IP6_OFFSET, IPV4_FRAGMENT_AT } from './ip-header';
import {
  TCP_ACK_AT,
  TCP_DESTINATION_AT,
  TCP_FLAGS_AT,
  TCP_HEADER_BYTES,
  TCP_SEQ_AT,
  TCP_SOURCE_AT,
  TCP_WINDOW_AT,
  tcpHeaderBytes,
} from './tcp-header';
import { IPPROTO_TCP, type PacketView } from './view';

export const FirstFragment = {
  /** Not TCP, or a later fragment. */
  No: 0,
  /** The whole TCP header is here and in the view; payloadBytes counts the payload of this fragment. */
  Tcp: 1,
  /** TCP, but the header goes on in another fragment. */
  Cut: 2,
} as const;
export type FirstFragment = (typeof FirstFragment)[keyof typeof FirstFragment];

/** Reads the TCP header of a fragment in the view, if it is there. */
export function readFirstFragment(v: PacketView): FirstFragment {
  const { buf, l4 } = v;
  if (v.protocol !== IPPROTO_TCP) return FirstFragment.No;
  // RFC 791: the offset in the IPv4 header; RFC 8200: in the fragment header, which stands right before.
  const offset =
    v.family === 4
      ? read16(buf, v.start + IPV4_FRAGMENT_AT) & IP_OFFSET
      : read16(buf, l4 - FRAGMENT_HEADER_BYTES + FRAGMENT_OFFSET_AT) & IP6_OFFSET;
  // A second fragment at 8 bytes lies within a header too; the first one is then cut (RFC 1858).
  if (offset !== 0) return FirstFragment.No;
  if (l4 + TCP_HEADER_BYTES > v.end) return FirstFragment.Cut;
  const headerBytes = tcpHeaderBytes(buf, l4);
  if (headerBytes < TCP_HEADER_BYTES || l4 + headerBytes > v.end) return FirstFragment.Cut;
  v.srcPort = read16(buf, l4 + TCP_SOURCE_AT);
  v.dstPort = read16(buf, l4 + TCP_DESTINATION_AT);
  v.seq = read32(buf, l4 + TCP_SEQ_AT);
  v.ack = read32(buf, l4 + TCP_ACK_AT);
  v.flags = buf[l4 + TCP_FLAGS_AT]!;
  v.window = read16(buf, l4 + TCP_WINDOW_AT);
  v.payload = l4 + headerBytes;
  v.payloadBytes = v.end - v.payload;
  return FirstFragment.Tcp;
}
