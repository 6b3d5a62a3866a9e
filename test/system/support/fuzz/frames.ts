// Frames to attack with: valid ones of every kind that is compared, and what becomes of them when someone spoils them.
// What only the primary says carries a serial number behind the word SECRET, so that it is known wherever it turns up.

import { arpFrame, buildFrame, vnetHeader } from '../../../lib/build-frame';
import { buildEchoReply, buildIp, buildTcp, buildUdp } from '../../../lib/build-packet';
import { fragmentOf, pieces } from '../../../lib/fragments';
import type { Random } from './random';

const GUEST4 = [10, 0, 0, 1];
const PEER4 = [10, 0, 0, 2];
const GUEST6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const ICMP = 1;
const GRE = 47;
const LLDP = 0x88cc;
const FLAGS = ['A', 'A', 'A', 'PA', 'FA', 'S', 'SA', 'R', 'RA', 'UA', ''] as const;

/** What a frame is but for what it says: two guests make the same frame of the same plan and text. */
export interface Plan {
  kind: 'udp' | 'echo' | 'icmp' | 'gre' | 'tcp' | 'link' | 'arp' | 'fragments' | 'large';
  family: 4 | 6;
  flow: number;
  vlans: number[];
  padTo: number;
  vnet: Buffer;
  id: number;
  at: number;
  generation: number;
  flags: string;
  options: number[];
  extension: boolean;
  arpOperation: number;
}

/** Streams go on from round to round, and make place for new ones. */
const ROUNDS_PER_FLOW = 8;
const BYTES_PER_ROUND = 200;

export function plan(r: Random, vnet: boolean, round: number): Plan {
  return {
    kind: r.of([
      'udp',
      'udp',
      'echo',
      'icmp',
      'gre',
      'tcp',
      'tcp',
      'tcp',
      'link',
      'arp',
      'fragments',
      'large',
    ] as const),
    family: r.of([4, 4, 6] as const),
    flow: r.below(6),
    vlans: r.of([[], [], [], [5], [5, 6], [0], Array.from({ length: r.between(3, 12) }, () => r.below(4096))]),
    padTo: r.of([0, 0, 64, 128]),
    vnet: vnet ? vnetOf(r) : Buffer.alloc(0),
    id: r.below(0x10000),
    at: (round % ROUNDS_PER_FLOW) * BYTES_PER_ROUND + r.below(2 * BYTES_PER_ROUND),
    generation: Math.floor(round / ROUNDS_PER_FLOW) % 1000,
    flags: r.of(FLAGS),
    options: r.chance(0.3) ? [...r.bytes(4 * r.between(1, 10))] : [],
    extension: r.chance(0.3),
    arpOperation: r.between(1, 2),
  };
}

function vnetOf(r: Random): Buffer {
  const header = vnetHeader(r.of([0, 10, 12, 12, 20, 24]), {
    // Not that a checksum is to be made: it would be, in another place, and the frame be another.
    flags: r.of([0, 2]),
    gsoType: r.of([0, 0, 0, 1, 3, 4, 5]),
    gsoSize: r.of([0, 1, 1400]),
  });
  if (header.length > 0 && r.chance(0.2)) r.bytes(10).copy(header);
  if (header.length > 0) header[0]! &= 0xfe;
  return header;
}

