// colo-compare on real sockets: what its peers see when all goes well, and what becomes of frames when one of them is
// slow or gone.

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEndpoint } from '../../src/io/stream/chardev';
import { buildFrame, onTheWire } from '../lib/build-frame';
import { buildUdp } from '../lib/build-packet';
import { capabilitiesOf } from '../lib/capabilities';
import { ChardevPeer, until } from '../lib/chardev-peer';
import { CompareInstances, udp } from './support/compare-instance';

const ROOT = join(__dirname, '../..');
const big = (i: number): Buffer => buildFrame(buildUdp({ payload: `${i} ${'x'.repeat(1400)}` }));

const instances = new CompareInstances();

test('what both say leaves, in one piece and in many', async () => {
  const c = await instances.start();
  const frames = [udp('a'), udp('b'), udp('c')];
  c.p.write(...frames);
  for (const byte of Buffer.concat(frames.map((frame) => onTheWire(frame)))) c.s.raw(Buffer.from([byte]));
  expect(await c.left(3)).toEqual(frames);
  expect(c.n.frames()).toEqual([]);
});

test.each([
  ['primary', 'p', 's'],
  ['secondary', 's', 'p'],
] as const)('many frames of the %s first: none is lost, whenever the others come', async (_name, first, then) => {
  const c = await instances.start();
  const frames = Array.from({ length: 400 }, (_, i) => big(i));
  for (let round = 1; round <= 4; round++) {
    c[first].write(...frames);
    // At once, within the moment that many frames are given, or after it, when they wait one by one.
    if (round % 2 === 0)
      await until(
        () => c.count(`${first === 'p' ? 'primary' : 'secondary'}_packets`) === 400 * round,
        'all of them alone',
      );
    c[then].write(...frames);
    expect(await c.left(400 * round)).toHaveLength(400 * round);
    expect(c.held).toBe(0);
  }
  expect(c.count('released_frames')).toBe(1600);
  expect(c.n.texts()).toEqual([]);
});

test('what the secondary said before it went counts, though it was not looked at yet', async () => {
  const c = await instances.start();
  const frames = Array.from({ length: 100 }, (_, i) => big(i));
  c.s.write(...frames);
  await c.s.end();
  await until(() => c.said('the secondary is gone'), 'its end');
  expect(c.count('secondary_packets')).toBe(100);
  c.p.write(...frames);
  expect(await c.left(100)).toEqual(frames);
});

test('a controller is answered, told of a difference, and its checkpoint releases', async () => {
  const c = await instances.start();
  c.n.say('COLO_USERSPACE_PROXY_INIT');
  await until(() => c.n.texts().length === 1, 'an answer');
  c.p.write(udp('a'), udp('b'));
  await until(() => c.held === 2, 'two held frames');
  c.s.write(udp('x'));
  await until(() => c.n.texts().length >= 2, 'a request');
  c.n.say('nonsense').say('COLO_CHECKPOINT');
  expect(await c.left(2)).toEqual([udp('a'), udp('b')]);
  expect([...new Set(c.n.texts())]).toEqual(['COLO_COMPARE_GET_XEN_INIT', 'DO_CHECKPOINT']);
  expect(c.count('notify_unknown')).toBe(1);
});

test('an unheeded request is repeated, and told to the controller that comes next', async () => {
  const c = await instances.start({ expiredScanCycleMs: 20 });
  c.p.write(udp('a'));
  c.s.write(udp('x'));
  await until(() => c.n.texts().length >= 3, 'repetitions');
  await c.n.end();
  await until(() => c.said('THE CONTROLLER IS GONE'), 'a line that says so');
  expect(c.held).toBe(1);
  c.n = await ChardevPeer.dial({ path: `${instances.dir}/n` });
  await until(() => c.n.texts().length >= 1, 'the request again');
  c.n.say('COLO_CHECKPOINT');
  expect(await c.left(1)).toEqual([udp('a')]);
  const told = c.count('notify_requests');
  c.p.write(udp('b'));
  c.s.write(udp('b'));
  await c.left(2);
  expect(c.count('notify_requests')).toBe(told);
});

