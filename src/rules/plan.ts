// What a node needs of the kernel, as data. `colo rules show` prints it as commands, `apply` and `remove` make it so
// and undo it.
//
//   primary:   br0 = {outer NIC, tap0}, colobr0 = {fwd0}; mirror tap0 -> fwd0; from tap0 -> guest queues, from fwd0 -> forward queues
//   secondary: colobr0 = {fwd0, tap0};                    from tap0 -> guest queue, towards tap0 -> forward queue
//
// The rules look at bridged packets: iptables-extensions(8) physdev, and the bridges' own nf_call_iptables
// (ip-link(8)), so that other bridges of the host stay as they are.

import { commentOf, FORWARD_ZONE, SHARED_ALIAS } from './marks';
import { defragStatements, guestStatements } from './nft';

export interface RuleNode {
  index: number;
  name: string;
  guestPort: string;
  forwardPort: string;
  outerBridge: string;
  outerPort: string | undefined;
  forwardBridge: string;
  guestQueue: number;
  forwardQueue: number;
  /** Of a primary: UDP's. */
  guestUdpQueue: number;
  forwardUdpQueue: number;
  queueBypass: boolean;
  otherProtocols: 'drop' | 'pass';
}

export interface RuleConfig {
  role: 'primary' | 'secondary';
  nodes: readonly RuleNode[];
  stateDir: string;
  iptables: string;
  nftables: boolean;
}

export interface IptablesRule {
  table: 'raw' | 'mangle';
  chain: 'PREROUTING' | 'FORWARD';
  words: readonly string[];
}

/** A bridge that is made when it is missing. */
export interface BridgePlan {
  name: string;
  /** Marks it as made by these rules. */
  alias: string;
  ports: readonly string[];
  /** False: it must be there already. */
  make: boolean;
  /** It carries nobody's traffic but the guest's: the host does not speak on it. */
  quiet: boolean;
}

export interface NodePlan {
  node: RuleNode;
  comment: string;
  bridges: readonly BridgePlan[];
  mirror: { from: string; to: string } | undefined;
  /** In the order of the chain; the same for IPv4 and IPv6. */
  iptables: readonly IptablesRule[];
  /** nft(8) statements after `add table`, by table. */
  nft: readonly { family: 'ip' | 'netdev'; table: string; statements: readonly string[] }[];
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

export function planOf(config: RuleConfig): Plan {
  const { role, iptables, nftables, stateDir } = config;
  const nodes = config.nodes.map((node) => (role === 'primary' ? primaryPlan(node, nftables) : secondaryPlan(node)));
  return { role, iptables, nftables, stateDir, sysctls: hostSettings(role), nodes };
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

function hostSettings(role: 'primary' | 'secondary'): Setting[] {
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

function primaryPlan(node: RuleNode, nftables: boolean): NodePlan {
  const comment = commentOf(node.index);
  const mark = ['-m', 'comment', '--comment', comment];
  const from = (port: string) => ['-m', 'physdev', '--physdev-in', port, ...mark];
  const table = `colo-${node.index}`;
  const drops =
    node.otherProtocols === 'drop'
      ? [{ family: 'netdev' as const, table, statements: guestStatements(table, node) }]
      : [];
  return {
    node,
    comment,
    bridges: [outerBridge(node, [node.guestPort]), forwardBridge(node, [node.forwardPort])],
    mirror: { from: node.guestPort, to: node.forwardPort },
    iptables: [
      {
        table: 'raw',
        chain: 'PREROUTING',
        words: [...from(node.forwardPort), '-j', 'CT', '--zone', `${FORWARD_ZONE}`],
      },
      // UDP first, in queues where the kernel cuts a large packet into its datagrams: a queue does not give their size.
      toQueue([...UDP, ...from(node.guestPort)], node.guestUdpQueue, node.queueBypass),
      toQueue(from(node.guestPort), node.guestQueue, node.queueBypass),
      // Never with a bypass: the SVM's packets must not get onto this host's networks.
      toQueue([...UDP, ...from(node.forwardPort)], node.forwardUdpQueue, false),
      toQueue(from(node.forwardPort), node.forwardQueue, false),
    ],
    nft: nftables ? [{ family: 'ip', table, statements: defragStatements(table, node) }, ...drops] : [],
  };
}

function secondaryPlan(node: RuleNode): NodePlan {
  const comment = commentOf(node.index);
  const mark = ['-m', 'comment', '--comment', comment];
  const fromGuest = ['-m', 'physdev', '--physdev-in', node.guestPort, ...mark];
  // Whatever the bridge and the port it comes from, so it holds after a failover, too. Of a flooded packet there are
  // many copies, none for the guest alone; the kernel drops them rather than queue them while conntrack does not know
  // the connection.
  const toGuest = [
    '-m',
    'physdev',
    '--physdev-is-bridged',
    '--physdev-out',
    node.guestPort,
    '-m',
    'pkttype',
    '--pkt-type',
    'unicast',
    ...mark,
  ];
  return {
    node,
    comment,
    bridges: [outerBridge(node, []), forwardBridge(node, [node.forwardPort, node.guestPort])],
    mirror: undefined,
    iptables: [
      // Brings conntrack, and with it reassembly, to the namespace.
      { table: 'raw', chain: 'PREROUTING', words: [...fromGuest, '-j', 'CT'] },
      { table: 'mangle', chain: 'PREROUTING', words: [...fromGuest, ...queue(node.guestQueue, node.queueBypass)] },
      // What begins a connection needs no translation: from the outer bridge it passes as it is until conntrack knows
      // it.
      ...[
        ['-p', 'udp'],
        // As iptables-save writes --syn.
        ['-p', 'tcp', '--tcp-flags', 'FIN,SYN,RST,ACK', 'SYN'],
      ].map((match) => ({
        table: 'mangle' as const,
        chain: 'FORWARD' as const,
        words: [...match, ...NEW, '-m', 'physdev', '!', '--physdev-in', node.forwardPort, ...toGuest, '-j', 'ACCEPT'],
      })),
      { table: 'mangle', chain: 'FORWARD', words: [...toGuest, ...queue(node.forwardQueue, node.queueBypass)] },
    ],
    nft: [],
  };
}

/** Conntrack has not seen its like leave this host: until then copies share what it knows of them. */
const NEW = ['-m', 'conntrack', '!', '--ctstatus', 'CONFIRMED'];

/** Behind all extension headers, for IPv6. */
const UDP = ['-p', 'udp'];

function toQueue(match: readonly string[], number: number, bypass: boolean): IptablesRule {
  return { table: 'mangle', chain: 'PREROUTING', words: [...match, ...queue(number, bypass)] };
}

function queue(number: number, bypass: boolean): string[] {
  return ['-j', 'NFQUEUE', '--queue-num', `${number}`, ...(bypass ? ['--queue-bypass'] : [])];
}

function outerBridge(node: RuleNode, guest: readonly string[]): BridgePlan {
  const make = node.outerPort !== undefined;
  return {
    name: node.outerBridge,
    alias: SHARED_ALIAS,
    ports: [...(node.outerPort === undefined ? [] : [node.outerPort]), ...guest],
    make,
    quiet: false,
  };
}

function forwardBridge(node: RuleNode, ports: readonly string[]): BridgePlan {
  return { name: node.forwardBridge, alias: commentOf(node.index), ports, make: true, quiet: true };
}
