// The comparison beside a primary of stock COLO: checkpoints by QMP. What a QEMU says only in COLO, a false one says.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { byteStream } from '../../src/io/stream/byte-stream';
import { parseEndpoint } from '../../src/io/stream/chardev';
import type { CompareSettings } from '../../src/qemu/compare/compare-settings';
import { EpochGate } from '../../src/qemu/compare/epoch-gate';
import { QmpClient } from '../../src/qmp/client';
import { buildFrame } from '../lib/build-frame';
import { buildUdp } from '../lib/build-packet';
import { ChardevPeer, until } from '../lib/chardev-peer';
import { requires } from '../netns/requires';
import { type CompareInstance, CompareInstances, udp } from './support/compare-instance';
import { FakeQmp } from './support/fake-qmp';

const instances = new CompareInstances();
const numbered = (i: number): Buffer => buildFrame(buildUdp({ payload: `${i} ${'x'.repeat(1400)}` }));
let qmp: FakeQmp;
afterEach(() => qmp.close());

/** In COLO, and past the checkpoint that is asked for at first, as others may have been missed. */
async function start(settings: Partial<CompareSettings> = {}): Promise<CompareInstance> {
  qmp = new FakeQmp(`${instances.dir}/qmp`);
  qmp.is('primary');
  const c = await instances.start({
    expiredScanCycleMs: 600_000,
    ...settings,
    qmp: parseEndpoint(`unix:${instances.dir}/qmp,reconnect=0.05`),
  });
  await until(() => qmp.set.length >= 1, 'a request');
  await checkpoint(c);
  return c;
}

/** A guest goes on long after what has been read was asked about. */
async function stop(c: CompareInstance): Promise<void> {
  const asked = (): number => qmp.asked.filter((command) => command === 'query-yank').length;
  const before = asked();
  qmp.event('STOP');
  await until(() => c.is('stopped') && asked() > before, 'STOP heard');
}

async function resume(c: CompareInstance): Promise<void> {
  qmp.event('RESUME');
  await until(() => !c.is('stopped'), 'RESUME heard');
}

async function checkpoint(c: CompareInstance): Promise<void> {
  await stop(c);
  await resume(c);
}

/** Compares quickly what is much. */
function same(left: Buffer[], frames: Buffer[]): void {
  expect(left.length).toBe(frames.length);
  expect(left.findIndex((frame, i) => !frame.equals(frames[i]!))).toBe(-1);
}

const HAPPENED_MS = 30;
/** For what must not happen. */
const awhile = () => new Promise((resolve) => setTimeout(resolve, HAPPENED_MS));

test('a difference asks QEMU for a checkpoint; what is held leaves when the guest goes on, and not before', async () => {
  const c = await start();
  c.p.write(udp('a'), udp('b'));
  c.s.write(udp('x'));
  await until(() => qmp.set.length === 2, 'a request');
  expect(qmp.set[1]).toEqual({ 'x-checkpoint-delay': 20_000 });
  await until(() => c.n.texts().includes('DO_CHECKPOINT'), 'a request on notify_dev');
  await stop(c);
  await awhile();
  expect([c.held, c.o.frames()]).toEqual([2, []]);
  qmp.stall();
  qmp.event('RESUME');
  await awhile();
  expect([c.held, c.o.frames()]).toEqual([2, []]);
  await qmp.status('primary');
  expect(await c.left(2)).toEqual([udp('a'), udp('b')]);
  expect(c.count('qmp_requests')).toBe(2);
});

test('an unheeded request is repeated until the checkpoint, but not while that is made', async () => {
  const c = await start({ expiredScanCycleMs: 20 });
  c.p.write(udp('a'));
  c.s.write(udp('x'));
  await until(() => qmp.set.length >= 5, 'repetitions');
  await stop(c);
  const before = c.count('qmp_requests');
  await awhile();
  await resume(c);
  await awhile();
  expect(c.count('qmp_requests')).toBe(before);
  expect(await c.left(1)).toEqual([udp('a')]);
});

