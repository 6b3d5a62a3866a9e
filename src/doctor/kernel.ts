// The kernel's abilities, tried in a temporary network namespace: nothing of the host changes.

import { constants } from 'node:os';
import { OperatorError } from '../core/errors';
import { run } from '../io/exec';
import { NfQueue } from '../io/nfqueue';
import type { Question } from './check';
import { tripOfFragments } from './trip';

/** Two ends of a cable, one of them the only port of a bridge. */
export interface ProbeNamespace {
  name: string;
  outside: string;
  port: string;
  bridge: string;
}

export async function makeNamespace(): Promise<ProbeNamespace> {
  const name = `colo-doctor-${process.pid}`;
  await run('ip', ['netns', 'add', name]);
  return { name, outside: 'outside', port: 'port', bridge: 'bridge' };
}

export async function dropNamespace({ name }: ProbeNamespace): Promise<void> {
  await run('ip', ['netns', 'del', name]);
}

/** Advice: the kernel option, or module, that is missing. */
function kernel(option: string, module?: string): string {
  return `this kernel lacks ${option}${module === undefined ? '' : ` (or its module: modprobe ${module})`}`;
}

/** In the order of asking: each may need those before. */
export function kernelQuestions(ns: ProbeNamespace, iptables: string, nftables: boolean): Question[] {
  const inside = async (program: string, ...args: string[]): Promise<string> => {
    try {
      return await run('ip', ['netns', 'exec', ns.name, program, ...args]);
    } catch (error) {
      // Without the program nothing can be learned about the kernel.
      if (!(error as Error).message.endsWith(`exec of "${program}" failed: No such file or directory`)) throw error;
      throw new OperatorError('ECOMMAND', `${program} is not installed`, 'install it, then ask again');
    }
  };
  const both = async (...args: string[]): Promise<string> => {
    for (const program of [iptables, iptables.replace(/^iptables/, 'ip6tables')]) await inside(program, '-w', ...args);
    return 'IPv4 and IPv6';
  };
  const physdev = ['-m', 'physdev', '--physdev-in', ns.port];
  return [
    {
      id: 'bridge',
      what: 'bridges and veth pairs',
      needed: true,
      todo: kernel('CONFIG_BRIDGE', 'bridge'),
      ask: async () => {
        const { outside, port, bridge } = ns;
        await inside('ip', 'link', 'add', 'name', outside, 'index', '100', 'type', 'veth', 'peer', 'name', port);
        await inside('ip', 'link', 'add', 'name', bridge, 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0');
        await inside('ip', 'link', 'set', 'dev', port, 'master', bridge, 'up');
        for (const name of [outside, bridge]) await inside('ip', 'link', 'set', 'dev', name, 'up');
        return 'in the kernel';
      },
    },
    {
      id: 'bridge-netfilter',
      what: 'bridges that call iptables',
      needed: true,
      todo: kernel('CONFIG_BRIDGE_NETFILTER', 'br_netfilter'),
      ask: async () => {
        await inside(
          'ip',
          'link',
          'set',
          'dev',
          ns.bridge,
          'type',
          'bridge',
          'nf_call_iptables',
          '1',
          'nf_call_ip6tables',
          '1',
        );
        // The flags exist even without the module that uses them.
        await inside('cat', '/proc/sys/net/bridge/bridge-nf-filter-vlan-tagged');
        return 'nf_call_iptables';
      },
    },
    {
      id: 'physdev',
      what: 'iptables match physdev',
      needed: true,
      todo: kernel('CONFIG_NETFILTER_XT_MATCH_PHYSDEV', 'xt_physdev'),
      ask: () => both('-t', 'mangle', '-A', 'PREROUTING', ...physdev),
    },
    {
      id: 'marks',
      what: 'iptables matches comment, pkttype',
      needed: true,
      todo: kernel('CONFIG_NETFILTER_XT_MATCH_COMMENT, CONFIG_NETFILTER_XT_MATCH_PKTTYPE', 'xt_comment, xt_pkttype'),
      ask: () =>
        both(
          '-t',
          'mangle',
          '-A',
          'FORWARD',
          '-m',
          'pkttype',
          '--pkt-type',
          'unicast',
          '-m',
          'comment',
          '--comment',
          'colo',
        ),
    },
    {
      id: 'conntrack',
      what: 'conntrack zones (target CT)',
      needed: true,
      todo: kernel('CONFIG_NETFILTER_XT_TARGET_CT, CONFIG_NF_CONNTRACK_ZONES', 'xt_CT'),
      ask: () => both('-t', 'raw', '-A', 'PREROUTING', ...physdev, '-j', 'CT', '--zone', '6535'),
    },
    {
      id: 'nfqueue',
      what: 'iptables target NFQUEUE',
      needed: true,
      todo: kernel('CONFIG_NETFILTER_XT_TARGET_NFQUEUE', 'xt_NFQUEUE'),
      ask: () => both('-t', 'mangle', '-A', 'PREROUTING', ...physdev, '-j', 'NFQUEUE', '--queue-num', '1'),
    },
    {
      id: 'clsact',
      what: 'tc clsact, u32, mirred',
      needed: true,
      todo: kernel(
        'CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_U32 or CONFIG_NET_ACT_MIRRED',
        'sch_ingress, cls_u32, act_mirred',
      ),
      ask: async () => {
        await inside('tc', 'qdisc', 'add', 'dev', ns.bridge, 'clsact');
        const mirror = `egress pref 1 protocol all u32 match u32 0 0 action mirred egress mirror dev ${ns.outside} cookie 00`;
        await inside('tc', 'filter', 'add', 'dev', ns.bridge, ...mirror.split(' '));
        await inside('tc', 'qdisc', 'del', 'dev', ns.bridge, 'clsact');
        return 'in the kernel';
      },
    },
    {
      id: 'nft-zone',
      what: "nft zones, to keep both guests' fragments apart",
      needed: nftables,
      todo: `${kernel('CONFIG_NFT_CT', 'nft_ct')}; nftables: false does without`,
      ask: async () => {
        await inside(
          'nft',
          'add table ip t; add chain ip t c { type filter hook prerouting priority -450 ; }; add rule ip t c ct zone set 1; delete table ip t',
        );
        return 'in the kernel';
      },
    },
    {
      id: 'nft-netdev',
      what: 'nft on the tap, to drop what cannot be compared',
      needed: nftables,
      todo: `${kernel('CONFIG_NF_TABLES_NETDEV')}; otherProtocols: pass does without`,
      ask: async () => {
        const chain = `{ type filter hook ingress device "${ns.port}" priority 0 ; }`;
        await inside(
          'nft',
          `add table netdev t; add chain netdev t c ${chain}; add rule netdev t c ether type ip accept; delete table netdev t`,
        );
        return 'in the kernel';
      },
    },
    {
      id: 'trip',
      what: 'a bridged packet reaches the queue, fragments as one',
      needed: true,
      todo: 'see the lines above; conntrack must reassemble (CONFIG_NF_DEFRAG_IPV4, CONFIG_NF_DEFRAG_IPV6)',
      ask: () => tripOfFragments(ns),
    },
    {
      id: 'conntrack-glue',
      what: 'conntrack data with each packet',
      needed: false,
      todo: 'nothing to do: flows end by their own timers (CONFIG_NETFILTER_NETLINK_GLUE_CT)',
      ask: () => glue(ns.name),
    },
  ];
}

function glue(netns: string): string {
  try {
    const queue = new NfQueue({ queue: 2, netns, conntrack: true }, () => {});
    const { conntrack } = queue.settings;
    queue.close();
    if (conntrack) return 'in the kernel';
  } catch (error) {
    const errno = (error as { cause?: { errno?: number } }).cause?.errno;
    if (!(error instanceof OperatorError) || (errno !== undefined && errno !== -constants.errno.EOPNOTSUPP))
      throw error;
  }
  throw new Error('not in the kernel');
}

/** Namespaces left by a killed doctor. */
export async function sweepNamespaces(): Promise<void> {
  const names = (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' ')[0]!);
  for (const name of names) {
    const pid = /^colo-doctor-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !alive(Number(pid))) await run('ip', ['netns', 'del', name]);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
