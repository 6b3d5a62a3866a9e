// Two network namespaces, whose stacks reach each other only through two netdevs: each has a tap as its host port, and
// the two guest ports are one socket. So what one filters as tx the other filters as rx, with real TCP in between.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { capabilitiesOf } from '../lib/capabilities';
import { NetdevProcess } from '../system/support/netdev-process';
import { requires } from './requires';
import { until } from './support/wait';

const NAMES = { a: `colo-nd-a${process.pid}`, b: `colo-nd-b${process.pid}` };
const IP = { a: '10.99.0.1', b: '10.99.0.2' };

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function inside(side: 'a' | 'b', ...words: string[]): Promise<{ status: number; stdout: Buffer }> {
  return new Promise((resolve) => {
    execFile(
      'ip',
      ['netns', 'exec', NAMES[side], ...words],
      { encoding: 'buffer', maxBuffer: 1 << 26, timeout: 60_000 },
      (error, stdout) => resolve({ status: error === null ? 0 : 1, stdout }),
    );
  });
}

requires(
  'root',
  'netns',
  'addon',
)('a netdev between a tap and a guest', () => {
  let a: NetdevProcess;
  let b: NetdevProcess;

  beforeEach(() => {
    a = new NetdevProcess();
    b = new NetdevProcess();
    for (const name of Object.values(NAMES)) ip('netns', 'add', name);
  });
  afterEach(async () => {
    await a.close();
    await b.close();
    for (const name of Object.values(NAMES)) ip('netns', 'del', name);
  });

  async function start(filters: string[], vnet = '0'): Promise<void> {
    const within = (side: 'a' | 'b') => ['ip', 'netns', 'exec', NAMES[side]];
    const common = ['netdev', '--host', 'tap:tap0', '--vnet-header-bytes', vnet];
    await a.start([...common, '--guest', a.at('guest', ',server'), ...filters], within('a'));
    await b.start([...common, '--guest', a.at('guest')], within('b'));
    for (const side of ['a', 'b'] as const) {
      ip('-n', NAMES[side], 'address', 'add', `${IP[side]}/24`, 'dev', 'tap0');
      ip('-n', NAMES[side], 'link', 'set', 'tap0', 'up');
      ip('-n', NAMES[side], 'link', 'set', 'lo', 'up');
    }
    // CAP_NET_ADMIN, for the tap
    expect(capabilitiesOf(a.pid)).toBe(1n << 12n);
    await until('ping', async () => (await inside('a', 'busybox', 'ping', '-c', '1', '-W', '1', IP.b)).status === 0);
  }

  /** A file of `b` as `a` downloads it. */
  async function download(): Promise<boolean> {
    const content = randomBytes(3 << 20);
    writeFileSync(b.path('file'), content);
    const server = execFile('ip', ['netns', 'exec', NAMES.b, 'busybox', 'httpd', '-f', '-p', '80', '-h', b.dir]);
    const ended = new Promise((resolve) => server.once('exit', resolve));
    try {
      const { stdout } = await until('download', async () => {
        const got = await inside('a', 'curl', '-s', '-m', '30', `http://${IP.b}/file`);
        return got.status === 0 && got;
      });
      return stdout.equals(content);
    } finally {
      server.kill();
      await ended;
    }
  }

  test('real TCP gets through a mirror that nobody reads and a rewriter', async () => {
    await start([
      ...['--chardev', `id=m,${a.at('m', ',server')}`],
      ...['--filter', 'mirror,id=m0,outdev=m', '--filter', 'rewriter,id=rew0'],
    ]);
    (await a.connect('m')).stall();
    expect(await download()).toBe(true);
    const { host, guest, filters } = await a.query();
    expect(host.framesOut).toBeGreaterThan(0);
    expect(guest.framesOut).toBeGreaterThan(0);
    expect(filters.find((f) => f.id === 'm0')!.droppedFull).toBeGreaterThan(0);
    const rewriter = filters.find((f) => f.id === 'rew0')!;
    expect([rewriter.guest_malformed, rewriter.peer_malformed]).toEqual([0, 0]);
    expect(rewriter.guest_packets).toBeGreaterThan(100);
  });

  test('and with virtio-net headers on both taps', async () => {
    await start(['--filter', 'rewriter,id=rew0'], '12');
    expect(await download()).toBe(true);
  });

  test('after a failover a client hears of its connection when the tap joins its network, without saying anything before', async () => {
    await start(['--filter', 'rewriter,id=rew0']);
    for (const side of ['a', 'b'] as const) await inside(side, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
    const talk = (side: 'a' | 'b', ...words: string[]) =>
      spawn('ip', ['netns', 'exec', NAMES[side], 'busybox', 'nc', ...words], { stdio: ['pipe', 'pipe', 'ignore'] });
    const server = talk('b', '-l', '-p', '90');
    await until('server', async () => (await inside('b', 'ss', '-Hltn', 'sport', '=', ':90')).stdout.length > 0);
    const client = talk('a', IP.b, '90');
    const ended = [server, client].map((one) => new Promise((resolve) => one.once('exit', resolve)));
    try {
      client.stdin.write('a line\n');
      await once(server.stdout, 'data');
      server.stdin.write('another\n');
      await once(client.stdout, 'data');
      const rewriter = async () => (await a.query()).filters[0]! as Record<string, number>;
      await until('acknowledged', async () =>
        (await inside('a', 'ss', '-Hti', 'dport', '=', ':90')).stdout.includes('bytes_acked:8'),
      );
      ip('-n', NAMES.a, 'link', 'set', 'tap0', 'down');
      expect(await a.ctl('failover')).toMatchObject({ status: 0 });
      await until('nobody to hear it', async () => (await a.query()).host.droppedDown! >= 2);
      const before = (await rewriter()).peer_packets!;
      const lines = [
        ...['link add br0 type bridge', 'address del 10.99.0.1/24 dev tap0', 'address add 10.99.0.1/24 dev br0'],
        ...['link set br0 up', 'link set tap0 master br0 up'],
      ];
      execFileSync('ip', ['-n', NAMES.a, '-batch', '-'], { input: `${lines.join('\n')}\n` });
      // Its answer to the question.
      await until('answer', async () => (await rewriter()).peer_packets! > before);
      expect((await rewriter()).reminders).toBeGreaterThanOrEqual(4);
      client.stdin.write('and on\n');
      expect(String((await once(server.stdout, 'data'))[0])).toBe('and on\n');
    } finally {
      for (const one of [server, client]) one.kill();
      await Promise.all(ended);
    }
  });

  test('a tap that is deleted is told, and the process lives on', async () => {
    await start([]);
    ip('-n', NAMES.a, 'link', 'del', 'tap0');
    await until('log line', () => a.log.includes('the tap device is gone'));
    expect((await a.query()).host).toMatchObject({ connected: false });
  });

  test('a tap that another process has is refused in words', async () => {
    await start([]);
    const second = new NetdevProcess();
    const refused = second.start(
      ['rewriter', '--guest', 'none', '--host', 'tap:tap0'],
      ['ip', 'netns', 'exec', NAMES.a],
    );
    await expect(refused).rejects.toThrow('another process has it');
    await second.close();
  });
});
