// What both generations do to a node that has a controller, once the message is understood.

import { ColoMode } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import type { NodeControl } from '../node/controller';
import type { ControlNode } from './node-table';
import { errnoOf, type Outcome, outcomeOf } from './results';

/** The guest is stopped. Nothing to do for an unprotected node. */
export function checkpoint(node: ControlNode, actions: NodeControl): Outcome {
  if (node.mode === ColoMode.UNPROTECTED) return 0;
  if (node.failedOver) {
    // A checkpoint drops the offsets that connections live on after a failover, and there is no primary to checkpoint
    // with.
    return { errno: -Errno.EINVAL, message: 'the failover has happened, there is nothing to checkpoint with' };
  }
  const { checkpointWanted, noticePending } = node;
  // Before the action: the engine may ask for the next epoch's checkpoint while it does this one.
  node.checkpointWanted = false;
  node.noticePending = false;
  return outcomeOf(actions.checkpoint(node.index), (result) => {
    if (errnoOf(result) >= 0) return;
    node.checkpointWanted ||= checkpointWanted;
    node.noticePending ||= noticePending;
  });
}

/** The primary is dead. A second time changes nothing. `changed` is called when it is done. */
export function failover(node: ControlNode, actions: NodeControl, changed: () => void): Outcome {
  if (node.mode !== ColoMode.SECONDARY) return -Errno.EINVAL;
  if (node.failedOver) return 0;
  return outcomeOf(actions.failover(node.index), (result) => {
    if (errnoOf(result) >= 0) node.failedOver = true;
    changed();
  });
}

export function reset(node: ControlNode, actions: NodeControl, changed: () => void): Outcome {
  return outcomeOf(actions.reset(node.index), (result) => {
    if (errnoOf(result) < 0) return;
    node.checkpointWanted = false;
    node.noticePending = false;
    node.failedOver = false;
    changed();
  });
}
