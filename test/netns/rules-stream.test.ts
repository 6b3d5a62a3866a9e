// `colo rules` of a stream link: before a failover nothing of the secondary's guest reaches anybody but packet sockets,
// and nothing of the host reaches it; after it everything that it says and hears is queued.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FRAME_PORT_HEADER_BYTES, FramePort } from '../../src/io/frame-port';
import { NfQueue } from '../../src/io/nfqueue';
import { PacketSocket } from '../../src/io/packet-socket';
import { NFQ_D_ID, NFQ_D_WORDS } from '../../src/native/layout';
import { buildFrame } from '../lib/build-frame';
import { CLIENT_IP, GUEST_IP, GUEST_IP6, GUEST_MAC, Lab, SN_IP } from './lab';
import { requires } from './requires';
import type { Job } from './rules-run';
import { Controller, NODE_INDEX } from './support/controller';
import { hostState } from './support/host-state';
import { good, HOSTS, run, SCRIPT, type Side } from './support/rules-worker';
import { sleep, until } from './support/wait';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

jest.setTimeout(120_000);

const GUEST_QUEUE = 100;
const FORWARD_QUEUE = 101;

function streamOf(lab: Lab, side: Side, more: object = {}): object {
  return {
    role: side,
    stateDir: `${lab.dir}/${side}`,
    nodes: [{ index: 1, guestPort: 'tap0' }],
    link: { listen: 'unix:/run/none', connect: 'unix:/run/none' },
    ...more,
  };
}

