// The plan of a node whose frames the hosts' programs carry (a stream link). The secondary's guest is heard and spoken
// to at its port by packet sockets, which see what the ingress chain drops then; so until a failover its port has
// nothing but that chain, and everything else comes when the port is about to join the outer bridge (takeOverRules).

import { commentOf } from './marks';
import { isolation, otherProtocols } from './nft';
import { type NodePlan, outerBridge, primaryQueues, type RuleNode, secondaryQueues, tracked } from './plan-parts';

export function streamPrimary(node: RuleNode, nftables: boolean): NodePlan {
  return {
    ...empty(node),
    bridges: [outerBridge(node, [node.guestPort])],
    iptables: [tracked(node), ...primaryQueues(node)],
    nft: nftables ? otherProtocols(node) : [],
  };
}

/** Before a failover. */
export function streamSecondary(node: RuleNode): NodePlan {
  return { ...empty(node), bridges: [outerBridge(node, [], false)], isolated: true, nft: [isolation(node)] };
}

/** After it. */
export function streamSurvivor(node: RuleNode): NodePlan {
  return { ...empty(node), alone: true, bridges: [outerBridge(node, [])], iptables: secondaryQueues(node) };
}

function empty(node: RuleNode): NodePlan {
  return {
    node,
    comment: commentOf(node.index),
    bridges: [],
    mirror: undefined,
    isolated: false,
    alone: false,
    iptables: [],
    nft: [],
  };
}
