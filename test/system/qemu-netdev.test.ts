// `colo qemu netdev` as a process between real sockets. The first three tests are QEMU's own for its filters
// (tests/qtest: filter mirror, filter redirector), told anew: what enters where, and where it must come out.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { capabilitiesOf } from '../lib/capabilities';
import { sleep, until } from '../netns/support/wait';
import { GUEST, PEER } from '../unit/seccolo/bench';
import { build, read, type Segment, segment } from '../unit/seccolo/wire';
import { FakeQmp } from './support/fake-qmp';
import type { FramePeer } from './support/frame-peer';
import { colo, NetdevProcess } from './support/netdev-process';

const DOCS = join(__dirname, '../../docs/qemu');

let net: NetdevProcess;
beforeEach(() => {
  net = new NetdevProcess();
});
afterEach(() => net.close());

const ports = () => ['--guest', net.at('guest', ',server'), '--host', net.at('host', ',server')];

/** The same frame as the only one so far. */
async function gets(peer: FramePeer, ...texts: string[]): Promise<void> {
  await until(`frames ${texts}`, () => peer.frames.length >= texts.length);
  expect(peer.texts()).toEqual(texts);
}

describe('as QEMU tests its own', () => {
  test('mirror: what the netdev sends to its guest arrives at the mirror as it is', async () => {
    await net.start([
      'netdev',
      ...ports(),
      '--chardev',
      `id=mirror0,${net.at('mirror0', ',server')}`,
      '--filter',
      'filter-mirror,id=f,netdev=hn0,queue=tx,outdev=mirror0',
    ]);
    const [host, guest, mirror] = [await net.connect('host'), await net.connect('guest'), await net.connect('mirror0')];
    host.send('Hello! filter-mirror~\0');
    await gets(mirror, 'Hello! filter-mirror~\0');
    await gets(guest, 'Hello! filter-mirror~\0');
    guest.send('the other way');
    await gets(host, 'the other way');
    expect(mirror.frames.length).toBe(1);
  });

  test('redirector, tx: diverted, brought in again, diverted again', async () => {
    await net.start([
      'netdev',
      ...ports(),
      ...['--chardev', `id=r0,${net.at('r0', ',server')}`],
      ...['--chardev', `id=r1,${net.at('r1', ',server')}`],
      ...['--chardev', `id=r2,${net.at('r0', ',reconnect=1')}`],
      ...['--filter', 'redirector,id=f0,queue=tx,outdev=r0'],
      ...['--filter', 'redirector,id=f1,queue=tx,indev=r2'],
      ...['--filter', 'redirector,id=f2,queue=tx,outdev=r1'],
    ]);
    const [host, r1] = [await net.connect('host'), await net.connect('r1')];
    host.send('Hello!!\0');
    await gets(r1, 'Hello!!\0');
  });

  test('redirector, rx: from the tail to the head, and out at the netdev', async () => {
    await net.start([
      'netdev',
      ...ports(),
      ...['--chardev', `id=r0,${net.at('r0', ',server')}`],
      ...['--chardev', `id=r1,${net.at('r1', ',server')}`],
      ...['--chardev', `id=r2,${net.at('r0')}`],
      ...['--filter', 'redirector,id=f0,queue=rx,indev=r0'],
      ...['--filter', 'redirector,id=f1,queue=rx,outdev=r2'],
      ...['--filter', 'redirector,id=f2,queue=rx,indev=r1'],
    ]);
    const [host, r1] = [await net.connect('host'), await net.connect('r1')];
    r1.send('Hello!!\0');
    await gets(host, 'Hello!!\0');
  });
});

