// `colo rules` on real kernels' state: nothing is left behind, nothing is done twice, and packets go where they should.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NfQueue } from '../../src/io/nfqueue';
import { PacketSocket } from '../../src/io/packet-socket';
import { NFQ_D_ID, NFQ_D_WORDS } from '../../src/native/layout';
import { arpFrame, buildFrame } from '../lib/build-frame';
import { buildTcp, buildUdp } from '../lib/build-packet';
import { CLIENT_MAC, GUEST_IP, GUEST_IP6, GUEST_MAC, Lab, PN_IP, UNSHARE_RULES } from './lab';
import { requires } from './requires';
import type { Job, Outcome } from './rules-run';
import { ethernet, udpFragment4 } from './support/frames';
import { hostState } from './support/host-state';
import { configOf, good, HOSTS, run, SCRIPT, type Side } from './support/rules-worker';
import { until } from './support/wait';

jest.setTimeout(240_000);

const SIDES: Side[] = ['primary', 'secondary'];

/** The kernel's own, which the rules make shorter. */
const HANDSHAKE_TIMEOUTS = [
  'net.netfilter.nf_conntrack_tcp_timeout_syn_sent=120',
  'net.netfilter.nf_conntrack_tcp_timeout_syn_recv=60',
];

const hex = (mac: string): string => mac.replaceAll(':', '');

/** Packets that a node's rules have seen, by queue or zone. */
function counted(lab: Lab, side: Side, iptables = 'iptables'): Record<string, number> {
  const out: Record<string, number> = {};
  for (const chain of ['PREROUTING', 'FORWARD']) {
    const text = lab.execSync(HOSTS[side], iptables, ['-t', 'mangle', '-vnxL', chain]);
    for (const [, packets, queue] of text.matchAll(/^\s*(\d+)\s.*NFQUEUE num (\d+)/gm)) {
      out[queue!] = (out[queue!] ?? 0) + Number(packets);
    }
  }
  return out;
}

