// Queue messages: built ones byte for byte, and a queued packet taken apart.
import { MessageBuilder } from '../../../src/netlink/builder';
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import { MessageReader } from '../../../src/netlink/message';
import {
  buildQueueCommand,
  buildQueueCopy,
  buildQueueLimits,
  buildVerdict,
  CopyMode,
  QueueAttribute,
  QueueCommand,
  QueueFlag,
  QueuePacket,
  SkbInfo,
  Verdict,
} from '../../../src/netlink/nfqueue';

const golden = HOST_LITTLE_ENDIAN ? test : test.skip;

function built(write: (b: MessageBuilder) => MessageBuilder): string {
  return Buffer.from(write(new MessageBuilder(Buffer.alloc(128, 0xa5))).finish()).toString('hex');
}

golden('bind, copy, limits, verdict', () => {
  expect(built((b) => buildQueueCommand(b, 100, QueueCommand.BIND, 1))).toBe(
    `1c000000020305000100000000000000${'00000064'}${'0800010001000000'}`,
  );
  expect(built((b) => buildQueueCopy(b, 100, CopyMode.PACKET, 0xffff, 2))).toBe(
    `20000000020305000200000000000000${'00000064'}${'090002000000ffff02000000'}`,
  );
  expect(built((b) => buildQueueLimits(b, 100, 16384, QueueFlag.GSO, QueueFlag.GSO | QueueFlag.FAIL_OPEN, 3))).toBe(
    `2c000000020305000300000000000000${'00000064'}${'0800030000004000'}${'0800050000000004'}${'0800040000000005'}`,
  );
  expect(built((b) => buildVerdict(b, 100, 0x01020304, Verdict.ACCEPT, Buffer.from('abc')))).toBe(
    `28000000010301000000000000000000${'00000064'}${'0c000200' + '00000001' + '01020304'}${'07000a0061626300'}`,
  );
});

test('a queued packet', () => {
  const buf = Buffer.alloc(256, 0xa5);
  const b = new MessageBuilder(buf).begin(0x0300, 0, 0, 0).nfgenmsg(2, 0, 100);
  b.bytes(QueueAttribute.PACKET_HDR, Buffer.from('0000002a080000', 'hex'));
  b.u32(QueueAttribute.MARK, 7, false).u32(QueueAttribute.IFINDEX_INDEV, 3, false);
  b.u32(QueueAttribute.IFINDEX_PHYSINDEV, 5, false).u32(QueueAttribute.SKB_INFO, SkbInfo.CSUM_NOT_READY, false);
  b.u32(QueueAttribute.CAP_LEN, 9000, false).bytes(QueueAttribute.PAYLOAD, Buffer.from('450000')).end();
  const bytes = b.finish();
  const reader = new MessageReader(buf, 0, bytes.length);
  expect(reader.next()).toBe(true);
  const packet = new QueuePacket();
  expect(packet.read(buf, reader.payload, reader.end)).toBeUndefined();
  expect(packet).toMatchObject({
    id: 42,
    hwProtocol: 0x0800,
    hook: 0,
    mark: 7,
    indev: 3,
    physIndev: 5,
    skbInfo: 1,
    originalBytes: 9000,
  });
  expect(buf.subarray(packet.payload, packet.payload + packet.payloadBytes).toString()).toBe('450000');
  expect(packet.read(buf, reader.payload, reader.payload + 3)?.message).toMatch(/no room for nfgenmsg/);
  expect(packet.read(buf, reader.payload, reader.payload + 9)?.message).toMatch(/nla_len 11 of 5 bytes/);
});
