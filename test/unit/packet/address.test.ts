import { isIP } from 'node:net';
import fc from 'fast-check';
import {
  addressBytes,
  formatAddress,
  formatMac,
  parseAddress,
  parseMac,
  parsePrefix,
} from '../../../src/packet/address';

describe('format', () => {
  test.each<[4 | 6, number[], string]>([
    [4, [0xc0a80102], '192.168.1.2'],
    [4, [0], '0.0.0.0'],
    [4, [0xffffffff], '255.255.255.255'],
    [6, [0, 0, 0, 0], '::'],
    [6, [0, 0, 0, 1], '::1'],
    [6, [0x20010db8, 0, 0, 1], '2001:db8::1'],
    [6, [0xfe800000, 0, 0x02000000, 0], 'fe80::200:0:0:0'],
    [6, [0x20010db8, 0, 0x00010000, 1], '2001:db8::1:0:0:1'],
    [6, [0x20010db8, 0x00010000, 0x00010000, 0x00010001], '2001:db8:1:0:1:0:1:1'],
    [6, [0x00010002, 0x00030004, 0x00050006, 0x00070008], '1:2:3:4:5:6:7:8'],
    [6, [0x00010002, 0x00030004, 0x00050006, 0], '1:2:3:4:5:6::'],
    [6, [0xabcdef01, 0, 0, 0], 'abcd:ef01::'],
    [6, [0, 0, 0xffff, 0x0a000001], '::ffff:10.0.0.1'],
  ])('IPv%d %j is %s', (family, words, text) => {
    expect(formatAddress(family, words)).toBe(text);
    expect(formatAddress(family, [7, 7, ...words], 2)).toBe(text);
  });
  test('MAC', () => {
    expect(formatMac(Uint8Array.of(9, 0x52, 0x54, 0, 0x12, 0xab, 0xff), 1)).toBe('52:54:00:12:ab:ff');
  });
});

describe('parse', () => {
  test.each<[string, number[]]>([
    ['1.2.3.4', [0x01020304, 0, 0, 0]],
    ['2001:DB8::', [0x20010db8, 0, 0, 0]],
    ['::', [0, 0, 0, 0]],
    ['1::8', [0x00010000, 0, 0, 8]],
    ['1:2:3:4:5:6:7::', [0x00010002, 0x00030004, 0x00050006, 0x00070000]],
    ['::ffff:10.0.0.1', [0, 0, 0xffff, 0x0a000001]],
    ['64:ff9b::192.0.2.33', [0x0064ff9b, 0, 0, 0xc0000221]],
    ['1:2:3:4:5:6:1.2.3.4', [0x00010002, 0x00030004, 0x00050006, 0x01020304]],
  ])('%s', (text, words) => {
    expect(parseAddress(text)?.address).toEqual(words);
  });
  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '+1.2.3.4',
    '1.2.3.',
    'localhost',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '1::2::3',
    '12345::',
    'g::',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    'fe80::1%eth0',
    ':1::',
    '1:',
  ])('%p is no address', (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(parsePrefix(text)).toBeUndefined();
  });
  test('as another implementation judges, any text of these letters', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('::', ':', '.', '0', '1', '255', 'ff', '1:2:3', '1.2'), { maxLength: 8 }),
        (parts) => {
          const text = parts.join('');
          expect(parseAddress(text)?.family ?? 0).toBe(isIP(text));
        },
      ),
      { numRuns: 2000 },
    );
  });
  test('what is written is read', () => {
    const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0xffff0000), fc.integer({ min: 0, max: 0xffffffff }));
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), (words) => {
        expect(parseAddress(formatAddress(6, words))).toEqual({ family: 6, address: words });
        expect(parseAddress(formatAddress(4, words))).toEqual({ family: 4, address: [words[0], 0, 0, 0] });
      }),
    );
  });
  test('bytes in network order', () => {
    expect([...addressBytes(parseAddress('192.0.2.255')!)]).toEqual([192, 0, 2, 255]);
    expect(Buffer.from(addressBytes(parseAddress('2001:db8::ff')!)).toString('hex')).toBe(
      '20010db80000000000000000000000ff',
    );
  });
  test('MAC', () => {
    expect([...parseMac('52:54:00:12:AB:ff')!]).toEqual([0x52, 0x54, 0, 0x12, 0xab, 0xff]);
    for (const bad of ['', '52:54:00:12:ab', '52:54:00:12:ab:ff:00', '5254.0012.abff', 'g2:54:00:12:ab:ff']) {
      expect(parseMac(bad)).toBeUndefined();
    }
  });
});

describe('prefixes', () => {
  test('every length keeps so many bits', () => {
    for (let bits = 0; bits <= 128; bits++) {
      const { address } = parsePrefix(`ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/${bits}`)!;
      expect(address.map((word) => word.toString(2).padStart(32, '0')).join('')).toBe(
        '1'.repeat(bits).padEnd(128, '0'),
      );
    }
  });
  test.each<[string, 4 | 6, number[], number]>([
    ['10.0.0.0/8', 4, [0x0a000000, 0, 0, 0], 8],
    ['10.1.2.3/8', 4, [0x0a000000, 0, 0, 0], 8],
    ['10.1.2.3/0', 4, [0, 0, 0, 0], 0],
    ['10.1.2.3/31', 4, [0x0a010202, 0, 0, 0], 31],
    ['10.1.2.3', 4, [0x0a010203, 0, 0, 0], 32],
    ['2001:db8::/32', 6, [0x20010db8, 0, 0, 0], 32],
    ['2001:db8:ffff::1/33', 6, [0x20010db8, 0x80000000, 0, 0], 33],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127', 6, [0xffffffff, 0xffffffff, 0xffffffff, 0xfffffffe], 127],
    ['::1', 6, [0, 0, 0, 1], 128],
  ])('%s', (text, family, address, bits) => {
    expect(parsePrefix(text)).toEqual({ family, address, bits });
  });
  test.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '/8',
    '10/8',
    '1.2.3.4/1e1',
  ])('%p is none', (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });
});
