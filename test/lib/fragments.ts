// Cuts IP packets into fragments for tests, byte by byte and independent of src/packet, with right checksums.
import { onesComplementSum } from './build-packet';

const FRAGMENT = 44;

/** Sets an IPv4 header's length and its checksum. */
export function sealIpv4(packet: Buffer): Buffer {
  const headerBytes = (packet[0]! & 15) * 4;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(0xffff - onesComplementSum([packet.subarray(0, headerBytes)]), 10);
  return packet;
}

export interface Piece {
  offset: number;
  bytes: number;
  more: boolean;
}

/**
 * One fragment of the packet, of any piece (even an impossible one) of what lies behind its unfragmentable part.
 * `payload` instead of the packet's own bytes.
 */
export function fragmentOf(packet: Buffer, piece: Piece, id: number, unfragmentable = 40, payload?: Buffer): Buffer {
  const v4 = packet[0]! >> 4 === 4;
  const headerBytes = v4 ? (packet[0]! & 15) * 4 : unfragmentable;
  const body = payload ?? packet.subarray(headerBytes + piece.offset, headerBytes + piece.offset + piece.bytes);
  const header = Buffer.from(packet.subarray(0, headerBytes));
  if (v4) {
    header.writeUInt16BE(id & 0xffff, 4);
    header.writeUInt16BE((piece.more ? 0x2000 : 0) | (piece.offset >> 3), 6);
    return sealIpv4(Buffer.concat([header, body]));
  }
  const extension = Buffer.alloc(8);
  const field = lastNextHeader(header);
  extension[0] = header[field]!;
  header[field] = FRAGMENT;
  extension.writeUInt16BE(piece.offset | (piece.more ? 1 : 0), 2);
  extension.writeUInt32BE(id, 4);
  header.writeUInt16BE(header.length - 40 + 8 + body.length, 4);
  return Buffer.concat([header, extension, body]);
}

/** The pieces between cuts (in units of 8 bytes) of so many bytes. */
export function pieces(bytes: number, cuts: readonly number[]): Piece[] {
  const borders = [...new Set(cuts.map((cut) => cut * 8))].filter((at) => at > 0 && at < bytes).sort((a, b) => a - b);
  return [0, ...borders].map((offset, i) => ({
    offset,
    bytes: (borders[i] ?? bytes) - offset,
    more: i < borders.length,
  }));
}

/** Where the field stands that names what follows the last of these headers (options headers only). */
function lastNextHeader(header: Buffer): number {
  let field = 6;
  for (let at = 40; at < header.length; at += (header[at + 1]! + 1) * 8) field = at;
  return field;
}
