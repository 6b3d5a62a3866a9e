import fc from 'fast-check';
import { transportChecksum } from '../../../src/packet/checksum';
import { parseIp } from '../../../src/packet/parse';
import { nopOut, parseTcpOptions, TcpOptions } from '../../../src/packet/tcp-options';
import { PacketView } from '../../../src/packet/view';
import { buildTcp, buildUdp, MSS_WSCALE_SACK_TS } from '../../lib/build-packet';

const BASE = 40; // IPv4 and TCP header before the options

function view(packet: Buffer): PacketView {
  const v = new PacketView();
  expect(parseIp(v, packet, 0, packet.length)).toBe(0);
  return v;
}

function withOptions(...parts: number[][]): Buffer {
  const options = parts.flat();
  while (options.length % 4 !== 0) options.push(1);
  return buildTcp({ options, payload: 'data' });
}

function parse(...parts: number[][]): TcpOptions | undefined {
  const o = new TcpOptions();
  return parseTcpOptions(view(withOptions(...parts)), o) ? o : undefined;
}

const SACK_1 = [5, 10, 0, 0, 0, 10, 0, 0, 0, 20];
const TIMESTAMP = [8, 10, 0x80, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
const MP_CAPABLE = [30, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 8];
const ADD_ADDR = [30, 8, 0x30, 1, 10, 0, 0, 9];
const MD5 = [19, 18, ...Array<number>(16).fill(7)];

describe('taking apart', () => {
  test('the options of a SYN', () => {
    expect(parse(MSS_WSCALE_SACK_TS(0x80000001))).toMatchObject({
      mss: 1460,
      windowScale: 7,
      sackPermitted: true,
      timestampOffset: BASE + 8,
      tsVal: 0x80000001,
      tsEcr: 0,
      sackOffset: -1,
      mptcpOffset: -1,
      signature: false,
      fastOpenOffset: -1,
    });
  });
  test('timestamps and SACK of a segment, also at odd offsets', () => {
    expect(parse([1], TIMESTAMP, SACK_1)).toMatchObject({
      timestampOffset: BASE + 3,
      tsVal: 0x80000001,
      tsEcr: 0xffffffff,
      sackOffset: BASE + 13,
      sackBlocks: 1,
    });
  });
  test.each([0, 1, 2, 3, 4])('%d SACK blocks', (n) => {
    expect(parse([5, 2 + n * 8, ...Array<number>(n * 8).fill(9)])).toMatchObject({
      sackOffset: BASE + 2,
      sackBlocks: n,
    });
  });
  test.each<[string, number[], Partial<TcpOptions>]>([
    ['MPTCP', MP_CAPABLE, { mptcpOffset: BASE, mptcpBytes: 12 }],
    ['TCP-MD5', MD5, { signature: true }],
    ['TCP-AO', [29, 4, 1, 2], { signature: true }],
    ['a Fast Open cookie', [34, 10, 1, 2, 3, 4, 5, 6, 7, 8], { fastOpenOffset: BASE }],
    ['a Fast Open request', [34, 2], { fastOpenOffset: BASE }],
    ['Fast Open, experimental', [254, 4, 0xf9, 0x89], { fastOpenOffset: BASE }],
    ['another experiment', [254, 4, 0xe2, 0xd4], { fastOpenOffset: -1 }],
    ['an unknown option', [77, 6, 1, 2, 3, 4], { mss: -1 }],
  ])('%s', (_name, option, expected) => {
    expect(parse(option)).toMatchObject(expected);
  });
  test('the first of several MPTCP options is told', () => {
    expect(parse(MP_CAPABLE, ADD_ADDR)).toMatchObject({ mptcpOffset: BASE, mptcpBytes: 12 });
  });
  test('what follows the end of the list is not read', () => {
    expect(parse([0, 2, 4, 5, 180])).toMatchObject({ mss: -1 });
    expect(parse([0, 8, 0, 0])).toBeDefined();
  });
  test('an option with a length that is not its own is passed over', () => {
    expect(parse([2, 3, 9], [3, 4, 1, 1], [8, 4, 1, 1], [4, 3, 1])).toMatchObject({
      mss: -1,
      windowScale: -1,
      timestampOffset: -1,
      sackPermitted: false,
    });
  });
  test('a reused object forgets the packet before', () => {
    const o = new TcpOptions();
    expect(parseTcpOptions(view(withOptions(MSS_WSCALE_SACK_TS(5), ADD_ADDR)), o)).toBe(true);
    expect(parseTcpOptions(view(buildTcp({ flags: 'A' })), o)).toBe(true);
    expect(o).toEqual(new TcpOptions());
  });
});

describe('malformed', () => {
  test.each<[string, number[]]>([
    ['length 0', [2, 0, 5, 180]],
    ['length 1', [8, 1, 1, 1]],
    ['a length beyond the header', [1, 1, 2, 4]],
    ['a kind without a length', [1, 1, 1, 8]],
    ['an overrun of 255', [77, 255, 0, 0]],
    ['SACK of a block and a half', [5, 14, ...Array<number>(12).fill(0)]],
    ['SACK twice', [...SACK_1, ...SACK_1]],
    ['timestamps twice', [...TIMESTAMP, ...TIMESTAMP]],
  ])('%s', (_name, options) => {
    expect(parse(options)).toBeUndefined();
  });
  test('a kind without a length, as the last byte of the buffer', () => {
    const packet = Buffer.from(new Uint8Array(buildTcp({ options: [1, 1, 1, 8] })));
    expect(parseTcpOptions(view(packet), new TcpOptions())).toBe(false);
  });
  test('an option does not reach into the payload', () => {
    const packet = buildTcp({ options: [1, 1, 8, 10], payload: Buffer.alloc(8) });
    expect(parseTcpOptions(view(packet), new TcpOptions())).toBe(false);
  });
});

describe('taking out', () => {
  const options = fc
    .array(fc.constantFrom([1], SACK_1, TIMESTAMP, MP_CAPABLE, ADD_ADDR, [77, 3, 9], [3, 3, 7]), { maxLength: 5 })
    .map((list) => list.flat())
    .filter((bytes) => bytes.length <= 40);

  test.each([4, 6] as const)('IPv%d: the option is gone, the rest stands, the checksum is right', (family) => {
    fc.assert(
      fc.property(options, fc.nat(39), fc.nat(40), fc.boolean(), (list, from, n, partial) => {
        while (list.length % 4 !== 0) list.push(1);
        const packet = buildTcp({ family, options: list, payload: 'odd' });
        const v = view(packet);
        const before = Buffer.from(packet);
        const at = Math.min(from, list.length);
        const bytes = Math.min(n, list.length - at);
        nopOut(packet, v, v.l4 + 20 + at, bytes, partial);
        const expected = Buffer.from(before);
        expected.fill(1, v.l4 + 20 + at, v.l4 + 20 + at + bytes);
        const sum = packet.readUInt16BE(v.l4 + 16);
        expected.writeUInt16BE(sum, v.l4 + 16);
        expect(packet).toEqual(expected);
        if (partial) expect(sum).toBe(before.readUInt16BE(v.l4 + 16));
        else expect(sum % 0xffff).toBe(transportChecksum(v) % 0xffff);
      }),
    );
  });
  test('only TCP has options', () => {
    const packet = buildUdp({ payload: 'abcdefgh' });
    const before = Buffer.from(packet);
    nopOut(packet, view(packet), 28, 4, false);
    expect(packet).toEqual(before);
  });
});