describe('a filter whose peer is slow or gone', () => {
  const SOME = 64;
  const SIZE = 16384;

  /** Sends from one end to the other, batch by batch, and sees every batch arrive whole. */
  async function floods(from: FramePeer, to: FramePeer, batches: number): Promise<void> {
    for (let b = 0; b < batches; b++) {
      const before = to.frames.length;
      for (let i = 0; i < SOME / 2; i++) from.send(Buffer.alloc(SIZE, b));
      await until('batch', () => to.frames.length === before + SOME / 2);
      expect(to.frames.at(-1)!.equals(Buffer.alloc(SIZE, b))).toBe(true);
    }
  }

  test('a mirror that does not read loses copies, and the guest nothing', async () => {
    await net.start(['mirror', ...ports(), '--queue', 'tx', '--outdev', net.at('m', ',server')]);
    const [host, guest, mirror] = [await net.connect('host'), await net.connect('guest'), await net.connect('m')];
    mirror.stall();
    await floods(host, guest, 16);
    const full = await net.filter('mirror0');
    expect(full.droppedFull).toBeGreaterThan(0);
    mirror.close();
    await until('end of the mirror', async () => (await net.filter('mirror0')).connected === false);
    await floods(host, guest, 2);
    expect((await net.filter('mirror0')).droppedGone).toBe(SOME);
    // Whoever comes next gets whole frames from the next one on.
    const again = await net.connect('m');
    host.send('fresh');
    await gets(again, 'fresh');
  });

  test('a redirector holds back what it cannot hand over, and the other direction goes on', async () => {
    await net.start([
      'redirector',
      ...ports(),
      '--queue',
      'rx',
      '--outdev',
      net.at('out', ',server'),
      '--indev',
      net.at('in', ',server'),
    ]);
    const [host, guest] = [await net.connect('host'), await net.connect('guest')];
    guest.send('nobody is there');
    await until('held frame', async () => (await net.filter('redirector0')).held === 1);
    const out = await net.connect('out');
    out.stall();
    for (let i = 0; i < 3 * SOME; i++) guest.send(Buffer.alloc(SIZE, 1));
    await until('full redirector', async () => Number((await net.filter('redirector0')).droppedFull) > 0);
    await floods(host, guest, 2);
    // What is brought in does not depend on where frames go.
    const input = await net.connect('in');
    input.send('released');
    await gets(host, 'released');
    out.close();
    expect(host.frames.length).toBe(1);
  });

  test('with fail_open=on it lets them pass', async () => {
    await net.start([
      'redirector',
      ...ports(),
      '--queue',
      'rx',
      '--outdev',
      net.at('out', ',server'),
      '--fail-open',
      'on',
    ]);
    const [host, guest] = [await net.connect('host'), await net.connect('guest')];
    guest.send('unverified');
    await gets(host, 'unverified');
    expect(await net.filter('redirector0')).toMatchObject({ failedOpen: 1, held: 0 });
  });

  test('a guest that does not read loses frames as a network card does, and the mirror none', async () => {
    await net.start(['mirror', ...ports(), '--queue', 'tx', '--outdev', net.at('m', ',server')]);
    const [host, guest, mirror] = [await net.connect('host'), await net.connect('guest'), await net.connect('m')];
    guest.stall();
    await floods(host, mirror, 16);
    expect((await net.query()).guest.droppedFull).toBeGreaterThan(0);
  });
});

describe('indev', () => {
  const start = () => net.start(['redirector', ...ports(), '--queue', 'rx', '--indev', net.at('in', ',server')]);

  test.each([
    ['nothing', 0],
    ['more than the greatest frame', 69633],
    ['most of what a word can say', 0xffffffff],
  ])('a length of %s ends the connection; the next one starts afresh', async (_what, len) => {
    await start();
    const host = await net.connect('host');
    const bad = await net.connect('in');
    bad.send('before');
    const head = Buffer.alloc(8);
    head.writeUInt32BE(len, 0);
    bad.raw(head);
    await until('closed connection', () => bad.closed);
    expect(net.log).toContain(`a frame of ${len} bytes`);
    expect(await net.filter('redirector0')).toMatchObject({ badFrames: 1 });
    const good = await net.connect('in');
    good.send('after');
    await gets(host, 'before', 'after');
  });

  test('a peer that dies within a frame costs that frame only', async () => {
    await start();
    const host = await net.connect('host');
    for (const cut of [1, 4, 5, 20]) {
      const dying = await net.connect('in');
      dying.raw(Buffer.concat([Buffer.from([0, 0, 0, 100]), Buffer.alloc(100)]).subarray(0, cut));
      dying.socket.end();
      await until('its end', () => dying.closed);
    }
    const good = await net.connect('in');
    good.send('whole');
    await gets(host, 'whole');
  });

  test('frames in any pieces, and as large as they may be', async () => {
    await start();
    const [host, input] = [await net.connect('host'), await net.connect('in')];
    const large = Buffer.alloc(69632, 7);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(large.length, 0);
    for (const piece of [
      head.subarray(0, 1),
      head.subarray(1, 3),
      head.subarray(3),
      large.subarray(0, 5),
      large.subarray(5),
    ]) {
      input.raw(piece);
      await sleep(5);
    }
    await until('frame', () => host.frames.length === 1);
    expect(host.frames[0]!.equals(large)).toBe(true);
  });
});

