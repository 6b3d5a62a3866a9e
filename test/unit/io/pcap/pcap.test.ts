import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { OperatorError } from '../../../../src/core/errors';
import { encodePcap, MAX_BLOCK_BYTES, readCapture } from '../../../../src/io/pcap/pcap';
import { block, type Order, option, pcapng } from './pcapng-writer';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-pcap-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

interface Seen {
  linkType: number;
  timeNs: bigint;
  data: string;
  originalBytes: number;
  number: number;
}

function read(bytes: Buffer): Seen[] {
  const path = join(dir, 'capture');
  writeFileSync(path, bytes);
  // The reader hands out one object again and again.
  const seen: Seen[] = [];
  for (const p of readCapture(path)) seen.push(copy(p));
  return seen;
}

function copy(p: { linkType: number; timeNs: bigint; data: Buffer; originalBytes: number; number: number }): Seen {
  return { ...p, data: p.data.toString('hex') };
}

/** What the reader hands out before it fails, and the failure's text. */
function readBroken(bytes: Buffer): { seen: Seen[]; message: string } {
  const path = join(dir, 'broken');
  writeFileSync(path, bytes);
  const seen: Seen[] = [];
  try {
    for (const p of readCapture(path)) seen.push(copy(p));
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).code).toBe('ECAPTURE');
    return { seen, message: (error as OperatorError).message };
  }
  throw new Error('no failure');
}

const TIME = 1_700_000_000_123_456_789n;
const PACKETS = [
  { data: Buffer.from('0123456789'), timeNs: TIME },
  { data: Buffer.from('cut'), timeNs: TIME + 1n, originalBytes: 1500 },
  { data: Buffer.alloc(0), timeNs: 5n },
];

describe('classic', () => {
  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('big-endian %s, microseconds %s', (bigEndian, microseconds) => {
    const round = (ns: bigint): bigint => (microseconds ? ns - (ns % 1000n) : ns);
    expect(read(encodePcap(PACKETS, { linkType: 101, bigEndian, microseconds }))).toEqual([
      { linkType: 101, timeNs: round(TIME), data: '30313233343536373839', originalBytes: 10, number: 1 },
      { linkType: 101, timeNs: round(TIME + 1n), data: '637574', originalBytes: 1500, number: 2 },
      { linkType: 101, timeNs: round(5n), data: '', originalBytes: 0, number: 3 },
    ]);
  });

  test('the bytes are those that other programs write', () => {
    const bytes = Buffer.from(
      'd4c3b2a1020004000000000000000000ffff000001000000' + '0100000002000000' + '0200000003000000' + 'abcd',
      'hex',
    );
    expect(read(bytes)).toEqual([{ linkType: 1, timeNs: 1_000_002_000n, data: 'abcd', originalBytes: 3, number: 1 }]);
    expect(encodePcap([{ data: Buffer.from([0xab]), timeNs: 1_000_000_002n }], { linkType: 1 }).toString('hex')).toBe(
      '4d3cb2a1020004000000000000000000' + '0000040001000000' + '0100000002000000' + '0100000001000000' + 'ab',
    );
  });

  test('bits above the link type are not part of it', () => {
    const bytes = encodePcap([], { linkType: 1 });
    bytes.writeUInt32LE(0x24000001, 20);
    expect(read(Buffer.concat([bytes, encodePcap(PACKETS, { linkType: 1 }).subarray(24)]))[0]!.linkType).toBe(1);
  });

  test('a file longer than what is read at once', () => {
    const packets = Array.from({ length: 400 }, (_, i) => ({ data: Buffer.alloc(3001, i & 0xff), timeNs: BigInt(i) }));
    packets.push({ data: Buffer.alloc(1 << 20, 7), timeNs: 400n });
    packets.push({ data: Buffer.alloc(5, 8), timeNs: 401n });
    const seen = read(encodePcap(packets, { linkType: 1 }));
    expect(seen.map((p) => p.data)).toEqual(packets.map((p) => p.data.toString('hex')));
  });

  test('every cut is told with its offset, but one between two packets', () => {
    const whole = encodePcap(PACKETS.slice(0, 2), { linkType: 1 });
    const between = [24, 50];
    for (let n = 0; n < whole.length; n++) {
      if (between.includes(n)) {
        expect(read(whole.subarray(0, n))).toHaveLength(between.indexOf(n));
        continue;
      }
      const { seen, message } = readBroken(whole.subarray(0, n));
      expect(seen).toHaveLength(n < 50 ? 0 : 1);
      const at = n < 4 ? 0 : n < 24 ? 4 : n < 40 ? 24 : n < 50 ? 40 : n < 66 ? 50 : 66;
      expect(message).toContain(`at byte ${at}: expected`);
    }
  });

  test('impossible lengths are refused before anything is allocated', () => {
    const bytes = encodePcap(PACKETS, { linkType: 1 });
    bytes.writeUInt32LE(MAX_BLOCK_BYTES + 1, 24 + 8);
    bytes.writeUInt32LE(MAX_BLOCK_BYTES + 1, 24 + 12);
    expect(readBroken(bytes).message).toContain('at byte 40: expected packet 1 of at most 16777216 bytes');
  });

  test('more captured bytes than the packet had: its padding, as in pcapng', () => {
    const bytes = encodePcap(PACKETS.slice(0, 1), { linkType: 1 });
    const captured = bytes.readUInt32LE(24 + 8);
    bytes.writeUInt32LE(captured - 1, 24 + 12);
    const [packet, ...rest] = read(bytes);
    expect(rest).toEqual([]);
    expect(packet).toMatchObject({ originalBytes: captured - 1 });
    expect(packet!.data).toHaveLength(2 * captured);
  });

  test('what is no capture says so', () => {
    expect(readBroken(Buffer.from('hello, world')).message).toMatch(
      /at byte 0: expected a pcap or pcapng file, found the bytes 68656c6c/,
    );
    expect(readBroken(Buffer.from([0x1f, 0x8b, 8, 0, 0])).message).toContain('gunzip');
    expect(readBroken(Buffer.alloc(0)).message).toContain('the end of the file after 0');
    const version = encodePcap([], { linkType: 1 });
    version.writeUInt16LE(3, 4);
    expect(readBroken(version).message).toContain('at byte 4: expected pcap version 2, found version 3');
    expect(() => [...readCapture(join(dir, 'nothing'))]).toThrow(/ENOENT/);
    expect(() => [...readCapture(dir)]).toThrow(OperatorError);
  });
});

