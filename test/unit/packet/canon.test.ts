// Headers brought into one form: what stays, what goes, and that the checksums are right after it.

import fc from 'fast-check';
import { transportChecksum } from '../../../src/packet/checksum';
import { canonicalIp, hasExtensionHeaders, isPlainIp } from '../../../src/packet/ip-canon';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { canonicalTcp, isPlainTcp, TcpCanon } from '../../../src/packet/tcp-canon';
import { TcpOptions } from '../../../src/packet/tcp-options';
import { PacketView } from '../../../src/packet/view';
import { buildTcp, buildUdp, checksumsAreRight, onesComplementSum } from '../../lib/build-packet';
import { igmpReport } from '../../lib/build-upkeep';
import {
  ahHeader,
  DESTINATION,
  fragmentHeader,
  HOP_BY_HOP,
  ipv6,
  optionsHeader,
  ROUTING,
  TCP,
  tcpHeader,
} from './packets';

function view(packet: Buffer, bytes = packet.length): PacketView {
  const v = new PacketView();
  expect(parseIp(v, packet, 0, bytes)).toBe(PARSE_OK);
  v.limit = bytes;
  return v;
}

const TS = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

/** The options after it, without no-operations; undefined: the packet is not taken. */
function cleaned(flags: string, options: number[]): number[][] | undefined {
  while (options.length % 4 !== 0) options.push(1);
  const packet = buildTcp({ flags, options, payload: 'x' });
  const v = view(packet);
  const done = new TcpCanon();
  const plain = isPlainTcp(v);
  const before = Buffer.from(packet);
  if (!canonicalTcp(v, new TcpOptions(), false, done)) return undefined;
  expect(done.changed).toBe(!packet.equals(before));
  if (done.refused) return undefined;
  if (plain) expect(done.changed).toBe(false);
  expect(packet.readUInt16BE(v.l4 + 16) % 0xffff).toBe(transportChecksum(v) % 0xffff);
  const out: number[][] = [];
  for (let at = v.l4 + 20; at < v.payload; ) {
    if (packet[at] === 1) at++;
    else if (packet[at] === 0) {
      out.push([...packet.subarray(at, v.payload)]);
      break;
    } else {
      out.push([...packet.subarray(at, at + packet[at + 1]!)]);
      at += packet[at + 1]!;
    }
  }
  return out;
}

describe('TCP options', () => {
  test.each<[string, string, number[], number[][]]>([
    ['of an open connection', 'A', [...TS], [TS.slice(2)]],
    ['SACK blocks', 'A', [...TS, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9], [TS.slice(2)]],
    ['unknown ones', 'A', [...TS, 77, 6, 1, 2, 3, 4], [TS.slice(2)]],
    [
      'those of a SYN',
      'S',
      [2, 4, 5, 0xb4, 4, 2, ...TS.slice(2), 3, 3, 7],
      [[2, 4, 5, 0xb4], [4, 2], TS.slice(2), [3, 3, 7]],
    ],
    ['those of a SYN elsewhere', 'A', [2, 4, 5, 0xb4, 4, 2, 3, 3, 7, 34, 6, 1, 2, 3, 4], []],
    ['the second of a kind', 'S', [2, 4, 5, 0xb4, 2, 4, 9, 9], [[2, 4, 5, 0xb4]]],
    ['one of a length that is not its own', 'S', [2, 6, 5, 0xb4, 9, 9, 3, 4, 7, 7], []],
    ['a scale beyond all windows', 'S', [3, 3, 200], [[3, 3, 14]]],
    ['MPTCP, in any number', 'S', [30, 4, 1, 2, 30, 3, 9], []],
    ['a cookie', 'SA', [34, 10, 1, 2, 3, 4, 5, 6, 7, 8], [[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]]],
    ['a cookie in the form of the experiment', 'S', [254, 6, 0xf9, 0x89, 1, 2], [[254, 6, 0xf9, 0x89, 1, 2]]],
    ['another experiment', 'S', [254, 6, 0xf9, 0x88, 1, 2], []],
    ['a cookie that is none', 'S', [34, 20, ...Array(18).fill(7)], []],
    ['what stands behind the end', 'A', [...TS, 0, 1, 2, 3], [TS.slice(2), [0, 0, 0, 0]]],
    ['a signature', 'A', [19, 18, ...Array(16).fill(5)], [[19, 18, ...Array(16).fill(5)]]],
  ])('%s', (_name, flags, options, left) => {
    expect(cleaned(flags, [...options])).toEqual(left);
  });

  test.each([
    ['SACK beside it', [19, 18, ...Array(16).fill(5), 5, 10, 0, 0, 0, 1, 0, 0, 0, 9]],
    ['another length than it has', [19, 12, ...Array(10).fill(5)]],
    ['something unknown beside it', [29, 16, ...Array(14).fill(5), 77, 2]],
  ])('a signature with %s: nothing can be taken out', (_name, options) => {
    expect(cleaned('A', [...options])).toBeUndefined();
  });

  test('whatever they are: bytes of theirs stay only where they mean something', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom('A', 'SA', 'PA', 'FA'), (bytes, flags) => {
        const kept = cleaned(flags, [...bytes].slice(0, 40 - (bytes.length % 4 === 0 ? 0 : 4)));
        for (const option of kept ?? []) {
          if (option[0] === 0) expect(option.every((byte) => byte === 0)).toBe(true);
          else
            expect((flags.includes('S') ? [2, 3, 4, 8, 19, 29, 34, 254] : [8, 19, 29]).includes(option[0]!)).toBe(true);
        }
      }),
      { numRuns: Number(process.env.COLO_RUNS ?? 500) },
    );
  });
});

