import fc from 'fast-check';
import {
  checksumAdjust16,
  checksumAdjust32,
  checksumAdjust32At,
  checksumAdjustBytes,
  checksumOffset,
  completeChecksum,
  icmpChecksum,
  ipv4HeaderChecksum,
  pseudoHeaderSum,
  sumBytes,
  transportChecksum,
} from '../../../src/packet/checksum';
import { parseIp } from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import { buildEchoReply, buildTcp, buildUdp } from '../../lib/build-packet';
import { AH, ahHeader, fragmentHeader, ipv4, ipv6, optionsHeader, TCP, tcpHeader } from './packets';

/** The definition, and nothing clever: the 16-bit words as one number, modulo 2^16 - 1. */
function plainSum(bytes: Uint8Array): number {
  let n = 0n;
  for (const b of bytes) n = (n << 8n) | BigInt(b);
  if (bytes.length % 2 === 1) n <<= 8n;
  if (n === 0n) return 0;
  const rest = Number(n % 0xffffn);
  return rest === 0 ? 0xffff : rest;
}

function plainTransport(packet: Buffer, at: number, pseudo: Buffer): number {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(0, at);
  return 0xffff - plainSum(Buffer.concat([pseudo, copy.subarray(at - offsetOfField(packet))]));
}

const offsetOfField = (packet: Buffer): number => ({ 6: 16, 17: 6, 58: 2, 1: 2 })[protocolOf(packet)]!;
const protocolOf = (packet: Buffer): number => (packet[0]! >> 4 === 4 ? packet[9]! : packet[6]!);

function viewOf(packet: Buffer): PacketView {
  const v = new PacketView();
  expect(parseIp(v, packet, 0, packet.length)).toBe(0);
  return v;
}

describe('golden', () => {
  test('the example of RFC 1071', () => {
    expect(sumBytes(Buffer.from('0001f203f4f5f6f7', 'hex'), 0, 8)).toBe(0xddf2);
  });
  test('the example of RFC 1624: the result is +0, not -0', () => {
    const buf = Buffer.from('dd2f', 'hex');
    checksumAdjust16(buf, 0, 0x5555, 0x3285);
    expect(buf.toString('hex')).toBe('0000');
  });
  test('a well-known IPv4 header', () => {
    const header = Buffer.from('45000073000040004011b861c0a80001c0a800c7', 'hex');
    expect(ipv4HeaderChecksum(header, 0, 20)).toBe(0xb861);
    header.writeUInt16BE(0x1234, 10);
    expect(ipv4HeaderChecksum(header, 0, 20)).toBe(0xb861);
  });
  test('the first ping of a well-known system', () => {
    const ping = Buffer.concat([
      Buffer.from('08004d5a00010001', 'hex'),
      Buffer.from('abcdefghijklmnopqrstuvwabcdefghi'),
    ]);
    expect(icmpChecksum(ping, 0, ping.length)).toBe(0x4d5a);
  });
});

describe('full', () => {
  test('sums of any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(5), (bytes, off) => {
        const buf = Buffer.concat([Buffer.alloc(off, 0xa5), Buffer.from(bytes), Buffer.alloc(3, 0xa5)]);
        expect(sumBytes(buf, off, bytes.length) % 0xffff).toBe(plainSum(bytes) % 0xffff);
      }),
    );
  });
  test('the largest packet, all ones', () => {
    expect(sumBytes(Buffer.alloc(0x40001, 0xff), 0, 0x40001)).toBe(0xff00);
  });
  test.each([
    ['TCP', buildTcp({ payload: 'odd' })],
    ['TCP over IPv6', buildTcp({ family: 6, payload: 'even' })],
    ['UDP', buildUdp({ payload: 'x' })],
    ['UDP over IPv6', buildUdp({ family: 6, payload: '' })],
    ['ICMP', buildEchoReply(1, 2, 'data')],
    ['ICMPv6', buildEchoReply(1, 2, 'data', 6)],
  ])('%s: what another implementation has put there', (_name, packet) => {
    const v = viewOf(packet);
    const at = checksumOffset(v);
    const right = packet.readUInt16BE(at);
    expect(transportChecksum(v)).toBe(right);
    packet.writeUInt16BE(right ^ 0x5aa5, at);
    expect(transportChecksum(v)).toBe(right);
  });
  test('TCP behind extension headers counts only its own bytes', () => {
    const l4 = tcpHeader(0, 5);
    const packet = ipv6(TCP, l4, [optionsHeader(60), ahHeader()]);
    const pseudo = Buffer.concat([packet.subarray(8, 40), Buffer.from([0, 0, 0, l4.length, 0, 0, 0, TCP])]);
    l4.writeUInt16BE(0, 16);
    expect(transportChecksum(viewOf(packet))).toBe(0xffff - plainSum(Buffer.concat([pseudo, l4])));
  });
  test('padding of the frame is not summed', () => {
    const packet = buildTcp({ payload: 'abc' });
    expect(transportChecksum(viewOf(Buffer.concat([packet, Buffer.alloc(9, 0xee)])))).toBe(packet.readUInt16BE(36));
  });
  test('a UDP sum of 0 is sent as ffff', () => {
    const packet = buildUdp({ payload: Buffer.alloc(2) });
    // The payload takes up what is missing to a sum of ffff.
    packet.writeUInt16BE(packet.readUInt16BE(26), 28);
    expect(transportChecksum(viewOf(packet))).toBe(0xffff);
    const tcp = buildTcp({ payload: Buffer.alloc(2) });
    tcp.writeUInt16BE(tcp.readUInt16BE(36), 40);
    expect(transportChecksum(viewOf(tcp))).toBe(0);
  });
  test.each([
    ['a fragment', ipv6(TCP, tcpHeader(), [fragmentHeader(8, true)])],
    ['another protocol', ipv4(AH, Buffer.alloc(16))],
  ])('%s has none', (_name, packet) => {
    expect(checksumOffset(viewOf(packet))).toBe(-1);
    expect(transportChecksum(viewOf(packet))).toBe(-1);
    expect(completeChecksum(viewOf(packet))).toBe(false);
  });
  test('against the definition, any payload', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom<4 | 6>(4, 6), (payload, family) => {
        const packet = buildTcp({ family, payload: Buffer.from(payload) });
        const v = viewOf(packet);
        const bytes = v.end - v.l4;
        const addresses = packet.subarray(family === 4 ? 12 : 8, v.l4);
        const pseudo = Buffer.concat([addresses, Buffer.from([0, TCP, bytes >> 8, bytes & 255])]);
        expect(transportChecksum(v)).toBe(plainTransport(packet, v.l4 + 16, pseudo));
      }),
    );
  });
});

