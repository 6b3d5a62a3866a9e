// In which order a primary node reads its queues and acts on its engine.

import type { PortState } from '../../../src/node/ports';
import { type PrimaryEngineFace, PrimaryNode } from '../../../src/node/primary';
import { FakeClock } from '../../lib/fake-clock';

type Policy = 'release' | 'hold' | 'drop';

function fixture(onControllerLoss: Policy = 'release', numbersLost = false) {
  const done: string[] = [];
  const clock = new FakeClock();
  const port = { state: 'up' as PortState };
  const engine = {
    isProtected: true,
    awaitsCheckpoint: false,
    heldPackets: 3,
    nextDeadlineMs: 5000,
    setProtected(on: boolean) {
      engine.isProtected = on;
      done.push(on ? 'protect' : 'unprotect');
    },
    boundExhausted: () => void done.push('ask'),
    checkpoint: (nowMs: number) => void done.push(`checkpoint ${nowMs}`),
    peerReset: (key: Uint32Array, seq: number) => void done.push(`reset ${key[0]} ${seq}`),
    dropAll: () => void done.push('drop'),
    endBatch: () => void done.push('end batch'),
    forgetPair: () => void done.push('forget'),
    releaseAll: () => void done.push('release'),
    setBypass: () => {},
    tick: () => void done.push('tick'),
  };
  const queue = (name: string) => ({
    drain: () => void done.push(`read ${name}`),
    flush: () => void done.push(`flush ${name}`),
    pause: (paused: boolean) => void done.push(`${paused ? 'pause' : 'read on'} ${name}`),
  });
  const say = () => {};
  const node = new PrimaryNode(
    engine as unknown as PrimaryEngineFace,
    {
      clock,
      guest: queue('guest'),
      forward: queue('forward'),
      watch: { portState: (told) => told(port.state) },
      log: { info: say, warn: say, error: say },
      arm: (atMs) => void done.push(`arm ${atMs}`),
    },
    { guestPort: 'tap0', onControllerLoss, numbersLost },
  );
  const since = (): string[] => done.splice(0);
  since();
  return { node, engine, clock, port, since };
}

test('unprotected until a controller comes', () => {
  expect(fixture().node.state).toBe('unprotected');
});

test('a new pair: what an old one has said is read and forgotten before anything is compared', () => {
  const { node, since } = fixture();
  node.protect(false);
  expect(since()).toEqual(['read guest', 'read forward', 'drop', 'forget', 'flush guest', 'protect']);
  expect(node.state).toBe('comparing');
});

test('resumed: nothing is forgotten; numbers that were lost are asked for, once', () => {
  const lost = fixture('release', true);
  lost.node.protect(true);
  expect(lost.since()).toEqual(['protect', 'ask']);
  lost.node.protect(true);
  expect(lost.since()).toEqual(['protect']);
  const known = fixture();
  known.node.protect(true);
  expect(known.since()).toEqual(['protect']);
});

test('a checkpoint covers what was said before it: both queues are read first', () => {
  const { node, since } = fixture();
  node.checkpoint();
  expect(since()).toEqual(['read guest', 'read forward', 'checkpoint 1000', 'flush guest']);
});

test('unprotected: released what was said until then, then no more compared', () => {
  const { node, since } = fixture();
  node.unprotect();
  expect(since()).toEqual(['read guest', 'release', 'flush guest', 'unprotect']);
});

test('a reset of the peer counts behind what the guest had sent before it', () => {
  const { node, engine, since } = fixture();
  engine.isProtected = true;
  node.peerReset(Uint32Array.of(7), 99);
  node.tick();
  expect(since()).toEqual([
    'read guest',
    'reset 7 99',
    'tick',
    'flush forward',
    'flush guest',
    'end batch',
    'arm 5000',
  ]);
  node.tick();
  expect(since()).not.toContain('read guest');
});

test('resets are bounded between two ticks, and none is kept while nothing is compared', () => {
  const { node, engine, since } = fixture();
  engine.isProtected = true;
  for (let i = 0; i < 5000; i++) node.peerReset(Uint32Array.of(i), 0);
  expect(node.resetsLost).toBe(5000 - 4096);
  node.tick();
  expect(since().filter((what) => what.startsWith('reset')).length).toBe(4096);
  engine.isProtected = false;
  node.peerReset(Uint32Array.of(1), 0);
  node.tick();
  expect(since()).not.toContain('reset 1 0');
});

describe('the controller is gone', () => {
  test('and the guest: what it had sent is read, then all of it dropped', () => {
    const { node, port, since } = fixture();
    port.state = 'gone';
    node.controllerLost();
    expect(since()).toEqual(['read guest', 'drop', 'flush guest']);
    expect(node.state).toBe('guest-dead');
  });

  test.each<[Policy, string[], string]>([
    ['release', ['read guest', 'release', 'flush guest', 'unprotect', 'flush guest'], 'unprotected'],
    ['drop', ['drop', 'flush guest'], 'comparing'],
    ['hold', ['flush guest'], 'comparing'],
  ])('and the guest lives: %s, after its port was watched', (policy, expected, state) => {
    const { node, clock, since } = fixture(policy);
    node.protect(true);
    since();
    node.controllerLost();
    clock.run(250);
    expect([since(), node.state]).toEqual([[], 'controller-lost']);
    clock.run(100);
    expect(since()).toEqual(expected);
    expect([node.state, clock.waiting]).toEqual([state, 0]);
  });

  test('drop: what waits for a checkpoint is dropped at every tick, until a controller comes', () => {
    const { node, engine, clock, since } = fixture('drop');
    node.protect(true);
    node.controllerLost();
    clock.run(400);
    for (const waits of [false, true, true]) {
      since();
      engine.awaitsCheckpoint = waits;
      node.tick();
      expect(since().includes('drop')).toBe(waits);
    }
    node.protect(true);
    since();
    node.tick();
    expect(since()).not.toContain('drop');
  });

  test('and comes back before anything is decided; and is lost again: it is watched anew', () => {
    const { node, clock, port, since } = fixture();
    node.protect(true);
    node.controllerLost();
    clock.run(200);
    node.protect(true);
    clock.run(1000);
    expect([since().includes('release'), node.state]).toEqual([false, 'comparing']);
    node.controllerLost();
    clock.run(200);
    node.controllerLost();
    clock.run(200);
    expect(node.state).toBe('controller-lost');
    port.state = 'down';
    clock.run(50);
    expect(node.state).toBe('guest-dead');
  });

  test('a node that has ended decides nothing', () => {
    const { node, clock, since } = fixture();
    node.controllerLost();
    node.close();
    since();
    clock.run(1000);
    expect([since(), clock.waiting]).toEqual([[], 0]);
  });
});
