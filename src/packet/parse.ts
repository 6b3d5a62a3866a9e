// Takes an IP packet apart (RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443). Every length is checked here,
// once; all offsets in the view lie inside the packet.
//
// Single bytes and shifts, not a DataView: that would be a few ns faster, but one would have to be made whenever the
// packets of two arenas come in turns.

import { read32 } from '../core/big-endian';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, type PacketView } from './view';

export const PARSE_OK = 0;
/** Fewer bytes than a fixed IP header. */
export const PARSE_SHORT = 1;
/** Neither IPv4 nor IPv6. */
export const PARSE_VERSION = 2;
/** An IPv4 header length below 20 or beyond the bytes at hand. */
export const PARSE_IP_HEADER = 3;
/** The IP header's length is below its own header, or beyond the bytes at hand (a cut packet). */
export const PARSE_IP_LENGTH = 4;
/** Length 0: an IPv6 jumbogram (RFC 2675), or a packet above 64 KiB from a guest with BIG TCP. */
export const PARSE_JUMBO = 5;
/** An IPv6 extension header goes beyond the packet. */
export const PARSE_EXTENSION = 6;
/** A TCP, UDP or ICMP header does not fit, or its own length is impossible. */
export const PARSE_TRANSPORT = 7;
export type ParseCode =
  | typeof PARSE_OK
  | typeof PARSE_SHORT
  | typeof PARSE_VERSION
  | typeof PARSE_IP_HEADER
  | typeof PARSE_IP_LENGTH
  | typeof PARSE_JUMBO
  | typeof PARSE_EXTENSION
  | typeof PARSE_TRANSPORT;

/** Names of the codes, by code, for counters and messages. */
export const PARSE_NAMES: readonly string[] = [
  'ok',
  'short',
  'version',
  'ip_header',
  'ip_length',
  'jumbo',
  'extension_header',
  'transport_header',
];

const IPPROTO_HOPOPTS = 0; // IPPROTO_HOPOPTS
const IPPROTO_ROUTING = 43; // IPPROTO_ROUTING
const IPPROTO_FRAGMENT = 44; // IPPROTO_FRAGMENT
const IPPROTO_AH = 51; // IPPROTO_AH
const IPPROTO_DSTOPTS = 60; // IPPROTO_DSTOPTS

const ICMP_ECHO_REPLY = 0; // ICMP_ECHOREPLY
const ICMP_ECHO = 8; // ICMP_ECHO
const ICMPV6_ECHO_REQUEST = 128; // ICMPV6_ECHO_REQUEST
const ICMPV6_ECHO_REPLY = 129; // ICMPV6_ECHO_REPLY

/**
 * Fills the view from the IP packet at off, of which len bytes are at hand (they must lie inside buf). After anything
 * but PARSE_OK the view means nothing. Bytes behind the packet's own length are padding and are left out.
 */
export function parseIp(view: PacketView, buf: Uint8Array, off: number, len: number): ParseCode {
  if (len < 20) return PARSE_SHORT;
  view.buf = buf;
  view.start = off;
  view.fragment = false;
  view.srcPort = 0;
  view.dstPort = 0;
  view.flags = 0;
  view.icmpType = 0;
  view.icmpCode = 0;
  const first = buf[off]!;
  if (first >>> 4 === 4) {
    const headerBytes = (first & 15) << 2;
    if (headerBytes < 20 || headerBytes > len) return PARSE_IP_HEADER;
    const total = (buf[off + 2]! << 8) | buf[off + 3]!;
    if (total === 0) return PARSE_JUMBO;
    if (total < headerBytes || total > len) return PARSE_IP_LENGTH;
    view.family = 4;
    view.end = off + total;
    view.protocol = buf[off + 9]!;
    view.src0 = read32(buf, off + 12);
    view.src1 = 0;
    view.src2 = 0;
    view.src3 = 0;
    view.dst0 = read32(buf, off + 16);
    view.dst1 = 0;
    view.dst2 = 0;
    view.dst3 = 0;
    view.l4 = off + headerBytes;
    // MF or an offset
    if ((((buf[off + 6]! << 8) | buf[off + 7]!) & 0x3fff) !== 0) {
      view.fragment = true;
      view.payload = view.l4;
      view.payloadBytes = view.end - view.l4;
      return PARSE_OK;
    }
    return parseTransport(view, buf);
  }
  if (first >>> 4 !== 6) return PARSE_VERSION;
  return parseIpv6(view, buf, off, len);
}

