// The virtio-net header that may stand before a frame (virtio 1.2, 5.1.6; linux/virtio_net.h): moves a frame from a
// place with a header of one size to a place with another size, or none.

import { sumBytes } from '../packet/checksum';

/** Sizes that exist: none, legacy, with num_buffers, with a hash. */
export const VNET_HEADER_BYTES = [0, 10, 12, 20] as const;

const FLAGS = 0;
const GSO_TYPE = 1;
const CSUM_START = 6;
const CSUM_OFFSET = 8;
const LEAST_BYTES = 10;
const NEEDS_CSUM = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
const GSO_ECN = 0x80; // VIRTIO_NET_HDR_GSO_ECN

/** Bytes of the frame with a header of `wanted` bytes. */
export function bytesWithHeader(len: number, vnetBytes: number, wanted: number): number {
  return len - vnetBytes + wanted;
}

/**
 * Copies the frame to `at` in `out`, with a header of `wanted` bytes before it. Where no header is wanted a partial
 * checksum is completed. False: the frame is to be segmented by the sender's hardware, which only a header can say.
 */
export function copyWithHeader(
  out: Buffer,
  at: number,
  wanted: number,
  buf: Buffer,
  off: number,
  len: number,
  vnetBytes: number,
): boolean {
  if (wanted === vnetBytes) {
    buf.copy(out, at, off, off + len);
    return true;
  }
  const body = off + vnetBytes;
  buf.copy(out, at + wanted, body, off + len);
  if (wanted > 0) {
    const kept = Math.min(wanted, vnetBytes);
    buf.copy(out, at, off, off + kept);
    out.fill(0, at + kept, at + wanted);
    return true;
  }
  if (vnetBytes < LEAST_BYTES) return true;
  if ((buf[off + GSO_TYPE]! & ~GSO_ECN) !== 0) return false;
  return (buf[off + FLAGS]! & NEEDS_CSUM) === 0 || completeAt(out, at, len - vnetBytes, buf, off);
}

/** The header gives the sum's beginning and place in the guest's byte order: little-endian on all platforms of COLO. */
function completeAt(out: Buffer, at: number, bytes: number, buf: Buffer, header: number): boolean {
  const start = buf.readUInt16LE(header + CSUM_START);
  const field = start + buf.readUInt16LE(header + CSUM_OFFSET);
  if (field + 2 > bytes) return false;
  const sum = ~sumBytes(out, at + start, bytes - start) & 0xffff;
  // A UDP checksum of 0 would mean that there is none; for TCP 0 and 0xffff are equal.
  out.writeUInt16BE(sum === 0 ? 0xffff : sum, at + field);
  return true;
}
