// The list of what leaves without being compared (docs/ARCHITECTURE.md) is all of it: each bit of packets of all kinds
// is altered in the primary's alone, on each way in; it never leaves altered, or its field is on the list.

import { readFileSync } from 'node:fs';
import { arpFrame, buildFrame, onTheWire, vnetHeader } from '../../lib/build-frame';
import { buildEchoReply, buildIp, buildTcp, buildUdp, MSS_WSCALE_SACK_TS } from '../../lib/build-packet';
import { UPKEEP } from '../../lib/build-upkeep';
import { uncomparedField } from '../../lib/frame-fields';
import { FrameHarness } from '../../lib/frame-harness';
import { PrimaryHarness } from '../../lib/primary-harness';

const TS = [1, 1, 8, 10, 0, 0, 7, 7, 0, 0, 9, 9];
const SYN = { flags: 'SA', seq: 999, ack: 500, options: MSS_WSCALE_SACK_TS(1) };

interface Sample {
  name: string;
  packet: Buffer;
  type?: number;
  /** All of it belongs to this field. */
  field?: string;
  /** It belongs to a connection that has to be open. */
  family?: 4 | 6;
}

const inTcp = (name: string, family: 4 | 6, fields: object): Sample => ({
  name,
  family,
  packet: buildTcp({ seq: 1000, ack: 500, family, ...fields }),
});
/** With an urgent pointer. */
const marked = (sample: Sample, pointer: number): Sample => {
  sample.packet.writeUInt16BE(pointer, 20 + 18);
  return sample;
};
const extension = (protocol: number, kind: number, head: number[], l4: Buffer): Buffer =>
  buildIp(6, Array(16).fill(1), Array(16).fill(2), kind, Buffer.concat([Buffer.from([protocol, ...head]), l4]));
const udp6 = buildUdp({ family: 6, payload: 'six' });
const options4 = (() => {
  const plain = buildUdp({ payload: 'labelled' });
  const packet = Buffer.concat([plain.subarray(0, 20), Buffer.from([0x86, 6, 0, 0, 0, 1, 1, 1]), plain.subarray(20)]);
  packet[0] = 0x47;
  packet.writeUInt16BE(packet.length, 2);
  return packet;
})();

const SAMPLES: Sample[] = [
  inTcp('TCP data', 4, { options: TS, payload: 'hello' }),
  inTcp('TCP data over IPv6', 6, { options: TS, payload: 'hello' }),
  inTcp('TCP data without options', 4, { payload: 'hello' }),
  inTcp('TCP acknowledgement', 4, { options: TS }),
  inTcp('TCP end', 4, { flags: 'FA', payload: 'bye' }),
  inTcp('TCP reset', 4, { flags: 'RA' }),
  inTcp('TCP data with SACK and unknown options', 4, {
    options: [5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 77, 6, 1, 2, 3, 4],
    payload: 'x',
  }),
  inTcp('TCP with a signature', 4, { options: [1, 1, 19, 18, ...Array(16).fill(5)], payload: 'signed' }),
  marked(inTcp('urgent data', 4, { flags: 'UPA', payload: 'urgent' }), 6),
  { name: 'TCP SYN/ACK', packet: buildTcp({ ...SYN, sport: 81 }) },
  {
    name: 'TCP SYN with a cookie',
    packet: buildTcp({ ...SYN, sport: 82, options: [2, 4, 5, 0xb4, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1] }),
  },
  { name: 'UDP', packet: buildUdp({ payload: 'datagram' }) },
  { name: 'UDP over IPv6', packet: udp6 },
  { name: 'UDP behind IPv4 options', packet: options4 },
  { name: 'UDP behind hop-by-hop options', packet: extension(17, 0, [0, 1, 4, 0, 0, 0, 0], udp6.subarray(40)) },
  { name: 'UDP behind destination options', packet: extension(17, 60, [0, 1, 4, 0, 0, 0, 0], udp6.subarray(40)) },
  { name: 'UDP behind a routing header', packet: extension(17, 43, [0, 4, 0, 0, 0, 0, 0], udp6.subarray(40)) },
  {
    name: 'UDP behind an authentication header',
    packet: extension(17, 51, [4, ...Array(22).fill(7)], udp6.subarray(40)),
  },
  { name: 'UDP in an atomic fragment', packet: extension(17, 44, [0, 0, 0, 1, 2, 3, 4], udp6.subarray(40)) },
  {
    name: 'TCP behind destination options',
    packet: extension(6, 60, [0, 1, 4, 0, 0, 0, 0], buildTcp({ payload: 'x' }).subarray(20)),
  },
  { name: 'ICMP', packet: buildEchoReply(7, 1, 'data') },
  { name: 'ICMPv6', packet: buildEchoReply(7, 1, 'data', 6) },
  { name: 'GRE', packet: buildIp(4, [10, 0, 0, 1], [10, 0, 0, 2], 47, Buffer.from('0000080045', 'hex')) },
  { name: 'LLDP', packet: Buffer.from('neighbour'), type: 0x88cc },
  { name: 'ARP', packet: arpFrame(1).subarray(14), type: 0x0806 },
  ...UPKEEP.map(([name, packet]) => ({
    name,
    packet,
    field: /MLD|IGMP/.test(name) ? 'multicast membership' : 'neighbour discovery',
  })),
];

