// A proxy may change these fields of the PVM's packets: acknowledgement, window, checksum, timestamp value and echo
// (the ledger judges their values), and SACK and MPTCP options into NOPs. Everything else must leave as the guest sent
// it.

import { seqDiff } from '../../core/seq32';
import { timestampOffset } from '../../packet/tcp-options';
import type { SimPacket } from '../packet';
import { checksumHolds, ipHeaderBytes, ipHeaderHolds, PROTO_TCP } from '../wire';

/** Packet size that every path takes; held packets may be larger. */
const COPY_BYTES = 1280;

/** What is wrong with the rewritten bytes, or null. */
export function rewriteFault(packet: SimPacket, out: Buffer, partial: boolean): string | null {
  const { buf, family } = packet;
  if (packet.protocol !== PROTO_TCP) return 'not a TCP packet';
  if (out.length < buf.length && out.length >= buf.length - packet.dataBytes) return cutFault(packet, out);
  if (out.length !== buf.length) return `length ${buf.length} became ${out.length}`;
  if (partial !== packet.partial) return `checksum is ${packet.partial ? 'partial' : 'full'}, but not marked so`;
  if (!checksumHolds(out, family, PROTO_TCP, partial)) return 'the checksum is wrong';
  const l4 = ipHeaderBytes(family);
  const payload = buf.length - packet.dataBytes;
  const kinds = optionKinds(buf, l4 + 20, payload);
  const time = timestampOffset(buf, l4);
  for (let i = 0; i < payload; i++) {
    if (out[i] === buf[i]) continue;
    const field = i - l4;
    const mayChange =
      (field >= 8 && field < 12) || (field >= 14 && field < 18) || (time >= 0 && i >= time && i < time + 8);
    const kind = field >= 20 ? kinds[field - 20]! : 0;
    if (!mayChange && !((kind === 5 || kind === 30) && out[i] === 1)) return `byte ${field} of the TCP header changed`;
  }
  if (buf.compare(out, payload, out.length, payload, buf.length) !== 0) return 'the payload changed';
  return null;
}

/**
 * What is wrong with a copy of the beginning of a held packet, or null. It must be a plain segment with bytes of that
 * packet.
 */
export function copyFault(packet: SimPacket, out: Buffer): string | null {
  const { buf, family } = packet;
  if (packet.protocol !== PROTO_TCP || packet.syn || packet.rst) return 'a copy of a packet that may not be cut';
  if (!ipHeaderHolds(out, family)) return 'the IP header of a copy is wrong';
  if (!checksumHolds(out, family, PROTO_TCP, false)) return 'the checksum of a copy is wrong';
  const l4 = ipHeaderBytes(family);
  if (out[l4 + 13] !== 0x10) return 'a copy has other flags than ACK';
  if (out.length > COPY_BYTES) return `a copy has ${out.length} bytes`;
  const payload = buf.length - packet.dataBytes;
  const time = timestampOffset(buf, l4);
  const kinds = optionKinds(buf, l4 + 20, payload);
  for (let i = l4; i < payload; i++) {
    const field = i - l4;
    const mayChange =
      (field >= 4 && field < 12) || (field >= 13 && field < 18) || (time >= 0 && i >= time && i < time + 8);
    const takenOut = field >= 20 && (kinds[field - 20] === 5 || kinds[field - 20] === 30) && out[i] === 1;
    if (out[i] !== buf[i] && !mayChange && !takenOut) return `byte ${field} of a copy's TCP header changed`;
  }
  const skipped = (out.readUInt32BE(l4 + 4) - buf.readUInt32BE(l4 + 4)) >>> 0;
  const bytes = out.length - payload;
  if (bytes <= 0 || skipped + bytes > packet.dataBytes) return `a copy of ${bytes} bytes behind ${skipped}`;
  if (buf.compare(out, payload, out.length, payload + skipped, payload + skipped + bytes) !== 0)
    return 'the payload of a copy is not that of its packet';
  return null;
}

/**
 * A retransmission may leave shortened, or without payload as a keepalive probe with a sequence number one lower;
 * always with the flag ACK alone.
 */
function cutFault(packet: SimPacket, out: Buffer): string | null {
  const { buf, family } = packet;
  if (!checksumHolds(out, family, PROTO_TCP, false)) return 'the checksum of a probe is wrong';
  const l4 = ipHeaderBytes(family);
  const bytes = family === 4 ? out.readUInt16BE(2) : out.readUInt16BE(4) + 40;
  if (bytes !== out.length) return `a probe of ${out.length} bytes has the length ${bytes} in its header`;
  const skipped = seqDiff(out.readUInt32BE(l4 + 4), buf.readUInt32BE(l4 + 4));
  if (skipped > 0) return restFault(packet, out, skipped);
  if (out[l4 + 13] !== 0x10) return 'a probe has other flags than ACK';
  const payload = buf.length - packet.dataBytes;
  const shift = out.length === payload ? 1 : 0;
  if (out.readUInt32BE(l4 + 4) !== (buf.readUInt32BE(l4 + 4) - shift) >>> 0)
    return 'a probe has a wrong sequence number';
  if (buf.compare(out, payload, out.length, payload, out.length) !== 0) return 'the payload changed';
  return null;
}

/** The rest of a packet whose beginning has left in copies: equal to the packet but for its beginning. */
function restFault(packet: SimPacket, out: Buffer, skipped: number): string | null {
  const { buf } = packet;
  const l4 = ipHeaderBytes(packet.family);
  const payload = buf.length - packet.dataBytes;
  if (out[l4 + 13] !== buf[l4 + 13]) return 'the rest of a packet has other flags';
  if (buf.length - out.length !== skipped) return 'the rest of a packet ends elsewhere';
  if (buf.compare(out, payload, out.length, payload + skipped) !== 0) return 'the payload changed';
  return null;
}

/** For every byte of the options, the kind of its option. */
function optionKinds(buf: Buffer, from: number, end: number): number[] {
  const kinds: number[] = [];
  for (let i = from; i < end; ) {
    const kind = buf[i]!;
    const length = kind <= 1 ? 1 : Math.max(2, buf[i + 1]!);
    for (let j = 0; j < length; j++) kinds.push(kind);
    i += length;
  }
  return kinds;
}