function parseIpv6(view: PacketView, buf: Uint8Array, off: number, len: number): ParseCode {
  if (len < 40) return PARSE_SHORT;
  const bytes = (buf[off + 4]! << 8) | buf[off + 5]!;
  if (bytes === 0) return PARSE_JUMBO;
  if (bytes + 40 > len) return PARSE_IP_LENGTH;
  view.family = 6;
  view.end = off + 40 + bytes;
  view.src0 = read32(buf, off + 8);
  view.src1 = read32(buf, off + 12);
  view.src2 = read32(buf, off + 16);
  view.src3 = read32(buf, off + 20);
  view.dst0 = read32(buf, off + 24);
  view.dst1 = read32(buf, off + 28);
  view.dst2 = read32(buf, off + 32);
  view.dst3 = read32(buf, off + 36);
  let next = buf[off + 6]!;
  let at = off + 40;
  // Each round moves at least 8 bytes on, so this ends.
  for (;;) {
    let bytesOfHeader: number;
    switch (next) {
      case IPPROTO_HOPOPTS:
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
        if (at + 8 > view.end) return PARSE_EXTENSION;
        bytesOfHeader = (buf[at + 1]! + 1) << 3;
        break;
      case IPPROTO_AH:
        if (at + 12 > view.end) return PARSE_EXTENSION;
        bytesOfHeader = (buf[at + 1]! + 2) << 2;
        break;
      case IPPROTO_FRAGMENT: {
        if (at + 8 > view.end) return PARSE_EXTENSION;
        bytesOfHeader = 8;
        // An atomic fragment (offset 0, no more to come) is a whole packet (RFC 6946).
        if ((((buf[at + 2]! << 8) | buf[at + 3]!) & 0xfff9) !== 0) {
          view.fragment = true;
          view.protocol = buf[at]!;
          view.l4 = at + 8;
          view.payload = view.l4;
          view.payloadBytes = view.end - view.l4;
          return PARSE_OK;
        }
        break;
      }
      default:
        view.protocol = next;
        view.l4 = at;
        return parseTransport(view, buf);
    }
    next = buf[at]!;
    at += bytesOfHeader;
    if (at > view.end) return PARSE_EXTENSION;
  }
}

function parseTransport(view: PacketView, buf: Uint8Array): ParseCode {
  const at = view.l4;
  const bytes = view.end - at;
  switch (view.protocol) {
    case IPPROTO_TCP: {
      if (bytes < 20) return PARSE_TRANSPORT;
      const headerBytes = (buf[at + 12]! >>> 4) << 2;
      if (headerBytes < 20 || headerBytes > bytes) return PARSE_TRANSPORT;
      view.srcPort = (buf[at]! << 8) | buf[at + 1]!;
      view.dstPort = (buf[at + 2]! << 8) | buf[at + 3]!;
      view.seq = read32(buf, at + 4);
      view.ack = read32(buf, at + 8);
      view.flags = buf[at + 13]!;
      view.window = (buf[at + 14]! << 8) | buf[at + 15]!;
      view.payload = at + headerBytes;
      view.payloadBytes = bytes - headerBytes;
      return PARSE_OK;
    }
    case IPPROTO_UDP: {
      if (bytes < 8) return PARSE_TRANSPORT;
      const length = (buf[at + 4]! << 8) | buf[at + 5]!;
      if (length < 8 || length > bytes) return PARSE_TRANSPORT;
      view.srcPort = (buf[at]! << 8) | buf[at + 1]!;
      view.dstPort = (buf[at + 2]! << 8) | buf[at + 3]!;
      view.payload = at + 8;
      // By the IP length: bytes behind the UDP length (RFC 9868) leave the guest too, so they count.
      view.payloadBytes = bytes - 8;
      return PARSE_OK;
    }
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: {
      if (bytes < 4) return PARSE_TRANSPORT;
      const type = buf[at]!;
      view.icmpType = type;
      view.icmpCode = buf[at + 1]!;
      const echo =
        view.protocol === IPPROTO_ICMP
          ? type === ICMP_ECHO || type === ICMP_ECHO_REPLY
          : type === ICMPV6_ECHO_REQUEST || type === ICMPV6_ECHO_REPLY;
      if (echo) {
        if (bytes < 8) return PARSE_TRANSPORT;
        const id = (buf[at + 4]! << 8) | buf[at + 5]!;
        view.srcPort = id;
        view.dstPort = id;
      }
      view.payload = at + (bytes < 8 ? 4 : 8);
      view.payloadBytes = view.end - view.payload;
      return PARSE_OK;
    }
    default:
      view.payload = at;
      view.payloadBytes = bytes;
      return PARSE_OK;
  }
}
