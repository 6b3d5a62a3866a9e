// The parts of the rules that need no kernel: the plan as commands, and what iptables-restore is given.
import fc from 'fast-check';
import { run, shellLine } from '../../../src/io/exec';
import type { Link } from '../../../src/io/link';
import { sysctlName } from '../../../src/io/sysctl';
import { planOf, type RuleConfig, type RuleNode, showLines, undoLines } from '../../../src/rules';
import { programOf, restoreBatch, savedRules } from '../../../src/rules/iptables';
import type { Change } from '../../../src/rules/journal';
import { cookieOf, FORWARD_ZONE } from '../../../src/rules/marks';
import { aloneNodes } from '../../../src/rules/stages';

const NODE: RuleNode = {
  index: 1,
  name: 'vm1',
  guestPort: 'tap0',
  forwardPort: 'fwd0',
  outerBridge: 'br0',
  outerPort: undefined,
  forwardBridge: 'colobr0',
  guestQueue: 100,
  forwardQueue: 101,
  guestUdpQueue: 102,
  forwardUdpQueue: 103,
  queueBypass: false,
  otherProtocols: 'drop',
};

function show(role: RuleConfig['role'], node: Partial<RuleNode> = {}, more: Partial<RuleConfig> = {}): string[] {
  const config = { role, nodes: [{ ...NODE, ...node }], stateDir: '/x', iptables: 'iptables', nftables: true, ...more };
  return showLines(planOf(config)).filter((line) => line !== '' && !line.startsWith('#'));
}

describe('shown commands', () => {
  test('the zone is the one of old', () => {
    expect(FORWARD_ZONE).toBe(0x1987);
  });

  test('a bypass opens the guest queue of a primary, never the forward queue', () => {
    const queues = show('primary', { queueBypass: true }).filter((line) => line.includes('NFQUEUE'));
    expect(queues).toHaveLength(8);
    for (const line of queues) expect(line.includes('--queue-bypass')).toBe(line.includes('tap0'));
    expect(show('primary').join()).not.toContain('bypass');
    const secondary = show('secondary', { queueBypass: true }).filter((line) => line.includes('NFQUEUE'));
    expect(secondary.every((line) => line.endsWith('--queue-bypass'))).toBe(true);
  });

  test('every iptables rule stands for both families and carries the index', () => {
    for (const role of ['primary', 'secondary'] as const) {
      const rules = show(role, { index: 42 }).filter((line) => /^ip6?tables /.test(line));
      expect(rules).toHaveLength(10);
      for (const rule of rules) expect(rule).toContain('-m comment --comment colo:42 ');
      const v4 = rules.filter((rule) => rule.startsWith('iptables '));
      expect(rules).toEqual(expect.arrayContaining(v4.map((rule) => rule.replace('iptables', 'ip6tables'))));
    }
  });

  test('UDP comes to queues of its own, before the rules that take everything', () => {
    for (const program of ['iptables', 'ip6tables']) {
      // Shown are insertions: the last one stands first.
      const rules = show('primary').filter((line) => line.startsWith(`${program} `) && line.includes('NFQUEUE'));
      const at = (port: string, udp: boolean) =>
        rules.findIndex((line) => line.includes(`-in ${port} `) && line.includes('-p udp ') === udp);
      for (const [port, queue, udpQueue] of [
        ['tap0', 100, 102],
        ['fwd0', 101, 103],
      ] as const) {
        expect(at(port, true)).toBeGreaterThan(at(port, false));
        expect(rules[at(port, false)]).toMatch(new RegExp(`--queue-num ${queue}$`));
        expect(rules[at(port, true)]).toMatch(new RegExp(`--queue-num ${udpQueue}$`));
      }
    }
  });

  test('nft is used as far as the operator wants it', () => {
    const nft = (lines: string[]) => lines.filter((line) => line.startsWith('nft ')).join('\n');
    expect(nft(show('primary'))).toMatch(/add table ip colo-1'\n(.*\n)*.*add table netdev colo-1'/);
    expect(nft(show('primary', { otherProtocols: 'pass' }))).not.toContain('netdev');
    expect(nft(show('primary', { otherProtocols: 'pass' }, { nftables: false }))).toBe('');
    expect(nft(show('secondary'))).toBe('');
  });

  test('no rule comes after the port that it is for', () => {
    for (const role of ['primary', 'secondary'] as const) {
      const lines = show(role);
      const lastRule = lines.findLastIndex((line) => line.includes('NFQUEUE'));
      const firstPort = lines.findIndex((line) => line.startsWith('ip link set dev fwd0 master'));
      expect(lastRule).toBeLessThan(firstPort);
    }
  });

  test('nodes share the outer bridge: it is made once', () => {
    const second = { ...NODE, index: 2, guestPort: 'tap1', forwardPort: 'fwd1', forwardBridge: 'colobr1' };
    const nodes = [NODE, second].map((node) => ({ ...node, outerPort: 'eth0' }));
    const lines = showLines(planOf({ role: 'primary', nodes, stateDir: '/x', iptables: 'iptables', nftables: true }));
    expect(lines.filter((line) => line.startsWith('ip link add name br0 '))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('ip link add name colobr'))).toHaveLength(2);
  });

  test('what undoes them names the same rules', () => {
    const plan = planOf({ role: 'primary', nodes: [NODE], stateDir: '/x', iptables: 'iptables-nft', nftables: true });
    const made = showLines(plan).filter((line) => line.startsWith('ip6tables-nft '));
    const undone = undoLines(plan).filter((line) => line.startsWith('ip6tables-nft '));
    expect(undone.sort()).toEqual(made.map((line) => line.replace(' -I ', ' -D ')).sort());
  });
});