requires('netns', 'nfqueue')('rules', () => {
  let lab: Lab;
  const before = {} as Record<Side, string>;
  beforeAll(async () => {
    lab = await Lab.create({ plumbing: false });
    for (const side of SIDES) before[side] = hostState(lab, HOSTS[side]);
  });
  afterAll(() => lab?.destroy());
  afterEach(async () => {
    for (const side of SIDES) await run(lab, side, ['remove']);
  });

  const nothingLeft = (side: Side): void => {
    expect(hostState(lab, HOSTS[side])).toBe(before[side]);
    expect(existsSync(`${lab.dir}/${side}`)).toBe(false);
  };

  test.each(SIDES)('applied and removed 50 times, %s: nothing is left', async (side) => {
    const outcomes = good(await run(lab, side, ['apply', 'remove'], configOf(lab, side), 50));
    expect(outcomes).toHaveLength(100);
    outcomes.forEach((outcome, i) => {
      expect(outcome).toEqual(outcomes[i % 2]);
    });
    nothingLeft(side);
  });

  test.each(SIDES.flatMap((side) => ['iptables-nft', 'iptables-legacy'].map((iptables) => [side, iptables] as const)))(
    'applied twice is applied once: %s with %s',
    async (side, iptables) => {
      const config = configOf(lab, side, {}, { iptables });
      good(await run(lab, side, ['apply'], config));
      const once = hostState(lab, HOSTS[side]);
      expect(once).not.toBe(before[side]);
      const [again] = good(await run(lab, side, ['apply'], config));
      expect(again!.changes).toEqual([]);
      expect(hostState(lab, HOSTS[side])).toBe(once);
      const saved = ['iptables', 'ip6tables'].map((family) =>
        lab.execSync(HOSTS[side], iptables.replace('iptables', family).concat('-save')),
      );
      for (const rules of saved) expect(rules.match(/--comment "?colo:1"?/g)).toHaveLength(5);
      const outcomes = good(await run(lab, side, ['remove', 'remove'], config));
      expect(outcomes[1]!.changes).toEqual([]);
      nothingLeft(side);
    },
  );

  test.each(SIDES)('what is shown does what apply does: %s', async (side) => {
    const role = HOSTS[side];
    // A bridge's index tells only how many there were before it.
    const stateOf = () => hostState(lab, role).replace(/"ifindex": \d+/g, '');
    good(await run(lab, side, ['apply']));
    const applied = stateOf();
    const [, show, undo] = good(await run(lab, side, ['remove', 'show', 'undo']));
    lab.execSync(role, 'sh', ['-e'], show!.lines!.join('\n'));
    expect(stateOf()).toBe(applied);
    lab.execSync(role, 'sh', ['-e'], undo!.lines!.join('\n'));
    expect(lab.execSync(role, 'iptables-save')).not.toContain('colo:1');
    expect(lab.execSync(role, 'ip', ['link'])).not.toContain('colobr0');
    // Typed commands keep no journal: what they leave is what the text says.
    expect(undo!.lines![0]).toMatch(/sysctls.*stay/);
    lab.execSync(role, 'sysctl', [
      '-qw',
      'net.bridge.bridge-nf-filter-vlan-tagged=0',
      'net.bridge.bridge-nf-filter-pppoe-tagged=0',
      ...HANDSHAKE_TIMEOUTS,
      ...(side === 'secondary' ? ['net.netfilter.nf_conntrack_tcp_be_liberal=0'] : []),
    ]);
    lab.execSync(role, 'ip', 'link set br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0'.split(' '));
    for (const family of ['ip', 'ip6'])
      for (const table of ['raw', 'mangle', 'filter']) {
        if (lab.execSync(role, 'nft', ['list', 'tables']).includes(`table ${family} ${table}\n`)) {
          lab.execSync(role, 'nft', ['delete', 'table', family, table]);
        }
      }
    nothingLeft(side);
  });

  test.each(SIDES)('a lost journal does not keep the rules: %s', async (side) => {
    good(await run(lab, side, ['apply']));
    rmSync(`${lab.dir}/${side}`, { recursive: true });
    good(await run(lab, side, ['remove']));
    const rest = hostState(lab, HOSTS[side]);
    expect(rest).not.toContain('colo');
    expect(rest).not.toContain('clsact" : 1');
    // A second life, to tidy up what only the journal would have known.
    lab.execSync(HOSTS[side], 'sysctl', [
      '-qw',
      'net.bridge.bridge-nf-filter-vlan-tagged=0',
      'net.bridge.bridge-nf-filter-pppoe-tagged=0',
      ...HANDSHAKE_TIMEOUTS,
    ]);
    if (side === 'secondary') lab.execSync('sn', 'sysctl', ['-qw', 'net.netfilter.nf_conntrack_tcp_be_liberal=0']);
    if (side === 'primary') lab.execSync('pn', 'tc', ['qdisc', 'del', 'dev', 'tap0', 'clsact']);
    lab.execSync(HOSTS[side], 'ip', 'link set br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0'.split(' '));
    lab.execSync(HOSTS[side], 'nft', ['flush', 'ruleset']);
    if (side === 'secondary') lab.execSync('sn', 'nft', ['-f', '-'], UNSHARE_RULES);
    nothingLeft(side);
  });

  test('killed at any moment, remove still leaves nothing', async () => {
    for (let i = 0; i < 8; i++) {
      const job = JSON.stringify({ config: configOf(lab, 'primary'), actions: ['apply', 'remove', 'apply'] });
      const child = lab.spawn('pn', process.execPath, ['-e', SCRIPT, job]);
      await new Promise((resolve) => setTimeout(resolve, 150 + 90 * i));
      await child.stop('SIGKILL');
      good(await run(lab, 'primary', ['remove']));
      nothingLeft('primary');
    }
  });

  test('several processes at once: each gets its turn', async () => {
    const job = (actions: Job['actions']) => JSON.stringify({ config: configOf(lab, 'primary'), actions });
    const children = Array.from({ length: 4 }, () =>
      lab.spawn('pn', process.execPath, ['-e', SCRIPT, job(['apply', 'apply'])]),
    );
    for (const child of children) {
      expect(await child.ended()).toBe(0);
      expect(child.output).not.toContain('error');
    }
    expect(lab.execSync('pn', 'iptables-save').match(/colo:1/g)).toHaveLength(5);
    good(await run(lab, 'primary', ['remove']));
    nothingLeft('primary');
  });

  test('the rules of other people, and of other nodes, stay', async () => {
    for (const [name, peer] of [
      ['tap1', 'far1'],
      ['fwd1', 'far2'],
    ] as const) {
      lab.execSync('pn', 'ip', ['link', 'add', 'name', name, 'type', 'veth', 'peer', 'name', peer]);
      for (const end of [name, peer]) lab.execSync('pn', 'ip', ['link', 'set', end, 'addrgenmode', 'none', 'up']);
    }
    lab.execSync('pn', 'iptables', '-t mangle -A PREROUTING -i nic9 -m comment --comment colo:11 -j ACCEPT'.split(' '));
    lab.execSync('pn', 'tc', 'qdisc add dev tap0 clsact'.split(' '));
    const theirs = hostState(lab, 'pn');
    const first = { index: 1, guestPort: 'tap0', forwardPort: 'fwd0' };
    const second = { index: 2, guestPort: 'tap1', forwardPort: 'fwd1' };
    const both = { role: 'primary', stateDir: `${lab.dir}/primary`, nodes: [first, second] };
    good(await run(lab, 'primary', ['apply'], both));
    const two = hostState(lab, 'pn');
    expect(two).toContain('--queue-num 110');
    // One goes, the other stays whole, and the host's settings with it.
    good(await run(lab, 'primary', ['remove'], { ...both, nodes: [first] }));
    const one = hostState(lab, 'pn');
    expect(one).toContain('--queue-num 110');
    expect(one).not.toContain('--queue-num 100');
    expect(one).toMatch(/bridge-nf-filter-vlan-tagged = 1/);
    good(await run(lab, 'primary', ['apply'], both));
    good(await run(lab, 'primary', ['remove'], both));
    expect(hostState(lab, 'pn')).toBe(theirs);
    for (const name of ['tap1', 'fwd1']) lab.execSync('pn', 'ip', ['link', 'del', name]);
    lab.execSync('pn', 'iptables', '-t mangle -F'.split(' '));
    lab.execSync('pn', 'tc', 'qdisc del dev tap0 clsact'.split(' '));
    lab.execSync('pn', 'nft', ['delete', 'table', 'ip', 'mangle']);
    nothingLeft('primary');
  });

  describe('refusals change nothing', () => {
    test.each<[string, Side, object, RegExp]>([
      ['a port that is not there', 'primary', { guestPort: 'tap9' }, /^tap9 does not exist$/],
      ['a forward port that is not there', 'secondary', { forwardPort: 'fwd9' }, /^fwd9 does not exist$/],
      ['a bridge for a port', 'primary', { guestPort: 'br0', outerBridge: 'br9' }, /^br0 is a bridge$/m],
      [
        'a bridge that is not there',
        'primary',
        { outerBridge: 'br9' },
        /^tap0 is a port of br0, not of br9\nbr9 does not exist$/,
      ],
      ['a forward bridge that is none', 'primary', { forwardBridge: 'nic0' }, /^nic0 exists and is no bridge$/],
      ['a forward port in the outer bridge', 'primary', { forwardPort: 'nic0' }, /^nic0 is a port of br0$/],
      [
        'an outer port with addresses',
        'primary',
        { outerBridge: 'br9', outerPort: 'br0' },
        /br0 has addresses \(10\.77\.0\.11\/24, fd77::11\/64\)/,
      ],
    ])('%s', async (_what, side, node, message) => {
      const [outcome] = await run(lab, side, ['apply'], configOf(lab, side, node));
      expect(outcome!.error).toMatchObject({
        code: 'ERULES',
        message: expect.stringMatching(message),
        hint: expect.any(String),
      });
      nothingLeft(side);
    });

    test('a forward link that is too narrow', async () => {
      lab.execSync('pn', 'ip', ['link', 'set', 'fwd0', 'mtu', '1400']);
      const [outcome] = await run(lab, 'primary', ['apply']);
      lab.execSync('pn', 'ip', ['link', 'set', 'fwd0', 'mtu', '1500']);
      expect(outcome!.error!.message).toMatch(/^fwd0 has an MTU of 1400, tap0 one of 1500/);
      nothingLeft('primary');
    });

    test('a step that fails takes the others back', async () => {
      // The mirror is the last step.
      const fake = join(lab.dir, 'tc');
      writeFileSync(
        fake,
        '#!/bin/sh\n[ "$1 $2" = "filter add" ] && { echo no such action >&2; exit 2; }\nexec /sbin/tc "$@"\n',
        { mode: 0o755 },
      );
      const job = JSON.stringify({ config: configOf(lab, 'primary'), actions: ['apply'] });
      const env = { ...process.env, PATH: `${lab.dir}:${process.env.PATH}` };
      const { stdout } = await lab.exec('pn', process.execPath, ['-e', SCRIPT, job], { env });
      expect((JSON.parse(stdout) as Outcome).error).toMatchObject({
        code: 'ECOMMAND',
        message: expect.stringMatching(/^tc filter add .*: no such action$/),
      });
      nothingLeft('primary');
    });
  });

  test('beside an ingress qdisc, as libvirt limits a guest with, the mirror is made by nft', async () => {
    lab.execSync('pn', 'tc', ['qdisc', 'add', 'dev', 'tap0', 'ingress']);
    const limited = hostState(lab, 'pn');
    const refused = (
      await run(lab, 'primary', ['apply'], configOf(lab, 'primary', { otherProtocols: 'pass' }, { nftables: false }))
    )[0]!;
    expect(refused.error).toMatchObject({
      message: expect.stringMatching(/^tap0 has an ingress qdisc .* no room for the clsact of the mirror$/),
      hint: expect.stringMatching(/nftables: true/),
    });
    const [first, second] = good(await run(lab, 'primary', ['apply'], undefined, 2));
    expect(first!.changes).toContain('mirror from tap0 to fwd0, by nft: tap0 has an ingress qdisc');
    expect(second!.changes).toEqual([]);
    const copies = lab.spawn('sn', 'tcpdump', ['-plnei', 'fwd0', '--immediate-mode', 'arp', 'host', '10.77.0.77']);
    await copies.waitFor(/listening on/);
    await lab.exec('client', 'busybox', ['arping', '-c', '1', '-w', '1', '-I', 'lan0', '10.77.0.77'], {
      allowFailure: true,
    });
    await copies.waitFor(/Request who-has 10\.77\.0\.77/);
    copies.child.kill('SIGTERM');
    await copies.ended();
    // The limit is taken away while the mirror stands; with the next tap it is tc's turn.
    lab.execSync('pn', 'tc', ['qdisc', 'del', 'dev', 'tap0', 'ingress']);
    expect(good(await run(lab, 'primary', ['apply']))[0]!.changes).toEqual([]);
    lab.execSync('pn', 'nft', ['delete', 'table', 'netdev', 'colo-mirror-1']);
    expect(good(await run(lab, 'primary', ['apply']))[0]!.changes).toEqual(['mirror from tap0 to fwd0']);
    good(await run(lab, 'primary', ['remove']));
    lab.execSync('pn', 'tc', ['qdisc', 'add', 'dev', 'tap0', 'ingress']);
    good(await run(lab, 'primary', ['apply', 'remove']));
    expect(hostState(lab, 'pn')).toBe(limited);
    lab.execSync('pn', 'tc', ['qdisc', 'del', 'dev', 'tap0', 'ingress']);
  });

  test.each(SIDES)('half-open connections are forgotten soon, %s; a shorter time stays', async (side) => {
    const read = (name: string) => lab.execSync(HOSTS[side], 'sysctl', ['-n', `net.netfilter.${name}`]).trim();
    lab.execSync(HOSTS[side], 'sysctl', ['-qw', 'net.netfilter.nf_conntrack_tcp_timeout_syn_sent=5']);
    const [outcome] = good(await run(lab, side, ['apply']));
    expect(outcome!.changes).toContain('sysctl net.netfilter.nf_conntrack_tcp_timeout_syn_recv=10 (was 60)');
    expect([read('nf_conntrack_tcp_timeout_syn_sent'), read('nf_conntrack_tcp_timeout_syn_recv')]).toEqual(['5', '10']);
    const small = Number(read('nf_conntrack_max')) < 262144;
    expect(outcome!.warnings!.filter((text) => /nf_conntrack_max is \d+: many half-open/.test(text))).toHaveLength(
      small ? 1 : 0,
    );
    good(await run(lab, side, ['remove']));
    expect([read('nf_conntrack_tcp_timeout_syn_sent'), read('nf_conntrack_tcp_timeout_syn_recv')]).toEqual(['5', '60']);
    lab.execSync(HOSTS[side], 'sysctl', ['-qw', ...HANDSHAKE_TIMEOUTS]);
  });

  test('warnings: a bridge that learns slowly, a firewall made for routing', async () => {
    lab.execSync('sn', 'ip', 'link set br0 type bridge stp_state 1 forward_delay 1500'.split(' '));
    lab.execSync('sn', 'iptables', ['-P', 'FORWARD', 'DROP']);
    const [outcome] = good(await run(lab, 'secondary', ['apply']));
    expect(outcome!.warnings).toEqual([
      expect.stringMatching(/^br0 has STP on: after a failover the guest is cut off for 30 s/),
      expect.stringMatching(/^iptables: the policy of FORWARD is DROP/),
    ]);
    good(await run(lab, 'secondary', ['remove']));
    lab.execSync('sn', 'ip', 'link set br0 type bridge stp_state 0'.split(' '));
    lab.execSync('sn', 'ip', 'link set br0 type bridge forward_delay 0'.split(' '));
    lab.execSync('sn', 'nft', ['delete', 'table', 'ip', 'filter']);
  });

  test('a tap that a failover has moved is left where it is, until the rules are removed', async () => {
    good(await run(lab, 'secondary', ['apply']));
    lab.moveSecondaryTap();
    const [again] = good(await run(lab, 'secondary', ['apply']));
    expect(again!.warnings).toEqual([expect.stringMatching(/^tap0 is in br0 since a failover/)]);
    expect(lab.execSync('sn', 'bridge', ['link', 'show', 'dev', 'tap0'])).toContain('master br0');
    good(await run(lab, 'secondary', ['remove']));
    expect(lab.execSync('sn', 'bridge', ['link', 'show', 'dev', 'tap0'])).toContain('master br0');
    lab.execSync('sn', 'ip', ['link', 'set', 'tap0', 'nomaster']);
    nothingLeft('secondary');
  });

  test('a tap that is in the outer bridge goes to the forward bridge, and back', async () => {
    lab.moveSecondaryTap();
    good(await run(lab, 'secondary', ['apply']));
    expect(lab.execSync('sn', 'bridge', ['link', 'show', 'dev', 'tap0'])).toContain('master colobr0');
    good(await run(lab, 'secondary', ['remove']));
    expect(lab.execSync('sn', 'bridge', ['link', 'show', 'dev', 'tap0'])).toContain('master br0');
    lab.execSync('sn', 'ip', ['link', 'set', 'tap0', 'nomaster']);
    nothingLeft('secondary');
  });

  test('the outer bridge is made when its port is named', async () => {
    lab.execSync('pn', 'ip', 'link add name nic5 type veth peer name far5'.split(' '));
    for (const end of ['nic5', 'far5']) lab.execSync('pn', 'ip', ['link', 'set', end, 'addrgenmode', 'none', 'up']);
    lab.execSync('pn', 'ip', 'link set tap0 nomaster'.split(' '));
    const config = configOf(lab, 'primary', { outerBridge: 'br5', outerPort: 'nic5' });
    const state = hostState(lab, 'pn');
    good(await run(lab, 'primary', ['apply'], config));
    const ports = JSON.parse(lab.execSync('pn', 'ip', ['-j', 'link', 'show', 'master', 'br5'])) as { ifname: string }[];
    expect(ports.map(({ ifname }) => ifname).sort()).toEqual(['nic5', 'tap0']);
    good(await run(lab, 'primary', ['remove'], config));
    expect(hostState(lab, 'pn')).toBe(state);
    lab.execSync('pn', 'ip', 'link del nic5'.split(' '));
    lab.execSync('pn', 'ip', 'link set tap0 master br0'.split(' '));
    nothingLeft('primary');
  });
});

