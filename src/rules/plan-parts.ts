// What a node's plan consists of, whatever carries the frames between the hosts.

import { commentOf, SHARED_ALIAS } from './marks';

export interface RuleNode {
  index: number;
  name: string;
  guestPort: string;
  /** Undefined: the hosts' programs carry the frames (a stream link). */
  forwardPort: string | undefined;
  outerBridge: string;
  outerPort: string | undefined;
  forwardBridge: string | undefined;
  guestQueue: number;
  forwardQueue: number;
  /** Of a primary: UDP's. */
  guestUdpQueue: number;
  forwardUdpQueue: number;
  queueBypass: boolean;
  otherProtocols: 'drop' | 'pass';
}

/** Of a node whose frames go over an Ethernet of their own. */
export interface EthernetNode extends RuleNode {
  forwardPort: string;
  forwardBridge: string;
}

export function hasForwardPort(node: RuleNode): node is EthernetNode {
  return node.forwardPort !== undefined && node.forwardBridge !== undefined;
}

export interface IptablesRule {
  table: 'raw' | 'mangle';
  chain: 'PREROUTING' | 'FORWARD';
  words: readonly string[];
}

export interface NftTable {
  family: 'ip' | 'netdev';
  table: string;
  /** nft(8) statements after `add table`. */
  statements: readonly string[];
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
  /** False: it is made, and gives no packets to iptables as yet. */
  calls: boolean;
}

export interface NodePlan {
  node: RuleNode;
  comment: string;
  bridges: readonly BridgePlan[];
  mirror: { from: string; to: string } | undefined;
  /** The guest's port is in no bridge, and the host's own stack does not speak on it. */
  isolated: boolean;
  /** It was, until its guest took over. */
  alone: boolean;
  /** In the order of the chain; the same for IPv4 and IPv6. */
  iptables: readonly IptablesRule[];
  nft: readonly NftTable[];
}

/** Conntrack has not seen its like leave this host: until then copies share what it knows of them. */
const NEW = ['-m', 'conntrack', '!', '--ctstatus', 'CONFIRMED'];

/** Behind all extension headers, for IPv6. */
export const UDP = ['-p', 'udp'];

export function toQueue(match: readonly string[], number: number, bypass: boolean): IptablesRule {
  return { table: 'mangle', chain: 'PREROUTING', words: [...match, ...queue(number, bypass)] };
}

function queue(number: number, bypass: boolean): string[] {
  return ['-j', 'NFQUEUE', '--queue-num', `${number}`, ...(bypass ? ['--queue-bypass'] : [])];
}

export function outerBridge(node: RuleNode, guest: readonly string[], calls = true): BridgePlan {
  const make = node.outerPort !== undefined;
  return {
    name: node.outerBridge,
    alias: SHARED_ALIAS,
    ports: [...(node.outerPort === undefined ? [] : [node.outerPort]), ...guest],
    make,
    quiet: false,
    calls,
  };
}

/** Matches what comes in by a port of a bridge. */
export function fromPort(port: string, index: number): string[] {
  return ['-m', 'physdev', '--physdev-in', port, ...markOf(index)];
}

function markOf(index: number): string[] {
  return ['-m', 'comment', '--comment', commentOf(index)];
}

/** From this guest's port to conntrack, and with it reassembly. */
export function tracked({ guestPort, index }: RuleNode): IptablesRule {
  return { table: 'raw', chain: 'PREROUTING', words: [...fromPort(guestPort, index), '-j', 'CT'] };
}

/** A primary's guest: what it sends, to the queues. */
export function primaryQueues(node: RuleNode): IptablesRule[] {
  const { guestPort, guestQueue, guestUdpQueue, queueBypass, index } = node;
  return [
    // UDP first, in queues where the kernel cuts a large packet into its datagrams: a queue does not give their size.
    toQueue([...UDP, ...fromPort(guestPort, index)], guestUdpQueue, queueBypass),
    toQueue(fromPort(guestPort, index), guestQueue, queueBypass),
  ];
}

/** A secondary's guest: what it sends and what it receives, to the queues. */
export function secondaryQueues(node: RuleNode): IptablesRule[] {
  const { guestPort, guestQueue, forwardPort, forwardQueue, queueBypass, index } = node;
  // Whatever the bridge and the port it comes from, so it holds after a failover, too. Of a flooded packet there are
  // many copies, none for the guest alone; the kernel drops them rather than queue them while conntrack does not know
  // the connection.
  const toGuest = [
    '-m',
    'physdev',
    '--physdev-is-bridged',
    '--physdev-out',
    guestPort,
    '-m',
    'pkttype',
    '--pkt-type',
    'unicast',
    ...markOf(index),
  ];
  const notForwarded = forwardPort === undefined ? [] : ['-m', 'physdev', '!', '--physdev-in', forwardPort];
  return [
    tracked(node),
    toQueue(fromPort(guestPort, index), guestQueue, queueBypass),
    // What begins a connection needs no translation: from the outer bridge it passes as it is until conntrack knows it.
    ...[
      ['-p', 'udp'],
      // As iptables-save writes --syn.
      ['-p', 'tcp', '--tcp-flags', 'FIN,SYN,RST,ACK', 'SYN'],
    ].map((match) => ({
      table: 'mangle' as const,
      chain: 'FORWARD' as const,
      words: [...match, ...NEW, ...notForwarded, ...toGuest, '-j', 'ACCEPT'],
    })),
    { table: 'mangle', chain: 'FORWARD', words: [...toGuest, ...queue(forwardQueue, queueBypass)] },
  ];
}
