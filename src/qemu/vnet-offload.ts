// What a virtio-net header (virtio 1.2, 5.1.6; linux/virtio_net.h) says of the frame behind it, as far as the comparison has to
// know or to mend it. All headers begin alike; what follows the first ten bytes says nothing of checksum or segmentation.

const NEEDS_CSUM = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
/** flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
const OFFLOAD_BYTES = 10;

/** Does the transport checksum hold the pseudo-header's sum only? */
export function isPartial(buf: Uint8Array, off: number, vnetBytes: number): boolean {
  return vnetBytes >= OFFLOAD_BYTES && (buf[off]! & NEEDS_CSUM) !== 0;
}

/** The frame behind has a whole checksum now and is one packet: nothing is left to be done for it. */
export function clearOffloads(buf: Uint8Array, off: number, vnetBytes: number): void {
  buf.fill(0, off, off + Math.min(vnetBytes, OFFLOAD_BYTES));
}
