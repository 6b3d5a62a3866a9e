import { constants } from 'node:os';
import fc from 'fast-check';
import type { Descriptor } from '../../../../src/io/descriptor';
import { parseEndpoint } from '../../../../src/io/stream/endpoint';
import { Listener } from '../../../../src/io/stream/listener';
import { FakeKernel, FakeSocket } from './fake-kernel';

let kernel: FakeKernel;
jest.mock('../../../../src/native/addon', () => ({ addon: () => kernel.addon }));

const { EMFILE } = constants.errno;
/** The fake's first. */
const LISTENER_FD = 3;

beforeEach(() => {
  kernel = new FakeKernel();
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

interface Peer {
  socket: Descriptor;
  end: () => void;
}

async function listening(maxPeers: number, text = 'unix:/run/s,server') {
  const peers: Peer[] = [];
  const listener = new Listener(
    parseEndpoint(text),
    (socket, gone) => {
      const end = (): void => {
        peers.splice(peers.indexOf(peer), 1);
        socket.close();
        gone();
      };
      const peer = { socket, end };
      peers.push(peer);
    },
    { maxPeers },
  );
  await listener.open();
  const dial = (times: number): void => {
    for (let i = 0; i < times; i++) kernel.waiting.push(new FakeSocket());
  };
  return { listener, peers, dial };
}

test('many peers at once, and who comes above the bound waits until one has gone', async () => {
  const t = await listening(3);
  t.dial(5);
  kernel.turn();
  kernel.turn();
  expect([t.peers.length, t.listener.peerCount, kernel.waiting.length, t.listener.counters]).toEqual([
    3,
    3,
    2,
    { accepted: 3, full: 1, exhausted: 0 },
  ]);
  expect(kernel.watched(LISTENER_FD).readable).toBe(false);
  t.peers[1]!.end();
  expect(t.peers).toHaveLength(2);
  kernel.turn();
  expect([t.peers.length, kernel.waiting.length]).toEqual([3, 1]);
  for (const peer of [...t.peers]) peer.end();
  kernel.turn();
  expect([t.peers.length, kernel.waiting.length, t.listener.counters.accepted]).toEqual([1, 0, 5]);
});

test('those who dial cannot starve those who are there', async () => {
  const t = await listening(1000);
  t.dial(100);
  kernel.turn();
  expect(t.peers).toHaveLength(16);
});

test('a peer that goes at once makes room in the same turn', async () => {
  const seen: Descriptor[] = [];
  const listener = new Listener(
    parseEndpoint('unix:/run/s,server'),
    (socket, gone) => {
      seen.push(socket);
      socket.close();
      gone();
    },
    { maxPeers: 1 },
  );
  await listener.open();
  for (let i = 0; i < 3; i++) kernel.waiting.push(new FakeSocket());
  kernel.turn();
  kernel.turn();
  kernel.turn();
  expect([seen.length, listener.peerCount]).toEqual([3, 0]);
});

test('without a descriptor left it rests, and does not spin', async () => {
  const t = await listening(10);
  kernel.acceptErrors = [-EMFILE, -EMFILE];
  t.dial(1);
  kernel.turn();
  kernel.turn();
  kernel.turn();
  expect([t.peers.length, t.listener.counters.exhausted]).toEqual([0, 1]);
  jest.advanceTimersByTime(200);
  kernel.turn();
  expect(t.listener.counters.exhausted).toBe(2);
  jest.advanceTimersByTime(200);
  kernel.turn();
  expect(t.peers).toHaveLength(1);
});

test('a peer that goes leaves its descriptor to the next', async () => {
  const t = await listening(10);
  t.dial(1);
  kernel.turn();
  kernel.acceptErrors = [-EMFILE];
  t.dial(1);
  kernel.turn();
  t.peers[0]!.end();
  expect(jest.getTimerCount()).toBe(0);
  kernel.turn();
  expect([t.peers.length, t.listener.counters]).toEqual([1, { accepted: 2, full: 0, exhausted: 1 }]);
});

test('close() takes nobody any more, and leaves the peers', async () => {
  const t = await listening(2);
  t.dial(3);
  kernel.turn();
  t.listener.close();
  t.peers[0]!.end();
  t.listener.close();
  kernel.turn();
  expect([kernel.unlinked, t.peers.length, t.peers[0]!.socket.closed, kernel.waiting.length]).toEqual([
    ['/run/s'],
    1,
    false,
    1,
  ]);
});

test('closed while it rests, or before it is open', async () => {
  const t = await listening(2);
  kernel.acceptErrors = [-EMFILE];
  t.dial(1);
  kernel.turn();
  t.listener.close();
  expect(jest.getTimerCount()).toBe(0);
  const early = new Listener(parseEndpoint('tcp:127.0.0.1:0,server'), () => {}, { maxPeers: 1 });
  const opened = early.open();
  early.close();
  await opened;
  expect(early.port).toBe(0);
});

test('a peer goes once, and a listener is opened once', async () => {
  const ends: (() => void)[] = [];
  const listener = new Listener(parseEndpoint('unix:/run/s,server'), (_socket, end) => ends.push(end), { maxPeers: 1 });
  await listener.open();
  kernel.waiting.push(new FakeSocket());
  kernel.turn();
  ends[0]!();
  expect(() => ends[0]!()).toThrow('goes once');
  await expect(listener.open()).rejects.toThrow('opened once');
});

test('whoever comes, goes and fails: never more than the bound, and nobody waits who could be there', () => {
  const step = fc.oneof(
    fc.record({ dial: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ end: fc.nat(10) }),
    fc.record({ exhausted: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ turn: fc.boolean() }),
  );
  return fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), async (most, steps) => {
      kernel = new FakeKernel();
      const t = await listening(most);
      for (const s of steps) {
        if ('dial' in s) t.dial(s.dial);
        if ('end' in s && t.peers.length > 0) t.peers[s.end % t.peers.length]!.end();
        if ('exhausted' in s) kernel.acceptErrors = Array.from({ length: s.exhausted }, () => -EMFILE);
        if ('turn' in s) kernel.turn();
        expect([t.peers.length <= most, t.listener.peerCount]).toEqual([true, t.peers.length]);
      }
      for (let i = 0; i < 10; i++) {
        jest.advanceTimersByTime(200);
        for (let j = 0; j < 5; j++) kernel.turn();
      }
      expect(kernel.waiting.length === 0 || t.peers.length === most).toBe(true);
      t.listener.close();
    }),
    { numRuns: 100 },
  );
});
