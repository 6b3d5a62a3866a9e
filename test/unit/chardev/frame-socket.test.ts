// Frames off a real Chardev on a made-up kernel, cut anywhere; lengths that cannot be; what is logged.

import fc from 'fast-check';
import { Device } from '../../../src/chardev/device';
import { type FrameHandler, FrameReader, MAX_FRAME_BYTES } from '../../../src/chardev/frame';
import { FrameSocket, openChardev } from '../../../src/chardev/frame-socket';
import type { Log } from '../../../src/core/log';
import { parseEndpoint } from '../../../src/io/stream/endpoint';
import { FakeKernel, FakeSocket } from '../io/stream/fake-kernel';

let kernel: FakeKernel;
jest.mock('../../../src/native/addon', () => ({ addon: () => kernel.addon }));

beforeEach(() => {
  kernel = new FakeKernel();
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

class Lines implements Log {
  readonly lines: { level: string; fields: Record<string, unknown>; text: string }[] = [];
  info = (fields: Record<string, unknown>, text: string): void => void this.lines.push({ level: 'info', fields, text });
  warn = (fields: Record<string, unknown>, text: string): void => void this.lines.push({ level: 'warn', fields, text });
  error = (fields: Record<string, unknown>, text: string): void =>
    void this.lines.push({ level: 'error', fields, text });

  get texts(): string[] {
    return this.lines.map(({ text }) => text);
  }
}

const SERVER = 'unix:/run/s,server';
const SENSELESS = 'invalid stream: the connection is closed';

function word(value: number): Buffer {
  const buf = Buffer.alloc(4);
  buf.writeUInt32BE(value);
  return buf;
}

/** A frame as it stands in the stream. */
const framed = (text: string): Buffer => Buffer.concat([word(text.length), Buffer.from(text)]);

async function socket(text = SERVER, vnetWord = false) {
  const log = new Lines();
  const happened: string[] = [];
  const onFrame: FrameHandler = (buf, off, len) => void happened.push(buf.toString('latin1', off, off + len));
  const made = new FrameSocket('primary_in', parseEndpoint(text), log);
  made.use({
    source: new FrameReader(vnetWord, onFrame),
    turn: { begin: () => void happened.push('('), end: () => void happened.push(')') },
    onOpen: () => void happened.push('open'),
    onEnd: () => void happened.push('end'),
    onClose: () => void happened.push('close'),
    onBadFrame: () => void happened.push('bad'),
  });
  await made.stream.open();
  const dial = (): FakeSocket => {
    const peer = new FakeSocket();
    kernel.waiting.push(peer);
    kernel.turn();
    return peer;
  };
  return { log, happened, socket: made, dial };
}

test('the frames of one read come together; the rest of one comes with more', async () => {
  const t = await socket();
  const peer = t.dial();
  peer.says(Buffer.concat([framed('one'), framed('two'), framed('three').subarray(0, 6)]));
  kernel.turn();
  peer.says(framed('three').subarray(6));
  kernel.turn();
  expect(t.happened).toEqual(['open', '(', 'one', 'two', ')', '(', 'three', ')']);
});

test.each([
  ['no length', false, word(0)],
  ['a length above QEMU’s bound', false, word(MAX_FRAME_BYTES + 1)],
  ['the greatest length', false, word(0xffffffff)],
  ['a virtio-net header longer than its frame', true, Buffer.concat([word(11), word(12), Buffer.alloc(11)])],
  ['a virtio-net header longer than any', true, Buffer.concat([word(100), word(25), Buffer.alloc(100)])],
])('%s ends the connection, once; the next begins afresh', async (_what, vnetWord, bad) => {
  const t = await socket(SERVER, vnetWord);
  const good = (text: string): Buffer =>
    vnetWord ? Buffer.concat([word(text.length), word(0), Buffer.from(text)]) : framed(text);
  const peer = t.dial();
  peer.says(Buffer.concat([good('before'), bad, good('behind')]));
  for (let i = 0; i < 3; i++) kernel.turn();
  expect([t.happened, peer.closed]).toEqual([['open', '(', 'before', ')', 'bad', 'close'], true]);
  expect(t.log.texts).toEqual(['connected', SENSELESS, 'disconnected']);
  expect(t.log.lines[1]).toMatchObject({ level: 'error', fields: { device: 'primary_in', endpoint: SERVER } });
  t.dial().says(good('next'));
  kernel.turn();
  expect(t.happened.slice(6)).toEqual(['open', '(', 'next', ')']);
});

test('wherever the stream is cut: every frame before a length that cannot be, none behind it', () => {
  const frames = fc.array(
    fc.string({ maxLength: 300 }).map((text) => `frame ${text}`),
    { maxLength: 12 },
  );
  return fc.assert(
    fc.asyncProperty(
      frames,
      frames,
      fc.constantFrom(0, MAX_FRAME_BYTES + 1, 0x80000000),
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }),
      async (before, behind, length, cuts) => {
        kernel = new FakeKernel();
        const t = await socket();
        const peer = t.dial();
        const stream = Buffer.concat([...before.map(framed), word(length), ...behind.map(framed)]);
        for (let at = 0, i = 0; at < stream.length; i++) {
          const bytes = cuts[i % cuts.length]!;
          if (!peer.closed) peer.says(stream.subarray(at, at + bytes));
          kernel.turn();
          at += bytes;
        }
        const heard = t.happened.filter((what) => what !== '(' && what !== ')');
        expect(heard).toEqual(['open', ...before, 'bad', 'close']);
        t.socket.stream.close();
      },
    ),
    { numRuns: 100 },
  );
});

