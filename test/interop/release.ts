// Whose packet came out, and is it still what went in? QEMU changes nothing. Ours cuts off what stands behind a packet
// or makes zeros of it, and may lower an acknowledgement and a window to what the secondary has given, take SACK blocks
// away, cut a repetition short, and let the bytes of a held segment leave in pieces, the last of which is the segment
// itself from there on; a segment of one byte at the end of what was said (a keepalive, RFC 1122 section 4.2.3.6)
// leaves with the byte that stands there; the checksums must be right.

import { timestampOffset } from '../../src/packet/tcp-options';
import { MIN_FRAME_BYTES, networkAt } from './carrier';
import { describePacket, type Packet, type TcpAbout } from './flow';

export interface Released {
  packet: Packet;
  /**
   * With it all its bytes have left. False: a repetition that left without what the secondary has not said, or a piece
   * before the last.
   */
  whole: boolean;
  frame: Buffer;
}

const FLAG_ACK = 0x10;
const ARP_BYTES = 28;

export function readRelease(frame: Buffer, primary: readonly Packet[], mayRewrite: boolean): Released {
  const exact = primary.find((p) => p.side === 'p' && (mayRewrite ? isOwn(frame, p) : p.frame.equals(frame)));
  if (exact !== undefined) return { packet: exact, whole: true, frame };
  const wrong = (why: string): Error => new Error(`${why}: ${frame.toString('hex')}`);
  if (!mayRewrite) throw wrong('a frame came out that never went in');
  const at = networkAt(frame);
  const id = idOf(frame, at);
  const packet = primary.find(
    (p) => p.side === 'p' && p.about.kind === 'tcp' && networkAt(p.frame) === at && idOf(p.frame, at) === id,
  );
  if (packet === undefined) throw wrong('a frame came out that never went in');
  const complaint = complaintOf(frame, packet, at, primary);
  if (complaint !== undefined)
    throw wrong(`${complaint}, of ${describePacket(packet)} (${packet.frame.toString('hex')})`);
  return { packet, whole: reachesEnd(frame, packet, at), frame };
}

/** The packet as it was sent, but for what stands behind it: zeros up to the shortest frame, or nothing. */
function isOwn(frame: Buffer, p: Packet): boolean {
  const at = networkAt(p.frame);
  const type = p.frame.readUInt16BE(at - 2);
  const isIp = type === 0x0800 || type === 0x86dd;
  const end = isIp ? ipEnd(p.frame, at) : type === 0x0806 ? at + ARP_BYTES : p.frame.length;
  return frame.length >= end && frame.compare(p.frame, 0, end, 0, end) === 0 && hasZerosOnly(frame, end);
}

function hasZerosOnly(frame: Buffer, from: number): boolean {
  return frame.length === from || (frame.length <= MIN_FRAME_BYTES && frame.subarray(from).every((byte) => byte === 0));
}

/** By how many bytes of the stream a released segment begins behind the one that was sent: of a probe it is -1. */
export function bytesSkipped(frame: Buffer, packet: Packet): number {
  const at = networkAt(frame);
  const seq = at + (frame[at]! >> 4 === 4 ? 20 : 40) + 4;
  return (frame.readUInt32BE(seq) - packet.frame.readUInt32BE(seq)) | 0;
}

function reachesEnd(frame: Buffer, packet: Packet, at: number): boolean {
  return ipEnd(frame, at) + Math.max(bytesSkipped(frame, packet), 0) === ipEnd(packet.frame, at);
}

/** Which packet of which flow. */
function idOf(frame: Buffer, at: number): string {
  const v4 = frame[at]! >> 4 === 4;
  const id = v4 ? frame.readUInt16BE(at + 4) : frame.readUInt32BE(at) & 0xfffff;
  return `${frame.toString('hex', at + (v4 ? 12 : 8), at + (v4 ? 20 : 40))} ${id}`;
}

function ipEnd(frame: Buffer, at: number): number {
  return at + (frame[at]! >> 4 === 4 ? frame.readUInt16BE(at + 2) : 40 + frame.readUInt16BE(at + 4));
}

