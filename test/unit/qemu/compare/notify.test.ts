import { FrameReader } from '../../../../src/chardev/frame';
import { HELLO_MS, NotifyProtocol } from '../../../../src/qemu/compare/notify';

class Line {
  readonly out = Buffer.alloc(1 << 12);
  readonly heard: string[] = [];
  written = 0;
  open = true;
  readonly protocol: NotifyProtocol;
  private readonly reader: FrameReader;

  constructor(vnetWord: boolean) {
    this.protocol = new NotifyProtocol(this, {
      onInit: () => this.heard.push('init'),
      onCheckpoint: () => this.heard.push('checkpoint'),
      onUnknown: (text) => this.heard.push(`unknown ${text}`),
    });
    this.reader = new FrameReader(
      vnetWord,
      (buf, off, len, vnetBytes) => this.protocol.frame(buf, off + vnetBytes, len - vnetBytes),
      true,
    );
  }

  reserve(): number {
    return this.open ? this.written : -1;
  }
  commit(bytes: number): void {
    this.written += bytes;
  }
  say(bytes: string): void {
    const buf = Buffer.from(bytes, 'latin1');
    expect(this.reader.read(buf, 0, buf.length)).toBe(buf.length);
  }
  said(): string {
    const text = this.out.toString('latin1', 0, this.written);
    this.written = 0;
    return text;
  }
}

test('the bytes of a conversation', () => {
  const line = new Line(false);
  line.say('\0\0\0\x19COLO_USERSPACE_PROXY_INIT');
  expect(line.said()).toBe('\0\0\0\x19COLO_COMPARE_GET_XEN_INIT');
  expect(line.protocol.ask(0)).toBe(true);
  expect(line.said()).toBe('\0\0\0\x0dDO_CHECKPOINT');
  line.say('\0\0\0\x0fCOLO_CHECKPOINT');
  expect(line.said()).toBe('');
  expect(line.heard).toEqual(['init', 'checkpoint']);
});

test('with vnet_hdr_support what comes has a second word, what goes has none', () => {
  const line = new Line(true);
  line.say('\0\0\0\x19\0\0\0\0COLO_USERSPACE_PROXY_INIT\0\0\0\x0f\0\0\0\0COLO_CHECKPOINT');
  expect(line.heard).toEqual(['init', 'checkpoint']);
  expect(line.said()).toBe('\0\0\0\x19COLO_COMPARE_GET_XEN_INIT');
});

test('a controller that does not know of the second word is understood', () => {
  const line = new Line(true);
  line.say('\0\0\0\x19COLO_USERSPACE_PROXY_INIT\0\0\0\x0fCOLO_CHECKPOINT\0\0\0\x0f\0\0\0\0COLO_CHECKPOINT');
  expect(line.heard).toEqual(['init', 'checkpoint', 'checkpoint']);
});

test.each([
  'COLO_CHECKPOIN',
  'COLO_CHECKPOINT\0',
  'COLO_CHECKPOINTS',
  'colo_checkpoint',
  'DO_CHECKPOINT',
  'COLO_USERSPACE_PROXY_INIT ',
])('%j is not understood, and ignored', (text) => {
  const line = new Line(false);
  line.say(`\0\0\0${String.fromCharCode(text.length)}${text}`);
  expect(line.heard).toEqual([`unknown ${text}`]);
  expect(line.said()).toBe('');
});

test('a long text is shown in part only', () => {
  const line = new Line(false);
  line.say(`\0\0\x01\0${'x'.repeat(256)}`);
  expect(line.heard).toEqual([`unknown ${'x'.repeat(64)}`]);
});

test('who cannot be told is not told', () => {
  const line = new Line(false);
  line.open = false;
  expect(line.protocol.ask(0)).toBe(false);
});

describe('a controller that has just connected', () => {
  const opened = (): Line => {
    const line = new Line(false);
    line.protocol.opened(1000);
    expect(line.protocol.ask(1001)).toBe(true);
    expect([line.said(), line.protocol.owes(1001 + HELLO_MS / 2)]).toEqual(['', false]);
    return line;
  };
  const HELLO = '\0\0\0\x19COLO_USERSPACE_PROXY_INIT';
  const ASKED = '\0\0\0\x0dDO_CHECKPOINT';

  test('is asked for a checkpoint once its hello is answered', () => {
    const line = opened();
    line.say(HELLO);
    expect([line.said(), line.protocol.owes(1002)]).toEqual(['\0\0\0\x19COLO_COMPARE_GET_XEN_INIT', true]);
    expect([line.protocol.ask(1002), line.said(), line.protocol.owes(1002)]).toEqual([true, ASKED, false]);
  });

  test('and one that says none, after a time', () => {
    const line = opened();
    expect(line.protocol.owes(1000 + HELLO_MS)).toBe(true);
    expect([line.protocol.ask(1000 + HELLO_MS), line.said()]).toEqual([true, ASKED]);
  });

  test('but not when it has made one, or is gone', () => {
    const line = opened();
    line.say('\0\0\0\x0fCOLO_CHECKPOINT');
    expect(line.protocol.owes(1000 + HELLO_MS)).toBe(false);
    const gone = opened();
    gone.protocol.closed();
    gone.open = false;
    expect([gone.protocol.owes(5000), gone.protocol.ask(1001)]).toEqual([false, false]);
  });
});