test('before QMP has come, and while it is away, nothing is compared: a checkpoint would not be heard of', async () => {
  const path = `${instances.dir}/qmp`;
  const c = await instances.start({ expiredScanCycleMs: 600_000, qmp: parseEndpoint(`unix:${path},reconnect=0.05`) });
  const bothSay = async (text: string): Promise<void> => {
    c.p.write(udp(text));
    c.s.write(udp(text));
    await until(() => c.held === 1, 'the frame');
    await awhile();
  };
  await bothSay('a');
  expect(c.o.frames()).toEqual([]);
  qmp = new FakeQmp(path);
  qmp.is('primary');
  await until(() => qmp.set.length >= 1, 'a request');
  await checkpoint(c);
  expect(await c.left(1)).toEqual([udp('a')]);

  qmp.close();
  await until(() => !c.is('qmp_connected'), 'the loss');
  await bothSay('b');
  expect(c.o.frames()).toEqual([udp('a')]);
  // What was held of the primary goes with it.
  await c.p.end();
  await until(() => !c.is('primary_in_connected'), 'the end of the primary');
  c.p = await ChardevPeer.dial({ path: `${instances.dir}/p` });
  await until(() => c.is('primary_in_connected'), 'the primary');
  await bothSay('c');
  expect(c.o.frames()).toEqual([udp('a')]);
  qmp = new FakeQmp(path);
  qmp.is('primary');
  await until(() => qmp.set.length >= 1, 'a request');
  await checkpoint(c);
  expect(await c.left(2)).toEqual([udp('a'), udp('c')]);
});

const ROUNDS = 5;

test('what either guest says between STOP and RESUME belongs to the time after the checkpoint', async () => {
  const c = await start();
  const before = Array.from({ length: 40 }, (_, i) => numbered(i));
  const after = Array.from({ length: 40 }, (_, i) => numbered(100 + i));
  for (let round = 1; round <= ROUNDS; round++) {
    const done = (round - 1) * 80;
    c.p.write(...before);
    c.s.write(udp('of before'));
    await until(() => c.count('primary_packets') === done + 40, 'all of before');
    await stop(c);
    // The secondary goes on first.
    await awhile();
    c.s.write(...after.slice(0, 20));
    c.p.write(...after.slice(0, 20));
    await awhile();
    expect([c.held, c.o.frames().length]).toEqual([40, done]);
    await resume(c);
    c.s.write(...after.slice(20));
    c.p.write(...after.slice(20));
    same((await c.left(done + 80)).slice(done), [...before, ...after]);
    expect(c.held).toBe(0);
  }
  expect(c.count('divergences')).toBe(ROUNDS);
});

test('what was in the sockets at STOP is of before, and what is late of the secondary is dropped', async () => {
  const c = await start();
  const frames = Array.from({ length: 60 }, (_, i) => numbered(i));
  const { onStopped } = EpochGate.prototype;
  const spy = jest.spyOn(EpochGate.prototype, 'onStopped').mockImplementation(function (this: EpochGate) {
    c.p.write(...frames);
    c.s.write(udp('early'));
    onStopped.call(this);
    c.s.write(udp('late'));
  });
  try {
    for (let round = 1; round <= 20; round++) {
      await stop(c);
      expect([c.held, c.count('secondary_packets'), c.o.frames().length]).toEqual([60, round, 60 * (round - 1)]);
      await until(() => c.count('secondary_discarded') === round, 'the late one');
      await resume(c);
      expect(await c.left(60 * round)).toHaveLength(60 * round);
      expect(c.held).toBe(0);
    }
    c.p.write(udp('a'));
    c.s.write(udp('a'));
    expect((await c.left(1201)).at(-1)).toEqual(udp('a'));
  } finally {
    spy.mockRestore();
  }
});

test('an operator’s stop while there is no COLO releases nothing, and what differed is asked for again', async () => {
  const c = await start({ expiredScanCycleMs: 20 });
  qmp.is('none');
  c.p.write(udp('a'));
  await until(() => c.held === 1, 'a held frame');
  await checkpoint(c);
  expect([c.held, c.o.frames()]).toEqual([1, []]);
  c.s.write(udp('x'));
  await until(() => c.count('qmp_requests') > 3, 'requests');
  await checkpoint(c);
  const before = c.count('qmp_requests');
  await until(() => c.count('qmp_requests') > before, 'further ones');
  expect(c.is('protected')).toBe(true);
});

test('a failover releases what is held and lets everything pass, until COLO begins anew', async () => {
  const c = await start();
  c.p.write(udp('a'), udp('b'));
  await until(() => c.held === 2, 'two held frames');
  qmp.is('none', 'primary');
  await checkpoint(c);
  expect(await c.left(2)).toEqual([udp('a'), udp('b')]);
  expect(c.is('protected')).toBe(false);
  expect(c.lines.find(({ text }) => text.includes('GOES ON ALONE'))).toMatchObject({
    level: 'error',
    fields: { held: 2 },
  });
  const many = Array.from({ length: 40 }, (_, i) => numbered(i));
  c.s.write(udp('a ghost'));
  c.p.write(...many);
  same((await c.left(42)).slice(2), many);
  await until(() => c.count('secondary_discarded') === 1, 'the ghost');
  // Alone, a STOP is nobody's checkpoint.
  qmp.event('STOP');
  qmp.event('RESUME');
  await awhile();
  expect([c.is('stopped'), c.is('protected'), c.count('divergences')]).toEqual([false, false, 0]);
  qmp.is('primary', 'primary');
  qmp.event('RESUME');
  await until(() => c.is('protected'), 'protection');
  expect(c.said('COLO HAS BEGUN AGAIN')).toBe(true);
  c.p.write(udp('c'));
  await until(() => c.held === 1, 'a held frame');
  c.s.write(udp('c'));
  expect((await c.left(43)).at(-1)).toEqual(udp('c'));
});

