// In which order a secondary node reads its queues and acts on its engine, and what becomes of each packet.

import { type PortState, type QueuedPacket, queuedPacket } from '../../../src/node/ports';
import { type SecondaryEngineFace, SecondaryNode } from '../../../src/node/secondary';
import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { FakeClock } from '../../lib/fake-clock';

function fixture(aloneUntilReset = false) {
  const done: string[] = [];
  const clock = new FakeClock();
  const port = { state: 'up' as PortState };
  const engine = {
    failedOver: false,
    undecided: false,
    living: 0,
    verdict: SecondaryVerdict.Accept as SecondaryVerdict,
    link: { macHigh: 0, macLow: 0, outerTag: 0, innerTag: 0 },
    counters: { snapshot: () => ({ checkpoints_missed: 0 }) },
    checkpoint: () => void done.push('checkpoint'),
    failover() {
      const first = !engine.failedOver;
      engine.failedOver = true;
      done.push('failover');
      return first;
    },
    reset() {
      engine.failedOver = false;
      done.push('reset');
    },
    decide(missed: boolean) {
      engine.undecided = false;
      done.push(`decides ${missed}`);
    },
    tick: () => {},
    nextToAsk: () => -1,
    writeQuestion: () => 0,
    zone: -1,
    fromPeer(...[, , , , , zone]: Parameters<SecondaryEngineFace['fromPeer']>) {
      engine.zone = zone!;
      return engine.verdict;
    },
    fromGuest: (...all: Parameters<SecondaryEngineFace['fromGuest']>) => engine.fromPeer(...all),
  };
  const queue = (name: string) => ({
    accept: (id: number) => void done.push(`${name} accepts ${id}`),
    acceptRewritten: (id: number, buf: Buffer, off: number, len: number) =>
      void done.push(`${name} rewrites ${id} ${buf.toString('latin1', off, off + len)}`),
    drop: (id: number) => void done.push(`${name} drops ${id}`),
    drain: () => void done.push(`read ${name}`),
    flush: () => {},
    showWhole: (on: boolean) => void done.push(on ? 'whole' : 'headers'),
  });
  const guest = queue('guest');
  const forward = queue('peers');
  const say = () => {};
  const node = new SecondaryNode(engine as unknown as SecondaryEngineFace, {
    clock,
    guest: () => guest,
    forward: () => forward,
    watch: { portState: (told) => told(port.state) },
    log: { info: say, warn: say, error: say },
    toGuest: () => {},
    aloneUntilReset,
    checkpointed: () => void done.push('checkpointed'),
    tookOver: () => void done.push('took over'),
    forgotten: () => void done.push('forgotten'),
  });
  const since = (): string[] => done.splice(0);
  return { node, engine, clock, port, since };
}

function packet(over: Partial<QueuedPacket> = {}): QueuedPacket {
  return { ...queuedPacket(), id: 9, buf: Buffer.from('..packet..'), off: 2, len: 6, originalLen: 6, ...over };
}

test('a checkpoint: what the guest has sent before it belongs to the time before', () => {
  const { node, since } = fixture();
  node.checkpoint();
  expect(since()).toEqual(['read guest', 'checkpoint', 'checkpointed']);
});

test('a failover: nothing is read before it, as what waits may have to wait on; once', () => {
  const { node, since } = fixture();
  expect(node.failover()).toBe(true);
  expect(since()).toEqual(['failover', 'whole', 'took over']);
  expect(node.failover()).toBe(false);
  expect(since()).toEqual(['failover']);
});

test('a guest that stands still: what it has said is read, and nothing after that at the checkpoint', () => {
  const { node, since } = fixture();
  node.guestStopped();
  node.checkpoint();
  node.guestRuns();
  expect(since()).toEqual(['read guest', 'checkpoint', 'checkpointed']);
  node.checkpoint();
  expect(since()).toEqual(['read guest', 'checkpoint', 'checkpointed']);
});

test.each([true, false])('a failover of a guest that stands still (%p), which nobody has explained', (stopped) => {
  const { node, engine, clock, since } = fixture();
  node.guestStopped();
  if (!stopped) node.guestRuns();
  since();
  engine.undecided = true;
  node.failover();
  expect(since()).toEqual([...(stopped ? ['checkpoint'] : []), 'failover', 'whole', 'took over']);
  clock.run(300);
  expect(since()).toEqual([`decides ${stopped}`]);
});