describe('of a stream link', () => {
  const STREAM = { forwardPort: undefined, forwardBridge: undefined };
  const planned = (role: RuleConfig['role'], alone: ReadonlySet<number> = new Set()) =>
    planOf({ role, nodes: [{ ...NODE, ...STREAM }], stateDir: '/x', iptables: 'iptables', nftables: true }, alone);

  test('a primary has the queues of its guest, and nothing of a forward port', () => {
    const all = show('primary');
    const lines = show('primary', STREAM);
    const own = all.filter((line) => !/fwd0|colobr0|'(add .*)?(table )?ip colo-1|mirror/.test(line));
    const tracked = (program: string) =>
      `${program} -w -t raw -I PREROUTING -m physdev --physdev-in tap0 -m comment --comment colo:1 -j CT`;
    const mine = lines.filter((line) => !/ -j CT$/.test(line));
    expect(mine).toEqual(own.filter((line) => !line.includes('clsact')));
    expect(lines.filter((line) => / -j CT$/.test(line))).toEqual([tracked('iptables'), tracked('ip6tables')]);
    expect(lines.join()).not.toMatch(/undefined|colobr|tc /);
  });

  test('a secondary has a port that is isolated, and nothing else', () => {
    expect(show('secondary', STREAM)).toEqual([
      "nft 'add table netdev colo-1'",
      `nft 'add chain netdev colo-1 guest { type filter hook ingress device "tap0" priority 0 ; }'`,
      `nft 'add rule netdev colo-1 guest counter drop comment "colo:1"'`,
      'sysctl -w net.ipv6.conf.tap0.disable_ipv6=1',
      'ip link set dev tap0 arp off nomaster up',
    ]);
    const made = show('secondary', { ...STREAM, outerPort: 'eth0' }).join('\n');
    expect(made).toContain('ip link set dev eth0 master br0 up');
    expect(made).not.toContain('nf_call');
  });

  test('its failover is shown, and not typed by mistake: what today is there before', () => {
    const lines = showLines(planned('secondary'));
    const later = lines.slice(lines.findIndex((line) => line.startsWith('# at a failover')) + 1);
    expect(later.every((line) => line.startsWith('# '))).toBe(true);
    const commands = later.map((line) => line.slice(2));
    const rules = (of: string[]) => of.filter((line) => /^ip6?tables /.test(line));
    const without = rules(show('secondary')).map((line) => line.replace(" -m physdev '!' --physdev-in fwd0", ''));
    expect(rules(commands)).toEqual(without);
    expect(commands.slice(-2)).toEqual(["nft 'delete table netdev colo-1'", 'ip link set dev tap0 master br0']);
    expect(commands.findIndex((line) => line.includes('nf_call_iptables 1'))).toBeLessThan(
      commands.findIndex((line) => line.startsWith('iptables')),
    );
    expect(showLines(planned('secondary', new Set([1]))).join('\n')).not.toContain('at a failover');
  });

  test('a host has nothing to set while its guests are isolated', () => {
    expect(planned('secondary').sysctls).toEqual([]);
    expect(planned('secondary', new Set([2])).sysctls).toEqual([]);
    const later = planned('secondary', new Set([1]));
    expect(later.sysctls.map(({ path }) => path)).toContain('net/netfilter/nf_conntrack_tcp_be_liberal');
    expect(later.nodes[0]).toMatchObject({ alone: true, isolated: false, nft: [] });
    // Who has taken over is no primary's business, nor that of a node with a forward port.
    expect(planned('primary', new Set([1]))).toEqual(planned('primary'));
  });

  test('what undoes it', () => {
    const undone = (role: RuleConfig['role']) => undoLines(planned(role)).filter((line) => !/^(#|$)/.test(line));
    expect(undone('secondary')).toEqual(["nft 'delete table netdev colo-1'", 'ip link set dev tap0 arp on']);
    const primary = undone('primary');
    expect(primary).toHaveLength(7);
    expect(primary.join()).not.toMatch(/tap0 nomaster|clsact|undefined/);
  });
});

describe('who has taken over', () => {
  const known = (index: number) => new Map([['tap0', { index } as Link]]);
  const journal = (...changes: Change[]) => ({ changes: (index?: number) => (index === 1 ? changes : []) });
  const alone: Change = { kind: 'alone', name: 'tap0', index: 7 };

  test('is known by the mark and the port of then', () => {
    expect(aloneNodes([NODE], journal(alone), known(7))).toEqual(new Set([1]));
    expect(aloneNodes([NODE], journal(), known(7))).toEqual(new Set());
    // The virtual machine was started anew, and so is a secondary again.
    expect(aloneNodes([NODE], journal(alone), known(8))).toEqual(new Set());
    expect(aloneNodes([NODE], journal(alone), new Map())).toEqual(new Set());
    expect(aloneNodes([{ ...NODE, guestPort: 'tap1' }], journal(alone), known(7))).toEqual(new Set());
    expect(aloneNodes([{ ...NODE, index: 2 }], journal(alone), known(7))).toEqual(new Set());
  });
});

describe('iptables', () => {
  const SAVED = [
    '*mangle',
    ':PREROUTING ACCEPT [0:0]',
    '-A PREROUTING -m physdev --physdev-in tap0 -m comment --comment "colo:1" -j NFQUEUE --queue-num 100',
    '-A PREROUTING -m physdev --physdev-in tap1 -m comment --comment "colo:11" -j NFQUEUE --queue-num 110',
    '-A PREROUTING -m comment --comment "about colo:1" -j ACCEPT',
    '-A FORWARD -m comment --comment colo:1',
    'COMMIT',
  ].join('\n');

  test("a node's rules are found by the whole comment", () => {
    expect(savedRules(SAVED, 'colo:1')).toEqual([SAVED.split('\n')[2], '-A FORWARD -m comment --comment colo:1']);
    expect(savedRules(SAVED, 'colo:11')).toEqual([SAVED.split('\n')[3]]);
    expect(savedRules(SAVED, 'colo:2')).toEqual([]);
  });

  test('one batch takes the old rules out and puts the new ones first, in their order', () => {
    const rule = (word: string) => ({ table: 'mangle' as const, chain: 'PREROUTING' as const, words: [word] });
    expect(restoreBatch('mangle', ['-A FORWARD -j -A'], [rule('a'), rule('b')])).toBe(
      '*mangle\n-D FORWARD -j -A\n-I PREROUTING b\n-I PREROUTING a\nCOMMIT\n',
    );
  });

  test('the programs of a family keep their flavour', () => {
    expect(programOf('iptables', 'ip')).toBe('iptables');
    expect(programOf('iptables-legacy', 'ip6', 'restore')).toBe('ip6tables-legacy-restore');
  });
});

describe('marks and names', () => {
  test('the cookie is the comment in hex, and fits: 16 bytes at most', () => {
    expect(Buffer.from(cookieOf(7), 'hex').toString()).toBe('colo:7');
    expect(cookieOf(0xffffffff).length / 2).toBeLessThanOrEqual(16);
  });

  test('an interface with a dot keeps its sysctl unambiguous', () => {
    expect(sysctlName('net/ipv6/conf/fwd0/disable_ipv6')).toBe('net.ipv6.conf.fwd0.disable_ipv6');
    expect(sysctlName('net/ipv6/conf/eth0.5/disable_ipv6')).toBe('net/ipv6/conf/eth0.5/disable_ipv6');
  });
});

describe('running programs', () => {
  test('words of a shown command come back from a shell as they were', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string({ unit: 'grapheme' }).filter((word) => !word.includes('\0')),
          { minLength: 1, maxLength: 4 },
        ),
        async (words) => {
          const out = await run('sh', ['-c', `printf '%s\\0' ${shellLine(words)}`]);
          expect(out.split('\0').slice(0, -1)).toEqual(words);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('arguments are never seen by a shell', async () => {
    expect(await run('printf', ['%s', '$(id); `id` | > <'])).toBe('$(id); `id` | > <');
  });

  test('failures say what was run, what it said, and what to do', async () => {
    await expect(run('sh', ['-c', 'echo words >&2; exit 3'])).rejects.toMatchObject({
      code: 'ECOMMAND',
      status: 3,
      message: "sh -c 'echo words >&2; exit 3': words",
    });
    await expect(run('no-such-program', [])).rejects.toMatchObject({
      message: 'no-such-program: no-such-program is not installed',
      hint: expect.stringContaining('apt-get install no-such-program'),
    });
    await expect(run('sleep', ['60'], { timeoutMs: 20 })).rejects.toThrow('did not end in time and was killed');
  });
});