test('virtio-net headers: with vnet_hdr_support they travel along, and come off at a port that has none', async () => {
  await net.start([
    'redirector',
    ...ports(),
    ...['--queue', 'rx', '--vnet_hdr_support', 'on'],
    ...['--indev', net.at('in', ',server'), '--outdev', net.at('out', ',server')],
  ]);
  const [host, guest] = [await net.connect('host'), await net.connect('guest')];
  const [input, out] = [await net.connect('in', 8), await net.connect('out', 8)];
  guest.send('bare frame');
  await gets(out, 'bare frame');
  expect(out.vnets).toEqual([0]);
  input.send(Buffer.concat([Buffer.alloc(12), Buffer.from('with header')]), 12);
  await gets(host, 'with header');
});

test('a virtio-net header with nothing behind it goes nowhere: without the header it would be a frame of length 0', async () => {
  await net.start([
    ...['netdev', ...ports(), '--chardev', `id=in,${net.at('in', ',server')}`],
    ...['--chardev', `id=m,${net.at('m', ',server')}`],
    ...['--filter', 'redirector,id=f0,queue=tx,indev=in,vnet_hdr_support=on', '--filter', 'mirror,id=f1,outdev=m'],
  ]);
  const [guest, mirror, input] = [await net.connect('guest'), await net.connect('m'), await net.connect('in', 8)];
  input.send(Buffer.alloc(12), 12);
  input.send(Buffer.concat([Buffer.alloc(12), Buffer.from('with header')]), 12);
  await gets(mirror, 'with header');
  await gets(guest, 'with header');
  expect(await net.filter('f0')).toMatchObject({ injected: 1, runts: 1 });
});

test('--vnet-header-bytes: both ports have one, and the rewriter looks behind it', async () => {
  await net.start([
    'mirror',
    ...ports(),
    '--vnet-header-bytes',
    '10',
    '--queue',
    'rx',
    '--outdev',
    net.at('m', ',server'),
  ]);
  const [host, guest, mirror] = [await net.connect('host'), await net.connect('guest'), await net.connect('m')];
  guest.send(Buffer.concat([Buffer.alloc(10), Buffer.from('frame')]));
  await gets(host, `${'\0'.repeat(10)}frame`);
  await gets(mirror, 'frame');
  guest.send(Buffer.alloc(10));
  await until('runt', async () => (await net.query()).guest.runts === 1);
});

