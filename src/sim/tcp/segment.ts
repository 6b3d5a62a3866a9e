// One TCP segment, to and from bytes (RFC 9293; options of RFC 7323, RFC 2018, and RFC 8684 for MP_CAPABLE).

import { ipHeaderBytes, PROTO_TCP, writeIp } from '../wire';

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

const OPT_NOP = 1;
const OPT_MSS = 2;
const OPT_WSCALE = 3;
const OPT_SACK_PERMITTED = 4;
const OPT_SACK = 5;
const OPT_TIMESTAMP = 8;
const OPT_MPTCP = 30;

/** A host's layout of options; odd placements test that no code relies on alignment. */
export type OptionLayout = 'linux' | 'odd';

/** Reused: every field is set by read() or by the sender before write(). */
export class Segment {
  srcPort = 0;
  dstPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  mss = -1;
  windowScale = -1;
  sackPermitted = false;
  timestamps = false;
  tsVal = 0;
  tsEcr = 0;
  mptcpKey = -1;
  /** Flat list of left and right edges. */
  readonly sack: number[] = [];
  payload = 0;
  payloadBytes = 0;

  clearOptions(): void {
    this.mss = -1;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.timestamps = false;
    this.tsVal = 0;
    this.tsEcr = 0;
    this.mptcpKey = -1;
    this.sack.length = 0;
  }
}

const scratch = Buffer.alloc(64);

function writeOptions(s: Segment, layout: OptionLayout): number {
  const o = scratch;
  let n = 0;
  if (s.mss >= 0) {
    o[n] = OPT_MSS;
    o[n + 1] = 4;
    o.writeUInt16BE(s.mss, n + 2);
    n += 4;
  }
  if (layout === 'odd') o[n++] = OPT_NOP;
  if (s.sackPermitted) {
    o[n++] = OPT_SACK_PERMITTED;
    o[n++] = 2;
  }
  if (s.timestamps) {
    while (layout === 'linux' && n % 4 !== 2) o[n++] = OPT_NOP;
    o[n] = OPT_TIMESTAMP;
    o[n + 1] = 10;
    o.writeUInt32BE(s.tsVal, n + 2);
    o.writeUInt32BE(s.tsEcr, n + 6);
    n += 10;
  }
  if (s.windowScale >= 0) {
    if (layout === 'linux') o[n++] = OPT_NOP;
    o[n] = OPT_WSCALE;
    o[n + 1] = 3;
    o[n + 2] = s.windowScale;
    n += 3;
  }
  if (s.mptcpKey >= 0) {
    o[n] = OPT_MPTCP;
    o[n + 1] = 12;
    o.writeUInt16BE(0x0101, n + 2); // MP_CAPABLE, version 1
    o.writeUInt32BE(s.mptcpKey, n + 4);
    o.writeUInt32BE(~s.mptcpKey >>> 0, n + 8);
    n += 12;
  }
  const room = 40 - n;
  const blocks = Math.min(s.sack.length >> 1, (room - (layout === 'linux' ? 4 : 2)) >> 3);
  if (blocks > 0) {
    while (layout === 'linux' && n % 4 !== 2) o[n++] = OPT_NOP;
    o[n] = OPT_SACK;
    o[n + 1] = 2 + 8 * blocks;
    for (let i = 0; i < 2 * blocks; i++) o.writeUInt32BE(s.sack[i]!, n + 2 + 4 * i);
    n += 2 + 8 * blocks;
  }
  while (n % 4 !== 0) o[n++] = OPT_NOP;
  return n;
}

/** Makes the packet with room for payloadBytes, which the caller fills in before the checksum; sets s.payload. */
export function buildSegment(
  s: Segment,
  family: 4 | 6,
  from: number,
  to: number,
  layout: OptionLayout,
  id: number,
): Buffer {
  const options = writeOptions(s, layout);
  const l4 = ipHeaderBytes(family);
  const buf = Buffer.allocUnsafe(l4 + 20 + options + s.payloadBytes);
  writeIp(buf, family, PROTO_TCP, from, to, id);
  buf.writeUInt16BE(s.srcPort, l4);
  buf.writeUInt16BE(s.dstPort, l4 + 2);
  buf.writeUInt32BE(s.seq, l4 + 4);
  buf.writeUInt32BE(s.ack, l4 + 8);
  buf[l4 + 12] = ((20 + options) >> 2) << 4;
  buf[l4 + 13] = s.flags;
  buf.writeUInt16BE(s.window, l4 + 14);
  buf.writeUInt32BE(0, l4 + 16);
  scratch.copy(buf, l4 + 20, 0, options);
  s.payload = l4 + 20 + options;
  return buf;
}

/** Reads a whole packet into s; false when the header or an option does not fit (nobody in a run may cause that). */
export function readSegment(s: Segment, buf: Buffer, family: 4 | 6): boolean {
  const l4 = ipHeaderBytes(family);
  if (buf.length < l4 + 20) return false;
  s.srcPort = buf.readUInt16BE(l4);
  s.dstPort = buf.readUInt16BE(l4 + 2);
  s.seq = buf.readUInt32BE(l4 + 4);
  s.ack = buf.readUInt32BE(l4 + 8);
  s.flags = buf[l4 + 13]!;
  s.window = buf.readUInt16BE(l4 + 14);
  s.payload = l4 + (buf[l4 + 12]! >> 4) * 4;
  if (s.payload < l4 + 20 || s.payload > buf.length) return false;
  s.payloadBytes = buf.length - s.payload;
  s.clearOptions();
  for (let i = l4 + 20; i < s.payload; ) {
    const kind = buf[i]!;
    if (kind === 0) break;
    if (kind === OPT_NOP) {
      i++;
      continue;
    }
    const length = i + 1 < s.payload ? buf[i + 1]! : 0;
    if (length < 2 || i + length > s.payload) return false;
    if (kind === OPT_MSS) s.mss = buf.readUInt16BE(i + 2);
    else if (kind === OPT_WSCALE) s.windowScale = buf[i + 2]!;
    else if (kind === OPT_SACK_PERMITTED) s.sackPermitted = true;
    else if (kind === OPT_MPTCP) s.mptcpKey = length >= 8 ? buf.readUInt32BE(i + 4) : 0;
    else if (kind === OPT_TIMESTAMP) {
      s.timestamps = true;
      s.tsVal = buf.readUInt32BE(i + 2);
      s.tsEcr = buf.readUInt32BE(i + 6);
    } else if (kind === OPT_SACK) {
      for (let j = i + 2; j + 4 <= i + length; j += 4) s.sack.push(buf.readUInt32BE(j));
    }
    i += length;
  }
  return true;
}