/** As one or more frames, with a virtio-net header each. */
export function frames(p: Plan, text: string): Buffer[] {
  const around = { vlans: p.vlans, padTo: p.padTo };
  const done = (frame: Buffer): Buffer => Buffer.concat([p.vnet, frame]);
  const ip = (packet: Buffer): Buffer => done(buildFrame(packet, around));
  const address = p.family === 4 ? ([GUEST4, PEER4] as const) : ([GUEST6, PEER6] as const);
  const udp = (payload: string): Buffer => buildUdp({ family: p.family, dport: 40_000 + p.flow, payload, id: p.id });
  switch (p.kind) {
    case 'udp':
      return [ip(p.family === 6 && p.extension ? withExtension(udp(text)) : udp(text))];
    case 'echo':
      return [ip(buildEchoReply(p.flow, p.at & 3, text, p.family))];
    case 'icmp':
      return [
        ip(
          buildIp(
            4,
            GUEST4,
            PEER4,
            ICMP,
            Buffer.concat([Buffer.from([3, 3, 0, 0, 0, 0, 0, 0]), udpError(), Buffer.from(text)]),
            64,
            p.id,
          ),
        ),
      ];
    case 'gre':
      return [ip(buildIp(p.family, [...address[0]], [...address[1]], GRE, Buffer.from(`\0\0\x08\0${text}`), 64, p.id))];
    case 'link':
      return [done(buildFrame(Buffer.from(text), { type: LLDP, vlans: p.vlans }))];
    case 'arp':
      return [done(arpFrame(p.arpOperation, around))];
    case 'fragments': {
      const packet = udp(text.repeat(1 + Math.ceil(60 / text.length)));
      return pieces(packet.length - (p.family === 4 ? 20 : 40), [1 + (p.at & 3), 5]).map((piece) =>
        ip(fragmentOf(packet, piece, p.id)),
      );
    }
    case 'large':
      return [ip(udp(text.padEnd(p.at * 4, '.')))];
    case 'tcp':
      return [
        ip(
          buildTcp({
            family: p.family,
            dport: 50_000 + 8 * p.generation + p.flow,
            seq: 1000 + p.at,
            ack: 7 + (p.at & 7),
            flags: p.flags,
            options: p.options,
            payload: text,
            id: p.id,
          }),
        ),
      ];
  }
}

const udpError = (): Buffer => buildUdp({ src: PEER4, dst: GUEST4, payload: 'why' });

/** The same packet with destination options of 8 bytes before its transport header. */
function withExtension(packet: Buffer): Buffer {
  const extension = Buffer.from([packet[6]!, 0, 1, 4, 0, 0, 0, 0]);
  const head = Buffer.from(packet.subarray(0, 40));
  head[6] = 60;
  head.writeUInt16BE(packet.length - 40 + extension.length, 4);
  return Buffer.concat([head, extension, packet.subarray(40)]);
}

/** Places of lengths and types from the Ethernet header on, for a frame without tags. */
const TELLING = [12, 14, 16, 18, 20, 23, 34, 38, 46, 54, 56, 66, 67];

/** A spoilt copy. */
export function spoil(r: Random, frame: Buffer, vnetBytes: number): Buffer {
  let out = Buffer.from(frame);
  for (let n = r.between(1, 3); n > 0; n--) {
    const at = r.chance(0.5) ? vnetBytes + r.of(TELLING) : vnetBytes + r.below(Math.min(out.length - vnetBytes, 90));
    switch (r.below(6)) {
      case 0:
        if (at < out.length) out[at]! ^= 1 << r.below(8);
        break;
      case 1:
        if (at < out.length) out[at] = r.of([0, 1, 4, 5, 15, 0x40, 0x4f, 0x60, 0xf0, 0xff, r.below(256)]);
        break;
      case 2:
        if (at + 2 <= out.length)
          out.writeUInt16BE(
            r.of([
              0,
              1,
              7,
              8,
              19,
              20,
              28,
              40,
              out.length,
              out.length + 1,
              0x2000,
              0x8100,
              0x86dd,
              0xffff,
              r.below(0x10000),
            ]),
            at,
          );
        break;
      case 3:
        out = out.subarray(0, r.between(1, out.length));
        break;
      case 4:
        out = Buffer.concat([out, r.bytes(r.between(1, 40))]);
        break;
      default: {
        // A piece left out or said twice.
        const from = r.below(out.length);
        const to = r.between(from, Math.min(out.length, from + 20));
        out = Buffer.concat([out.subarray(0, to), out.subarray(r.chance(0.5) ? from : to)]);
      }
    }
    if (out.length === 0) return Buffer.from([r.below(256)]);
  }
  return out;
}