describe('partial', () => {
  test.each([
    ['TCP', buildTcp({ payload: 'abc' })],
    ['TCP over IPv6', buildTcp({ family: 6, payload: 'abcd' })],
    ['UDP', buildUdp({ payload: 'abc' })],
  ])('%s: made whole from the sum in the field alone', (_name, packet) => {
    const v = viewOf(packet);
    const at = checksumOffset(v);
    const right = packet.readUInt16BE(at);
    packet.writeUInt16BE(pseudoHeaderSum(v), at);
    // The addresses were counted by the sender; what the header says now (a routing header's next hop) does not matter.
    packet[v.family === 4 ? 16 : 24]! ^= 0xff;
    expect(completeChecksum(v)).toBe(true);
    expect(packet.readUInt16BE(at)).toBe(right);
  });
});

describe('incremental', () => {
  const packetAndChange = fc.tuple(
    fc.uint8Array({ minLength: 12, maxLength: 60 }),
    fc.constantFrom<4 | 6>(4, 6),
    fc.nat(50),
    fc.integer({ min: 0, max: 0xffffffff }),
  );
  /** Changes bytes by `change`, mends the checksum by it, and holds that against a full one. */
  function judge(bytes: Uint8Array, family: 4 | 6, change: (p: Buffer, l4: number, sumOff: number) => void): void {
    const packet = buildTcp({ family, payload: Buffer.from(bytes) });
    const v = viewOf(packet);
    change(packet, v.l4, v.l4 + 16);
    expect(packet.readUInt16BE(v.l4 + 16) % 0xffff).toBe(transportChecksum(v) % 0xffff);
  }
  test('a 16-bit word', () => {
    fc.assert(
      fc.property(packetAndChange, ([bytes, family, where, value]) => {
        judge(bytes, family, (p, l4, sumOff) => {
          const at = l4 + 20 + ((where % (bytes.length - 2)) & ~1);
          const old = p.readUInt16BE(at);
          p.writeUInt16BE(value & 0xffff, at);
          checksumAdjust16(p, sumOff, old, value & 0xffff);
        });
      }),
    );
  });
  test('a 32-bit word on an even offset, and anywhere', () => {
    fc.assert(
      fc.property(packetAndChange, ([bytes, family, where, value]) => {
        judge(bytes, family, (p, l4, sumOff) => {
          const at = l4 + 20 + (where % (bytes.length - 4));
          const old = p.readUInt32BE(at);
          p.writeUInt32BE(value, at);
          if ((at - l4) % 2 === 0) checksumAdjust32(p, sumOff, old, value);
          else checksumAdjust32At(p, sumOff, at - l4, old, value);
        });
      }),
    );
  });
  test('one byte', () => {
    fc.assert(
      fc.property(packetAndChange, ([bytes, family, where, value]) => {
        judge(bytes, family, (p, l4, sumOff) => {
          const at = l4 + 20 + (where % bytes.length);
          const old = p[at]!;
          p[at] = value & 255;
          checksumAdjustBytes(p, sumOff, at - l4, old, value & 255);
        });
      }),
    );
  });
  test('there and back again leaves the very same field', () => {
    fc.assert(
      fc.property(fc.nat(0xfffe), fc.nat(0xffff), fc.nat(0xffff), (sum, from, to) => {
        // A checksum of ffff cannot be: it would need a header of zeros.
        const buf = Buffer.alloc(2);
        buf.writeUInt16BE(sum, 0);
        checksumAdjust16(buf, 0, from, to);
        checksumAdjust16(buf, 0, to, from);
        expect(buf.readUInt16BE(0) % 0xffff).toBe(sum % 0xffff);
      }),
    );
  });
});