describe('the rewriter', () => {
  const MACS = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0]);
  const PVM = 1_000_000;
  const SVM = 5_000;

  class Talk {
    constructor(
      readonly host: FramePeer,
      readonly guest: FramePeer,
    ) {}

    async peer(over: Partial<Segment>) {
      return this.pass(this.host, this.guest, segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, ...over }));
    }

    async svm(over: Partial<Segment>) {
      return this.pass(this.guest, this.host, segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, ...over }));
    }

    async open(): Promise<void> {
      await this.peer({ flags: 'S', seq: 100 });
      await this.svm({ flags: 'SA', seq: SVM, ack: 101, window: 60000 });
      await this.peer({ seq: 101, ack: PVM + 1 });
      await this.svm({ seq: SVM + 1, ack: 101 });
    }

    private async pass(from: FramePeer, to: FramePeer, s: Segment) {
      const before = to.frames.length;
      from.send(Buffer.concat([MACS, build(s)]));
      // After a failover the netdev says something itself, without data.
      return until('segment', () =>
        to.frames
          .slice(before)
          .map((frame) => read(frame.subarray(14)))
          .find(({ data }) => data === s.data),
      );
    }
  }

  async function talk(): Promise<Talk> {
    return new Talk(await net.connect('host'), await net.connect('guest'));
  }

  test('translates both ways before any failover; a checkpoint voids that', async () => {
    await net.start(['rewriter', ...ports()]);
    const t = await talk();
    await t.open();
    expect((await t.svm({ seq: SVM + 1, ack: 101, data: 'x' })).seq).toBe(PVM + 1);
    expect((await t.peer({ seq: 101, ack: PVM + 2 })).ack).toBe(SVM + 2);
    expect((await net.ctl('checkpoint')).status).toBe(0);
    expect((await t.svm({ seq: PVM + 2, ack: 101, data: 'y' })).seq).toBe(PVM + 2);
    expect(await net.filter('rewriter0')).toMatchObject({
      checkpoints_done: 1,
      learned_client_opened: 1,
      mode: 'always',
    });
  });

  test('what the guest sent before a checkpoint is translated by the old offsets, even if nobody has read it yet', async () => {
    await net.start(['rewriter', ...ports()]);
    const t = await talk();
    await t.open();
    const control = connect(net.path('control'));
    const reply = () => new Promise((resolve) => control.once('data', (text) => resolve(text.toString())));
    control.write('{"execute":"nothing"}\n');
    expect(await reply()).toContain('CommandNotFound');
    const before = t.host.frames.length;
    const x = segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, seq: SVM + 1, ack: 101, data: 'x' });
    // All of it, and the request, waits for the process when it goes on.
    process.kill(net.pid, 'SIGSTOP');
    try {
      control.write('{"execute":"checkpoint"}\n');
      for (let i = 0; i < 200; i++) t.guest.send(Buffer.concat([MACS, build(x)]));
      await until('written', () => t.guest.socket.writableLength === 0);
    } finally {
      process.kill(net.pid, 'SIGCONT');
    }
    expect(await reply()).toBe('{"return":{}}\n');
    await until('all of them', () => t.host.frames.length === before + 200);
    expect(new Set(t.host.frames.slice(before).map((f) => read(f.subarray(14)).seq))).toEqual(new Set([PVM + 1]));
    control.destroy();
    expect((await t.svm({ seq: PVM + 2, ack: 101 })).seq).toBe(PVM + 2);
  });

  test('between sockets only, without ports: as a stage on the way to and from a secondary QEMU', async () => {
    const dev = (id: string) => ['--chardev', `id=${id},${net.at(id, ',server')}`];
    await net.start([
      ...['netdev', '--guest', 'none', '--host', 'none'],
      ...[...dev('mirror'), ...dev('compare'), ...dev('red0'), ...dev('red1')],
      ...['--filter', 'redirector,id=a,queue=rx,outdev=compare', '--filter', 'redirector,id=b,queue=tx,indev=mirror'],
      ...['--filter', 'rewriter,id=rew0'],
      ...['--filter', 'redirector,id=c,queue=tx,outdev=red0', '--filter', 'redirector,id=d,queue=rx,indev=red1'],
    ]);
    const [mirror, compare] = [await net.connect('mirror'), await net.connect('compare')];
    const [red0, red1] = [await net.connect('red0'), await net.connect('red1')];
    const t = new Talk(mirror, red0);
    const back = new Talk(compare, red1);
    await t.peer({ flags: 'S', seq: 100 });
    await back.svm({ flags: 'SA', seq: SVM, ack: 101, window: 60000 });
    expect((await t.peer({ seq: 101, ack: PVM + 1 })).ack).toBe(SVM + 1);
    expect((await back.svm({ seq: SVM + 1, ack: 101, data: 'x' })).seq).toBe(PVM + 1);
  });

  test('--qmp: a checkpoint falls exactly between what the guest said before STOP and after RESUME', async () => {
    const qmp = new FakeQmp(net.path('qmp'));
    qmp.is('secondary');
    try {
      await net.start(['rewriter', ...ports(), '--qmp', net.at('qmp')]);
      await until('QMP', () => qmp.asked.includes('query-colo-status'));
      qmp.stall();
      const t = await talk();
      await t.open();
      const before = t.host.frames.length;
      const says = (seq: number) => {
        const s = segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, seq, ack: 101, data: 'x' });
        t.guest.send(Buffer.concat([MACS, build(s)]));
      };
      const atOnce = async (what: () => void) => {
        process.kill(net.pid, 'SIGSTOP');
        try {
          what();
          await until('written', () => t.guest.socket.writableLength === 0);
        } finally {
          process.kill(net.pid, 'SIGCONT');
        }
      };
      await atOnce(() => {
        qmp.event('STOP');
        for (let i = 0; i < 100; i++) says(SVM + 1);
      });
      await until('all of before', () => t.host.frames.length === before + 100);
      await atOnce(() => {
        for (let i = 0; i < 100; i++) says(PVM + 2);
        qmp.event('RESUME');
      });
      await qmp.status('secondary');
      await until('all of after', () => t.host.frames.length === before + 200);
      const seqs = t.host.frames.slice(before).map((f) => read(f.subarray(14)).seq);
      expect([new Set(seqs.slice(0, 100)), new Set(seqs.slice(100))]).toEqual([new Set([PVM + 1]), new Set([PVM + 2])]);
      expect(await net.filter('rewriter0')).toMatchObject({ failedOver: false, epoch: 3 });
      // A failover is a STOP and a RESUME too.
      await t.svm({ dport: 40001, flags: 'SA', seq: SVM, ack: 101, window: 60000 });
      await t.peer({ sport: 40001, seq: 101, ack: PVM + 1 });
      await t.svm({ dport: 40001, seq: SVM + 1, ack: 101 });
      qmp.is('none', 'secondary');
      qmp.event('STOP');
      qmp.event('RESUME');
      await until('failover', async () => (await net.filter('rewriter0')).failedOver === true);
      expect((await t.svm({ dport: 40001, seq: SVM + 1, ack: 101, data: 'x' })).seq).toBe(PVM + 1);
    } finally {
      qmp.close();
    }
  });

  test('at a failover offsets in use stay, new connections get none, and all other filters are off', async () => {
    const state = net.path('offsets');
    const args = [
      'netdev',
      ...ports(),
      ...['--chardev', `id=red0,${net.at('red0', ',server')}`, '--chardev', `id=red1,${net.at('red1', ',server')}`],
      ...['--filter', 'redirector,id=f1,queue=tx,indev=red0', '--filter', 'redirector,id=f2,queue=rx,outdev=red1'],
      ...['--filter', `rewriter,id=rew0,state=${state},max_flows=64`],
    ];
    await net.start(args);
    const red0 = await net.connect('red0');
    const red1 = await net.connect('red1');
    const secondary = new Talk(red0, await net.connect('guest'));
    const toPrimary = new Talk(red1, secondary.guest);
    await secondary.peer({ flags: 'S', seq: 100 });
    await toPrimary.svm({ flags: 'SA', seq: SVM, ack: 101, window: 60000 });
    await secondary.peer({ seq: 101, ack: PVM + 1 });
    await toPrimary.svm({ seq: SVM + 1, ack: 101 });
    expect(await net.ctl('failover')).toMatchObject({ status: 0, stdout: 'failover done\n' });
    // What follows it in a script, moving the tap, has to run whoever was first.
    expect(await net.ctl('failover')).toMatchObject({ status: 0, stdout: 'failover done before\n' });
    const host = await net.connect('host');
    // Who comes to the host's port is told first where the connections stand.
    await until('reminders', () => host.frames.length === 2);
    expect(host.frames.map((frame) => read(frame.subarray(14)))).toMatchObject([
      { seq: PVM + 1, ack: 101, data: '' },
      { seq: PVM, ack: 101, data: '' },
    ]);
    const alone = new Talk(host, secondary.guest);
    expect((await alone.svm({ seq: SVM + 1, ack: 101, data: 'x' })).seq).toBe(PVM + 1);
    expect((await alone.peer({ seq: 101, ack: PVM + 2 })).ack).toBe(SVM + 2);
    expect((await net.query()).filters.map((f) => [f.id, f.status])).toEqual([
      ['f1', 'off'],
      ['f2', 'off'],
      ['rew0', 'on'],
    ]);
    // Another process over the same file knows all that.
    await net.stop();
    await net.start(args);
    const later = await talk();
    expect((await later.svm({ seq: SVM + 2, ack: 101, data: 'y' })).seq).toBe(PVM + 2);
    expect((await net.filter('f2')).status).toBe('off');
  });
});

