// Conntrack events as a Linux 6.18 kernel sent them (little-endian), and what becomes of broken ones.
import fc from 'fast-check';
import { MessageBuilder } from '../../../src/netlink/builder';
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import {
  buildConntrackDump,
  buildConntrackGet,
  ConntrackDecoder,
  ConntrackEvent,
} from '../../../src/netlink/ctnetlink';
import { MessageReader } from '../../../src/netlink/message';

const captured = HOST_LITTLE_ENDIAN ? test : test.skip;

const TCP4_NEW =
  'c4000000000100060000000000000000020000003400018014000180080001007f000001080002007f0000011c000280050001000600000006000200ecc00000060003001f9000003400028014000180080001007f000001080002007f0000011c0002800500010006000000060002001f90000006000300ecc0000008000c00136167a208000300000000080800070000000078300004802c0001800500010001000000050002000a000000050003000000000006000400030000000600050000000000';
const TCP4_UPDATE = TCP4_NEW.replace('c400000000010006', 'c400000000010000').replace(
  '0800030000000008',
  '080003000000000e',
);
const TCP6_NEW =
  'f40000000001000600000000000000000a0000004c0001802c000180140003000000000000000000000000000000000114000400000000000000000000000000000000011c000280050001000600000006000200bc240000060003001f9100004c0002802c000180140003000000000000000000000000000000000114000400000000000000000000000000000000011c0002800500010006000000060002001f91000006000300bc24000008000c00412c2a8b08000300000000080800070000000078300004802c0001800500010001000000050002000a000000050003000000000006000400030000000600050000000000';
const UDP_ZONE =
  '9c000000000100060000000000000000020000003400018014000180080001007f000001080002007f0000021c000280050001001100000006000200a2bc00000600030014e900003400028014000180080001007f000002080002007f0000011c00028005000100110000000600020014e9000006000300a2bc0000060012001987000008000c0076a9a2c808000300000000080800070000000001';
const UDP_ZONE_ORIGINAL =
  '9c000000000100060000000000000000020000003c00018014000180080001007f000001080002007f0000021c000280050001001100000006000200a2bc00000600030014ea000006000300004d00003400028014000180080001007f000002080002007f0000011c00028005000100110000000600020014ea000006000300a2bc000008000c005a794ab808000300000000080800070000000001';
const PING4 =
  'a4000000000100060000000000000000020000003c00018014000180080001007f000001080002007f0000032400028005000100010000000600040012340000050005000800000005000600000000003c00028014000180080001007f000003080002007f00000124000280050001000100000006000400123400000500050000000000050006000000000008000c00be083b1408000300000000080800070000000001';
const PING6 =
  'd40000000001000600000000000000000a000000540001802c0001801400030000000000000000000000000000000001140004000000000000000000000000000000000124000280050001003a000000060007004321000005000800800000000500090000000000540002802c0001801400030000000000000000000000000000000001140004000000000000000000000000000000000124000280050001003a00000006000700432100000500080081000000050009000000000008000c0002bd5c0608000300000000080800070000000001';
const UDP_DESTROY =
  '94000000020100000000000081210000020000003400018014000180080001007f000001080002007f0000021c000280050001001100000006000200bb2d00000600030014e900003400028014000180080001007f000002080002007f0000011c00028005000100110000000600020014e9000006000300bb2d000008000c008f0f2f810800030000000208080007000000001e';

function decode(hex: string): ConntrackDecoder {
  const buf = Buffer.from(hex, 'hex');
  const reader = new MessageReader(buf);
  reader.next();
  const decoder = new ConntrackDecoder();
  decoder.read(buf, reader);
  return decoder;
}

captured('a TCP connection over IPv4 is born', () => {
  const d = decode(TCP4_NEW);
  expect(d.error).toBeUndefined();
  expect(d.event).toBe(ConntrackEvent.NEW);
  expect(d.original).toMatchObject({
    family: 4,
    protocol: 6,
    src0: 0x7f000001,
    dst0: 0x7f000001,
    srcPort: 0xecc0,
    dstPort: 8080,
  });
  expect(d.reply).toMatchObject({ family: 4, protocol: 6, srcPort: 8080, dstPort: 0xecc0 });
  expect([d.zone, d.status, d.id]).toEqual([0, 8, 0x136167a2]);
});

captured('and goes on', () => {
  const d = decode(TCP4_UPDATE);
  expect([d.event, d.status]).toEqual([ConntrackEvent.UPDATE, 14]);
});

