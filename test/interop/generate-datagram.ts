// UDP, ICMP, GRE and what else of IP belongs to no stream: the same packets from both sides, or nearly.

import type { Prng } from '../../src/sim/prng';
import { onesComplementSum } from '../lib/build-packet';
import { ipFrame, type Outside, udpFrame } from './carrier';
import type { Flow, Packet, Side } from './flow';
import { FlowBuilder } from './flow-builder';

interface Kind {
  name: string;
  protocol: number;
  /** Bytes that stand before the content, the same in every packet of the flow. */
  head: (prng: Prng) => Buffer;
}

const OTHERS: readonly Kind[] = [
  { name: 'gre', protocol: 47, head: () => Buffer.from('00000800', 'hex') },
  { name: 'esp', protocol: 50, head: (prng) => bytes(prng, 4) },
  { name: 'sctp', protocol: 132, head: (prng) => bytes(prng, 4) },
  { name: 'ipip', protocol: 4, head: () => Buffer.alloc(0) },
];

function bytes(prng: Prng, n: number): Buffer {
  const out = Buffer.alloc(n);
  for (let i = 0; i < n; i++) out[i] = prng.u32() & 0xff;
  return out;
}

function content(prng: Prng): Buffer {
  return bytes(prng, prng.chance(0.1) ? prng.range(1000, 1400) : prng.logRange(1, 200));
}

/** Both sides' contents, in the order in which each says them. */
function contents(b: FlowBuilder): Record<Side, Buffer[]> {
  const { prng } = b;
  const p: Buffer[] = [];
  for (let n = prng.logRange(1, 6); n > 0; n--) p.push(content(prng));
  if (b.feature('same content again', 0.06)) p.push(Buffer.from(prng.pick(p)));
  const s = p.map((one) => Buffer.from(one));
  const i = prng.below(s.length);
  if (b.feature('bytes differ', 0.06)) s[i]![prng.below(s[i]!.length)]! ^= 1 + prng.below(255);
  if (b.feature('length differs', 0.03)) s[i] = Buffer.concat([s[i]!, bytes(prng, prng.range(1, 40))]);
  if (b.feature('secondary lacks one', 0.04)) s.splice(i, 1);
  if (b.feature('primary lacks one', 0.04)) p.splice(prng.below(p.length), 1);
  if (s.length > 1 && b.feature('secondary out of order', 0.05)) s.reverse();
  return { p, s };
}

function flowOf(
  b: FlowBuilder,
  make: (side: Side, o: Outside, content: Buffer) => { frame: Buffer; compared: Buffer },
): Flow {
  const { prng } = b;
  const said = contents(b);
  const padded = b.feature('padding', 0.15);
  const kinds = ['none', 'zero', 'garbage'] as const;
  const padding: Record<Side, Outside['padding']> = { p: padded ? prng.pick(kinds) : 'none', s: 'none' };
  padding.s = padded && b.feature('padding differs', 0.5) ? prng.pick(kinds) : padding.p;
  const ttl = b.feature('TTL differs', 0.1) ? 63 : 64;
  const sameHead = b.feature('same IP header', 0.5);
  const packets: Record<Side, Packet[]> = { p: [], s: [] };
  let ids = 0x4000;
  for (const side of ['p', 's'] as const) {
    for (const [i, one] of said[side].entries()) {
      const outside = b.outside(side, padding[side]);
      if (side === 'p' && i === 0) ids = outside.id;
      if (side === 's') {
        if (sameHead) outside.id = ids + i;
        outside.ttl = ttl;
      }
      const { frame, compared } = make(side, outside, one);
      packets[side].push(b.packet(side, frame, { kind: 'datagram', compared }));
    }
  }
  if (prng.chance(0.1) && packets.p.length > 1) {
    const half = packets.p.length >> 1;
    b.merge(packets.p.slice(0, half), packets.s.slice(0, half));
    b.features.add('checkpoint on the way');
    b.checkpoint();
    b.merge(packets.p.slice(half), packets.s.slice(half));
  } else b.merge(packets.p, packets.s);
  return b.finish();
}

export function udpFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'udp');
  const checksumDiffers = b.carrier.family === 4 && b.feature('checksum differs', 0.04);
  return flowOf(b, (side, o, content) => {
    const frame = udpFrame(o, content);
    // Over IPv4 a datagram may do without a checksum.
    if (checksumDiffers && side === 's') frame.writeUInt16BE(0, 14 + o.carrier.tags.length * 4 + 20 + 6);
    return { frame, compared: content };
  });
}

export function icmpFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'icmp');
  const id = prng.below(0x10000);
  return flowOf(b, (_side, o, content) => {
    const message = Buffer.alloc(8);
    message[0] = o.carrier.family === 4 ? 0 : 129;
    message.writeUInt16BE(id, 4);
    const l4 = Buffer.concat([message, content]);
    const pseudo: Buffer[] = [];
    if (o.carrier.family === 6) {
      const tail = Buffer.from([0, 0, l4.length >> 8, l4.length & 0xff, 0, 0, 0, 58]);
      pseudo.push(Buffer.from(o.ends.src), Buffer.from(o.ends.dst), tail);
    }
    l4.writeUInt16BE(0xffff - onesComplementSum([...pseudo, l4]), 2);
    const compared = Buffer.concat([l4.subarray(0, 2), l4.subarray(4)]);
    return { frame: ipFrame(o, o.carrier.family === 4 ? 1 : 58, l4), compared };
  });
}

export function otherFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const kind = prng.pick(OTHERS);
  const b = new FlowBuilder(prng, seed, flowNumber, kind.name);
  const head = kind.head(prng);
  return flowOf(b, (_side, o, content) => {
    const l4 = Buffer.concat([head, content]);
    return { frame: ipFrame(o, kind.protocol, l4), compared: l4 };
  });
}
