// What our own messages do: they are for operators and tools, so every error explains what would have been right.

import { Errno } from '../netlink/errno';
import type { MessageReader } from '../netlink/message';
import { nfnlOperation } from '../netlink/nfnetlink';
import type { ControlContext } from './context';
import type { ControlNode } from './node-table';
import { OWN_TYPE_NAMES, OwnMessage, OwnType } from './own-messages';
import type { Sender } from './peer';
import { type Failure, NODE_MODES, type Outcome, outcomeOf, resultOf } from './results';

const parsed = new OwnMessage();

export function handleOwn(context: ControlContext, buf: Uint8Array, message: MessageReader, sender: Sender): Outcome {
  const operation = nfnlOperation(message.type);
  if (!OWN_TYPE_NAMES.has(operation)) {
    context.counters.add('unknown_type');
    return refusal(
      Errno.EINVAL,
      `message type ${operation} is not known; known are ${[...OWN_TYPE_NAMES.keys()].join(', ')}`,
    );
  }
  const error = parsed.read(buf, message);
  if (error !== undefined) {
    context.malformed();
    return refusal(error.errno, error.message);
  }
  const type = operation as OwnType;
  const handler = HANDLERS[type];
  const { node: index } = parsed;
  if ('ofNodes' in handler) {
    const nodes = index === undefined ? context.table.nodes : [context.table.at(index)];
    if (nodes[0] === undefined && index !== undefined) return noNode(context, index);
    return context.answerJson(sender, message, type, handler.ofNodes(context, nodes as readonly ControlNode[]));
  }
  const node = index === undefined ? onlyNode(context) : (context.table.at(index) ?? noNode(context, index));
  if ('errno' in node) return node;
  if ('report' in handler) return context.answerJson(sender, message, type, handler.report(context, node));
  if ('act' in handler) return handler.act(context, node);
  const rule = readRule();
  if (rule === undefined) {
    context.malformed();
    return refusal(Errno.EINVAL, 'a bypass rule in JSON is needed, like {"protocol":"udp","ports":"53"}');
  }
  return handler.withRule(context, node, rule);
}

type Handler =
  /** A report about all nodes, or about the one that is named. */
  | { ofNodes: (context: ControlContext, nodes: readonly ControlNode[]) => unknown }
  /** The others are about one node, which need not be named where it is the only one: a report about it, */
  | { report: (context: ControlContext, node: ControlNode) => unknown }
  /** something that is done, */
  | { act: (context: ControlContext, node: ControlNode) => Outcome }
  /** and something that is done with a rule. */
  | { withRule: (context: ControlContext, node: ControlNode, rule: object) => Outcome };

const HANDLERS: Readonly<Record<OwnType, Handler>> = {
  [OwnType.STATUS]: { ofNodes: status },
  [OwnType.STATS]: { ofNodes: stats },
  [OwnType.BYPASS_LIST]: { report: ({ actions }, { index }) => actions.bypassList(index) },
  [OwnType.BYPASS_ADD]: { withRule: ({ actions }, { index }, rule) => resultOf(actions.bypassAdd(index, rule)) },
  [OwnType.BYPASS_REMOVE]: { withRule: ({ actions }, { index }, rule) => resultOf(actions.bypassRemove(index, rule)) },
  [OwnType.BYPASS_FLUSH]: { act: ({ actions }, { index }) => resultOf(actions.bypassFlush(index)) },
  [OwnType.RELEASE]: { act: ({ actions }, { index }) => outcomeOf(actions.release(index)) },
  [OwnType.LEAVE]: { act: leave },
};

function leave({ claims }: ControlContext, node: ControlNode): Outcome {
  if (node.claim === undefined) return refusal(Errno.ENOENT, `node ${node.index} has no controller`);
  claims.lose(node, 'left');
  return 0;
}

function readRule(): object | undefined {
  if (parsed.json === undefined) return undefined;
  try {
    const rule: unknown = JSON.parse(Buffer.from(parsed.json).toString('utf8'));
    return typeof rule === 'object' && rule !== null ? rule : undefined;
  } catch {
    return undefined;
  }
}

function status({ actions, counters, lastRefused }: ControlContext, nodes: readonly ControlNode[]): unknown {
  return {
    version: 1,
    ...actions.status(undefined),
    refused: { datagrams: counters.get('refused'), last: lastRefused ?? null },
    nodes: nodes.map((node) => ({ ...nodeStatus(node), ...actions.status(node.index) })),
  };
}

function nodeStatus(node: ControlNode): Record<string, unknown> {
  const { claim, loss, config } = node;
  return {
    index: config.index,
    name: config.name,
    role: NODE_MODES[config.role],
    mode: NODE_MODES[node.mode],
    failedOver: node.failedOver,
    checkpointWanted: node.checkpointWanted,
    noticePending: node.noticePending,
    controller:
      claim === undefined
        ? null
        : {
            carrier: claim.detached ? 'none' : (claim.address?.carrier ?? 'awaited'),
            port: claim.address?.carrier === 'netlink' ? claim.address.portId : null,
            key: claim.key,
            generation: claim.generation,
            uid: claim.uid,
            pid: claim.pid,
          },
    controllerLost: loss === undefined ? null : { reason: loss.reason, mode: NODE_MODES[loss.mode] },
  };
}

function stats({ actions, counters }: ControlContext, nodes: readonly ControlNode[]): unknown {
  return {
    version: 1,
    ...actions.stats(undefined),
    control: counters.snapshot(),
    nodes: nodes.map((node) => ({ index: node.index, name: node.config.name, ...actions.stats(node.index) })),
  };
}

function onlyNode(context: ControlContext): ControlNode | Failure {
  const { nodes } = context.table;
  if (nodes.length === 1) return nodes[0]!;
  return refusal(Errno.EINVAL, `which node? ${configured(context)}`);
}

function noNode(context: ControlContext, index: number): Failure {
  return refusal(Errno.ENODEV, `there is no node ${index}; ${configured(context)}`);
}

function configured({ table }: ControlContext): string {
  if (table.nodes.length === 0) return 'none is configured';
  return `configured: ${table.nodes.map(({ config }) => `${config.index} (${config.name})`).join(', ')}`;
}

function refusal(errno: number, message: string): Failure {
  return { errno: -errno, message };
}