captured('a TCP connection over IPv6', () => {
  const d = decode(TCP6_NEW);
  expect(d.event).toBe(ConntrackEvent.NEW);
  expect(d.original).toMatchObject({
    family: 6,
    src0: 0,
    src1: 0,
    src2: 0,
    src3: 1,
    dst3: 1,
    srcPort: 0xbc24,
    dstPort: 8081,
  });
  expect(d.reply).toMatchObject({ family: 6, src3: 1, srcPort: 8081 });
});

captured('zones of both directions and of one', () => {
  expect(decode(UDP_ZONE).zone).toBe(6535);
  const one = decode(UDP_ZONE_ORIGINAL);
  expect([one.zone, one.original.zone, one.reply.zone]).toEqual([0, 77, 0]);
});

captured('the echo id stands in both ports', () => {
  expect(decode(PING4).original).toMatchObject({
    protocol: 1,
    srcPort: 0x1234,
    dstPort: 0x1234,
    icmpType: 8,
    icmpCode: 0,
  });
  expect(decode(PING6).reply).toMatchObject({ protocol: 58, srcPort: 0x4321, dstPort: 0x4321, icmpType: 129 });
});

captured('an entry dies', () => {
  const d = decode(UDP_DESTROY);
  expect(d.event).toBe(ConntrackEvent.DESTROY);
  expect(d.original).toMatchObject({ protocol: 17, srcPort: 0xbb2d, dstPort: 5353 });
  expect(d.status & 0x200).toBe(0x200);
});

captured('one decoder for one event after the other keeps nothing of the last', () => {
  const decoder = new ConntrackDecoder();
  for (const hex of [TCP6_NEW, UDP_ZONE, TCP4_NEW]) {
    const buf = Buffer.from(hex, 'hex');
    const reader = new MessageReader(buf);
    reader.next();
    expect(decoder.read(buf, reader)).toBe(true);
  }
  expect(decoder.original).toMatchObject({ family: 4, src0: 0x7f000001, src1: 0, src3: 0, icmpType: 0 });
  expect(decoder.zone).toBe(0);
});

captured('every cut and every changed byte is an error or an event, never an exception', () => {
  const whole = Buffer.from(TCP4_NEW, 'hex');
  for (let bytes = 16; bytes < whole.length; bytes++) {
    const cut = Buffer.from(whole.subarray(0, bytes));
    cut.writeUInt32LE(bytes, 0);
    const reader = new MessageReader(cut);
    expect(reader.next()).toBe(true);
    const decoder = new ConntrackDecoder();
    const ok = decoder.read(cut, reader);
    expect(ok).toBe(decoder.error === undefined);
    expect(ok).toBe(decoder.event !== ConntrackEvent.NONE);
  }
  fc.assert(
    fc.property(fc.integer({ min: 16, max: whole.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const changed = Buffer.from(whole);
      changed[at] = value;
      const reader = new MessageReader(changed);
      reader.next();
      new ConntrackDecoder().read(changed, reader);
    }),
    { numRuns: 500 },
  );
});

test('other messages are not events', () => {
  const buf = Buffer.alloc(64);
  const b = new MessageBuilder(buf);
  b.begin(0x0c01, 0, 0, 0).nfgenmsg(0, 0, 0).end();
  const reader = new MessageReader(buf, 0, 20);
  reader.next();
  const decoder = new ConntrackDecoder();
  expect(decoder.read(buf, reader)).toBe(false);
  expect(decoder.error).toBeUndefined();
});

captured('a request for all entries', () => {
  const bytes = buildConntrackDump(new MessageBuilder(Buffer.alloc(64, 0xa5)), 2, 5).finish();
  expect(Buffer.from(bytes).toString('hex')).toBe('1400000001010103050000000000000002000000');
});

captured.each([
  ['IPv4', TCP4_NEW],
  ['IPv6', TCP6_NEW],
])('a question about one connection over %s names it as the kernel does', (_family, hex) => {
  const builder = new MessageBuilder(Buffer.alloc(128));
  const question = Buffer.from(buildConntrackGet(builder, decode(hex).original, 77).finish());
  const reader = new MessageReader(question);
  expect(reader.next()).toBe(true);
  expect([reader.type, reader.flags, reader.seq, reader.end]).toEqual([0x101, 1, 77, question.length]);
  const tuple = question.subarray(20).toString('hex');
  expect(hex.slice(40, 40 + tuple.length)).toBe(tuple);
  expect(question[16]).toBe(Buffer.from(hex, 'hex')[16]);
});
