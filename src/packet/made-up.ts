// Synthetic packets for engines that warm up before the first real ones: IPv4 between documentation
// addresses (RFC 5737), with checksums of zero, which no engine looks at.

import { IPPROTO_TCP, IPPROTO_UDP } from './view';

const IP_BYTES = 20;
/** With the timestamp option, as nearly every segment has it. */
const TCP_BYTES = 32;
const UDP_BYTES = 8;
const GUEST_PORT = 80;
const FIRST_PEER_PORT = 20_000;

export interface MadeUpSegment {
  /** A number that tells connections apart. */
  flow: number;
  /** Default: by the guest. */
  byPeer?: boolean;
  seq: number;
  ack: number;
  flags: number;
  window?: number;
  payloadBytes: number;
}

/** Writes one at off; returns its length. */
export function putSegment(buf: Buffer, off: number, segment: MadeUpSegment): number {
  const { flow, byPeer = false, seq, ack, flags, window = 60_000, payloadBytes } = segment;
  const len = IP_BYTES + TCP_BYTES + payloadBytes;
  putHeader(buf, off, len, IPPROTO_TCP, flow, byPeer);
  const tcp = off + IP_BYTES;
  buf.writeUInt32BE(seq >>> 0, tcp + 4);
  buf.writeUInt32BE(ack >>> 0, tcp + 8);
  buf[tcp + 12] = (TCP_BYTES >> 2) << 4;
  buf[tcp + 13] = flags;
  buf.writeUInt16BE(window, tcp + 14);
  buf.writeUInt32BE(0, tcp + 16);
  // Two of no operation, then kind 8, length 10.
  buf.writeUInt32BE(0x0101080a, tcp + 20);
  buf.writeUInt32BE(1, tcp + 24);
  buf.writeUInt32BE(1, tcp + 28);
  return len;
}

/** A datagram of the guest. */
export function putDatagram(buf: Buffer, off: number, flow: number, payloadBytes: number): number {
  const len = IP_BYTES + UDP_BYTES + payloadBytes;
  putHeader(buf, off, len, IPPROTO_UDP, flow, false);
  buf.writeUInt16BE(UDP_BYTES + payloadBytes, off + IP_BYTES + 4);
  buf.writeUInt16BE(0, off + IP_BYTES + 6);
  return len;
}

function putHeader(buf: Buffer, off: number, len: number, protocol: number, flow: number, byPeer: boolean): void {
  buf[off] = 0x45;
  buf[off + 1] = 0;
  buf.writeUInt16BE(len, off + 2);
  buf.writeUInt32BE(0x4000, off + 4);
  buf[off + 8] = 64;
  buf[off + 9] = protocol;
  buf.writeUInt16BE(0, off + 10);
  // 192.0.2.1 is the guest, 198.51.100.1 its peer.
  buf.writeUInt32BE(byPeer ? 0xc6336401 : 0xc0000201, off + 12);
  buf.writeUInt32BE(byPeer ? 0xc0000201 : 0xc6336401, off + 16);
  const peerPort = FIRST_PEER_PORT + flow;
  buf.writeUInt16BE(byPeer ? peerPort : GUEST_PORT, off + IP_BYTES);
  buf.writeUInt16BE(byPeer ? GUEST_PORT : peerPort, off + IP_BYTES + 2);
}
