// What our own messages do: they are for operators and tools, so every error says in words what would have been right.

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
  const { table, actions, claims, counters } = context;
  const operation = nfnlOperation(message.type);
  if (!OWN_TYPE_NAMES.has(operation)) {
    counters.add('unknown_type');
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
  if (type === OwnType.STATUS || type === OwnType.STATS) {
    const nodes = parsed.node === undefined ? table.nodes : [table.at(parsed.node)];
    if (nodes[0] === undefined && parsed.node !== undefined) return noNode(context, parsed.node);
    const report = type === OwnType.STATUS ? status(context, nodes) : stats(context, nodes);
    return context.answerJson(sender, message, type, report);
  }
  const node = parsed.node === undefined ? onlyNode(context) : (table.at(parsed.node) ?? noNode(context, parsed.node));
  if ('errno' in node) return node;
  if (type === OwnType.RELEASE) return outcomeOf(actions.release(node.index));
  if (type === OwnType.LEAVE) {
    if (node.claim === undefined) return refusal(Errno.ENOENT, `node ${node.index} has no controller`);
    claims.lose(node, 'left');
    return 0;
  }
  if (type === OwnType.BYPASS_LIST) return context.answerJson(sender, message, type, actions.bypassList(node.index));
  if (type === OwnType.BYPASS_FLUSH) return resultOf(actions.bypassFlush(node.index));
  const rule = readRule();
  if (rule === undefined) {
    context.malformed();
    return refusal(Errno.EINVAL, 'a bypass rule in JSON is needed, like {"protocol":"udp","ports":"53"}');
  }
  return resultOf(
    type === OwnType.BYPASS_ADD ? actions.bypassAdd(node.index, rule) : actions.bypassRemove(node.index, rule),
  );
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

function status(
  { actions, counters, lastRefused }: ControlContext,
  nodes: readonly (ControlNode | undefined)[],
): unknown {
  return {
    version: 1,
    ...actions.status(undefined),
    refused: { datagrams: counters.get('refused'), last: lastRefused ?? null },
    nodes: nodes.map((node) => ({ ...nodeStatus(node!), ...actions.status(node!.index) })),
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

function stats({ actions, counters }: ControlContext, nodes: readonly (ControlNode | undefined)[]): unknown {
  return {
    version: 1,
    ...actions.stats(undefined),
    control: counters.snapshot(),
    nodes: nodes.map((node) => ({ index: node!.index, name: node!.config.name, ...actions.stats(node!.index) })),
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
