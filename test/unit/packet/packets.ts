// Packets of every shape for the tests of src/packet, and what must hold of every view.

import fc from 'fast-check';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import { buildIp } from '../../lib/build-packet';

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
export const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const ESP = 50;
export const AH = 51;
export const NO_NEXT_HEADER = 59;
export const DESTINATION = 60;

const SRC6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const DST6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/** An IPv4 header with that many bytes of options. */
export function ipv4(protocol: number, l4: Buffer, options = 0): Buffer {
  const plain = buildIp(4, [192, 0, 2, 1], [198, 51, 100, 2], protocol, l4);
  const packet = Buffer.concat([plain.subarray(0, 20), Buffer.alloc(options, 1), plain.subarray(20)]);
  packet[0] = 0x40 | (5 + options / 4);
  packet.writeUInt16BE(packet.length, 2);
  return packet;
}

/** One extension header: its kind, and its bytes with the first (next header) still open. */
export interface Extension {
  kind: number;
  bytes: Buffer;
}

export function optionsHeader(kind: number, units = 0): Extension {
  const bytes = Buffer.alloc(8 + units * 8);
  bytes[1] = units;
  return { kind, bytes };
}

export function ahHeader(words = 4): Extension {
  const bytes = Buffer.alloc((words + 2) * 4);
  bytes[1] = words;
  return { kind: AH, bytes };
}

export function fragmentHeader(offset: number, more: boolean, reserved = 0): Extension {
  const bytes = Buffer.alloc(8);
  bytes[1] = reserved;
  bytes.writeUInt16BE(offset | (reserved & 6) | (more ? 1 : 0), 2);
  return { kind: FRAGMENT, bytes };
}

export function ipv6(protocol: number, l4: Buffer, extensions: readonly Extension[] = []): Buffer {
  const parts: Buffer[] = [];
  for (const [i, extension] of extensions.entries()) {
    const bytes = Buffer.from(extension.bytes);
    bytes[0] = extensions[i + 1]?.kind ?? protocol;
    parts.push(bytes);
  }
  return buildIp(6, SRC6, DST6, extensions[0]?.kind ?? protocol, Buffer.concat([...parts, l4]));
}

export function tcpHeader(options = 0, payload = 0): Buffer {
  const h = Buffer.alloc(20 + options + payload, 1);
  h.writeUInt16BE(443, 0);
  h.writeUInt16BE(51234, 2);
  h.writeUInt32BE(0xfedcba98, 4);
  h.writeUInt32BE(0x89abcdef, 8);
  h[12] = ((20 + options) / 4) << 4;
  h[13] = 0x18;
  h.writeUInt16BE(0xfff0, 14);
  return h;
}

export function udpHeader(payload = 0, length = 8 + payload): Buffer {
  const h = Buffer.alloc(8 + payload, 0x75);
  h.writeUInt16BE(53, 0);
  h.writeUInt16BE(40001, 2);
  h.writeUInt16BE(length, 4);
  return h;
}

export function icmpMessage(type: number, bytes = 16): Buffer {
  const m = Buffer.alloc(bytes, 0x49);
  m[0] = type;
  m[1] = 3;
  if (bytes >= 8) m.writeUInt16BE(0x1234, 4);
  return m;
}

/** One good packet of every kind, by name. */
export const SAMPLES: readonly (readonly [string, Buffer])[] = [
  ['IPv4 TCP', ipv4(TCP, tcpHeader(12, 5))],
  ['IPv4 TCP behind options', ipv4(TCP, tcpHeader(0, 1), 40)],
  ['IPv4 UDP', ipv4(UDP, udpHeader(9))],
  ['IPv4 ICMP', ipv4(ICMP, icmpMessage(8))],
  ['IPv4 short ICMP', ipv4(ICMP, icmpMessage(3, 5))],
  ['IPv4 GRE', ipv4(47, Buffer.alloc(7))],
  ['IPv6 TCP', ipv6(TCP, tcpHeader(12, 5))],
  ['IPv6 UDP', ipv6(UDP, udpHeader(9))],
  ['IPv6 ICMP', ipv6(ICMPV6, icmpMessage(128))],
  ['IPv6 ESP', ipv6(ESP, Buffer.alloc(20))],
  ['IPv6 nothing behind a header', ipv6(NO_NEXT_HEADER, Buffer.alloc(0), [optionsHeader(DESTINATION)])],
  [
    'IPv6 TCP behind every header',
    ipv6(TCP, tcpHeader(20, 3), [
      optionsHeader(HOP_BY_HOP, 1),
      optionsHeader(ROUTING, 2),
      fragmentHeader(0, false),
      ahHeader(),
      optionsHeader(DESTINATION),
    ]),
  ],
  ['IPv6 fragment', ipv6(TCP, Buffer.alloc(9), [optionsHeader(HOP_BY_HOP), fragmentHeader(1480, true)])],
];

