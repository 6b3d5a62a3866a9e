// Brings a frame's virtio-net header (virtio 1.2, 5.1.6; linux/virtio_net.h) into the one form that fits its packet,
// before the comparison: the host obeys it, so any other header would make the host write two bytes of the frame, or
// cut it, after the comparison.

import { sumBytes } from '../packet/checksum';
import { PARSE_OK, parseIp } from '../packet/parse';
import { IPPROTO_TCP, IPPROTO_UDP, PacketView } from '../packet/view';

const GSO_TYPE = 1;
const HDR_LEN = 2;
const GSO_SIZE = 4;
const CSUM_START = 6;
const CSUM_OFFSET = 8;
/** flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
const OFFLOAD_BYTES = 10;
const NEEDS_CSUM = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
const GSO_TCPV4 = 1; // VIRTIO_NET_HDR_GSO_TCPV4
const GSO_UDP = 3; // VIRTIO_NET_HDR_GSO_UDP
const GSO_TCPV6 = 4; // VIRTIO_NET_HDR_GSO_TCPV6
const GSO_UDP_L4 = 5; // VIRTIO_NET_HDR_GSO_UDP_L4
const GSO_ECN = 0x80; // VIRTIO_NET_HDR_GSO_ECN
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;

const view = new PacketView();

/**
 * The frame is buf[off, end), beginning with a header of vnetBytes; its content begins at `network`. A checksum that is
 * not the packet's own (that of a packet in a tunnel) is completed here, if its place is in the content. A frame that
 * is to be cut in an unknown way keeps its header: it waits for a checkpoint. True: bytes of the content have changed.
 */
export function settleHeader(
  buf: Buffer,
  off: number,
  vnetBytes: number,
  network: number,
  end: number,
  isIp: boolean,
): boolean {
  if (vnetBytes < OFFLOAD_BYTES || (buf[off]! & NEEDS_CSUM) + buf[off + GSO_TYPE]! === 0) {
    buf.fill(0, off, off + vnetBytes);
    return false;
  }
  const frame = off + vnetBytes;
  const known = isIp && parseIp(view, buf, network, end - network) === PARSE_OK;
  const protocol = known && !view.fragment ? view.protocol : 0;
  const field = protocol === IPPROTO_TCP ? TCP_CHECKSUM : protocol === IPPROTO_UDP ? UDP_CHECKSUM : 0;
  const gso = buf[off + GSO_TYPE]! & ~GSO_ECN;
  const size = read(buf, off + GSO_SIZE);
  if (gso !== 0 && known && view.payloadBytes > size && !view.fragment) {
    if (isCutAs(gso, size, protocol)) {
      segmented(buf, off, protocol, gso, view.l4 - frame, field, view.payload - frame);
      buf.fill(0, off + OFFLOAD_BYTES, frame);
      return false;
    }
    if (gso !== GSO_UDP) return false;
  }
  const partial = (buf[off]! & NEEDS_CSUM) !== 0;
  const start = frame + read(buf, off + CSUM_START);
  const at = start + read(buf, off + CSUM_OFFSET);
  buf.fill(0, off, frame);
  if (!partial) return false;
  const l4 = known ? view.l4 : network;
  if (field !== 0 && start === l4 && at === start + field) {
    buf[off] = NEEDS_CSUM;
    write(buf, off + CSUM_START, start - frame);
    write(buf, off + CSUM_OFFSET, field);
    return false;
  }
  if (start < l4 || at + 2 > end) return false;
  const sum = ~sumBytes(buf, start, end - start) & 0xffff;
  // A UDP checksum of 0 would mean that there is none; for TCP 0 and 0xffff are equal.
  buf.writeUInt16BE(sum === 0 ? 0xffff : sum, at);
  return true;
}

/** Does the host cut packets of this protocol in this way, and is the way known? TCP may be cut in any way. */
function isCutAs(gso: number, size: number, protocol: number): boolean {
  if (protocol === IPPROTO_TCP) return true;
  return protocol === IPPROTO_UDP && (gso === GSO_UDP || (gso === GSO_UDP_L4 && size > 0));
}

/** Each piece of a packet that is cut gets its own checksum, in its protocol's place. */
function segmented(
  buf: Buffer,
  off: number,
  protocol: number,
  gso: number,
  start: number,
  field: number,
  headerBytes: number,
): void {
  buf[off] = NEEDS_CSUM;
  if (protocol !== IPPROTO_TCP) buf[off + GSO_TYPE] = gso;
  else buf[off + GSO_TYPE] = (view.family === 4 ? GSO_TCPV4 : GSO_TCPV6) | (buf[off + GSO_TYPE]! & GSO_ECN);
  write(buf, off + HDR_LEN, headerBytes);
  write(buf, off + CSUM_START, start);
  write(buf, off + CSUM_OFFSET, field);
}

/** In the guest's byte order: little-endian on all platforms of COLO. */
function read(buf: Buffer, at: number): number {
  return buf[at]! | (buf[at + 1]! << 8);
}

function write(buf: Buffer, at: number, value: number): void {
  buf[at] = value & 0xff;
  buf[at + 1] = value >>> 8;
}
