import { constants } from 'node:os';
import { Chardev, parseEndpoint } from '../../../../src/io/stream/chardev';
import { FakeKernel, FakeSocket } from './fake-kernel';

let kernel: FakeKernel;
jest.mock('../../../../src/native/addon', () => ({ addon: () => kernel.addon }));

const { ENOENT, EPIPE } = constants.errno;

beforeEach(() => {
  kernel = new FakeKernel();
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

function chardev(text: string, onClose: (device: Chardev) => void = () => {}) {
  const happened: string[] = [];
  const device: Chardev = new Chardev(
    parseEndpoint(text),
    {
      onOpen: () => void happened.push('open'),
      onData: (buf, from, to) => {
        happened.push(buf.toString('latin1', from, to));
        return to - from;
      },
      onClose: (why) => {
        happened.push(`close: ${why}`);
        onClose(device);
      },
      onUnreachable: () => void happened.push('unreachable'),
    },
    { receiveBytes: 64, sendBytes: 64 },
  );
  return { device, happened };
}

const GONE = 'close: the peer has closed the connection';

test('a server has one peer at a time; buffers, counters and a pause outlive it', async () => {
  const t = chardev('unix:/run/s,server');
  await t.device.open();
  const [first, second] = [new FakeSocket(), new FakeSocket()];
  kernel.waiting.push(first, second);
  kernel.turn();
  kernel.turn();
  expect([t.happened, kernel.waiting.length]).toEqual([['open'], 1]);
  const { out, unread } = t.device;
  t.device.pause(true);
  first.room = 0;
  t.device.write(Buffer.from('lost'), 0, 4);
  t.device.disconnect('enough');
  expect([t.device.backlogBytes, t.device.connected, first.closed]).toEqual([0, false, true]);
  second.says('second');
  for (let i = 0; i < 3; i++) kernel.turn();
  expect(t.happened).toEqual(['open', 'close: enough', 'open']);
  t.device.pause(false);
  kernel.turn();
  t.device.write(Buffer.from('heard'), 0, 5);
  expect([t.happened.at(-1), second.heard, t.device.out === out, t.device.unread === unread]).toEqual([
    'second',
    'heard',
    true,
    true,
  ]);
  expect(t.device.counters).toEqual({ bytesIn: 6, bytesOut: 5, reads: 1, writes: 2, connections: 2 });
});

test('without a peer nothing is taken, and nothing is there', async () => {
  const t = chardev('unix:/run/s,server');
  await t.device.open();
  const { device } = t;
  expect([device.reserve(1), device.write(Buffer.alloc(1), 0, 1), device.fill(), device.spin(device, 1)]).toEqual([
    -1,
    false,
    false,
    false,
  ]);
  device.commit(1);
  device.flush();
  device.deliverUnread();
  device.drain(10);
  device.disconnect('nobody');
  device.consume(0);
  expect(() => device.consume(1)).toThrow('takes no more than there is');
  expect(t.happened).toEqual([]);
});

test('a client with reconnect dials again when its peer has gone', async () => {
  const t = chardev('unix:/run/s,reconnect=0.5');
  kernel.connectErrors = [-ENOENT];
  await t.device.open();
  expect(t.happened).toEqual(['unreachable']);
  jest.advanceTimersByTime(500);
  kernel.turn();
  kernel.dialled[1]!.socket.end = 0;
  kernel.turn();
  expect(t.happened).toEqual(['unreachable', 'open', GONE]);
  jest.advanceTimersByTime(500);
  kernel.turn();
  expect([t.happened.at(-1), kernel.dialled.length]).toEqual(['open', 3]);
});

test('a client without ends with its peer, and rejects where there is none', async () => {
  const t = chardev('unix:/run/s');
  const opened = t.device.open();
  kernel.turn();
  await opened;
  kernel.dialled[0]!.socket.sendError = EPIPE;
  t.device.write(Buffer.alloc(1), 0, 1);
  jest.runAllTimers();
  kernel.turn();
  expect([t.happened.length, kernel.dialled.length, jest.getTimerCount()]).toEqual([2, 1, 0]);
  await expect(t.device.open()).rejects.toThrow('opened once');
  const nobody = chardev('unix:/run/s');
  kernel.connectErrors = [-ENOENT];
  await expect(nobody.device.open()).rejects.toMatchObject({ code: 'ENOENT' });
});

test('closed by its owner in onClose it stays closed', async () => {
  for (const text of ['unix:/run/s,reconnect=0.5', 'unix:/run/s,server']) {
    const t = chardev(text, (device) => device.close());
    const opened = t.device.open();
    kernel.waiting.push(new FakeSocket());
    kernel.turn();
    await opened;
    kernel.turn();
    t.device.disconnect('now');
    kernel.waiting.push(new FakeSocket());
    jest.advanceTimersByTime(10_000);
    kernel.turn();
    expect([text, t.happened]).toEqual([text, ['open', 'close: now']]);
    kernel.waiting = [];
  }
});

test('close() while it dials settles open()', async () => {
  const t = chardev('unix:/run/s');
  const opened = t.device.open();
  t.device.close();
  await opened;
  kernel.turn();
  expect(t.happened).toEqual([]);
});