function opening(sample: Sample): Buffer[] {
  return sample.family === undefined ? [] : [buildTcp({ ...SYN, family: sample.family })];
}

const listed = new Set(
  /## What leaves without being compared\n[\s\S]*?\n\n## /
    .exec(readFileSync('docs/ARCHITECTURE.md', 'utf8'))![0]
    .split('\n')
    .flatMap((line) => /^\| (?!field|-)([^|]+?) \| (\d+) \|/.exec(line)?.[1] ?? []),
);
const found = new Set<string>();

/** Alters each bit, and asks what has left; says which may not. */
function leaks(sample: Sample, frame: Buffer, from: number, run: (altered: Buffer) => Buffer[]): string[] {
  const out: string[] = [];
  const unaltered = run(Buffer.from(frame));
  for (let byte = from; byte < frame.length; byte++) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      const altered = Buffer.from(frame);
      altered[byte]! ^= bit;
      const base = unaltered[0] ?? frame;
      const kept = run(Buffer.from(altered)).some(
        (left) => left.length > byte && ((left[byte]! ^ base[byte]!) & bit) !== 0,
      );
      if (!kept) continue;
      const upkeep = sample.field ?? (sample.type === 0x0806 ? 'ARP' : undefined);
      const field =
        upkeep !== undefined && byte < 14
          ? 'frame header of infrastructure'
          : (sample.field ?? uncomparedField(frame, byte, bit));
      if (field === undefined || !listed.has(field)) out.push(`byte ${byte}, bit ${bit}: ${field}`);
      else found.add(field);
    }
  }
  return out;
}

const frameOf = (sample: Sample, packet: Buffer): Buffer =>
  buildFrame(packet, sample.type === undefined ? {} : { type: sample.type });

describe.each(SAMPLES)('$name', (sample) => {
  test('beside sockets', () => {
    const h = new FrameHarness();
    const frame = frameOf(sample, sample.packet);
    const ways: ((altered: Buffer) => void)[] = [
      (altered) => h.p(altered).s(frame),
      (altered) => h.s(frame).p(altered),
      (altered) => h.together(onTheWire(altered), onTheWire(frame)),
    ];
    for (const way of ways) {
      expect(
        leaks(sample, frame, 0, (altered) => {
          h.comparison.forgetPrimary(h.now);
          for (const packet of opening(sample)) h.p(buildFrame(packet)).s(buildFrame(packet));
          h.left();
          way(altered);
          return h.left();
        }),
      ).toEqual([]);
    }
    // What nobody has altered leaves.
    h.comparison.forgetPrimary(h.now);
    for (const packet of opening(sample)) h.p(buildFrame(packet)).s(buildFrame(packet));
    h.left();
    expect(h.s(frame).p(frame).left()).toHaveLength(1);
  });

  test('beside queues', () => {
    if (sample.type !== undefined) return;
    const h = new PrimaryHarness();
    expect(
      leaks(sample, frameOf(sample, sample.packet), 14, (altered) => {
        h.engine.forgetPair(h.now);
        for (const packet of opening(sample)) {
          h.p(packet);
          h.s(packet);
        }
        const before = h.p(altered.subarray(14));
        h.s(sample.packet);
        const left = h.left(before);
        return left === undefined ? [] : [Buffer.concat([altered.subarray(0, 14), left])];
      }),
    ).toEqual([]);
  });
});

const VNET = 12;
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const partial = { flags: NEEDS_CSUM };
const inTunnel = (() => {
  const vnet = vnetHeader(VNET, partial);
  vnet.writeUInt16LE(14 + 20 + 8 + 8 + 14 + 20, 6);
  const inner = buildFrame(buildTcp({ seq: 1, ack: 1, payload: 'inner' }));
  return buildFrame(buildUdp({ dport: 4789, payload: `${'vxlan   '}${inner.toString('latin1')}` }), { vnet });
})();

/**
 * A guest may leave its packet's own checksum undone and say nothing of it: then it is wrong, and the packet is
 * discarded.
 */