/** What is wrong with the change; undefined: it is one of those that are allowed. */
function complaintOf(frame: Buffer, packet: Packet, at: number, primary: readonly Packet[]): string | undefined {
  const v4 = frame[at]! >> 4 === 4;
  const l4 = at + (v4 ? 20 : 40);
  const end = ipEnd(frame, at);
  const before = packet.frame;
  if (end > frame.length || end > ipEnd(before, at)) return 'longer than it was';
  if (!checksumsAreRight(frame, at, l4, end)) return 'a checksum is wrong';
  if (!hasZerosOnly(frame, end)) return 'something stands behind it';
  const payload = l4 + (before[l4 + 12]! >> 4) * 4;
  const cut = end < ipEnd(before, at);
  const skipped = (frame.readUInt32BE(l4 + 4) - before.readUInt32BE(l4 + 4)) | 0;
  // A piece begins within the segment; a probe stands before it (RFC 9293 section 3.8.4) and has no bytes.
  const isPiece = skipped > 0 && skipped + end <= ipEnd(before, at);
  const isProbe = skipped === -1 && end === payload;
  if (skipped !== 0 && !(cut && (isPiece || isProbe))) return 'at another place';
  const expected = isPiece
    ? Buffer.concat([before.subarray(0, payload), before.subarray(payload + skipped)])
    : Buffer.from(before);
  if (cut) frame.copy(expected, at, at, at + (v4 ? 12 : 6));
  frame.copy(expected, l4 + 4, l4 + 4, l4 + 8);
  // What is behind the cut ends the stream and is pushed; the last piece is the segment's own.
  if (cut && (!isPiece || skipped + end < ipEnd(before, at))) expected[l4 + 13] = FLAG_ACK;
  const ack = frame.readUInt32BE(l4 + 8);
  if (((before.readUInt32BE(l4 + 8) - ack) | 0) < 0) return 'the acknowledgement was raised';
  if (frame.readUInt16BE(l4 + 14) > before.readUInt16BE(l4 + 14)) return 'the window was raised';
  frame.copy(expected, l4 + 8, l4 + 8, l4 + 12);
  frame.copy(expected, l4 + 14, l4 + 14, l4 + 18);
  const time = timestampOffset(before, l4);
  if (time >= 0 && frame.readUInt32BE(time) !== before.readUInt32BE(time)) {
    if (((frame.readUInt32BE(time) - before.readUInt32BE(time)) | 0) < 0) return 'the timestamp was lowered';
    if (!primary.some((p) => bears(p, frame.readUInt32BE(time)))) return 'nobody sent this timestamp';
    frame.copy(expected, time, time, time + 4);
  }
  const about = packet.about;
  if (!cut && about.kind === 'tcp' && about.data.length === 1 && saidBefore(about, frame[payload]!, packet.n, primary))
    expected[payload] = frame[payload]!;
  removeSack(expected, l4 + 20, payload);
  if (frame.compare(expected, 0, end, 0, end) !== 0) return 'changed where it must not be';
  return undefined;
}

/** Has another packet of the primary before the n-th this byte in the place of the one of `a`? */
function saidBefore(a: TcpAbout, byte: number, n: number, primary: readonly Packet[]): boolean {
  return primary.some(
    ({ about: b, n: at }) => at < n && b.kind === 'tcp' && b.life === a.life && b.data[a.pos - b.pos] === byte,
  );
}

function bears(p: Packet, time: number): boolean {
  if (p.side !== 'p' || p.about.kind !== 'tcp') return false;
  const at = networkAt(p.frame);
  const offset = timestampOffset(p.frame, at + (p.frame[at]! >> 4 === 4 ? 20 : 40));
  return offset >= 0 && p.frame.readUInt32BE(offset) === time;
}

function removeSack(frame: Buffer, from: number, to: number): void {
  for (let at = from; at < to; ) {
    const kind = frame[at]!;
    if (kind === 0) return;
    if (kind === 1) {
      at++;
      continue;
    }
    const bytes = frame[at + 1]!;
    if (kind === 5) frame.fill(1, at, at + bytes);
    at += bytes;
  }
}

function checksumsAreRight(frame: Buffer, at: number, l4: number, end: number): boolean {
  const v4 = l4 - at === 20;
  if (v4 && sum(frame, at, l4, 0) !== 0xffff) return false;
  const addresses = v4 ? at + 12 : at + 8;
  const pseudo = sum(frame, addresses, addresses + (v4 ? 8 : 32), 6 + (end - l4));
  return sum(frame, l4, end, pseudo) === 0xffff;
}

function sum(frame: Buffer, from: number, to: number, start: number): number {
  let total = start;
  for (let at = from; at < to; at += 2) total += (frame[at]! << 8) | (at + 1 < to ? frame[at + 1]! : 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}
