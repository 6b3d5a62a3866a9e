// The cursors and the builder: what one writes the other reads, and no bytes make them read outside or throw.
import fc from 'fast-check';
import { AttributeReader } from '../../../src/netlink/attributes';
import { MessageBuilder } from '../../../src/netlink/builder';
import { readU16, readU32, writeU16, writeU32 } from '../../../src/netlink/byte-order';
import { errnoName } from '../../../src/netlink/errno';
import { MessageReader } from '../../../src/netlink/message';

test('integers in either byte order', () => {
  const buf = new Uint8Array(8);
  writeU32(buf, 1, 0x89abcdef, true);
  expect([...buf]).toEqual([0, 0xef, 0xcd, 0xab, 0x89, 0, 0, 0]);
  expect(readU32(buf, 1, true)).toBe(0x89abcdef);
  expect(readU32(buf, 1, false)).toBe(0xefcdab89);
  writeU16(buf, 6, 0x1234, false);
  expect([...buf.subarray(6)]).toEqual([0x12, 0x34]);
  expect(readU16(buf, 6, true)).toBe(0x3412);
});

const attribute = fc.oneof(
  fc.record({
    kind: fc.constant('u8' as const),
    type: fc.integer({ min: 1, max: 100 }),
    value: fc.integer({ min: 0, max: 255 }),
  }),
  fc.record({
    kind: fc.constant('u16' as const),
    type: fc.integer({ min: 1, max: 100 }),
    value: fc.integer({ min: 0, max: 0xffff }),
    little: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('u32' as const),
    type: fc.integer({ min: 1, max: 100 }),
    value: fc.integer({ min: 0, max: 0xffffffff }),
    little: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('bytes' as const),
    type: fc.integer({ min: 1, max: 100 }),
    value: fc.uint8Array({ maxLength: 50 }),
  }),
  fc.record({
    kind: fc.constant('text' as const),
    type: fc.integer({ min: 1, max: 100 }),
    value: fc.string().filter((s) => !s.includes('\0')),
  }),
);
const message = fc.record({
  type: fc.integer({ min: 0, max: 0xffff }),
  flags: fc.integer({ min: 0, max: 0xffff }),
  seq: fc.integer({ min: 0, max: 0xffffffff }),
  pid: fc.integer({ min: 0, max: 0xffffffff }),
  attributes: fc.array(attribute, { maxLength: 6 }),
  nest: fc.boolean(),
});

test('what the builder writes the readers read, several messages to a buffer', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 4 }), fc.integer({ min: 0, max: 3 }), (messages, off) => {
      const buf = Buffer.alloc(8192, 0xa5);
      const b = new MessageBuilder(buf, off);
      for (const m of messages) {
        b.begin(m.type, m.flags, m.seq, m.pid);
        const nest = m.nest ? b.beginNest(77) : 0;
        for (const a of m.attributes) {
          if (a.kind === 'u8') b.u8(a.type, a.value);
          else if (a.kind === 'u16') b.u16(a.type, a.value, a.little);
          else if (a.kind === 'u32') b.u32(a.type, a.value, a.little);
          else if (a.kind === 'bytes') b.bytes(a.type, a.value);
          else b.text(a.type, a.value);
        }
        if (m.nest) b.endNest(nest);
        b.end();
      }
      const bytes = b.finish();
      const reader = new MessageReader(buf, off, off + bytes.length);
      for (const m of messages) {
        expect(reader.next()).toBe(true);
        expect([reader.type, reader.flags, reader.seq, reader.pid]).toEqual([m.type, m.flags, m.seq, m.pid]);
        const outer = new AttributeReader().reset(buf, reader.payload, reader.end);
        let a = outer;
        if (m.nest) {
          expect(outer.next()).toBe(true);
          expect([outer.type, outer.nested]).toEqual([77, true]);
          a = outer.enter(new AttributeReader());
        }
        for (const expected of m.attributes) {
          expect(a.next()).toBe(true);
          expect(a.type).toBe(expected.type);
          if (expected.kind === 'u8') expect(a.u8()).toBe(expected.value);
          else if (expected.kind === 'bytes') expect([...a.bytes()]).toEqual([...expected.value]);
          else if (expected.kind === 'text') expect(a.text()).toBe(Buffer.from(expected.value).toString());
          else {
            a.littleEndian = expected.little;
            expect(expected.kind === 'u16' ? a.u16() : a.u32()).toBe(expected.value);
          }
        }
        expect(a.next()).toBe(false);
        expect(a.error).toBeUndefined();
      }
      expect(reader.next()).toBe(false);
      expect(reader.error).toBeUndefined();
    }),
  );
});

