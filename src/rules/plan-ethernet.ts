// The plan of a node whose frames go to the other host over an Ethernet of their own: a forward port in a bridge of its
// own, and a mirror of what goes to the PVM.

import { commentOf, FORWARD_ZONE } from './marks';
import { defragStatements, otherProtocols } from './nft';
import {
  type BridgePlan,
  type EthernetNode,
  fromPort,
  type NodePlan,
  outerBridge,
  primaryQueues,
  secondaryQueues,
  toQueue,
  UDP,
} from './plan-parts';

export function ethernetPrimary(node: EthernetNode, nftables: boolean): NodePlan {
  const { guestPort, forwardPort, index } = node;
  const fromForward = fromPort(forwardPort, index);
  const defrag = { family: 'ip' as const, table: `colo-${index}`, statements: defragStatements(node) };
  return {
    node,
    comment: commentOf(index),
    bridges: [outerBridge(node, [guestPort]), forwardBridge(node, [forwardPort])],
    mirror: { from: guestPort, to: forwardPort },
    isolated: false,
    alone: false,
    iptables: [
      { table: 'raw', chain: 'PREROUTING', words: [...fromForward, '-j', 'CT', '--zone', `${FORWARD_ZONE}`] },
      ...primaryQueues(node),
      // Never with a bypass: the SVM's packets must not get onto this host's networks.
      toQueue([...UDP, ...fromForward], node.forwardUdpQueue, false),
      toQueue(fromForward, node.forwardQueue, false),
    ],
    nft: nftables ? [defrag, ...otherProtocols(node)] : [],
  };
}

export function ethernetSecondary(node: EthernetNode): NodePlan {
  return {
    node,
    comment: commentOf(node.index),
    bridges: [outerBridge(node, []), forwardBridge(node, [node.forwardPort, node.guestPort])],
    mirror: undefined,
    isolated: false,
    alone: false,
    iptables: secondaryQueues(node),
    nft: [],
  };
}

function forwardBridge(node: EthernetNode, ports: readonly string[]): BridgePlan {
  const { forwardBridge: name, index } = node;
  return { name, alias: commentOf(index), ports, make: true, quiet: true, calls: true };
}