test('a request that nobody hears is told loudly', async () => {
  const c = await instances.start();
  await c.n.end();
  await until(() => !c.is('notify_dev_connected'), 'nobody at notify_dev');
  c.p.write(udp('a'));
  c.s.write(udp('x'));
  await until(() => c.said('NOBODY CAN BE ASKED'), 'a line that says so');
  expect([c.held, c.count('notify_refused')]).toEqual([1, 1]);
});

test('a silent secondary is told of after compare_timeout', async () => {
  const c = await instances.start({ compareTimeoutMs: 30, expiredScanCycleMs: 10 });
  c.p.write(udp('a'));
  await until(() => c.n.texts().includes('DO_CHECKPOINT'), 'a request');
  expect(c.lines.find((line) => line.text.includes('checkpoint'))!.fields).toMatchObject({
    cause: 'timeout_secondary_silent',
  });
});

test('a checkpoint covers what was in the sockets before it', async () => {
  const c = await instances.start();
  const frames = Array.from({ length: 60 }, (_, i) => big(i));
  for (let round = 1; round <= 20; round++) {
    // All of it is in the kernel when the device wakes up, for the controller's word first.
    c.n.say('COLO_CHECKPOINT');
    c.s.write(udp('something else'));
    c.p.write(...frames);
    expect(await c.left(60 * round)).toHaveLength(60 * round);
    await until(() => c.count('checkpoints_done') === round, 'the checkpoint');
    expect(c.held).toBe(0);
  }
  expect(c.count('secondary_packets')).toBe(20);
});

test('a primary that dies within a frame costs that frame, and what was held of it', async () => {
  const c = await instances.start();
  const wire = onTheWire(udp('never whole'));
  for (let cut = 1; cut < wire.length; cut += 7) {
    c.p.write(udp('held')).raw(wire.subarray(0, cut));
    await until(() => c.held === 1, 'a held frame');
    await c.p.end();
    await until(() => c.held === 0, 'nothing held');
    c.p = await ChardevPeer.dial({ path: `${instances.dir}/p` });
  }
  expect(c.said('the primary is gone')).toBe(true);
  c.p.write(udp('a'));
  c.s.write(udp('a'));
  expect(await c.left(1)).toEqual([udp('a')]);
});

test('a secondary that goes leaves what is held as it is', async () => {
  const c = await instances.start();
  c.p.write(udp('a'));
  await until(() => c.held === 1, 'a held frame');
  c.s.raw(onTheWire(udp('a')).subarray(0, 20));
  await c.s.end();
  await until(() => c.said('the secondary is gone'), 'a line that says so');
  expect(c.held).toBe(1);
  c.s = await ChardevPeer.dial({ path: `${instances.dir}/s` });
  c.s.write(udp('a'));
  expect(await c.left(1)).toEqual([udp('a')]);
});

test.each([
  ['primary_in', 'p'],
  ['secondary_in', 's'],
  ['notify_dev', 'n'],
] as const)('a length that cannot be ends the connection of %s only, and the next is heard', async (device, name) => {
  const c = await instances.start();
  for (const length of [0, 69633, 0xffffffff]) {
    const bytes = Buffer.alloc(12, 0x11);
    bytes.writeUInt32BE(length);
    c[name].raw(bytes);
    await until(() => c[name].closed, 'the end of the connection');
    c[name] = await ChardevPeer.dial({ path: `${instances.dir}/${name}` });
  }
  expect(c.count(`${device.replace(/_.*/, '')}_bad_frames`)).toBe(3);
  expect(c.said('invalid stream')).toBe(true);
  expect(['p', 's', 'o', 'n'].filter((other) => c[other as 'p'].closed)).toEqual([]);
  c.p.write(udp('a'), udp('b'));
  c.s.write(udp('a'));
  c.n.say('COLO_CHECKPOINT');
  expect(await c.left(2)).toEqual([udp('a'), udp('b')]);
});

test('without a peer at outdev what is verified is dropped and counted, and does not come later', async () => {
  const c = await instances.start();
  await c.o.end();
  await until(() => !c.is('outdev_connected'), 'nobody at outdev');
  c.p.write(udp('a'));
  c.s.write(udp('a'));
  await until(() => c.count('released_without_peer') === 1, 'a dropped frame');
  c.o = await ChardevPeer.dial({ path: `${instances.dir}/o` });
  await until(() => c.is('outdev_connected'), 'a peer at outdev');
  c.p.write(udp('b'));
  c.s.write(udp('b'));
  expect(await c.left(1)).toEqual([udp('b')]);
});