test('any bytes: the readers stay inside, end, and keep their first error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const reader = new MessageReader(bytes);
      let messages = 0;
      while (reader.next()) {
        expect(++messages).toBeLessThan(20);
        expect(reader.end).toBeLessThanOrEqual(bytes.length);
        const a = new AttributeReader().reset(bytes, reader.payload, reader.end);
        while (a.next()) {
          expect(a.value + a.valueBytes).toBeLessThanOrEqual(reader.end);
          a.u32();
        }
        const first = a.error;
        expect(a.next()).toBe(false);
        expect(a.u64()).toBe(0);
        expect(a.bytes().length === 0 || first === undefined).toBe(true);
        expect(a.error === undefined || a.error === first || first === undefined).toBe(true);
      }
      const { error } = reader;
      expect(reader.next()).toBe(false);
      expect(reader.error).toBe(error);
    }),
    { numRuns: 500 },
  );
});

test('a header that lies about its length', () => {
  const cases: [string, RegExp, boolean][] = [
    ['1000', /2 bytes left, a message header has 16 at byte 0 \(EINVAL\)/, false],
    ['0f000000110001000000000001000000', /nlmsg_len 15 is shorter than a header/, true],
    ['00000000110001000000000001000000', /nlmsg_len 0 is shorter/, true],
    ['11000000110001000000000001000000', /nlmsg_len 17 of 16 bytes/, true],
    ['ffffffff110001000000000001000000', /nlmsg_len 4294967295 of 16 bytes/, true],
  ];
  for (const [bytes, what, headerRead] of cases) {
    const reader = new MessageReader(Buffer.from(bytes, 'hex'));
    expect(reader.next()).toBe(false);
    expect(reader.error?.message).toMatch(what);
    expect(reader.headerRead).toBe(headerRead);
  }
});

test('the builder never writes past the buffer, and says so once', () => {
  for (let room = 0; room < 40; room++) {
    const buf = Buffer.alloc(64, 0xa5);
    const b = new MessageBuilder(buf.subarray(0, room));
    b.begin(1, 2, 3, 4).nfgenmsg(0, 0, 1).u8(1, 1).bytes(2, Buffer.from('abcde')).end();
    expect(buf.subarray(room).every((byte) => byte === 0xa5)).toBe(true);
    if (room < 40) expect(() => b.finish()).toThrow(/EMSGSIZE/);
  }
  expect(
    new MessageBuilder(Buffer.alloc(40))
      .begin(1, 2, 3, 4)
      .nfgenmsg(0, 0, 1)
      .u8(1, 1)
      .bytes(2, Buffer.from('abcde'))
      .end()
      .finish(),
  ).toHaveLength(40);
});

test('u64 in both byte orders', () => {
  const buf = Buffer.from('0c00010000000102030405060c0001000605040302010000', 'hex');
  const big = new AttributeReader('x', false).reset(buf, 0, 12);
  expect(big.next() && big.u64()).toBe(0x010203040506);
  const little = new AttributeReader('x', true).reset(buf, 12, 24);
  expect(little.next() && little.u64()).toBe(0x010203040506);
});

test('errno names', () => {
  expect(errnoName(-17)).toBe('EEXIST');
  expect(errnoName(22)).toBe('EINVAL');
  expect(errnoName(-4000)).toBe('errno 4000');
});