describe('control', () => {
  test('filter-set switches at run time; the socket is its owner’s alone', async () => {
    await net.start([
      'redirector',
      ...ports(),
      '--queue',
      'rx',
      '--outdev',
      net.at('out', ',server'),
      '--status',
      'off',
    ]);
    expect(statSync(net.path('control')).mode & 0o777).toBe(0o600);
    const [host, guest, out] = [await net.connect('host'), await net.connect('guest'), await net.connect('out')];
    guest.send('off');
    await gets(host, 'off');
    expect(await net.ctl('filter-set', 'redirector0', 'status=on')).toMatchObject({ status: 0 });
    guest.send('on');
    await gets(out, 'on');
    expect(await net.ctl('filter-set', 'zz', 'status=on')).toMatchObject({
      status: 2,
      stderr: "colo: filter 'zz' not found\n",
    });
    expect((await net.ctl('filter-set', 'redirector0', 'status=maybe')).stderr).toContain("should be 'on' or 'off'");
    expect((await net.ctl('failover')).stderr).toContain('no rewriter');
    expect((await net.ctl('frobnicate')).status).toBe(2);
    expect(host.frames.length).toBe(1);
  });

  test.each(['{"QMP": {"version": {}, "capabilities": []}}', 'SSH-2.0'])(
    'ctl takes %j for no answer',
    async (greeting) => {
      const other = createServer((socket) => socket.end(`${greeting}\n`));
      await new Promise<void>((resolve) => other.listen(net.path('control'), resolve));
      try {
        const { status, stdout, stderr } = await net.ctl('failover');
        expect([status, stdout, stderr]).toEqual([2, '', expect.stringContaining('no netdev')]);
      } finally {
        other.close();
      }
    },
  );

  test('it keeps no capability', async () => {
    await net.start(['rewriter', ...ports()]);
    expect(capabilitiesOf(net.pid)).toBe(0n);
  });

  test('SIGTERM ends it with status 0 and without leftovers', async () => {
    await net.start(['rewriter', ...ports()]);
    expect(await net.stop()).toBe(0);
    expect(['guest', 'host', 'control'].filter((name) => existsSync(net.path(name)))).toEqual([]);
  });

  test('the control socket replaces one that a dead netdev left, and nothing else', async () => {
    await net.start(['rewriter', ...ports()]);
    process.kill(net.pid, 'SIGKILL');
    await net.stop();
    expect(existsSync(net.path('control'))).toBe(true);
    await net.start(['rewriter', ...ports()]);
    await net.stop();
    writeFileSync(net.path('file'), 'precious');
    const { status, stderr } = await colo('qemu', 'rewriter', ...ports(), '--control', net.path('file'));
    expect([status, stderr]).toEqual([2, expect.stringContaining('no socket')]);
    expect(readFileSync(net.path('file'), 'latin1')).toBe('precious');
  });
});