test('an end within a frame costs that frame only', async () => {
  const t = await socket();
  const peer = t.dial();
  peer.says(framed('cut off').subarray(0, 7));
  peer.end = 0;
  kernel.turn();
  kernel.turn();
  t.dial().says(framed('next'));
  kernel.turn();
  expect(t.happened).toEqual(['open', '(', ')', 'end', 'close', 'open', '(', 'next', ')']);
});

test('one line for all attempts until somebody is there, and again after that', async () => {
  kernel.connectErrors = [-2, -2, -2];
  const t = await socket('unix:/run/s,reconnect=1');
  jest.advanceTimersByTime(2000);
  expect(t.log.texts).toEqual(['not reached, trying again']);
  jest.advanceTimersByTime(1000);
  kernel.turn();
  kernel.dialled[3]!.socket.end = 0;
  kernel.turn();
  kernel.connectErrors = [-2, -2];
  jest.advanceTimersByTime(2000);
  expect(t.log.texts).toEqual(['not reached, trying again', 'connected', 'disconnected', 'not reached, trying again']);
});

test('a client that does not dial again says so', async () => {
  const log = new Lines();
  const made = new FrameSocket('guest', parseEndpoint('unix:/run/s'), log, { kind: 'port' });
  const opened = made.stream.open();
  kernel.turn();
  await opened;
  made.stream.disconnect('a reason');
  expect(log.lines.at(-1)).toEqual({
    level: 'warn',
    fields: { port: 'guest', endpoint: 'unix:/run/s', why: 'a reason' },
    text: 'disconnected for good: the endpoint has no reconnect',
  });
});

test('a device that nobody reads from throws away, and counts; it has one user', async () => {
  const device = new Device('c0', parseEndpoint(SERVER), new Lines(), openChardev);
  await device.stream.open();
  const peer = new FakeSocket();
  kernel.waiting.push(peer);
  kernel.turn();
  device.claim('m0');
  peer.says('anything');
  kernel.turn();
  expect(device.report()).toMatchObject({ id: 'c0', user: 'm0', connected: true, discardedBytes: 8, bytesIn: 8 });
  expect(() => device.claim('m1')).toThrow("Device 'c0' is in use");
});