test.each<[string, Buffer, number | undefined]>([
  ['a whole checksum', buildFrame(buildUdp({ payload: 'x' }), { vnet: vnetHeader(VNET) }), 14 + 20 + 6],
  ['UDP', buildFrame(buildUdp({ payload: 'x' }), { vnet: vnetHeader(VNET, { ...partial, udp: true }) }), 14 + 20 + 6],
  ['TCP', buildFrame(buildTcp({ flags: 'SA', sport: 99 }), { vnet: vnetHeader(VNET, partial) }), 14 + 20 + 16],
  [
    'GRE',
    buildFrame(buildIp(4, [10, 0, 0, 1], [10, 0, 0, 2], 47, Buffer.from('0000080045', 'hex')), {
      vnet: vnetHeader(VNET),
    }),
    undefined,
  ],
  ['a tunnel', inTunnel, 14 + 20 + 6],
  ['ARP', arpFrame(1, { vnet: vnetHeader(VNET) }), undefined],
  ['LLDP', buildFrame(Buffer.from('neighbour'), { type: 0x88cc, vnet: vnetHeader(VNET) }), undefined],
])('no virtio-net header leaves but what its packet needs: %s', (_name, frame, checksum) => {
  const wire = (bytes: Buffer) => onTheWire(bytes, VNET);
  const run = (primary: Buffer, together: boolean): string[] => {
    const h = new FrameHarness(true);
    if (together) h.together(wire(primary), wire(frame));
    else h.p(Buffer.from(primary), VNET).s(Buffer.from(frame), VNET);
    return h.left().map((left) => {
      if (checksum === undefined) return left.toString('hex');
      left.writeUInt16BE(0, VNET + checksum);
      return left.toString('hex').replace(/^010000000000(2200(0600|1000)|0{8})/, '000000000000'.padEnd(20, '0'));
    });
  };
  for (const together of [false, true]) {
    const plain = run(frame, together);
    expect(plain).toHaveLength(1);
    for (let byte = 0; byte < VNET; byte++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const altered = Buffer.from(frame);
        altered[byte]! ^= bit;
        for (const left of run(altered, together)) expect([byte, bit, left]).toEqual([byte, bit, plain[0]]);
      }
    }
  }
});

test('what a host is asked to write elsewhere is written before the comparison', () => {
  const text = 'bytes of both guests';
  const frame = buildFrame(buildUdp({ payload: text }), { vnet: vnetHeader(VNET) });
  for (const start of [0, 6, 14, 20, 33, 34, 35, 42, 50, 61, 900]) {
    for (const offset of [0, 2, 6, 12]) {
      const altered = Buffer.from(frame);
      altered[0] = NEEDS_CSUM;
      altered.writeUInt16LE(start, 6);
      altered.writeUInt16LE(offset, 8);
      const own = start === 34 && offset === 6;
      const outside = start < 34 || start + offset + 2 > frame.length - VNET;
      const h = new FrameHarness(true).p(altered, VNET).s(frame, VNET);
      expect(h.left().map((left) => left.subarray(VNET + 42).toString())).toEqual(outside || own ? [text] : []);
      for (const left of new FrameHarness(true).p(altered, VNET).s(altered, VNET).left())
        expect([start, offset, left[0]]).toEqual([start, offset, own ? NEEDS_CSUM : 0]);
    }
  }
});

test('the checksum of a packet in a tunnel is made whole', () => {
  const h = new FrameHarness(true).p(inTunnel, VNET).s(inTunnel, VNET);
  const [left] = h.left();
  expect([...left!.subarray(0, VNET)]).toEqual(Array(VNET).fill(0));
  const tcp = VNET + 14 + 28 + 8 + 34;
  const before = inTunnel.readUInt16BE(tcp + 16);
  expect(before).not.toBe(left!.readUInt16BE(tcp + 16));
});

test('of segments, their size is the only thing that leaves as it came', () => {
  const frame = (change: (vnet: Buffer) => void) => {
    const vnet = vnetHeader(VNET, { flags: NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 100 });
    change(vnet);
    return buildFrame(buildTcp({ seq: 1, ack: 1, payload: 'x'.repeat(600) }), { vnet });
  };
  const right = frame(() => {});
  for (const change of [
    (vnet: Buffer) => vnet.writeUInt8(4, 1),
    (vnet: Buffer) => vnet.writeUInt8(0x20, 1),
    (vnet: Buffer) => vnet.writeUInt16LE(500, 2),
    (vnet: Buffer) => vnet.writeUInt16LE(50, 6),
    (vnet: Buffer) => vnet.writeUInt16LE(1, 8),
    (vnet: Buffer) => vnet.writeUInt8(0, 0),
    (vnet: Buffer) => vnet.writeUInt16LE(7, 10),
  ]) {
    expect(new FrameHarness(true).p(frame(change), VNET).s(right, VNET).left()).toEqual([right]);
  }
});

test('bytes behind a packet never leave', () => {
  for (const sample of SAMPLES) {
    const h = new FrameHarness();
    const frame = frameOf(sample, sample.packet);
    const with_ = Buffer.concat([frame, Buffer.alloc(1400, 0x73)]);
    for (const packet of opening(sample)) h.p(buildFrame(packet)).s(buildFrame(packet));
    h.left();
    h.p(Buffer.from(with_)).s(frame);
    for (const left of h.left()) expect(left.length).toBe(frame.length);
  }
});

test('nothing is on the list that does not leave', () => {
  expect([...listed].filter((field) => !found.has(field))).toEqual([]);
});
