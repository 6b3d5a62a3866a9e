// Ethernet frames around IP packets: plain, tagged (802.1Q, 802.1ad, both), IPv4 or IPv6, padded or not. Every packet
// of the primary bears a number that a comparer does not compare and leaves as it is, so that what comes out can be
// told apart: IPv4's identification, IPv6's flow label.

import type { Prng } from '../../src/sim/prng';
import { buildIp, buildTcp, buildUdp, onesComplementSum, type TcpFields } from '../lib/build-packet';

/** An Ethernet frame is at least so long without its checksum; shorter ones are padded. */
export const MIN_FRAME_BYTES = 60;

export interface Carrier {
  name: string;
  family: 4 | 6;
  /** Tag words, outermost first: type and control. */
  tags: readonly (readonly [number, number])[];
}

export const PLAIN4: Carrier = { name: 'IPv4', family: 4, tags: [] };

const CARRIERS: readonly (readonly [number, Carrier])[] = [
  [82, PLAIN4],
  [5, { name: 'IPv6', family: 6, tags: [] }],
  [4, { name: '802.1Q', family: 4, tags: [[0x8100, 0x2007]] }],
  [2, { name: '802.1Q IPv6', family: 6, tags: [[0x8100, 5]] }],
  [4, { name: '802.1ad', family: 4, tags: [[0x88a8, 9]] }],
  [
    3,
    {
      name: '802.1ad 802.1Q',
      family: 4,
      tags: [
        [0x88a8, 9],
        [0x8100, 3],
      ],
    },
  ],
];

export function pickCarrier(prng: Prng): Carrier {
  let at = prng.below(100);
  for (const [weight, carrier] of CARRIERS) {
    if (at < weight) return carrier;
    at -= weight;
  }
  return PLAIN4;
}

/** Addresses of one flow: the guest speaks to the peer. No two flows have the same. */
export interface Ends {
  src: number[];
  dst: number[];
  sport: number;
  dport: number;
}

export function endsOf(flowNumber: number, carrier: Carrier, prng: Prng): Ends {
  const low = [(flowNumber >>> 16) & 0xff, (flowNumber >>> 8) & 0xff, flowNumber & 0xff];
  const ports = { sport: prng.range(1, 65535), dport: prng.range(1, 65535) };
  if (carrier.family === 4) return { src: [10, ...low], dst: [198, 51, 100, prng.range(1, 254)], ...ports };
  const prefix = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
  return { src: [...prefix, 0, ...low], dst: [...prefix, 0xff, 0, 0, prng.range(1, 254)], ...ports };
}

export interface Outside {
  carrier: Carrier;
  ends: Ends;
  /** IPv4 identification or IPv6 flow label. */
  id: number;
  ttl?: number;
  /** Bytes behind the packet, up to the least size of a frame. */
  padding: 'none' | 'zero' | 'garbage';
  /** Makes the MAC addresses differ. */
  otherMac?: boolean;
}

export function tcpFrame(o: Outside, fields: TcpFields): Buffer {
  return frameOf(o, buildTcp({ ...fields, ...o.ends, family: o.carrier.family, ttl: o.ttl ?? 64, id: o.id }));
}

export function udpFrame(o: Outside, payload: Buffer): Buffer {
  return frameOf(o, buildUdp({ ...o.ends, payload, family: o.carrier.family, ttl: o.ttl ?? 64, id: o.id }));
}

export function ipFrame(o: Outside, protocol: number, l4: Buffer): Buffer {
  return frameOf(o, buildIp(o.carrier.family, o.ends.src, o.ends.dst, protocol, l4, o.ttl ?? 64, o.id));
}

/** One fragment of a datagram of a protocol, `offset` in bytes. IPv4 only. */
export function fragmentFrame(o: Outside, protocol: number, piece: Buffer, offset: number, more: boolean): Buffer {
  const packet = buildIp(4, o.ends.src, o.ends.dst, protocol, piece, o.ttl ?? 64, o.id);
  packet.writeUInt16BE((more ? 0x2000 : 0) | (offset >>> 3), 6);
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(0xffff - onesComplementSum([packet.subarray(0, 20)]), 10);
  return frameOf(o, packet);
}

export function frameOf(o: Outside, packet: Buffer): Buffer {
  if (o.carrier.family === 6) packet.writeUInt32BE((0x60000000 | o.id) >>> 0, 0);
  const head = Buffer.alloc(14 + o.carrier.tags.length * 4);
  head.write(o.otherMac ? '0200000000b2' : '0200000000a2', 0, 'hex');
  head.write(o.otherMac ? '0200000000b1' : '0200000000a1', 6, 'hex');
  let at = 12;
  for (const [type, control] of o.carrier.tags) {
    head.writeUInt16BE(type, at);
    head.writeUInt16BE(control, at + 2);
    at += 4;
  }
  head.writeUInt16BE(o.carrier.family === 4 ? 0x0800 : 0x86dd, at);
  const frame = Buffer.concat([head, packet]);
  if (o.padding === 'none' || frame.length >= MIN_FRAME_BYTES) return frame;
  return Buffer.concat([frame, Buffer.alloc(MIN_FRAME_BYTES - frame.length, o.padding === 'zero' ? 0 : 0x5a)]);
}

/** Where the IP header begins, behind any tags. */
export function networkAt(frame: Buffer): number {
  let at = 12;
  while (frame.readUInt16BE(at) === 0x8100 || frame.readUInt16BE(at) === 0x88a8) at += 4;
  return at + 2;
}
