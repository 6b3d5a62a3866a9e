// Simulated packets as the frames of a guest's port, with a virtio-net header before each, and back. Written on purpose
// without src/packet.

import { VNET_HEADER_BYTES } from '../../link/record';
import { Origin, SimPacket } from '../packet';
import { checksumOffset, ipHeaderBytes, PROTO_TCP } from '../wire';

const ETHERNET_BYTES = 14;
const HEAD_BYTES = VNET_HEADER_BYTES + ETHERNET_BYTES;

export function frameOf(packet: SimPacket): Buffer {
  const { buf, family, protocol } = packet;
  const frame = Buffer.alloc(HEAD_BYTES + buf.length);
  const cut = protocol === PROTO_TCP && packet.segmentBytes > 0 && packet.dataBytes > packet.segmentBytes;
  if (packet.partial) {
    frame[0] = 1;
    frame.writeUInt16LE(ETHERNET_BYTES + ipHeaderBytes(family), 6);
    frame.writeUInt16LE(checksumOffset(protocol), 8);
  }
  if (cut) {
    frame[1] = family === 4 ? 1 : 4;
    frame.writeUInt16LE(packet.segmentBytes, 4);
  }
  frame[VNET_HEADER_BYTES + 5] = 2;
  frame[VNET_HEADER_BYTES + 11] = packet.origin === Origin.CLIENT ? 1 : 2;
  frame.writeUInt16BE(family === 4 ? 0x0800 : 0x86dd, VNET_HEADER_BYTES + 12);
  buf.copy(frame, HEAD_BYTES);
  return frame;
}

/** A frame of the client for its guest. */
export function packetOf(buf: Buffer, off: number, bytes: number, nowUs: number): SimPacket {
  const ip = Buffer.from(buf.subarray(off + HEAD_BYTES, off + bytes));
  const family = ip[0]! >> 4 === 6 ? 6 : 4;
  const packet = new SimPacket(ip, family, ip[family === 6 ? 6 : 9]!);
  packet.partial = (buf[off]! & 1) !== 0;
  packet.madeUs = nowUs;
  return packet;
}
