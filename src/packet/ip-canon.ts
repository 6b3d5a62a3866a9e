// Normalises the parts of an IP header and its frame that are not compared: IPv4 options,
// reserved bits, and bytes behind the packet in its frame. None of them may carry information
// (RFC 791, RFC 2113, RFC 8200).

import { read16, read32, write16 } from '../core/big-endian';
import { checksumAdjust16, checksumAdjustBytes } from './checksum';
import { FRAGMENT_HEADER_BYTES } from './ip-header';
import type { PacketView } from './view';

const IPPROTO_FRAGMENT = 44; // IPPROTO_FRAGMENT
const IPV6_HEADER_BYTES = 40;
const IPV6_NEXT_HEADER = 6;
const IPV4_HEADER_BYTES = 20;
/** Version 4, five words: no options. */
const IPV4_PLAIN = 0x45;
const IPV4_FLAGS = 6;
const IPV4_CHECKSUM = 10;
/** The bit beside DF and MF, which must be zero. */
const IPV4_RESERVED_FLAG = 0x8000;
const IPOPT_NOOP = 1; // IPOPT_NOOP
/**
 * Router Alert of value 0 (RFC 2113): needed by multicast membership and RSVP. It has one value
 * only.
 */
const IPOPT_ROUTER_ALERT = 0x94040000; // IPOPT_RA
const ROUTER_ALERT_BYTES = 4;
/**
 * Payload of a frame of the least length (ETH_ZLEN): up to here a short packet may be followed by zeros.
 */
const LEAST_CONTENT_BYTES = 46;

/** True when canonicalIp() would change nothing. */
export function isPlainIp(v: PacketView): boolean {
  if (v.limit !== v.end) return false;
  const { buf, start } = v;
  if (v.family === 4) return buf[start] === IPV4_PLAIN && (buf[start + IPV4_FLAGS]! & (IPV4_RESERVED_FLAG >>> 8)) === 0;
  return buf[start + IPV6_NEXT_HEADER] !== IPPROTO_FRAGMENT && !v.fragment;
}

/**
 * IPv4: options become no-operations, all but a Router Alert, and the reserved flag is cleared. A fragment's reserved
 * bits are cleared too. The frame ends with the packet: padding may stand there only as zeros that fill a shortest
 * frame (v.limit says where it ends now). True when anything changed.
 */
export function canonicalIp(v: PacketView): boolean {
  let changed = false;
  if (v.limit !== v.end && !isPadding(v.buf, v.start, v.end, v.limit)) {
    v.limit = v.end;
    changed = true;
  }
  if (v.family === 4) {
    if (clearReservedFlag(v.buf, v.start)) changed = true;
    if (v.l4 - v.start > IPV4_HEADER_BYTES && removeOptions(v)) changed = true;
  } else if (hasBareFragmentHeader(v) && clearFragmentHeader(v.buf, v.l4 - FRAGMENT_HEADER_BYTES)) changed = true;
  return changed;
}

/** Is an IPv6 fragment's own header all that stands between IPv6's and the payload? */
export function hasBareFragmentHeader(v: PacketView): boolean {
  return (
    v.family === 6 &&
    v.l4 - v.start === IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES &&
    v.buf[v.start + IPV6_NEXT_HEADER] === IPPROTO_FRAGMENT
  );
}

/**
 * Are there uncompared extension headers between the IPv6 and the transport header? A fragment header alone does not
 * count: it belongs to an atomic fragment (RFC 6946).
 */
export function hasExtensionHeaders(v: PacketView): boolean {
  return v.family === 6 && v.l4 - v.start !== IPV6_HEADER_BYTES && !hasBareFragmentHeader(v);
}

/**
 * Makes of an IPv6 packet with extension headers one of the protocol of its first header, without ports: so everything
 * behind the fixed header is compared. That a TCP connection of such packets is one is not seen then.
 */
export function viewWhole(v: PacketView): void {
  v.protocol = v.buf[v.start + IPV6_NEXT_HEADER]!;
  v.l4 = v.start + IPV6_HEADER_BYTES;
  v.payload = v.l4;
  v.payloadBytes = v.end - v.l4;
  v.srcPort = 0;
  v.dstPort = 0;
  v.flags = 0;
  v.icmpType = 0;
  v.icmpCode = 0;
}

/**
 * Is what stands behind a packet in [from, to), its frame's content beginning at `start`, zeros that fill a shortest
 * frame?
 */
export function isPadding(buf: Uint8Array, start: number, from: number, to: number): boolean {
  if (to - start > LEAST_CONTENT_BYTES) return false;
  for (let at = from; at < to; at++) if (buf[at] !== 0) return false;
  return true;
}

function clearReservedFlag(buf: Uint8Array, ip: number): boolean {
  const word = read16(buf, ip + IPV4_FLAGS);
  if ((word & IPV4_RESERVED_FLAG) === 0) return false;
  write16(buf, ip + IPV4_FLAGS, word & ~IPV4_RESERVED_FLAG);
  checksumAdjust16(buf, ip + IPV4_CHECKSUM, word, word & ~IPV4_RESERVED_FLAG);
  return true;
}

function removeOptions(v: PacketView): boolean {
  const { buf, start, l4: end } = v;
  let changed = false;
  let alerted = false;
  for (let at = start + IPV4_HEADER_BYTES; at < end; ) {
    if (!alerted && at + ROUTER_ALERT_BYTES <= end && read32(buf, at) === IPOPT_ROUTER_ALERT) {
      alerted = true;
      at += ROUTER_ALERT_BYTES;
      continue;
    }
    const was = buf[at]!;
    // Option by option would let a length decide what is looked at: byte by byte everything is, and all else is data of
    // nothing.
    if (was !== IPOPT_NOOP) {
      checksumAdjustBytes(buf, start + IPV4_CHECKSUM, at - start, was, IPOPT_NOOP);
      buf[at] = IPOPT_NOOP;
      changed = true;
    }
    at++;
  }
  return changed;
}

/** No checksum covers it. */
function clearFragmentHeader(buf: Uint8Array, at: number): boolean {
  const changed = buf[at + 1] !== 0 || (buf[at + 3]! & 6) !== 0;
  buf[at + 1] = 0;
  buf[at + 3]! &= 0xf9;
  return changed;
}