requires(
  'netns',
  'nfqueue',
  'addon',
)('packets under the rules', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create({ plumbing: false });
    // Nobody listens, so what is queued passes by the operator's word.
    for (const side of SIDES) good(await run(lab, side, ['apply'], configOf(lab, side, { queueBypass: true })));
  });
  afterAll(() => lab?.destroy());

  const sockets: PacketSocket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
  });
  const open = (role: 'client' | 'pvm' | 'svm', onFrame: (frame: Buffer) => void = () => {}): PacketSocket => {
    const all = role === 'client' ? { interface: 'lan0', ethertype: 0x0003 } : { interface: 'eth0' };
    const socket = new PacketSocket({ ...all, netns: lab.ns[role] }, { onFrame });
    sockets.push(socket);
    return socket;
  };

  const ping = (role: 'client' | 'pn', address: string, bytes = 56) =>
    lab.exec(role, 'busybox', ['ping', '-q', '-c', '2', '-W', '5', '-s', `${bytes}`, address]);
  const zero = () => {
    for (const side of SIDES)
      for (const iptables of ['iptables', 'ip6tables']) lab.execSync(HOSTS[side], iptables, ['-t', 'mangle', '-Z']);
  };

  test.each([
    ['IPv4', GUEST_IP, 'iptables', 56],
    ['IPv6', GUEST_IP6, 'ip6tables', 56],
    ['IPv4 in fragments', GUEST_IP, 'iptables', 4000],
    ['IPv6 in fragments', GUEST_IP6, 'ip6tables', 4000],
  ])('%s: each queue sees what is its own, whole, and once', async (_what, address, iptables, bytes) => {
    zero();
    const result = await ping('client', address, bytes);
    expect(result.stdout).toContain('2 packets received');
    await until('the replies of the secondary guest', () => counted(lab, 'primary', iptables)['101']! >= 2);
    // Out of the PVM and the SVM: the replies. Into the SVM: the requests. Into the PVM: nobody asks.
    expect(counted(lab, 'primary', iptables)).toEqual({ 100: 2, 101: 2, 102: 0, 103: 0 });
    expect(counted(lab, 'secondary', iptables)).toEqual({ 100: 2, 101: 2 });
  });

  test('what the hosts themselves say and hear is not queued', async () => {
    zero();
    expect((await ping('client', PN_IP)).stdout).toContain('2 packets received');
    expect(counted(lab, 'primary')).toEqual({ 100: 0, 101: 0, 102: 0, 103: 0 });
    expect(counted(lab, 'secondary')).toEqual({ 100: 0, 101: 0 });
  });

  test('after a failover the way in is still queued, from the outer bridge', async () => {
    const other = await Lab.create({ plumbing: false });
    try {
      good(await run(other, 'secondary', ['apply'], configOf(other, 'secondary', { queueBypass: true })));
      other.killPrimary();
      other.moveSecondaryTap();
      await other.exec('svm', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', '10.77.0.1']);
      const earlier = counted(other, 'secondary');
      await other.exec('client', 'busybox', ['ping', '-q', '-c', '2', '-W', '5', GUEST_IP]);
      const now = counted(other, 'secondary');
      expect([now['100']! - earlier['100']!, now['101']! - earlier['101']!]).toEqual([2, 2]);
    } finally {
      await other.destroy();
    }
  });

  test('what the outer bridge floods reaches the guest after a failover, once and at once, though conntrack has not seen it', async () => {
    const other = await Lab.create({ plumbing: false });
    const queues: NfQueue[] = [];
    try {
      good(await run(other, 'secondary', ['apply'], configOf(other, 'secondary')));
      for (const queue of [100, 101]) {
        const listener: NfQueue = new NfQueue({ queue, netns: other.ns.sn }, (count) => {
          for (let d = 0; d < count * NFQ_D_WORDS; d += NFQ_D_WORDS) listener.accept(listener.table[d + NFQ_D_ID]!);
        });
        queues.push(listener);
      }
      other.killPrimary();
      // Older and newer ports than the guest's, and a bridge that never knows where it is.
      for (const name of ['x1', 'x2']) {
        other.execSync('sn', 'ip', ['link', 'add', 'name', name, 'type', 'veth', 'peer', 'name', `${name}-far`]);
        if (name === 'x2') other.moveSecondaryTap();
        other.execSync('sn', 'ip', ['link', 'set', `${name}-far`, 'up']);
        other.execSync('sn', 'ip', ['link', 'set', name, 'master', 'br0', 'up']);
      }
      other.execSync('sn', 'ip', 'link set dev tap0 type bridge_slave learning off'.split(' '));
      other.execSync('sn', 'ip', 'link set br0 type bridge fdb_flush'.split(' '));
      other.execSync('client', 'ip', 'link set lan0 type bridge fdb_flush'.split(' '));
      await until('forwarding ports', () =>
        (JSON.parse(other.execSync('sn', 'bridge', ['-j', 'link'])) as { state: string }[]).every(
          ({ state }) => state === 'forwarding',
        ),
      );
      const seen: number[] = [];
      const guest = new PacketSocket(
        { interface: 'eth0', ethertype: 0x0003, netns: other.ns.svm },
        {
          onFrame: (f) => {
            if (f.toString('hex', 0, 6) !== hex(GUEST_MAC) || f.readUInt16BE(12) !== 0x0800) return;
            seen.push(f.readUInt16BE(34));
          },
        },
      );
      const client = new PacketSocket({ interface: 'lan0', netns: other.ns.client }, { onFrame: () => {} });
      sockets.push(guest, client);
      const from = { src: [10, 77, 0, 1], dst: [10, 77, 0, 2] };
      const packets = [
        buildUdp({ ...from, sport: 5000, dport: 7, payload: 'first' }),
        buildTcp({ ...from, sport: 5002, dport: 80, flags: 'S', seq: 1 }),
        buildUdp({ ...from, sport: 5003, dport: 7, payload: 'last' }),
      ];
      for (const packet of packets) client.send(buildFrame(packet, { src: hex(CLIENT_MAC), dst: hex(GUEST_MAC) }));
      await until('the last of them', () => seen.includes(5003));
      expect(seen).toEqual([5000, 5002, 5003]);
    } finally {
      for (const queue of queues) queue.close();
      await other.destroy();
    }
  });

  test('fragments of the two guests with one identification are not put together', async () => {
    // The guests' payloads differ; a datagram with bytes of both would show it.
    const capture = lab.spawn('pn', 'tcpdump', ['-lnni', 'br0', '--immediate-mode', '-X', 'udp']);
    await capture.waitFor(/listening on/);
    zero();
    const pvm = open('pvm');
    const svm = open('svm');
    pvm.send(udpFragment4(77, true, 0x50));
    svm.send(udpFragment4(77, true, 0x53));
    svm.send(udpFragment4(77, false, 0x53));
    pvm.send(udpFragment4(77, false, 0x50));
    await until('both datagrams', () => {
      const seen = counted(lab, 'primary');
      return seen['102'] === 1 && seen['103'] === 1;
    });
    await capture.waitFor(/5050 5050/);
    await capture.stop();
    expect(capture.output).not.toContain('5353 5353');
  });

  test('what cannot be compared does not leave the primary guest, nor anything behind an address', async () => {
    // A packet socket gets the tag beside the frame.
    const untagged = (frame: Buffer) => frame.toString('hex', 12).replace(/^81000005/, '');
    const seen: string[] = [];
    open('client', (frame) => seen.push(untagged(frame)));
    const pvm = open('pvm');
    const about = (operation: number, ...behind: Buffer[]) =>
      Buffer.concat([arpFrame(operation).subarray(14), ...behind]);
    const tagged = (type: number, content: Buffer) =>
      ethernet(0x8100, Buffer.concat([Buffer.from([0, 5, type >> 8, type & 255]), content]));
    // EtherCAT, 802.1ad, FCoE, LLDP, EAPOL.
    const strange = [0x88a4, 0x88a8, 0x8906, 0x88cc, 0x888e].map((type) => ethernet(type, Buffer.alloc(60)));
    const secret = Buffer.from('x');
    const never: Buffer[] = [...strange, tagged(0x88cc, Buffer.alloc(60))];
    const mayPass: Buffer[] = [];
    for (const [type, operation] of [
      [0x0806, 1],
      [0x8035, 3],
    ] as const) {
      for (const frame of [ethernet, tagged]) {
        for (const zeros of [0, 14, 18]) mayPass.push(frame(type, about(operation, Buffer.alloc(zeros))));
        for (const zeros of [0, 13, 17]) never.push(frame(type, about(operation, Buffer.alloc(zeros), secret)));
        never.push(
          frame(type, about(operation, secret, Buffer.alloc(17))),
          frame(type, about(operation, Buffer.alloc(1400))),
        );
        never.push(frame(type, about(9)), frame(type, about(operation).subarray(0, 27)));
        const other = about(operation);
        other[2] = 0x86;
        never.push(frame(type, other));
      }
    }
    // Order is kept, so when the last has come the others will not.
    for (const frame of [...never, ...mayPass]) pvm.send(frame);
    const sent = new Set([...never, ...mayPass].map(untagged));
    const heard = () => seen.filter((text) => sent.has(text));
    await until('all that may pass', () => heard().length >= mayPass.length);
    expect(heard()).toEqual(mayPass.map(untagged));
    const drops = lab.execSync('pn', 'nft', ['list', 'table', 'netdev', 'colo-1']);
    const dropped = [...drops.matchAll(/counter packets (\d+) /g)].reduce(
      (sum, [, packets]) => sum + Number(packets),
      0,
    );
    expect(dropped).toBe(never.length);
  });

  test('a VLAN tag does not hide a packet from the queue', async () => {
    zero();
    const pvm = open('pvm');
    const inner = udpFragment4(78, true, 0x50).subarray(12);
    pvm.send(ethernet(0x8100, Buffer.concat([Buffer.from([0, 5]), inner])));
    pvm.send(ethernet(0x8100, Buffer.concat([Buffer.from([0, 5]), udpFragment4(78, false, 0x50).subarray(12)])));
    await until('the tagged packet in the queue', () => counted(lab, 'primary')['102'] === 1);
  });
});
