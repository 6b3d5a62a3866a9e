// NLMSG_ERROR as the kernel writes it, and back.
import fc from 'fast-check';
import { MessageBuilder } from '../../../src/netlink/builder';
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import { buildDone, buildError, readError } from '../../../src/netlink/error-message';
import { MessageReader } from '../../../src/netlink/message';

const golden = HOST_LITTLE_ENDIAN ? test : test.skip;
const REQUEST = Buffer.from('1c000000030c05000000000078563412000000010500010001000000', 'hex');
const request = { buf: REQUEST, start: 0, bytes: REQUEST.length };

function build(result: number, why?: string, maxEcho = 1024): Buffer {
  return Buffer.from(
    buildError(new MessageBuilder(Buffer.alloc(256, 0xa5)), request, result, 0x99, maxEcho, why).finish(),
  );
}

golden('success echoes the header: 36 bytes', () => {
  const header = REQUEST.subarray(0, 16).toString('hex');
  expect(build(0).toString('hex')).toBe(`24000000020000000000000099000000${'00000000'}${header}`);
});

golden('an error echoes the message: 48 bytes', () => {
  expect(build(-22).toString('hex')).toBe(`30000000020000000000000099000000eaffffff${REQUEST.toString('hex')}`);
});

golden('an echo that is cut says so', () => {
  expect(build(-22, undefined, 20).toString('hex')).toBe(
    `24000000020000010000000099000000eaffffff${REQUEST.subarray(0, 16).toString('hex')}`,
  );
});

test('what is written reads back', () => {
  for (const why of [undefined, 'mode 3 is not 0, 1 or 2']) {
    for (const result of [0, -17, -22]) {
      for (const maxEcho of [16, 1024]) {
        const buf = build(result, why, maxEcho);
        const reader = new MessageReader(buf);
        expect(reader.next()).toBe(true);
        expect(readError(buf, reader)).toEqual({
          result,
          requestType: 0x0c03,
          requestSeq: 0,
          requestPid: 0x12345678,
          ...(why === undefined ? {} : { why }),
        });
        expect(reader.next()).toBe(false);
        expect(reader.error).toBeUndefined();
      }
    }
  }
});

test('any bytes that call themselves an error are read without an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: 0xffff }), (payload, flags) => {
      const buf = Buffer.alloc(128);
      const bytes = new MessageBuilder(buf).begin(2, flags, 1, 1).raw(payload).end().finish();
      const reader = new MessageReader(bytes);
      expect(reader.next()).toBe(true);
      const error = readError(bytes, reader);
      expect(error === undefined).toBe(payload.length < 20);
    }),
    { numRuns: 500 },
  );
});

golden('the end of a reply of several messages', () => {
  const bytes = buildDone(new MessageBuilder(Buffer.alloc(64, 0xa5)), 9, 4).finish();
  expect(Buffer.from(bytes).toString('hex')).toBe('1400000003000200090000000400000000000000');
});