describe.each<Order>(['little', 'big'])('pcapng, %s-endian', (order) => {
  const w = pcapng(order);

  test('interfaces with their own link types and clocks', () => {
    const seen = read(
      Buffer.concat([
        w.section(),
        w.interface(1),
        w.interface(101, 0, [option(order, 9, [9])]),
        w.interface(113, 0, [option(order, 9, [0x80 | 10]), option(order, 14, w.int64(-2n))]),
        w.interface(276, 0, [option(order, 2, [...Buffer.from('tap0')]), option(order, 9, [0]), option(order, 0, [])]),
        w.enhanced(0, 1_700_000_000_000_001n, Buffer.from('micro')),
        w.enhanced(1, TIME, Buffer.from('nano'), 99),
        w.enhanced(2, 3n * 1024n + 512n, Buffer.from('binary')),
        w.enhanced(3, 7n, Buffer.from('seconds')),
      ]),
    );
    const hex = (s: string): string => Buffer.from(s).toString('hex');
    expect(seen).toEqual([
      { linkType: 1, timeNs: 1_700_000_000_000_001_000n, data: hex('micro'), originalBytes: 5, number: 1 },
      { linkType: 101, timeNs: TIME, data: hex('nano'), originalBytes: 99, number: 2 },
      { linkType: 113, timeNs: 1_500_000_000n, data: hex('binary'), originalBytes: 6, number: 3 },
      { linkType: 276, timeNs: 7_000_000_000n, data: hex('seconds'), originalBytes: 7, number: 4 },
    ]);
  });

  test('simple and obsolete packet blocks', () => {
    const seen = read(
      Buffer.concat([
        w.section(),
        w.interface(101, 4),
        w.simple(Buffer.from('abcd'), 9),
        w.simple(Buffer.from('xy'), 2),
        w.obsolete(0, 5n, Buffer.from('old')),
      ]),
    );
    expect(seen.map((p) => [p.data, p.originalBytes, p.timeNs])).toEqual([
      ['61626364', 9, 0n],
      ['7879', 2, 0n],
      ['6f6c64', 3, 5000n],
    ]);
  });

  test('unknown blocks are passed over, however long', () => {
    const seen = read(
      Buffer.concat([
        w.section(),
        block(order, 0x0bad, Buffer.alloc(20 << 20)),
        w.interface(1),
        block(order, 5, Buffer.alloc(8)),
        w.enhanced(0, 1n, Buffer.from('x')),
        block(order, 0x80000001, Buffer.alloc(0)),
      ]),
    );
    expect(seen.map((p) => p.data)).toEqual(['78']);
  });

  test('a new section may have the other byte order, and has its own interfaces', () => {
    const other = pcapng(order === 'little' ? 'big' : 'little');
    const first = Buffer.concat([w.section(), w.interface(1), w.enhanced(0, 1n, Buffer.from('a'))]);
    const seen = read(
      Buffer.concat([first, other.section(), other.interface(101), other.enhanced(0, 2n, Buffer.from('b'))]),
    );
    expect(seen.map((p) => [p.linkType, p.data, p.number])).toEqual([
      [1, '61', 1],
      [101, '62', 2],
    ]);
    const { seen: before, message } = readBroken(
      Buffer.concat([first, other.section(), other.enhanced(0, 2n, Buffer.from('b'))]),
    );
    expect(before).toHaveLength(1);
    expect(message).toMatch(/expected an interface below 0, found interface 0/);
  });

  test('damage is told with its offset', () => {
    const at = w.section().length;
    const damaged = (change: (b: Buffer) => void): string => {
      const bytes = Buffer.concat([w.section(), w.interface(1), w.enhanced(0, 1n, Buffer.from('abc'))]);
      change(bytes);
      return readBroken(bytes).message;
    };
    const write = (b: Buffer, value: number, off: number): number =>
      order === 'little' ? b.writeUInt32LE(value, off) : b.writeUInt32BE(value, off);
    expect(damaged((b) => write(b, 0x11111111, 8))).toContain('at byte 8: expected a byte-order magic');
    expect(damaged((b) => write(b, 13, 4))).toContain('at byte 4: expected a block length of at least 28');
    expect(damaged((b) => write(b, 20, at - 4))).toContain(
      `at byte ${at - 4}: expected the block length 28 again, found 20`,
    );
    expect(damaged((b) => write(b, 16, at + 4))).toContain(`at byte ${at + 4}: expected a block length of at least 20`);
    expect(damaged((b) => write(b, 1, at + 20 + 8))).toContain('expected an interface below 1, found interface 1');
    expect(damaged((b) => write(b, 5, at + 20 + 20))).toContain('expected at most 4 captured bytes');
    expect(damaged((b) => write(b, 0x7ffffffc, at + 20 + 4))).toContain('of at most 16777216 bytes');
  });

  test('every cut is refused, but one between two blocks', () => {
    const blocks = [
      w.section(),
      w.interface(1),
      w.enhanced(0, 1n, Buffer.from('abc')),
      block(order, 77, Buffer.alloc(8)),
    ];
    const whole = Buffer.concat(blocks);
    const between = new Set<number>();
    let at = 0;
    for (const b of blocks) {
      at += b.length;
      between.add(at);
    }
    for (let n = 0; n < whole.length; n++) {
      if (between.has(n)) read(whole.subarray(0, n));
      else expect(readBroken(whole.subarray(0, n)).message).toMatch(/found the end of the file/);
    }
  });
});

test('random damage gives packets or an error with a place, never anything else', () => {
  const w = pcapng('little');
  const files = [
    encodePcap(PACKETS, { linkType: 1 }),
    Buffer.concat([
      w.section(),
      w.interface(1, 0, [option('little', 9, [6])]),
      w.enhanced(0, 1n, Buffer.from('abc')),
      w.simple(Buffer.from('abcd'), 4),
    ]),
  ];
  const path = join(dir, 'random');
  fc.assert(
    fc.property(fc.nat(1), fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }), (which, changes) => {
      const bytes = Buffer.from(files[which]!);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      writeFileSync(path, bytes);
      try {
        for (const p of readCapture(path)) expect(p.data.length).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(OperatorError);
        expect((error as OperatorError).message).toMatch(/at byte \d+: expected/);
      }
    }),
    { numRuns: 500 },
  );
});