requires(
  'netns',
  'nfqueue',
  'addon',
)('rules of a stream link', () => {
  let lab: Lab;
  const before = {} as Record<Side, string>;
  const open: { close(): void }[] = [];
  const act = async (side: Side, actions: Job['actions'], times = 1) =>
    run(lab, side, actions, streamOf(lab, side), times);

  beforeAll(async () => {
    lab = await Lab.create({ plumbing: false });
    // As a host's is.
    lab.execSync('sn', 'sysctl', ['-qw', 'net.ipv6.conf.tap0.disable_ipv6=0']);
    for (const side of ['primary', 'secondary'] as const) before[side] = hostState(lab, HOSTS[side]);
  });
  afterEach(async () => {
    for (const one of open.splice(0)) one.close();
    for (const side of ['primary', 'secondary'] as const) await act(side, ['remove']);
    lab.execSync('sn', 'ip', ['link', 'set', 'tap0', 'nomaster', 'up']);
  });
  afterAll(() => lab?.destroy());

  const nothingLeft = (side: Side): void => {
    expect(hostState(lab, HOSTS[side])).toBe(before[side]);
    expect(existsSync(`${lab.dir}/${side}`)).toBe(false);
  };

  test.each(['primary', 'secondary'] as const)('applied and removed, %s: nothing is left', async (side) => {
    const outcomes = good(await act(side, ['apply', 'missing', 'check', 'remove'], 5));
    outcomes.forEach((outcome, i) => {
      expect(outcome).toEqual(outcomes[i % 4]);
    });
    expect(outcomes[0]!.changes).not.toEqual([]);
    expect(outcomes[1]!.lines).toEqual([]);
    expect(outcomes[2]!.warnings).toEqual([]);
    nothingLeft(side);
  });

  test.each(['primary', 'secondary'] as const)('what is shown does what apply does: %s', async (side) => {
    const role = HOSTS[side];
    good(await act(side, ['apply']));
    const applied = hostState(lab, role);
    expect(good(await act(side, ['apply']))[0]!.changes).toEqual([]);
    expect(hostState(lab, role)).toBe(applied);
    const [, show, undo] = good(await act(side, ['remove', 'show', 'undo']));
    lab.execSync(role, 'sh', ['-e'], show!.lines!.join('\n'));
    expect(hostState(lab, role)).toBe(applied);
    lab.execSync(role, 'sh', ['-e'], undo!.lines!.join('\n'));
    expect(lab.execSync(role, 'iptables-save')).not.toContain('colo:1');
    expect(lab.execSync(role, 'nft', ['list', 'ruleset'])).not.toContain('colo');
    if (side === 'secondary') lab.execSync('sn', 'sysctl', ['-qw', 'net.ipv6.conf.tap0.disable_ipv6=0']);
    lab.execSync(role, 'sh', [
      '-c',
      'for key in filter-vlan-tagged filter-pppoe-tagged; do sysctl -qw net.bridge.bridge-nf-$key=0; done; sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_sent=120 net.netfilter.nf_conntrack_tcp_timeout_syn_recv=60 net.netfilter.nf_conntrack_icmp_timeout=30 net.netfilter.nf_conntrack_icmpv6_timeout=30; ip link set br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0',
    ]);
  });

  /** What the guest says in vain: to the clients, to the host, to everybody. */
  const speak = async (): Promise<void> => {
    for (const target of [CLIENT_IP, SN_IP]) {
      await lab.exec('svm', 'busybox', ['ping', '-q', '-c', '1', '-W', '1', target], { allowFailure: true });
      await lab.exec('svm', 'busybox', ['arping', '-c', '1', '-w', '1', '-I', 'eth0', target], { allowFailure: true });
    }
    const raw = new PacketSocket({ interface: 'eth0', netns: lab.ns.svm }, { onFrame: () => {} });
    raw.send(buildFrame(Buffer.alloc(60), { type: 0x88cc, dst: 'ffffffffffff', src: GUEST_MAC.replaceAll(':', '') }));
    raw.close();
  };

  /** Ethertypes that come to an interface, by a packet socket there. */
  const listen = (ns: string, name: string, direction: 'incoming' | 'outgoing') => {
    const types: string[] = [];
    const sources: string[] = [];
    const port: FramePort = new FramePort(
      { interface: name, direction, netns: ns },
      {
        onFrames: (count) => {
          for (let i = 0; i < count; i++) {
            const at = port.offset(i) + FRAME_PORT_HEADER_BYTES;
            const frame = port.arena.toString('hex', at, at + 14);
            sources.push(frame.slice(12, 24));
            types.push(frame.slice(24));
          }
        },
      },
    );
    open.push(port);
    return { port, types, sources };
  };

  test('before a failover nobody hears the guest, and nobody speaks to it', async () => {
    // It was left in the outer bridge.
    lab.execSync('sn', 'ip', ['link', 'set', 'tap0', 'master', 'br0']);
    good(await act('secondary', ['apply']));
    const link = JSON.parse(lab.execSync('sn', 'ip', ['-j', 'link', 'show', 'tap0'])) as {
      master?: string;
      flags: string[];
    }[];
    expect(link[0]).not.toHaveProperty('master');
    expect(link[0]!.flags).toEqual(expect.arrayContaining(['UP', 'NOARP']));
    expect(lab.execSync('sn', 'ip', ['address', 'show', 'tap0'])).not.toContain('inet');
    // Even an address there stays mute.
    lab.execSync('sn', 'ip', ['address', 'add', '10.77.0.99/32', 'dev', 'tap0']);
    const heard = listen(lab.ns.sn, 'tap0', 'incoming');
    const toClients = listen(lab.ns.sn, 'nic0', 'outgoing');
    const toGuest = listen(lab.ns.sn, 'tap0', 'outgoing');
    const received = () => Number(/Ip:.*\nIp: \d+ \d+ (\d+)/.exec(lab.execSync('sn', 'cat', ['/proc/net/snmp']))![1]);
    const packets = received();
    await speak();
    await lab.exec('svm', 'busybox', ['arping', '-c', '1', '-w', '1', '-I', 'eth0', '10.77.0.99'], {
      allowFailure: true,
    });
    for (const { port } of [heard, toClients, toGuest]) port.drain();
    expect([...new Set(heard.types)].sort()).toEqual(['0800', '0806', '88cc']);
    // The host has a word of its own there now and then.
    expect(toClients.sources).not.toContain(GUEST_MAC.replaceAll(':', ''));
    expect(toGuest.types).toEqual([]);
    expect(received()).toBe(packets);
    lab.execSync('sn', 'ip', ['address', 'del', '10.77.0.99/32', 'dev', 'tap0']);
    expect(lab.execSync('sn', 'iptables-save')).not.toContain('colo');
    expect(good(await act('secondary', ['missing']))[0]!.lines).toEqual([]);
  });

  test('what somebody else has done to the isolation is found, and mended', async () => {
    good(await act('secondary', ['apply']));
    const isolated = hostState(lab, 'sn');
    const damages: [string, string[], RegExp][] = [
      ['nft', ['flush', 'table', 'netdev', 'colo-1'], /^vm1: nft table netdev colo-1 missing or changed$/],
      ['ip', ['link', 'set', 'tap0', 'master', 'br0'], /^vm1: tap0 is in br0$/],
      ['ip', ['link', 'set', 'tap0', 'arp', 'on'], /^vm1: tap0 does ARP$/],
      ['sysctl', ['-qw', 'net.ipv6.conf.tap0.disable_ipv6=0'], /^vm1: tap0 has IPv6$/],
    ];
    for (const [program, args, message] of damages) {
      lab.execSync('sn', program, args);
      const [missing, , after] = good(await act('secondary', ['missing', 'restore', 'missing']));
      expect(missing!.lines).toEqual([expect.stringMatching(message)]);
      expect(after!.lines).toEqual([]);
      expect(hostState(lab, 'sn')).toBe(isolated);
    }
    good(await act('secondary', ['remove']));
    nothingLeft('secondary');
  });

  test('after a failover all that the guest says and hears is queued, and it stays so', async () => {
    good(await act('secondary', ['apply']));
    const [first, second, missing] = good(await act('secondary', ['takeOver', 'takeOver', 'missing']));
    // At once, as a client waits.
    expect(first!.changes!.slice(-3)).toEqual([
      'bridge br0 calls iptables',
      '10 iptables rules',
      'tap0 is isolated no longer',
    ]);
    expect(second!.changes).toEqual([]);
    expect(missing!.lines).toEqual([]);
    lab.execSync('sn', 'ip', ['link', 'set', 'tap0', 'master', 'br0', 'up']);
    const seen: Record<number, number> = {};
    for (const number of [GUEST_QUEUE, FORWARD_QUEUE]) {
      const queue: NfQueue = new NfQueue({ queue: number, netns: lab.ns.sn }, (count) => {
        seen[number] = (seen[number] ?? 0) + count;
        for (let i = 0; i < count; i++) queue.accept(queue.table[i * NFQ_D_WORDS + NFQ_D_ID]!);
      });
      open.push(queue);
    }
    const ping = (target: string, ...words: string[]) =>
      lab.exec('client', 'busybox', ['ping', ...words, '-q', '-c', '2', '-W', '5', target]);
    // The other guest is silent, so that this one is found at its new place.
    lab.execSync('pn', 'ip', ['link', 'set', 'tap0', 'down']);
    try {
      await lab.exec('svm', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', CLIENT_IP]);
      await ping(GUEST_IP);
      await ping(GUEST_IP6, '-6');
    } finally {
      lab.execSync('pn', 'ip', ['link', 'set', 'tap0', 'up']);
    }
    expect(seen[GUEST_QUEUE]).toBeGreaterThanOrEqual(5);
    expect(seen[FORWARD_QUEUE]).toBeGreaterThanOrEqual(5);
    // Neither a person nor a daemon isolates it again.
    const [apply, restore] = good(await act('secondary', ['apply', 'restore']));
    expect([apply!.changes, restore!.changes]).toEqual([[], []]);
    expect(lab.execSync('sn', 'ip', ['link', 'show', 'tap0'])).toContain('master br0');
    good(await act('secondary', ['remove']));
    expect(lab.execSync('sn', 'ip', ['link', 'show', 'tap0'])).toContain('master br0');
    expect(lab.execSync('sn', 'iptables-save')).not.toContain('colo');
    // A new beginning.
    expect(good(await act('secondary', ['apply']))[0]!.changes).toContain('tap0 isolated (was in br0)');
  });

  test('a guest that is a secondary again is isolated again', async () => {
    good(await act('secondary', ['apply']));
    expect(good(await act('secondary', ['isolate']))[0]!.changes).toEqual([]);
    good(await act('secondary', ['takeOver']));
    lab.execSync('sn', 'ip', ['link', 'set', 'tap0', 'master', 'br0', 'up']);
    const [back, again, missing] = good(await act('secondary', ['isolate', 'isolate', 'missing']));
    expect(back!.changes).toContain('tap0 isolated (was in br0)');
    expect(again!.changes).toEqual([]);
    expect(missing!.lines).toEqual([]);
    expect(lab.execSync('sn', 'iptables-save')).not.toContain('colo');
    expect(lab.execSync('sn', 'ip', ['link', 'show', 'tap0'])).not.toContain('master');
    good(await act('secondary', ['remove']));
    nothingLeft('secondary');
  });

  test('killed at any moment of a failover, the port is isolated or queued, and the next attempt ends it', async () => {
    const isolated = () => lab.execSync('sn', 'nft', ['list', 'ruleset']).includes('netdev colo-1');
    const queued = () => (lab.execSync('sn', 'iptables-save').match(/NFQUEUE/g) ?? []).length === 2;
    good(await act('secondary', ['apply', 'takeOver']));
    const whole = hostState(lab, 'sn');
    const job = JSON.stringify({ config: streamOf(lab, 'secondary'), actions: ['takeOver'] });
    let early = 0;
    // The first at once, whatever the machine does in a millisecond; the last long after the end.
    for (let ms = 0; ms < 2000; ms = Math.max(10, 2 * ms)) {
      good(await act('secondary', ['remove', 'apply']));
      const child = lab.spawn('sn', process.execPath, ['-e', SCRIPT, job]);
      while (!existsSync(`${lab.dir}/secondary/rules.lock`) && child.child.exitCode === null) await turn();
      if (ms > 0) await sleep(ms);
      child.child.kill('SIGKILL');
      await until('it has ended', () => child.child.exitCode !== null || child.child.signalCode !== null);
      if (isolated()) early++;
      else {
        expect(queued()).toBe(true);
        good(await act('secondary', ['restore']));
        expect(isolated()).toBe(false);
      }
      good(await act('secondary', ['takeOver']));
      expect(hostState(lab, 'sn')).toBe(whole);
      if (!isolated() && child.child.signalCode === null) break;
    }
    expect(early).toBeGreaterThan(0);
  });

  test('a failover without a port says so, and leaves nothing open', async () => {
    const config = { ...streamOf(lab, 'secondary'), nodes: [{ index: 1, guestPort: 'tap9' }] };
    const [outcome] = await run(lab, 'secondary', ['takeOver'], config);
    expect(outcome!.error).toMatchObject({ code: 'ELINK', message: 'tap9 does not exist' });
    await run(lab, 'secondary', ['remove'], config);
  });
});

const BIN = join(process.env.COLO_ROOT ?? join(__dirname, '..', '..'), 'bin/colo');

requires(
  'netns',
  'nfqueue',
  'addon',
)('a daemon of a secondary with a stream link', () => {
  let lab: Lab;
  afterEach(() => lab?.destroy());

  test('keeps its guest isolated until a failover, and again for a new pair', async () => {
    lab = await Lab.create({ plumbing: false });
    const file = join(lab.dir, 'secondary.json');
    const stateDir = join(lab.dir, 'state');
    const link = { connect: `unix:${lab.dir}/nobody` };
    const nodes = [{ index: NODE_INDEX, guestPort: 'tap0' }];
    writeFileSync(file, JSON.stringify({ role: 'secondary', stateDir, restoreRules: true, nodes, link }));
    const rules = async (what: string) => (await lab.exec('sn', BIN, ['rules', what, '--config', file])).stdout;
    const isolated = () => lab.execSync('sn', 'nft', ['list', 'ruleset']).includes('netdev colo-1');
    const isInBridge = () => lab.execSync('sn', 'ip', ['link', 'show', 'tap0']).includes('master br0');
    const queues = () => lab.execSync('sn', 'iptables-save').match(/NFQUEUE/g)?.length ?? 0;
    const start = async () => {
      const daemon = lab.spawn('sn', BIN, ['secondary', '--config', file]);
      await daemon.waitFor(/"msg":"ready"/);
      return daemon;
    };

    await rules('apply');
    let daemon = await start();
    const controller = new Controller(join(stateDir, 'secondary.sock'), 'secondary');
    expect(await controller.init()).toBe(0);
    lab.execSync('sn', 'nft', ['flush', 'table', 'netdev', 'colo-1']);
    await daemon.waitFor(/the rules are put back/);
    expect([isolated(), isInBridge(), queues()]).toEqual([true, false, 0]);

    // What it claims is known by the port alone: no bridge has heard it.
    lab.execSync('svm', 'busybox', ['arping', '-c', '1', '-w', '1', '-U', '-I', 'eth0', GUEST_IP]);
    await until('the claim', async () => (await controller.status()).addressesClaimed === 1);
    await controller.failover();
    await daemon.waitFor(/the guest is on the outer bridge/);
    const atPort = JSON.parse(lab.execSync('sn', 'bridge', ['-j', 'fdb', 'show', 'dev', 'tap0'])) as { mac: string }[];
    expect(atPort.map(({ mac }) => mac)).toContain(GUEST_MAC);
    expect([isolated(), isInBridge(), queues()]).toEqual([false, true, 2]);
    // With the two capabilities that the daemon has kept nothing is left undone, and the guest stays where it is.
    expect(await rules('apply')).toMatch(/everything was in place/);
    await daemon.stop('SIGKILL');
    daemon = await start();
    await until('status', async () => (await controller.status()).state === 'failed-over');
    expect([isolated(), isInBridge(), queues()]).toEqual([false, true, 2]);

    await lab.exec('sn', BIN, ['ctl', 'reset', '--socket', controller.path]);
    await daemon.waitFor(/its port is isolated/);
    expect([isolated(), isInBridge(), queues()]).toEqual([true, false, 0]);
    expect(await rules('apply')).toMatch(/everything was in place/);
    expect(daemon.output).not.toMatch(/RULES ARE GONE/);
    controller.close();
  });
});
