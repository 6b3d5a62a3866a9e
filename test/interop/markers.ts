// Frames by which the driver knows how far a device is. A primary frame that is no IP leaves at once, so when it comes
// out, all before it on that socket was handled. The secondary's socket says nothing by itself: a datagram that the
// primary has sent before is released when its equal on the secondary's socket is reached.

import { buildUdp } from '../lib/build-packet';

const ARP = Buffer.from('0806', 'hex');
const IPV4 = Buffer.from('0800', 'hex');
const MARKER_MACS = Buffer.from('02000000ff02' + '02000000ff01', 'hex');
const ARP_REPLY = Buffer.from('0001080006040002', 'hex');
const ADDRESSES_FROM = 14 + 8;

/** An ARP reply of a station that does not exist; the number is the address that it answers. */
export function barrierFrame(n: number): Buffer {
  const frame = Buffer.alloc(60);
  MARKER_MACS.copy(frame, 0);
  ARP.copy(frame, 12);
  ARP_REPLY.copy(frame, 14);
  // Of another sender than the frame's it would be compared.
  MARKER_MACS.copy(frame, ADDRESSES_FROM, 6);
  frame.writeUInt32BE(n, 38);
  return frame;
}

/** A datagram of a flow of its own; the same number makes the same payload on both sides. */
export function markerFrame(n: number): Buffer {
  const payload = Buffer.alloc(24, 0x6d);
  payload.writeUInt32BE(n, 0);
  const packet = buildUdp({ src: [192, 0, 2, 77], dst: [192, 0, 2, 78], sport: 7, dport: 7, payload });
  return Buffer.concat([MARKER_MACS, IPV4, packet]);
}

/** Is it one of the two, and which number? */
export function readMarker(frame: Buffer): { kind: 'barrier' | 'marker'; n: number } | undefined {
  if (frame.length < 50 || frame.compare(MARKER_MACS, 0, 12, 0, 12) !== 0) return undefined;
  if (frame[12] === 8 && frame[13] === 6) return { kind: 'barrier', n: frame.readUInt32BE(38) };
  return { kind: 'marker', n: frame.readUInt32BE(14 + 28) };
}
