// The checksum and segmentation fields of a virtio-net header (virtio 1.2, 5.1.6; linux/virtio_net.h), read and
// corrected for the comparison. All headers begin alike; bytes behind the first ten do not concern checksum or
// segmentation.

import { firstProtocol } from './ip-header';
import { IPPROTO_TCP } from './view';

const NEEDS_CSUM = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
const GSO_TCPV4 = 1; // VIRTIO_NET_HDR_GSO_TCPV4
const GSO_UDP = 3; // VIRTIO_NET_HDR_GSO_UDP: one datagram, to be sent in fragments
const GSO_TCPV6 = 4; // VIRTIO_NET_HDR_GSO_TCPV6
const GSO_UDP_L4 = 5; // VIRTIO_NET_HDR_GSO_UDP_L4
const GSO_ECN = 0x80; // VIRTIO_NET_HDR_GSO_ECN
/** flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
const OFFLOAD_BYTES = 10;

/** Does the transport checksum hold the pseudo-header's sum only? */
export function isPartial(buf: Uint8Array, off: number, vnetBytes: number): boolean {
  return vnetBytes >= OFFLOAD_BYTES && (buf[off]! & NEEDS_CSUM) !== 0;
}

/** So much payload each segment of this TCP frame is to bear (gso_size); 0: it is one segment. */
export function segmentBytes(buf: Uint8Array, off: number): number {
  return buf[off + 1] === 0 ? 0 : buf[off + 4]! | (buf[off + 5]! << 8);
}

/** packingOf(): the frame is one packet, or segments of one stream. */
export const ONE_PACKET = 0;
/** packingOf(): the frame is to be cut in an unknown way if it is longer than the lower half of the number. */
export const PACKED_UNKNOWN = 0x10000;

/**
 * How the host is to cut the frame whose IP packet is at `network`: ONE_PACKET, or gso_size for datagrams with that
 * many bytes of payload, or PACKED_UNKNOWN with gso_size.
 */
export function packingOf(buf: Uint8Array, off: number, vnetBytes: number, network: number): number {
  if (vnetBytes < OFFLOAD_BYTES) return ONE_PACKET;
  const bytes = buf[off + 4]! | (buf[off + 5]! << 8);
  switch (buf[off + 1]! & ~GSO_ECN) {
    case 0:
    case GSO_UDP:
      return ONE_PACKET;
    case GSO_TCPV4:
    case GSO_TCPV6:
      return saysTcp(buf, network) ? ONE_PACKET : PACKED_UNKNOWN | bytes;
    case GSO_UDP_L4:
      return bytes === 0 ? PACKED_UNKNOWN : bytes;
    default:
      return PACKED_UNKNOWN | bytes;
  }
}

/** Are two frames with the same bytes the same packets? Their virtio-net headers are of the same size. */
export function samePacking(
  p: Uint8Array,
  pOff: number,
  s: Uint8Array,
  sOff: number,
  vnetBytes: number,
  network: number,
): boolean {
  if (vnetBytes < OFFLOAD_BYTES || (p[pOff + 1] === 0 && s[sOff + 1] === 0)) return true;
  const mine = packingOf(p, pOff, vnetBytes, network);
  return mine < PACKED_UNKNOWN && mine === packingOf(s, sOff, vnetBytes, sOff + network - pOff);
}

/** IPv6 extension headers are not looked through: no host segments TCP behind them. */
function saysTcp(buf: Uint8Array, network: number): boolean {
  return firstProtocol(buf, network) === IPPROTO_TCP;
}

/** The frame now has a complete checksum and is one packet: the host has nothing left to do. */
export function clearOffloads(buf: Uint8Array, off: number, vnetBytes: number): void {
  buf.fill(0, off, off + Math.min(vnetBytes, OFFLOAD_BYTES));
}
