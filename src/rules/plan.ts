// What a node needs of the kernel, as data. `colo rules show` prints it as commands, `apply` and `remove` make it so
// and undo it.
//
//   the frames between the hosts on an Ethernet of their own (plan-ethernet.ts):
//     primary:   br0 = {outer NIC, tap0}, colobr0 = {fwd0}; mirror tap0 -> fwd0; from tap0 -> guest queues, from fwd0 -> forward queues
//     secondary: colobr0 = {fwd0, tap0};                    from tap0 -> guest queue, towards tap0 -> forward queue
//   or carried by the hosts' programs (plan-stream.ts):
//     primary:   br0 = {outer NIC, tap0};                   from tap0 -> guest queues
//     secondary: tap0 in no bridge, and silent;             after a failover as above, in br0
//
// The rules look at bridged packets: iptables-extensions(8) physdev, and the bridges' own nf_call_iptables
// (ip-link(8)), so that other bridges of the host stay as they are.

import { ethernetPrimary, ethernetSecondary } from './plan-ethernet';
import { hasForwardPort, type NodePlan, type RuleNode } from './plan-parts';
import { streamPrimary, streamSecondary, streamSurvivor } from './plan-stream';

export type { BridgePlan, IptablesRule, NodePlan, RuleNode } from './plan-parts';

export interface RuleConfig {
  role: 'primary' | 'secondary';
  nodes: readonly RuleNode[];
  stateDir: string;
  iptables: string;
  nftables: boolean;
}

export interface Setting {
  path: string;
  value: string;
  /** A value below (above) it will do, too. */
  bound?: 'most' | 'least';
}

/** Whether a setting's present value is as wanted. */
export function isSet({ value, bound }: Setting, now: string | undefined): boolean {
  if (bound === undefined) return now === value;
  // What is not there has nothing to bound: a kernel without IPv6, conntrack as a module that nobody needs.
  if (now === undefined) return true;
  return bound === 'most' ? Number(now) <= Number(value) : Number(now) >= Number(value);
}

export interface Plan {
  role: 'primary' | 'secondary';
  iptables: string;
  nftables: boolean;
  stateDir: string;
  /** Of the whole host. */
  sysctls: readonly Setting[];
  nodes: readonly NodePlan[];
}

/** `alone`: indexes of the nodes of a secondary that have taken over (aloneNodes). */
export function planOf(config: RuleConfig, alone: ReadonlySet<number> = new Set()): Plan {
  const { role, iptables, nftables, stateDir } = config;
  const nodes = config.nodes.map((node) => nodePlan(node, role, nftables, alone.has(node.index)));
  return { role, iptables, nftables, stateDir, sysctls: hostSettings(role, nodes), nodes };
}

/** What a failover makes of the nodes whose ports are isolated. */
export function afterFailover(plan: Plan): Plan {
  const nodes = plan.nodes.filter(({ isolated }) => isolated).map(({ node }) => streamSurvivor(node));
  return { ...plan, nodes, sysctls: hostSettings(plan.role, nodes) };
}

function nodePlan(node: RuleNode, role: Plan['role'], nftables: boolean, alone: boolean): NodePlan {
  if (hasForwardPort(node)) return role === 'primary' ? ethernetPrimary(node, nftables) : ethernetSecondary(node);
  if (role === 'primary') return streamPrimary(node, nftables);
  return alone ? streamSurvivor(node) : streamSecondary(node);
}

/** Of the whole host, other network namespaces included: they can read it only. */
export const CONNTRACK_MAX = 'net/netfilter/nf_conntrack_max';

/**
 * Half-open connections must not fill conntrack: a full table drops everybody's new connections. 20,000 SYNs a second
 * that nobody finishes are 200,000 entries in 10 s, and fit; with the kernel's 60 s for them they are 1.2 million. A
 * handshake that takes longer is picked up again from its next packet (nf_conntrack_tcp_loose).
 */
const CONNTRACK: readonly Setting[] = [
  { path: CONNTRACK_MAX, value: '262144', bound: 'least' },
  { path: 'net/netfilter/nf_conntrack_tcp_timeout_syn_sent', value: '10', bound: 'most' },
  { path: 'net/netfilter/nf_conntrack_tcp_timeout_syn_recv', value: '10', bound: 'most' },
  { path: 'net/netfilter/nf_conntrack_icmp_timeout', value: '10', bound: 'most' },
  { path: 'net/netfilter/nf_conntrack_icmpv6_timeout', value: '10', bound: 'most' },
];

/** Where no bridge calls iptables there is nothing to set. */
function hostSettings(role: 'primary' | 'secondary', nodes: readonly NodePlan[]): Setting[] {
  if (!nodes.some(({ iptables }) => iptables.length > 0)) return [];
  // Without these a guest's packets pass unseen as soon as they wear a VLAN tag or a PPPoE header.
  const settings: Setting[] = [
    { path: 'net/bridge/bridge-nf-filter-vlan-tagged', value: '1' },
    { path: 'net/bridge/bridge-nf-filter-pppoe-tagged', value: '1' },
  ];
  settings.push(...CONNTRACK);
  // On SN conntrack sees the peer's acknowledgements in the PVM's numbers and the SVM's in its own: all out of window.
  if (role === 'secondary') settings.push({ path: 'net/netfilter/nf_conntrack_tcp_be_liberal', value: '1' });
  return settings;
}
