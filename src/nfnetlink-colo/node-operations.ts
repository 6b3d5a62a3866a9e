// What both generations do to a node that has a controller, once the message is understood.

import { ColoMode } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import { type ActionResult, type ControlActions, errnoOf } from './actions';
import type { ControlNode } from './node-table';

/** The guest is stopped. Nothing to do for an unprotected node. */
export function checkpoint(node: ControlNode, actions: ControlActions): ActionResult {
  if (node.mode === ColoMode.UNPROTECTED) return 0;
  if (node.failedOver) {
    // A checkpoint drops the offsets that connections live on after a failover, and there is no primary to checkpoint with.
    return { errno: -Errno.EINVAL, message: 'the failover has happened, there is nothing to checkpoint with' };
  }
  const { checkpointWanted, noticePending } = node;
  // Before the action: the engine may ask for the next epoch's checkpoint while it does this one.
  node.checkpointWanted = false;
  node.noticePending = false;
  const result = actions.checkpoint(node.index);
  if (errnoOf(result) < 0) {
    node.checkpointWanted ||= checkpointWanted;
    node.noticePending ||= noticePending;
  }
  return result;
}

/** The primary is dead. A second time changes nothing. */
export function failover(node: ControlNode, actions: ControlActions): ActionResult {
  if (node.mode !== ColoMode.SECONDARY) return -Errno.EINVAL;
  if (node.failedOver) return 0;
  const result = actions.failover(node.index);
  if (errnoOf(result) >= 0) node.failedOver = true;
  return result;
}

export function reset(node: ControlNode, actions: ControlActions): ActionResult {
  const result = actions.reset(node.index);
  if (errnoOf(result) < 0) return result;
  node.checkpointWanted = false;
  node.noticePending = false;
  node.failedOver = false;
  return result;
}
