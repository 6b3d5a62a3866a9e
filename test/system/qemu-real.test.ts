// Against the installed QEMU, without a guest: a hub inside it joins two of its netdevs, so that frames enter at one
// socket and leave at another, past QEMU's own filters.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { byteStream } from '../../src/io/stream/byte-stream';
import { parseEndpoint } from '../../src/io/stream/chardev';
import { systemClock } from '../../src/io/system-clock';
import { PrimaryWatch } from '../../src/qmp/checkpoint-request';
import { QmpClient } from '../../src/qmp/client';
import { requires } from '../netns/requires';
import { until } from '../netns/support/wait';
import { FramePeer } from './support/frame-peer';
import { NetdevProcess } from './support/netdev-process';

const log = { info: () => {}, warn: () => {}, error: () => {} };

class Qemu {
  stderr = '';
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;

  constructor(...args: string[]) {
    const all = ['-M', 'none', '-nodefaults', '-display', 'none', ...args];
    this.child = spawn('qemu-system-x86_64', all, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr!.on('data', (text) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

const unix = (id: string, path: string, server: boolean) =>
  `stream,id=${id},server=${server ? 'on' : 'off'},addr.type=unix,addr.path=${path}`;
const hub = (...ids: string[]) => ids.flatMap((id) => ['-netdev', `hubport,id=h-${id},hubid=0,netdev=${id}`]);

requires('qemu', 'addon')("QEMU's netdevs and filters with ours", () => {
  let net: NetdevProcess;
  let qemu: Qemu | undefined;
  beforeEach(() => {
    net = new NetdevProcess();
  });
  afterEach(async () => {
    await qemu?.stop();
    qemu = undefined;
    await net.close();
  });

  /** A peer of one of QEMU's servers, as soon as that is there. */
  const dial = (name: string) =>
    until(`QEMU at ${name}`, () => FramePeer.connect(net.path(name)).catch(() => undefined));

  const connections = (n: number) => until(`${n} connections`, () => net.log.split('"connected"').length > n);

  test("QEMU's stream netdev at the guest port, a mirror to one of QEMU's redirectors", async () => {
    await net.start([
      ...['netdev', '--guest', net.at('guest', ',server'), '--host', net.at('host', ',server')],
      ...['--chardev', `id=m,${net.at('m', ',server')}`, '--filter', 'mirror,id=m0,queue=tx,outdev=m'],
    ]);
    // The red netdev of QEMU has no other connection than its filter: what it brings in as rx leaves at the hub's other
    // ports.
    qemu = new Qemu(
      ...[
        '-netdev',
        unix('s0', net.path('guest'), false),
        '-netdev',
        unix('s1', net.path('inner'), true),
        ...hub('s0', 's1'),
      ],
      ...['-netdev', unix('s2', net.path('unused'), true), '-netdev', unix('s3', net.path('copies'), true)],
      ...['-netdev', 'hubport,id=h-s2,hubid=1,netdev=s2', '-netdev', 'hubport,id=h-s3,hubid=1,netdev=s3'],
      ...['-chardev', `socket,id=red,path=${net.path('m')}`],
      ...['-object', 'filter-redirector,id=f,netdev=s3,queue=rx,indev=red'],
    );
    await connections(2);
    const host = await net.connect('host');
    const inner = await dial('inner');
    const copies = await dial('copies');
    await sendUntil(host, 'to the guest, as frame', inner);
    await sendUntil(inner, 'from the guest, as frame', host);
    await sendUntil(host, 'to the guest, as frame', copies);
  });

  test("QEMU's mirror and redirector feed ours, and ours feeds QEMU's", async () => {
    const dev = (id: string) => ['--chardev', `id=${id},${net.at(id, ',server')}`];
    await net.start([
      ...['netdev', '--guest', 'none', '--host', net.at('host', ',server')],
      ...[...dev('mirror'), ...dev('out'), ...dev('back')],
      // rx goes from the tail to the head: what QEMU diverts is brought in at the tail and diverted back to QEMU.
      ...['--filter', 'redirector,id=b,queue=rx,outdev=back', '--filter', 'redirector,id=o,queue=rx,indev=out'],
      // What QEMU copies comes out at the host port, as from the head nothing is in the way.
      ...['--filter', 'redirector,id=m,queue=rx,indev=mirror,position=head'],
    ]);
    const chardev = (id: string) => ['-chardev', `socket,id=${id},path=${net.path(id)}`];
    // s1's side is the guest's: rx of s1 is what comes from the hub, and leaves at s1's socket.
    qemu = new Qemu(
      ...[
        '-netdev',
        unix('s0', net.path('outer'), true),
        '-netdev',
        unix('s1', net.path('inner'), true),
        ...hub('s0', 's1'),
      ],
      ...[...chardev('mirror'), ...chardev('out'), ...chardev('back')],
      ...['-object', 'filter-redirector,id=r0,netdev=s1,queue=rx,indev=back'],
      ...['-object', 'filter-redirector,id=r1,netdev=s1,queue=rx,outdev=out'],
      ...['-object', 'filter-mirror,id=m0,netdev=s1,queue=rx,outdev=mirror'],
    );
    await connections(3);
    const host = await net.connect('host');
    const outer = await dial('outer');
    const inner = await dial('inner');
    await sendUntil(outer, 'all around', inner);
    await until('copy', () => host.frames.length > 0);
    expect(new Set([...host.texts(), ...inner.texts()])).toEqual(new Set(['all around']));
    const { filters } = await net.query();
    expect(filters.find((f) => f.id === 'b')!.frames).toBe(filters.find((f) => f.id === 'o')!.injected);
  });

  /** QEMU takes a connection some time after it stands: the first frames may find nobody. */
  async function sendUntil(from: FramePeer, text: string, to: FramePeer): Promise<void> {
    await until(`'${text}'`, () => {
      if (to.frames.length > 0) return true;
      from.send(text);
      return false;
    });
    expect(new Set(to.texts())).toEqual(new Set([text]));
  }
});

requires('qemu', 'addon')('QMP of a real QEMU', () => {
  const dir = mkdtempSync(join(tmpdir(), 'colo-qmp-'));
  const path = join(dir, 'qmp');
  let qemu: Qemu | undefined;
  afterEach(() => qemu?.stop());
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const start = () => {
    qemu = new Qemu('-S', '-qmp', `unix:${path},server=on,wait=off`);
  };

  test('greeting, commands, errors, events, and a QEMU that goes and comes again', async () => {
    start();
    const said: string[] = [];
    const client = new QmpClient(
      byteStream(parseEndpoint(`unix:${path},reconnect=0.1`)),
      { onReady: () => said.push('ready'), onEvent: (name) => said.push(name), onClose: () => said.push('closed') },
      log,
    );
    try {
      await client.open();
      await until('greeting', () => client.ready);
      expect(await client.execute('query-version')).toMatchObject({ qemu: { major: expect.any(Number) } });
      expect(await client.execute('query-colo-status')).toMatchObject({ mode: 'none', 'last-mode': 'none' });
      const answers = await Promise.allSettled([
        client.execute('cont'),
        client.execute('frobnicate'),
        client.execute('stop'),
      ]);
      expect(answers).toMatchObject([{ value: {} }, { reason: { errorClass: 'CommandNotFound' } }, { value: {} }]);
      await until('events', () => said.includes('STOP'));
      expect(said).toEqual(['ready', 'RESUME', 'STOP']);
      await qemu!.stop();
      await until('end', () => said.includes('closed'));
      start();
      await until('another greeting', () => client.ready);
      expect(await client.execute('query-status')).toMatchObject({ running: false });
    } finally {
      client.close();
    }
  });

  test('asking for a checkpoint leaves the delay as it is', async () => {
    start();
    const said: string[] = [];
    const watch = new PrimaryWatch(
      'primary',
      byteStream(parseEndpoint(`unix:${path},reconnect=0.1`)),
      {
        onStopped: () => said.push('stopped'),
        onCheckpoint: () => said.push('checkpoint'),
        onFailover: () => said.push('failover'),
        onRunning: () => said.push('running'),
        onLost: () => said.push('lost'),
      },
      log,
      systemClock,
    );
    const other = new QmpClient(
      byteStream(parseEndpoint(`unix:${path},reconnect=0.1`)),
      { onReady: () => {}, onEvent: () => {}, onClose: () => {} },
      log,
    );
    try {
      await watch.open();
      await until('request', () => watch.request());
      // QEMU serves one at a time: the next is answered when the first has gone.
      await until('end of the request', () => {
        if (watch.asking) return false;
        watch.close();
        return true;
      });
      await other.open();
      await until('greeting', () => other.ready);
      expect(await other.execute('query-migrate-parameters')).toMatchObject({ 'x-checkpoint-delay': 20000 });
      expect(said).toEqual([]);
    } finally {
      watch.close();
      other.close();
    }
  });
});
