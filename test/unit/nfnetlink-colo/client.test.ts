// The client's reading of what a daemon, or anybody, sends.
import fc from 'fast-check';
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation2, JsonReply, own, readDatagram } from '../../../src/nfnetlink-colo/client';

function read(hex: string): unknown {
  return readDatagram(Buffer.from(hex.replace(/[\s|]/g, ''), 'hex'));
}

test('notices of both generations', () => {
  expect(read('11000000 1100 0000 00000000 01000000 | 01 000000')).toEqual([
    { kind: 'notice', generation: 1, wanted: true, pid: 1, seq: 0 },
  ]);
  expect(read('1c000000 000c 0000 00000000 92100000 | 00 00 0000 | 0800 0100 00000001')).toEqual([
    { kind: 'notice', generation: 2, wanted: true, pid: 4242, seq: 0 },
  ]);
});

test('results, and several messages in one datagram', () => {
  const ack = '24000000 0200 0000 07000000 92100000 00000000 1c000000 030c 0500 07000000 92100000';
  expect(read(ack + ack.replace('00000000 1c', 'efffffff 1c'))).toMatchObject([
    { kind: 'result', result: 0, requestType: 0x0c03, requestSeq: 7, requestPid: 4242 },
    { kind: 'result', result: -17 },
  ]);
});

test('what is broken or unknown is told as such', () => {
  expect(read('0102')).toMatchObject([{ kind: 'broken' }]);
  expect(read('10000000 1100 0000 00000000 01000000')).toMatchObject([{ kind: 'broken' }]);
  expect(read('14000000 0200 0000 00000000 01000000 00000000')).toMatchObject([{ kind: 'broken' }]);
  expect(read('10000000 000c 0000 00000000 01000000')).toMatchObject([{ kind: 'broken' }]);
  expect(read('10000000 400c 0000 00000000 01000000')).toMatchObject([{ kind: 'broken' }]);
  expect(read('10000000 0103 0000 00000000 01000000')).toEqual([{ kind: 'unknown', type: 0x0301 }]);
  expect(read('10000000 050c 0000 00000000 01000000')).toEqual([{ kind: 'unknown', type: 0x0c05 }]);
});

test('any bytes are read without an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(2, 3, 0x11, 0x0c00, 0x0c40), (bytes, type) => {
      readDatagram(bytes);
      if (bytes.length < 16) return;
      const framed = Buffer.from(bytes);
      framed.writeUInt32LE(framed.length, 0);
      framed.writeUInt16LE(type, 4);
      expect(readDatagram(framed)).toHaveLength(1);
    }),
    { numRuns: 500 },
  );
});

test('a reply with a part missing, or too much of it, is an error', () => {
  const part = { kind: 'part', type: 64, seq: 0 } as const;
  const reply = new JsonReply();
  reply.add({ ...part, total: 4, offset: 0, bytes: Buffer.from('[1') });
  expect(() => reply.finish()).toThrow(/ended after 2 of 4 bytes \(EPROTO\)/);
  expect(() => reply.add({ ...part, total: 4, offset: 3, bytes: Buffer.from(']') })).toThrow(
    /a part at 3 of 4, expected at 2/,
  );
  expect(() => reply.add({ ...part, total: 4, offset: 2, bytes: Buffer.from(',2]') })).toThrow(/EPROTO/);
  reply.add({ ...part, total: 4, offset: 2, bytes: Buffer.from('] ') });
  expect(reply.finish()).toEqual([1]);
  expect(() => new JsonReply().finish()).toThrow(/EPROTO/);
  const noJson = new JsonReply();
  noJson.add({ ...part, total: 1, offset: 0, bytes: Buffer.from('{') });
  expect(() => noJson.finish()).toThrow(/no JSON/);
});

test('a rule that is too long to be sent is an error of the client', () => {
  expect(() => own.bypassAdd({ text: 'x'.repeat(20_000) })).toThrow(/EMSGSIZE/);
});

test('a detached INIT differs by one attribute', () => {
  const plain = Buffer.from(generation2.init(ColoMode.PRIMARY, { pid: 1 }));
  const detached = Buffer.from(generation2.init(ColoMode.PRIMARY, { pid: 1, detached: true }));
  expect(detached.subarray(4, 28)).toEqual(plain.subarray(4));
  expect(detached.subarray(28).toString('hex')).toBe('0500400001000000');
});