describe('TCP fields', () => {
  const field = (at: number, bits: number, flags = 'A', payload = 'x'): number => {
    const packet = buildTcp({ flags, ack: 0, window: 0, payload });
    packet.writeUInt16BE(packet.readUInt16BE(20 + at) | bits, 20 + at);
    const v = view(packet);
    packet.writeUInt16BE(transportChecksum(v), v.l4 + 16);
    const done = new TcpCanon();
    expect(canonicalTcp(v, new TcpOptions(), false, done)).toBe(true);
    expect([done.changed, done.cleared > 0]).toEqual([
      packet.readUInt16BE(20 + at) !== ((at === 12 ? 0x5000 : 0) | flagBits(flags, at) | bits),
      done.changed,
    ]);
    expect(checksumsAreRight(packet)).toBe(true);
    return packet.readUInt16BE(20 + at);
  };
  const flagBits = (flags: string, at: number): number =>
    at !== 12 ? 0 : [...flags].reduce((n, c) => n | { A: 16, S: 2, R: 4 }[c]!, 0);
  test('reserved bits go, those of ECN stay', () => {
    expect(field(12, 0x0e00)).toBe(0x5010);
    expect(field(12, 0x01c0)).toBe(0x51d0);
  });
  test('an urgent pointer goes without its flag; the flag goes with a SYN or a RST', () => {
    expect(field(18, 0x1234)).toBe(0);
    expect(field(12, 0x20)).toBe(0x5030);
    expect(field(12, 0x20, 'SA')).toBe(0x5012);
    expect(field(12, 0x20, 'RA')).toBe(0x5014);
  });
  test('an acknowledgement goes without its flag, and so does a window, but for that of a SYN', () => {
    expect([field(8, 0x1234, 'S'), field(10, 0x1234, 'R')]).toEqual([0, 0]);
    expect([field(14, 0x1234, 'S'), field(14, 0x1234, 'R')]).toEqual([0x1234, 0]);
  });
  test('a partial checksum stays as it is', () => {
    const packet = buildTcp({ options: [77, 4, 1, 2], payload: 'x' });
    packet[32]! |= 0x0e;
    const sum = packet.readUInt16BE(36);
    expect(canonicalTcp(view(packet), new TcpOptions(), true, new TcpCanon())).toBe(true);
    expect([packet[32]! & 0x0e, packet.readUInt16BE(36)]).toEqual([0, sum]);
  });
});

describe('IP', () => {
  const clean = (packet: Buffer, bytes = packet.length): { changed: boolean; left: number } => {
    const v = view(packet, bytes);
    const plain = isPlainIp(v);
    const changed = canonicalIp(v);
    if (plain) expect(changed).toBe(false);
    if (v.family === 4) expect(onesComplementSum([packet.subarray(0, v.l4)])).toBe(0xffff);
    return { changed, left: v.limit };
  };
  test.each<[string, number[], number[]]>([
    ['a router alert', [0x94, 4, 0, 0], [0x94, 4, 0, 0]],
    ['another value of it', [0x94, 4, 0, 1], [1, 1, 1, 1]],
    ['a second one', [0x94, 4, 0, 0, 0x94, 4, 0, 0], [0x94, 4, 0, 0, 1, 1, 1, 1]],
    ['a label', [0x86, 7, 0, 0, 0, 1, 9, 0], Array(8).fill(1)],
    ['a route that is recorded', [7, 7, 4, 1, 2, 3, 4, 0], Array(8).fill(1)],
  ])('of the options, %s', (_name, options, left) => {
    const packet = igmpReport({ options });
    expect(clean(packet).changed).toBe(!packet.subarray(20, 20 + options.length).equals(Buffer.from(options)));
    expect([...packet.subarray(20, 20 + left.length)]).toEqual(left);
  });
  test('the reserved flag is cleared', () => {
    const packet = buildUdp({ payload: 'x' });
    packet[6]! |= 0x80;
    packet.writeUInt16BE(0, 10);
    packet.writeUInt16BE(0xffff - onesComplementSum([packet.subarray(0, 20)]), 10);
    expect(clean(packet).changed).toBe(true);
    expect(packet[6]).toBe(0);
  });
  test.each([
    ['zeros of a shortest frame', Buffer.alloc(46 - 29), 46],
    ['zeros beyond it', Buffer.alloc(47 - 29), 29],
    ['anything else', Buffer.from('!'), 29],
  ])('behind the packet, %s', (_name, trailer, left) => {
    const packet = Buffer.concat([buildUdp({ payload: 'x' }), trailer]);
    expect(clean(packet)).toEqual({ changed: left === 29, left });
  });
  test('of IPv6 headers, only that of an atomic fragment says nothing', () => {
    const with_ = (...headers: Parameters<typeof ipv6>[2] & object): boolean =>
      hasExtensionHeaders(view(ipv6(TCP, tcpHeader(), [...headers])));
    expect(with_()).toBe(false);
    expect(with_(fragmentHeader(0, false))).toBe(false);
    for (const header of [optionsHeader(HOP_BY_HOP), optionsHeader(DESTINATION), optionsHeader(ROUTING), ahHeader()]) {
      expect(with_(header)).toBe(true);
      expect(with_(header, fragmentHeader(0, false))).toBe(true);
    }
  });
  test("a fragment's reserved bits are cleared", () => {
    const packet = ipv6(TCP, tcpHeader(), [fragmentHeader(0, true, 0xff)]);
    expect(clean(packet).changed).toBe(true);
    expect([packet[41], packet[43]! & 6]).toEqual([0, 0]);
  });
});
