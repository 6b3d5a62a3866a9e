// The control messages of both generations, byte for byte (little-endian hosts).
import { MessageBuilder } from '../../../src/netlink/builder';
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import {
  buildColo1Command,
  buildColo1Notice,
  Colo1Type,
  isColo1Type,
  readColo1Notice,
} from '../../../src/netlink/colo-generation1';
import {
  buildColo2Command,
  buildColo2Notice,
  Colo2Message,
  Colo2Type,
  ColoMode,
} from '../../../src/netlink/colo-generation2';
import { MessageReader } from '../../../src/netlink/message';

const PID = 0x12345678;
const golden = HOST_LITTLE_ENDIAN ? describe : describe.skip;

/** Every byte that a builder does not write shows up as a5. */
function built(write: (b: MessageBuilder) => MessageBuilder): string {
  const buf = Buffer.alloc(128, 0xa5);
  return Buffer.from(write(new MessageBuilder(buf)).finish()).toString('hex');
}

function hex(text: string): string {
  return text.replace(/[\s|]/g, '');
}

golden('generation 1', () => {
  const commands: [string, () => string, string][] = [
    [
      'INIT',
      () => built((b) => buildColo1Command(b, Colo1Type.PROXY_INIT, 1, true)),
      '10000000 1400 0500 00000000 01000000',
    ],
    [
      'CHECKPOINT',
      () => built((b) => buildColo1Command(b, Colo1Type.CHECKPOINT, 1, false)),
      '10000000 1200 0100 00000000 01000000',
    ],
    [
      'FAILOVER',
      () => built((b) => buildColo1Command(b, Colo1Type.FAILOVER, 9, false)),
      '10000000 1300 0100 00000000 09000000',
    ],
    [
      'RESET',
      () => built((b) => buildColo1Command(b, Colo1Type.PROXY_RESET, 1, false)),
      '10000000 1500 0100 00000000 01000000',
    ],
    ['notice', () => built((b) => buildColo1Notice(b, true, 0, 1)), '11000000 1100 0000 00000000 01000000 | 01 000000'],
    [
      'answer to a question',
      () => built((b) => buildColo1Notice(b, false, 7, 1)),
      '11000000 1100 0000 07000000 01000000 | 00 000000',
    ],
  ];
  test.each(commands)('%s', (_name, build, bytes) => {
    expect(build()).toBe(hex(bytes));
  });

  test('the notice reads back, with and without its padding', () => {
    for (const bytes of ['1100000011000000000000000100000001', '1100000011000000000000000100000001000000']) {
      const buf = Buffer.from(bytes, 'hex');
      const reader = new MessageReader(buf);
      expect(reader.next()).toBe(true);
      expect(readColo1Notice(buf, reader)).toBe(true);
      expect(reader.next()).toBe(false);
      expect(reader.error).toBeUndefined();
    }
  });

  test('the types of the generation', () => {
    expect([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16].map(isColo1Type)).toEqual([
      false,
      true,
      true,
      true,
      true,
      true,
      false,
    ]);
  });
});

golden('generation 2', () => {
  const commands: [string, () => string, string][] = [
    [
      'INIT primary',
      () => built((b) => buildColo2Command(b, Colo2Type.PROXY_INIT, ColoMode.PRIMARY, PID, true)),
      '1c000000 030c 0500 00000000 78563412 | 00 00 0001 | 0500 0100 01 000000',
    ],
    [
      'DO_CHECKPOINT primary',
      () => built((b) => buildColo2Command(b, Colo2Type.DO_CHECKPOINT, ColoMode.PRIMARY, PID, false)),
      '1c000000 010c 0100 00000000 78563412 | 00 00 0001 | 0500 0100 01 000000',
    ],
    [
      'DO_FAILOVER secondary',
      () => built((b) => buildColo2Command(b, Colo2Type.DO_FAILOVER, ColoMode.SECONDARY, PID, false)),
      '1c000000 020c 0100 00000000 78563412 | 00 00 0001 | 0500 0100 02 000000',
    ],
    [
      'KERNEL_NOTIFY',
      () => built((b) => buildColo2Notice(b, PID)),
      '1c000000 000c 0000 00000000 78563412 | 00 00 0000 | 0800 0100 00000001',
    ],
    [
      'PROXY_RESET without a mode',
      () => built((b) => buildColo2Command(b, Colo2Type.PROXY_RESET, undefined, PID, false)),
      '14000000 040c 0100 00000000 78563412 | 00 00 0001',
    ],
  ];
  test.each(commands)('%s', (_name, build, bytes) => {
    expect(build()).toBe(hex(bytes));
  });

  function command(bytes: string): { mode: ColoMode | undefined; error: string | undefined } {
    const buf = Buffer.from(hex(bytes), 'hex');
    const reader = new MessageReader(buf);
    expect(reader.next()).toBe(true);
    const message = new Colo2Message();
    const error = message.readCommand(buf, reader);
    return { mode: message.mode, error: error?.message };
  }

  test('the mode reads back, whatever other attributes there are', () => {
    expect(command('1c000000 030c 0500 00000000 78563412 00000001 05000100 01000000').mode).toBe(ColoMode.PRIMARY);
    expect(
      command('28000000 030c 0500 00000000 78563412 00000001 0c006300 1122334455667788 05000100 02000000').mode,
    ).toBe(2);
  });

  test('padding after the last attribute may be missing', () => {
    expect(command('19000000 030c 0500 00000000 78563412 00000001 05000100 01')).toEqual({ mode: 1, error: undefined });
  });

  const wrong: [string, string, RegExp][] = [
    ['no nfgenmsg', '10000000 030c 0500 00000000 78563412', /no room for nfgenmsg at byte 16 \(EINVAL\)/],
    ['mode 3', '1c000000 030c 0500 00000000 78563412 00000001 05000100 03000000', /mode 3 is not 0, 1 or 2/],
    [
      'mode of 4 bytes',
      '1c000000 030c 0500 00000000 78563412 00000001 08000100 01000000',
      /attribute 1 has 4 bytes, not 1/,
    ],
    ['mode of 0 bytes', '18000000 030c 0500 00000000 78563412 00000001 04000100', /attribute 1 has 0 bytes, not 1/],
    [
      'attribute longer than the message',
      '1c000000 030c 0500 00000000 78563412 00000001 09000100 01000000',
      /nla_len 9 of 8 bytes at byte 20/,
    ],
    [
      'attribute shorter than its header',
      '1c000000 030c 0500 00000000 78563412 00000001 03000100 01000000',
      /nla_len 3 is shorter/,
    ],
    [
      'half an attribute header',
      '16000000 030c 0500 00000000 78563412 00000001 0500',
      /2 bytes left, an attribute header has 4/,
    ],
  ];
  test.each(wrong)('%s is an error with its place', (_name, bytes, message) => {
    expect(command(bytes).error).toMatch(message);
  });

  test('the notice reads back', () => {
    const buf = Buffer.from('1c000000000c000000000000785634120000000008000100ffffffff', 'hex');
    const reader = new MessageReader(buf);
    expect(reader.next()).toBe(true);
    const message = new Colo2Message();
    expect(message.readNotice(buf, reader)).toBeUndefined();
    expect(message.compareResult).toBe(-1);
  });
});