const l4 = fc.oneof(
  fc
    .tuple(fc.nat(10), fc.nat(30))
    .map(([words, payload]) => ({ v4: TCP, v6: TCP, bytes: tcpHeader(words * 4, payload) })),
  fc.nat(30).map((n) => ({ v4: UDP, v6: UDP, bytes: udpHeader(n) })),
  fc
    .tuple(fc.nat(255), fc.integer({ min: 8, max: 30 }))
    .map(([t, n]) => ({ v4: ICMP, v6: ICMPV6, bytes: icmpMessage(t, n) })),
  // An IPv6 packet without a byte behind its header says the same as a jumbogram, and is refused as one.
  fc.integer({ min: 1, max: 30 }).map((n) => ({ v4: 47, v6: NO_NEXT_HEADER, bytes: Buffer.alloc(n) })),
);

const extension = fc.oneof(
  fc.nat(3).map((n) => optionsHeader(HOP_BY_HOP, n)),
  fc.nat(3).map((n) => optionsHeader(ROUTING, n)),
  fc.nat(3).map((n) => optionsHeader(DESTINATION, n)),
  fc.integer({ min: 1, max: 9 }).map((n) => ahHeader(n)),
  fc.tuple(fc.nat(3), fc.boolean()).map(([n, more]) => fragmentHeader(n * 8, more)),
);

export const goodPacket: fc.Arbitrary<Buffer> = fc.oneof(
  fc.tuple(l4, fc.nat(10)).map(([t, words]) => ipv4(t.v4, t.bytes, words * 4)),
  fc.tuple(l4, fc.array(extension, { maxLength: 5 })).map(([t, e]) => ipv6(t.v6, t.bytes, e)),
);

/** Every offset lies inside the bytes that were at hand. Empty: all is well. */
export function faults(v: PacketView, off: number, len: number): string[] {
  const out: string[] = [];
  const check = (ok: boolean, what: string): void => {
    if (!ok) out.push(what);
  };
  check(v.start === off, 'start');
  check(v.end <= off + len, 'end beyond the bytes');
  check(v.end >= off + 20, 'end before the header');
  check(v.l4 >= off + (v.family === 4 ? 20 : 40) && v.l4 <= v.end, 'l4');
  check(v.payload >= v.l4 && v.payload <= v.end, 'payload');
  check(v.payloadBytes === v.end - v.payload, 'payloadBytes');
  check(v.fragment ? v.payload === v.l4 : true, 'fragment payload');
  if (!v.fragment && v.protocol === TCP) check(v.payload - v.l4 >= 20 && v.payload - v.l4 <= 60, 'tcp header');
  for (const [name, value] of Object.entries(v)) {
    if (typeof value === 'number') check(Number.isInteger(value) && value >= 0 && value <= 0xffffffff, name);
  }
  return out;
}

/** Parses a packet in the middle of a buffer that is filled with `around`; the view's fields, or the code. */
export function parseWithin(packet: Buffer, around: number, off = 3): Record<string, unknown> | number {
  const buf = Buffer.alloc(off + packet.length + 80, around);
  packet.copy(buf, off);
  const view = new PacketView();
  const code = parseIp(view, buf, off, packet.length);
  if (code !== PARSE_OK) return code;
  const fields: Record<string, unknown> = { ...view, faults: faults(view, off, packet.length) };
  delete fields.buf;
  if (view.protocol !== TCP || view.fragment) for (const name of ['seq', 'ack', 'window']) delete fields[name];
  return fields;
}