test('a slow peer at outdev loses nothing, and stops the reading of primary_in', async () => {
  const c = await instances.start();
  c.o.socket.pause();
  const frames = Array.from({ length: 12_000 }, (_, i) => big(i));
  c.p.write(...frames);
  c.s.write(...frames);
  // The rest stays in the sockets: the backlog is bounded.
  let before = -1;
  const settled = (): boolean => {
    const now = c.count('primary_frames') + c.count('secondary_frames');
    const still = now === before;
    before = now;
    return still && c.device.gauges().outdev_backlog_bytes! > 0;
  };
  for (let quiet = 0; quiet < 20; ) {
    quiet = settled() ? quiet + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(c.count('primary_frames')).toBeLessThan(frames.length);
  expect(c.device.gauges().outdev_backlog_bytes!).toBeLessThan(8 << 20);
  c.o.socket.resume();
  const left = await c.left(frames.length);
  expect(left.every((frame, i) => frame.equals(frames[i]!))).toBe(true);
  expect([c.count('released_without_room'), c.count('dropped_packets')]).toEqual([0, 0]);
  expect(c.count('outdev_backlogs')).toBeGreaterThan(0);
  expect(c.n.frames()).toEqual([]);
});

test('a peer at outdev that goes takes with it what waited for it, and that is counted', async () => {
  const c = await instances.start();
  c.o.socket.pause();
  const frames = Array.from({ length: 6000 }, (_, i) => big(i));
  c.p.write(...frames);
  c.s.write(...frames);
  await until(() => c.count('outdev_backlogs') === 1, 'a backlog');
  await c.o.end();
  await until(() => c.count('primary_frames') === frames.length, 'the rest of the primary');
  await until(
    () => c.count('released_without_peer') + c.count('released_frames') === frames.length,
    'all of the secondary',
  );
  const lost = c.count('outdev_lost_bytes');
  expect(lost).toBeGreaterThan(1 << 20);
  expect(lost).toBe(c.count('outdev_written_bytes') - c.count('outdev_bytes_out'));
});

test('it dials what has no server, over TCP as well, and dials again', async () => {
  const listening = ChardevPeer.serve(`${instances.dir}/o`);
  const c = instances.create({
    outdev: parseEndpoint(`unix:${instances.dir}/o,reconnect=0.05`),
    secondaryIn: parseEndpoint('tcp:127.0.0.1:0,server'),
    notifyDev: undefined,
  });
  await c.device.open();
  c.o = await listening.first;
  c.p = await ChardevPeer.dial({ path: `${instances.dir}/p` });
  c.s = await ChardevPeer.dial({ port: c.device.port('secondary_in') });
  c.p.write(udp('a'));
  c.s.write(udp('a'));
  expect(await c.left(1)).toEqual([udp('a')]);
  listening.close();
  await c.o.end();
  const again = ChardevPeer.serve(`${instances.dir}/o`);
  c.o = await again.first;
  await until(() => c.is('outdev_connected'), 'a peer at outdev');
  c.p.write(udp('b'));
  c.s.write(udp('b'));
  expect(await c.left(1)).toEqual([udp('b')]);
  again.close();
});

test('a server that is not there is told of once, and again when it has been there', async () => {
  const c = instances.create({ outdev: parseEndpoint(`unix:${instances.dir}/o,reconnect=0.01`) });
  const told = (): number => c.lines.filter(({ text }) => text.includes('not reached')).length;
  await c.device.open();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(told()).toBe(1);
  const server = ChardevPeer.serve(`${instances.dir}/o`);
  c.o = await server.first;
  await until(() => c.is('outdev_connected'), 'a peer at outdev');
  server.close();
  await c.o.end();
  await until(() => told() > 1, 'the next line');
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(told()).toBe(2);
});

test('what cannot be opened is an error that says what and where, and leaves nothing open', async () => {
  const c = instances.create({ outdev: parseEndpoint(`unix:${instances.dir}/none`) });
  await expect(c.device.open()).rejects.toThrow(`${instances.dir}/none`);
  const other = instances.create({ outdev: parseEndpoint(`unix:${instances.dir}/o,server`) });
  await other.device.open();
});

describe('colo qemu compare', () => {
  let child: ChildProcess;
  let errors = '';
  let output = '';

  function run(...args: string[]): Promise<void> {
    errors = '';
    output = '';
    child = spawn(join(ROOT, 'bin/colo'), ['qemu', 'compare', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stderr!.on('data', (text) => (errors += text));
    child.stdout!.on('data', (text) => (output += text));
    return until(() => errors.includes('"ready"') || child.exitCode !== null, 'the program');
  }

  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
    }
  });

  test("takes QEMU's options, and lets nothing held out when it ends", async () => {
    await run(
      ...[
        '--primary_in',
        `unix:${instances.dir}/p,server`,
        '--secondary-in',
        `unix:${instances.dir}/s,server`,
        '--outdev',
        `unix:${instances.dir}/o,server`,
      ],
      ...[
        '--notify_dev',
        `unix:${instances.dir}/n,server`,
        '--compare_timeout',
        '600000',
        '--vnet_hdr_support',
        '--json',
      ],
    );
    // It needs no capability, and keeps none.
    expect(capabilitiesOf(child.pid!)).toBe(0n);
    const [p, s, o] = await Promise.all(
      ['p', 's', 'o'].map((name) => ChardevPeer.dial({ path: `${instances.dir}/${name}` })),
    );
    p!.raw(Buffer.concat([udp('a'), udp('held')].map((frame) => onTheWire(frame, 0))));
    s!.raw(onTheWire(udp('a'), 0));
    const wire = onTheWire(udp('a'), 0);
    await until(() => o!.heard() >= wire.length, 'a frame');
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
    await until(() => o!.closed, 'the end');
    expect(o!.heard()).toBe(wire.length);
    expect(o!.bytes).toEqual(wire);
    expect(child.exitCode).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ comp0: { released_frames: 1, held_packets: 1 } });
  });

  test('may be ended as soon as it says that it is ready, and leaves no socket', async () => {
    const at = (name: string): string => `unix:${instances.dir}/${name},server`;
    const ready = run('--primary_in', at('p'), '--secondary_in', at('s'), '--outdev', at('o'));
    child.stderr!.on('data', () => {
      if (!child.killed && errors.includes('"ready"')) child.kill('SIGTERM');
    });
    await ready;
    await until(() => child.exitCode !== null || child.signalCode !== null, 'the end of the program');
    expect([child.exitCode, child.signalCode]).toEqual([0, null]);
    expect(readdirSync(instances.dir)).toEqual([]);
  });

  test('takes several instances from a file, and serves metrics', async () => {
    const file = join(instances.dir, 'colo.yaml');
    const entry = (id: string): string =>
      `  - { id: ${id}, primary_in: "unix:${instances.dir}/${id}p,server", secondary_in: "unix:${instances.dir}/${id}s,server", outdev: "unix:${instances.dir}/${id}o,server" }\n`;
    writeFileSync(file, `compare:\n${entry('one')}${entry('two')}`);
    const port = 20_000 + (process.pid % 20_000);
    await run('--config', file, '--metrics-port', String(port));
    expect(errors).toContain('"instances":2');
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(text).toContain('colo_events_total{node="two",role="compare",event="released_frames"} 0');
  });

  test.each([
    [['--primary_in', 'unix:/x'], '--secondary_in is missing'],
    [['--compare_timeout', '0'], 'requires a positive value'],
    [['--compare_timeout', 'soon'], 'it must be a whole number'],
    [['--vnet_hdr_support', 'perhaps'], 'must be on or off'],
    [['--log-level', 'loud'], 'Allowed choices are trace'],
    [['--config', '/dev/null', '--outdev', 'unix:/x'], '--outdev cannot be used with --config'],
    [['--config', '/dev/null'], 'compare'],
    [['--primary_in', 'unix:/x', '--secondary_in', 'unix:/x', '--outdev', 'unix:/y'], 'could not be same'],
  ])('%j is wrong usage: %s', async (args, message) => {
    await run(...args);
    await until(() => child.exitCode !== null, 'the end of the program');
    expect([child.exitCode, errors]).toEqual([2, expect.stringContaining(message)]);
  });
});
