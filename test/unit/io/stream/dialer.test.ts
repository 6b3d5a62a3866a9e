import { constants } from 'node:os';
import type { OperatorError } from '../../../../src/core/errors';
import type { Descriptor } from '../../../../src/io/descriptor';
import { Dialer, type RedialDelays } from '../../../../src/io/stream/dialer';
import { parseEndpoint } from '../../../../src/io/stream/endpoint';
import { FakeKernel } from './fake-kernel';

let kernel: FakeKernel;
jest.mock('../../../../src/native/addon', () => ({ addon: () => kernel.addon }));
let addresses: string[] = [];
jest.mock('node:dns/promises', () => ({
  lookup: async () => {
    if (addresses.length === 0) throw Object.assign(new Error('no'), { code: 'ENOTFOUND' });
    return addresses.map((address) => ({ address }));
  },
}));

const { EAGAIN, EINPROGRESS, ECONNREFUSED, ENOENT, ENETUNREACH } = constants.errno;

beforeEach(() => {
  kernel = new FakeKernel();
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

function dialer(text: string, delays?: RedialDelays) {
  const peers: Descriptor[] = [];
  const failures: OperatorError[] = [];
  const made = new Dialer(
    parseEndpoint(text),
    { onPeer: (socket) => void peers.push(socket), onUnreachable: (why) => void failures.push(why) },
    delays,
  );
  return { dialer: made, peers, failures, codes: () => failures.map(({ code }) => code) };
}

const where = (): string[] => kernel.dialled.map((each) => each.where);
/** What a promise has put off. */
const settle = (): Promise<void> => jest.advanceTimersByTimeAsync(0);

test('the server is there: its socket is handed over, from the event loop', () => {
  const t = dialer('unix:/run/s');
  t.dialer.dial();
  expect(t.peers).toEqual([]);
  kernel.turn();
  expect([t.peers.length, t.failures, jest.getTimerCount()]).toEqual([1, [], 0]);
  expect(kernel.watched(t.peers[0]!.fd)).toEqual({ readable: true, writable: false });
  t.dialer.close();
  expect(t.peers[0]!.closed).toBe(false);
});

test('each address of a name is tried in turn, and the name is looked up anew', async () => {
  addresses = ['192.0.2.1', '2001:db8::1', '192.0.2.2'];
  const t = dialer('tcp:host:7000', { firstMs: 100, mostMs: 100 });
  kernel.connectErrors = [-ENETUNREACH];
  kernel.answer = -EINPROGRESS;
  t.dialer.dial();
  await settle();
  expect(where()).toEqual(['192.0.2.1 7000', '2001:db8::1 7000']);
  kernel.turn();
  kernel.dialled[1]!.socket.connected = -ECONNREFUSED;
  kernel.turn();
  expect([where().length, kernel.dialled[1]!.socket.closed, t.failures]).toEqual([3, true, []]);
  kernel.dialled[2]!.socket.connected = -ECONNREFUSED;
  kernel.turn();
  expect(t.codes()).toEqual(['ECONNREFUSED']);
  addresses = ['192.0.2.9'];
  kernel.answer = 0;
  await jest.advanceTimersByTimeAsync(100);
  kernel.turn();
  expect([where().at(-1), t.peers.length]).toEqual(['192.0.2.9 7000', 1]);
});

test('a name that nobody has is a failure like another', async () => {
  addresses = [];
  const t = dialer('tcp:host:7000');
  t.dialer.dial();
  await settle();
  expect([t.codes(), t.failures[0]!.message]).toEqual([['ENOTFOUND'], expect.stringContaining('host has no address')]);
});

test('a server that does not answer at all is given up', () => {
  const t = dialer('unix:/run/s');
  kernel.answer = -EINPROGRESS;
  t.dialer.dial();
  kernel.turn();
  jest.advanceTimersByTime(9_999);
  expect(t.failures).toEqual([]);
  jest.advanceTimersByTime(1);
  expect([t.codes(), kernel.dialled[0]!.socket.closed]).toEqual([['ETIMEDOUT'], true]);
});

test('without delays it does not dial again, until it is told to', () => {
  const t = dialer('unix:/run/s');
  kernel.connectErrors = [-ENOENT];
  t.dialer.dial();
  expect([t.codes(), t.failures[0]!.hint, t.dialer.redial()]).toEqual([
    ['ENOENT'],
    expect.stringContaining('reconnect'),
    false,
  ]);
  expect(jest.getTimerCount()).toBe(0);
  t.dialer.dial();
  kernel.turn();
  expect(t.peers).toHaveLength(1);
});

test('the delay doubles up to its bound, and begins anew when the server has answered', () => {
  const t = dialer('unix:/run/s', { firstMs: 100, mostMs: 350 });
  kernel.connectErrors = Array.from({ length: 6 }, () => -ENOENT);
  t.dialer.dial();
  for (const [i, ms] of [100, 200, 350, 350].entries()) {
    jest.advanceTimersByTime(ms - 1);
    expect(where()).toHaveLength(i + 1);
    jest.advanceTimersByTime(1);
    expect(where()).toHaveLength(i + 2);
  }
  jest.advanceTimersByTime(350 + 350);
  kernel.turn();
  expect([t.failures.length, t.peers.length]).toEqual([6, 1]);
  // It has gone again.
  expect(t.dialer.redial()).toBe(true);
  kernel.connectErrors = [-ENOENT];
  jest.advanceTimersByTime(100);
  expect(t.failures).toHaveLength(7);
  jest.advanceTimersByTime(100);
  kernel.turn();
  expect(t.peers).toHaveLength(2);
});

test('a Unix server whose backlog is full is waited for, without a word', () => {
  const t = dialer('unix:/run/s');
  kernel.connectErrors = [-EAGAIN, -EAGAIN];
  t.dialer.dial();
  jest.advanceTimersByTime(400);
  kernel.turn();
  expect([where().length, t.failures, t.peers.length]).toEqual([3, [], 1]);
});

test('TCP’s EAGAIN (no port left) is a failure', () => {
  const t = dialer('tcp:127.0.0.1:7000');
  kernel.connectErrors = [-EAGAIN];
  t.dialer.dial();
  return settle().then(() => expect(t.codes()).toEqual(['EAGAIN']));
});

describe('close() ends it in every state', () => {
  test('resolving', async () => {
    addresses = ['192.0.2.1'];
    const t = dialer('tcp:host:7000', { firstMs: 1, mostMs: 1 });
    t.dialer.dial();
    t.dialer.close();
    await settle();
    expect([where(), jest.getTimerCount()]).toEqual([[], 0]);
  });

  test('connecting', () => {
    const t = dialer('unix:/run/s', { firstMs: 1, mostMs: 1 });
    kernel.answer = -EINPROGRESS;
    t.dialer.dial();
    t.dialer.close();
    t.dialer.close();
    kernel.turn();
    expect([kernel.dialled[0]!.socket.closed, t.peers, t.failures, jest.getTimerCount()]).toEqual([true, [], [], 0]);
  });

  test('waiting', () => {
    const t = dialer('unix:/run/s', { firstMs: 1, mostMs: 1 });
    kernel.connectErrors = [-ENOENT];
    t.dialer.dial();
    t.dialer.close();
    expect(jest.getTimerCount()).toBe(0);
  });

  test('in onUnreachable', () => {
    const t = new Dialer(
      parseEndpoint('unix:/run/s'),
      { onPeer: () => {}, onUnreachable: () => t.close() },
      { firstMs: 1, mostMs: 1 },
    );
    kernel.connectErrors = [-ENOENT];
    t.dial();
    expect(jest.getTimerCount()).toBe(0);
  });
});

test('who is dialling does not dial', () => {
  const t = dialer('unix:/run/s', { firstMs: 1, mostMs: 1 });
  kernel.connectErrors = [-ENOENT];
  t.dialer.dial();
  expect(() => t.dialer.dial()).toThrow('not dialling already');
  expect(() => t.dialer.redial()).toThrow('not dialling already');
});