test.each<[SecondaryVerdict, number, string]>([
  [SecondaryVerdict.Accept, 6, 'accepts 9'],
  [SecondaryVerdict.AcceptRewritten, 6, 'rewrites 9 packet'],
  [SecondaryVerdict.Drop, 6, 'drops 9'],
  [SecondaryVerdict.Accept, 4, 'accepts 9'],
  // It was cut before the failover, and cannot be rewritten.
  [SecondaryVerdict.AcceptRewritten, 4, 'drops 9'],
])('a packet with verdict %d, %d of 6 bytes at hand', (verdict, len, expected) => {
  const { node, engine, since } = fixture();
  engine.verdict = verdict;
  node.fromPeers.packet(packet({ len }));
  node.fromGuest.packet(packet({ len, macHigh: 5, macLow: 6, outerTag: 7, innerTag: 8, zone: 9 }));
  expect(since()).toEqual([`peers ${expected}`, `guest ${expected}`]);
  expect([engine.link, engine.zone]).toEqual([{ macHigh: 5, macLow: 6, outerTag: 7, innerTag: 8 }, 9]);
});

test('what waits for the guest’s numbers gets its verdict when they are known, from a copy', () => {
  const { node, engine, since } = fixture();
  engine.undecided = true;
  engine.verdict = SecondaryVerdict.Wait;
  const p = packet();
  node.fromPeers.packet(p);
  p.buf.fill('x');
  expect(since()).toEqual([]);
  engine.undecided = false;
  engine.verdict = SecondaryVerdict.AcceptRewritten;
  node.fromGuest.endBatch();
  expect(since()).toEqual(['peers rewrites 9 packet']);
});

test('a controller that goes without a word: translated both ways when the guest lives, and the network is left alone', () => {
  const { node, clock, since } = fixture();
  node.controllerLost();
  clock.run(400);
  expect(since()).toEqual(['failover', 'whole']);
  expect([node.state, node.failedOver]).toEqual(['failed-over', false]);
  expect(node.failover()).toBe(true);
  expect(since()).toEqual(['failover', 'whole', 'took over']);
  expect(node.failedOver).toBe(true);
});

test('it is asked for its numbers then, too, though no peer speaks: what it sends is dropped till they are known', () => {
  const { node, engine, clock, since } = fixture();
  engine.undecided = true;
  node.controllerLost();
  clock.run(1000);
  expect(since()).toEqual(['failover', 'whole', 'decides false']);
});

test.each<[string, (f: ReturnType<typeof fixture>) => unknown]>([
  ['the guest is dead, too', ({ port }) => Object.assign(port, { state: 'gone' })],
  ['its successor comes', ({ node }) => node.attach(false)],
  ['DO_FAILOVER comes', ({ node }) => void node.failover()],
  ['the node ends', ({ node }) => node.close()],
])('nothing of that when %s', (_name, event) => {
  const f = fixture();
  f.node.controllerLost();
  event(f);
  f.since();
  f.clock.run(1000);
  expect([f.since(), f.clock.waiting]).toEqual([[], 0]);
});

test('a controller that comes to a guest with living connections that has taken over leaves their offsets', () => {
  const { node, engine, since } = fixture();
  node.failover();
  engine.living = 2;
  since();
  node.attach(true);
  expect([since(), node.failedOver]).toEqual([[], true]);
  engine.living = 0;
  node.attach(true);
  expect(since()).toEqual(['reset', 'headers', 'forgotten']);
});

test('where a new pair takes the guest off the network, only a reset begins one after a failover', () => {
  const { node, engine, since } = fixture(true);
  node.failover();
  engine.living = 0;
  since();
  node.attach(true);
  expect([since(), node.failedOver]).toEqual([[], true]);
  node.forgetPair();
  expect(since()).toEqual(['reset', 'headers', 'forgotten']);
  node.attach(true);
  expect(since()).toEqual(['reset', 'headers', 'forgotten']);
});
