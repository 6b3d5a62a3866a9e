// What messages of generation 1 do. The answers, errors and silences are those of the kernel module of 2014;
// docs/PROTOCOL.md lists them, and where this differs.

import { Colo1Type } from '../netlink/colo-generation1';
import { ColoMode } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import type { MessageReader } from '../netlink/message';
import type { ControlContext } from './context';
import { checkpoint, failover } from './node-operations';
import type { Sender } from './peer';
import type { Outcome } from './results';

export function handleGeneration1(context: ControlContext, message: MessageReader, sender: Sender): Outcome {
  const { table, claims, counters, actions } = context;
  // The sender's own port id is its identity; on a Unix socket there is none, so the header's has to do.
  const key = sender.address.carrier === 'netlink' ? sender.address.portId : message.pid;
  if (message.type === Colo1Type.PROXY_INIT) {
    return claims.init({ generation: 1, key, mode: undefined, detached: false }, sender);
  }
  const node = table.find(key, sender.address);
  if (node?.claim === undefined) {
    counters.add('unknown_node');
    return 0;
  }
  if (node.mode === ColoMode.PRIMARY) {
    if (message.type === Colo1Type.CHECKPOINT) return checkpoint(node, actions);
    if (message.type !== Colo1Type.QUERY_CHECKPOINT) return -Errno.EPERM;
    context.answerQuery(sender, message.seq, node);
    return 0;
  }
  if (message.type === Colo1Type.CHECKPOINT) return checkpoint(node, actions);
  if (message.type === Colo1Type.FAILOVER && node.mode === ColoMode.SECONDARY) {
    return failover(node, actions, () => context.changed());
  }
  return 0;
}