test('a QEMU that was away may have made checkpoints: nothing is released, one is asked for', async () => {
  const c = await start();
  c.p.write(udp('a'));
  await until(() => c.held === 1, 'a held frame');
  await stop(c);
  qmp.hangUp();
  await until(() => qmp.set.length === 2, 'a request');
  expect([c.held, c.is('stopped'), c.o.frames()]).toEqual([1, false, []]);
  expect(c.said('QMP is gone')).toBe(true);
  await checkpoint(c);
  expect(await c.left(1)).toEqual([udp('a')]);
});

test('primary_in is read only when neither outdev is behind nor the guest stands still', async () => {
  const c = await start();
  const frames = Array.from({ length: 3000 }, (_, i) => numbered(i));
  const bytes = frames.reduce((sum, frame) => sum + 4 + frame.length, 0);
  c.o.socket.pause();
  c.p.write(...frames);
  c.s.write(...frames);
  await until(() => c.count('outdev_backlogs') === 1, 'a backlog');
  await stop(c);
  c.o.socket.resume();
  await until(() => c.device.gauges().outdev_backlog_bytes === 0, 'no backlog');
  c.p.write(udp('after'));
  await awhile();
  const read = c.count('primary_in_bytes_in');
  await awhile();
  expect(c.count('primary_in_bytes_in')).toBe(read);
  await resume(c);
  await until(() => c.count('primary_in_bytes_in') > bytes, 'all that the primary has said');
  // Much of it came after the STOP, while the secondary was not listened to.
  await checkpoint(c);
  same(await c.left(3001), [...frames, udp('after')]);
});

test('the program takes --qmp', async () => {
  const { dir } = instances;
  qmp = new FakeQmp(`${dir}/qmp`);
  qmp.is('primary');
  const sockets = ['primary_in', 'secondary_in', 'outdev'].flatMap((name) => [
    `--${name}`,
    `unix:${dir}/${name},server`,
  ]);
  const child = spawn(join(__dirname, '../../bin/colo'), ['qemu', 'compare', ...sockets, '--qmp', `unix:${dir}/qmp`]);
  await until(() => qmp.set.length === 1 || child.exitCode !== null, 'a request');
  child.kill('SIGTERM');
  await once(child, 'exit');
  expect([child.exitCode, qmp.set]).toEqual([0, [{ 'x-checkpoint-delay': 20_000 }]]);
});

requires('qemu', 'addon')('a real QEMU without COLO', () => {
  test('is asked in vain, and stays as it is; a stop and a continuation release nothing', async () => {
    const { dir } = instances;
    const real = spawn('qemu-system-x86_64', [
      ...['-M', 'none', '-S', '-display', 'none', '-nodefaults'],
      ...['-qmp', `unix:${dir}/real,server=on,wait=off`, '-qmp', `unix:${dir}/other,server=on,wait=off`],
    ]);
    try {
      const c = await instances.start({
        expiredScanCycleMs: 20,
        qmp: parseEndpoint(`unix:${dir}/real,reconnect=0.05`),
      });
      await until(() => c.is('qmp_connected'), 'QMP');
      c.p.write(udp('a'));
      c.s.write(udp('x'));
      await until(() => c.held === 1, 'the frame');
      const operator = new QmpClient(
        byteStream(parseEndpoint(`unix:${dir}/other`)),
        { onReady: () => {}, onEvent: () => {}, onClose: () => {} },
        { info: () => {}, warn: () => {}, error: () => {} },
      );
      try {
        await operator.open();
        await until(() => operator.ready, 'another QMP');
        await operator.execute('cont');
        await operator.execute('stop');
        await until(() => c.is('stopped'), 'STOP heard');
        await operator.execute('cont');
        await until(() => !c.is('stopped'), 'RESUME heard');
        await until(() => c.count('qmp_requests') >= 3, 'requests');
        expect(await operator.execute('query-migrate-parameters')).toMatchObject({ 'x-checkpoint-delay': 20_000 });
      } finally {
        operator.close();
      }
      expect([c.held, c.o.frames(), real.exitCode]).toEqual([1, [], null]);
      expect(c.lines.filter(({ text }) => text.includes('refuses'))).toEqual([]);
    } finally {
      real.kill('SIGKILL');
      if (real.exitCode === null && real.signalCode === null) await once(real, 'exit');
    }
  });
});
