// What is compared in pieces or not at all: fragments, address resolution and group membership, and frames that are no
// IP.

import type { Prng } from '../../src/sim/prng';
import { buildUdp, onesComplementSum } from '../lib/build-packet';
import { type Carrier, fragmentFrame, ipFrame, type Outside, PLAIN4 } from './carrier';
import type { Flow, Packet, Side } from './flow';
import { FlowBuilder } from './flow-builder';

const UDP = 17;

function noise(prng: Prng, n: number): Buffer {
  const out = Buffer.alloc(n);
  for (let i = 0; i < n; i++) out[i] = prng.u32() & 0xff;
  return out;
}

/** The pieces of one datagram of `side`, or the whole of it where `size` is 0. */
export function fragments(b: FlowBuilder, side: Side, datagram: number, payload: Buffer, size: number): Packet[] {
  const outside: Outside = b.outside(side);
  const udp = buildUdp({ ...b.ends, payload }).subarray(20);
  if (size === 0 || size >= udp.length) {
    return [b.packet(side, ipFrame(outside, UDP, udp), { kind: 'datagram', compared: payload })];
  }
  const count = Math.ceil(udp.length / size);
  return Array.from({ length: count }, (_, index) => {
    const piece = udp.subarray(index * size, (index + 1) * size);
    const frame = fragmentFrame(outside, UDP, piece, index * size, index < count - 1);
    return b.packet(side, frame, { kind: 'fragment', datagram, index, count, compared: payload });
  });
}

/**
 * So many that there are a few pieces. None ends up shorter than the four bytes that QEMU takes for ports: it would
 * read them from behind the frame, and do one thing or another.
 */
function payloadBytes(prng: Prng, sizes: Record<Side, number>): number {
  for (;;) {
    const bytes = prng.range(sizes.p, Math.min(1400, sizes.p * 6));
    const last = [sizes.p, sizes.s].map((size) => (size === 0 ? 0 : (bytes + 8) % size));
    if (last.every((n) => n === 0 || n >= 4)) return bytes;
  }
}

export function fragmentFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'fragments', PLAIN4);
  const least = 8 * prng.range(1, 60);
  const sizes: Record<Side, number> = { p: least, s: least };
  if (b.feature('only one side in pieces', 0.1)) sizes.s = 0;
  else if (b.feature('cut elsewhere', 0.2)) sizes.s = least + 8 * prng.range(1, 20);
  const said: Record<Side, Packet[]> = { p: [], s: [] };
  const count = prng.range(1, 3);
  const wrong = b.feature('bytes differ', 0.1) ? prng.below(count) : -1;
  for (let i = 0; i < count; i++) {
    const payload = noise(prng, payloadBytes(prng, sizes));
    const other = Buffer.from(payload);
    if (i === wrong) other[prng.below(other.length)]! ^= 1 + prng.below(255);
    said.p.push(...fragments(b, 'p', i, payload, sizes.p));
    said.s.push(...fragments(b, 's', i, other, sizes.s));
  }
  b.merge(said.p, said.s);
  return b.finish();
}

/**
 * An IGMP message, to the group that it is about and no further than the link: else it would be compared (RFC 2236
 * section 2).
 */
export function igmpFrame(outside: Outside, message: Buffer): Buffer {
  const group = [...message.subarray(4, 8)];
  return ipFrame({ ...outside, ends: { ...outside.ends, dst: group }, ttl: 1 }, 2, message);
}

const LINK_CARRIER: Carrier = { name: 'Ethernet', family: 4, tags: [] };

/** The flow is told by its MAC address. */
function linkFrame(prng: Prng, flowNumber: number, type: number, content: Buffer): Buffer {
  const head = Buffer.from('0200000000a20200000000a10000', 'hex');
  head.writeUIntBE(flowNumber, 8, 3);
  head.writeUInt16BE(type, 12);
  const frame = Buffer.concat([head, content]);
  return frame.length >= 60 ? frame : Buffer.concat([frame, noise(prng, 60 - frame.length)]);
}

/** ARP of both guests. The number makes the frames of one flow differ. */
export function arpFrame(request: boolean, flowNumber: number, n: number): Buffer {
  const arp = Buffer.alloc(46);
  arp.write('000108000604', 0, 'hex');
  arp.writeUInt16BE(request ? 1 : 2, 6);
  arp.write('0200000000a1', 8, 'hex');
  arp.writeUInt32BE((0x0a000000 | (flowNumber & 0xffffff)) >>> 0, 14);
  arp.writeUInt32BE((0xc6330000 | (n & 0xffff)) >>> 0, 24);
  return Buffer.concat([Buffer.from('ffffffffffff0200000000a10806', 'hex'), arp]);
}

export function arpFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'arp', LINK_CARRIER);
  const asks = b.feature('secondary asks for an address', 0.3);
  const said: Record<Side, Packet[]> = { p: [], s: [] };
  for (let i = prng.range(1, 4); i > 0; i--) {
    const p = arpFrame(prng.chance(0.5), flowNumber, b.packets.length);
    said.p.push(b.packet('p', p, { kind: 'pass', asksAddress: false }));
    const s = arpFrame(asks, flowNumber, b.packets.length);
    said.s.push(b.packet('s', s, { kind: 'pass', asksAddress: false }));
    // Once may be a little earlier than the primary; again and again is alone.
    if (asks) said.s.push(b.packet('s', s, { kind: 'pass', asksAddress: true }));
  }
  b.merge(said.p, said.s);
  return b.finish();
}

/** Frames of a protocol that is not IP: LLDP and an experimental one. */
export function linkFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'link', LINK_CARRIER);
  const type = prng.pick([0x88cc, 0x88b5]);
  const said: Record<Side, Packet[]> = { p: [], s: [] };
  const silent = b.feature('secondary falls silent', 0.1);
  for (let i = prng.range(1, 4); i > 0; i--) {
    const content = noise(prng, prng.range(50, 300));
    const other = Buffer.from(content);
    if (b.feature('bytes differ', 0.05)) other[prng.below(other.length)]! ^= 1 + prng.below(255);
    said.p.push(b.packet('p', linkFrame(prng, flowNumber, type, content), { kind: 'datagram', compared: content }));
    if (!silent)
      said.s.push(b.packet('s', linkFrame(prng, flowNumber, type, other), { kind: 'datagram', compared: other }));
  }
  b.merge(said.p, said.s);
  return b.finish();
}

/** Group membership of both guests (RFC 2236), at different times. */
export function igmpFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'igmp', PLAIN4);
  const said: Record<Side, Packet[]> = { p: [], s: [] };
  for (const side of ['p', 's'] as const) {
    for (let i = prng.range(0, 2); i >= 0; i--) {
      const report = Buffer.from('16000000ef000001', 'hex');
      report.writeUInt16BE(0xffff - onesComplementSum([report]), 2);
      said[side].push(b.packet(side, igmpFrame(b.outside(side), report), { kind: 'pass', asksAddress: false }));
    }
  }
  b.merge(said.p, said.s);
  return b.finish();
}