describe('what an operator writes', () => {
  test.each([
    [['netdev', '--host', 'none'], '--guest is missing'],
    [['netdev', '--guest', 'none', '--host', 'none', '--filter', 'mirror,id=m0,outdev=x'], "Device 'x' not found"],
    [
      ['netdev', '--guest', 'none', '--host', 'none', '--filter', 'redirector,id=m0,outdev=x'],
      "OUT Device 'x' not found",
    ],
    [
      ['netdev', '--guest', 'none', '--host', 'none', '--filter', 'redirector,id=m0,indev=x'],
      "IN Device 'x' not found",
    ],
    [
      ['netdev', '--guest', 'none', '--host', 'none', '--filter', 'rewriter,id=m0,position=id=zz'],
      "filter 'zz' not found",
    ],
    [
      ['netdev', '--guest', 'none', '--host', 'none', '--filter', 'rewriter,id=a', '--filter', 'rewriter,id=a'],
      "Duplicate ID 'a' for object",
    ],
    [['netdev', '--guest', 'nothing', '--host', 'none'], 'neither unix: nor tcp:'],
    [['netdev', '--guest', 'none', '--host', 'none', '--chardev', 'null,id=x'], 'is no character device'],
    [['redirector', '--guest', 'none', '--host', 'none'], "needs 'indev' or 'outdev' at least one"],
    [['mirror', '--guest', 'none', '--host', 'none'], "Parameter 'outdev' is missing"],
    [['mirror', '--guest', 'none', '--host', 'none', '--outdev', 'unix:/nonexistent/x'], '/nonexistent/x'],
    [
      ['netdev', '--guest', 'none', '--host', 'none', '--vnet-header-bytes', '11'],
      'no virtio-net header has this size',
    ],
    [['netdev', '--config', '/nonexistent.yaml'], '/nonexistent.yaml'],
  ])('%j: status 2, and %j', async (args, words) => {
    const { status, stderr } = await colo('qemu', ...args);
    expect(stderr).toContain(words);
    expect(status).toBe(2);
  });

  test.each(
    ['mirror', 'redirector', 'rewriter'].map((name) => [name, readFileSync(join(DOCS, `${name}.md`), 'utf8')] as const),
  )('the command line on the page of %s', async (name, page) => {
    const line = new RegExp(`^colo qemu (${name} .*)$`, 'm').exec(page)![1]!;
    const here = line
      .replaceAll('/run/colo', net.dir)
      .replace('tap:tap0', 'none')
      .replace('tcp:0.0.0.0:9003', 'tcp:127.0.0.1:0')
      .replace('vm1-compare.sock', 'vm1-compare.sock,reconnect=1');
    await net.start(here.split(' '));
    expect(await net.stop()).toBe(0);
  });

  test('a device serves one filter', async () => {
    const device = ['--chardev', `id=c0,${net.at('c0', ',server')}`];
    const filters = ['--filter', 'mirror,id=m0,outdev=c0', '--filter', 'mirror,id=m1,outdev=c0'];
    const { status, stderr } = await colo('qemu', 'netdev', '--guest', 'none', '--host', 'none', ...device, ...filters);
    expect([status, stderr]).toEqual([2, expect.stringContaining("Device 'c0' is in use")]);
  });

  test('the same from a file', async () => {
    const file = net.path('netdev.yaml');
    writeFileSync(
      file,
      `guest: "${net.at('guest', ',server')}"
host: "${net.at('host', ',server')}"
control: ${net.path('control')}
chardevs:
  mirror0: "${net.at('mirror0', ',server')}"
filters:
  - { type: mirror, id: m0, queue: tx, outdev: mirror0, status: on }
  - { type: rewriter, id: rew0, position: head, max_flows: 10 }
`,
    );
    await net.start(['netdev', '--config', file]);
    const [host, guest, mirror] = [await net.connect('host'), await net.connect('guest'), await net.connect('mirror0')];
    host.send('frame');
    await gets(mirror, 'frame');
    await gets(guest, 'frame');
    const { filters } = await net.query();
    expect(filters.map((f) => [f.id, f.status, f.maxFlows])).toEqual([
      ['rew0', 'on', 10],
      ['m0', 'on', undefined],
    ]);
  });

  test('a wrong key of a file is named with its line and the right one', async () => {
    const file = net.path('netdev.yaml');
    writeFileSync(file, 'guest: none\nhost: none\nfilters:\n  - { type: mirror, id: m0,\n      outdv: x }\n');
    const { status, stderr } = await colo('qemu', 'netdev', '--config', file);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining(`${file}:5: filters[0].outdv is not a key (did you mean outdev?)`),
    ]);
  });
});
