// What messages of generation 2 do. The answers and errors are those of the kernel module of 2015; docs/PROTOCOL.md
// lists them, and where this differs.

import { Colo2Message, Colo2Type } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import type { MessageReader } from '../netlink/message';
import { nfnlOperation } from '../netlink/nfnetlink';
import type { ControlContext } from './context';
import { checkpoint, failover, reset } from './node-operations';
import type { Sender } from './peer';
import type { Outcome } from './results';

const parsed = new Colo2Message();

export function handleGeneration2(
  context: ControlContext,
  buf: Uint8Array,
  message: MessageReader,
  sender: Sender,
): Outcome {
  const { table, claims, counters, actions } = context;
  const operation = nfnlOperation(message.type);
  if (operation === Colo2Type.KERNEL_NOTIFY || operation > Colo2Type.PROXY_RESET) {
    counters.add('unknown_type');
    return -Errno.EINVAL;
  }
  if (parsed.readCommand(buf, message) !== undefined) return context.malformed();
  const { mode, detached } = parsed;
  if (mode === undefined && operation !== Colo2Type.PROXY_RESET) return context.malformed();
  if (operation === Colo2Type.PROXY_INIT) {
    // A client that leaves the field 0 is named by its own port, as libraries would have filled in.
    const { address } = sender;
    const key = message.pid === 0 && address.carrier === 'netlink' ? address.portId : message.pid;
    return claims.init({ generation: 2, key, mode, detached }, sender);
  }
  const node = table.find(message.pid, sender.address);
  // After a failover there may be no controller left, and forgetting it is the operator's word.
  const forgets = operation === Colo2Type.PROXY_RESET && node !== undefined && actions.failedOver(node.index);
  if (node === undefined || (node.claim === undefined && !forgets)) {
    counters.add('unknown_node');
    return -Errno.EEXIST;
  }
  if (mode !== undefined && mode !== (node.claim === undefined ? node.config.role : node.mode)) return -Errno.EINVAL;
  if (operation === Colo2Type.DO_CHECKPOINT) return checkpoint(node, actions);
  const changed = (): void => context.changed();
  return operation === Colo2Type.DO_FAILOVER ? failover(node, actions, changed) : reset(node, actions, changed);
}
