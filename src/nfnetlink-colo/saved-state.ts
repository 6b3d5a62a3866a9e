// What a restarted daemon has to know of its nodes and controllers, as plain JSON, and the way back from JSON that may
// be anything.

import { ColoMode } from '../netlink/colo-generation2';
import { LOSS_REASONS } from '../node/controller';
import type { Claim, ControlNode, Loss, NodeTable } from './node-table';

export interface SavedClaim {
  generation: 1 | 2;
  key: number;
  carrier: 'netlink' | 'unix' | 'none';
  portId: number;
  inode: number;
  uid: number;
  pid: number;
}

export interface SavedNode {
  index: number;
  mode: ColoMode;
  failedOver: boolean;
  checkpointWanted: boolean;
  noticePending: boolean;
  loss?: Loss;
  claim?: SavedClaim;
}

export interface SavedState {
  version: 1;
  nodes: SavedNode[];
}

export function saveState(table: NodeTable): SavedState {
  return { version: 1, nodes: table.nodes.map(saveNode) };
}

function saveNode(node: ControlNode): SavedNode {
  const saved: SavedNode = {
    index: node.index,
    mode: node.mode,
    failedOver: node.failedOver,
    checkpointWanted: node.checkpointWanted,
    noticePending: node.noticePending,
  };
  if (node.loss !== undefined) saved.loss = { ...node.loss };
  if (node.claim !== undefined) saved.claim = saveClaim(node.claim);
  return saved;
}

function saveClaim({ generation, key, address, inode, uid, pid, detached }: Claim): SavedClaim {
  // A claim without an address that is not detached is one whose controller may still come back: on a Unix socket.
  const carrier = detached ? 'none' : (address?.carrier ?? 'unix');
  const portId = address?.carrier === 'netlink' ? address.portId : 0;
  return { generation, key, carrier, portId, inode, uid, pid };
}

/** Fills the table from what saveState() gave. Says what is wrong with it otherwise, and leaves the table as it was. */
export function loadState(table: NodeTable, state: unknown): string | undefined {
  if (!isObject(state)) return 'it is not an object';
  if (state.version !== 1) return `it has version ${JSON.stringify(state.version)}, not 1`;
  if (!Array.isArray(state.nodes)) return 'it has no list of nodes';
  for (const node of state.nodes as unknown[]) {
    if (!isSavedNode(node)) return `a node in it is not whole: ${JSON.stringify(node).slice(0, 200)}`;
  }
  for (const saved of state.nodes as SavedNode[]) {
    const node = table.at(saved.index);
    // A node that is no longer configured, or has changed its role, starts from nothing.
    if (node === undefined || ![ColoMode.UNPROTECTED, node.config.role].includes(saved.mode)) continue;
    node.mode = saved.mode;
    node.failedOver = saved.failedOver;
    node.checkpointWanted = saved.checkpointWanted;
    node.noticePending = saved.noticePending;
    node.loss = saved.loss;
    node.claim = saved.claim === undefined ? undefined : loadClaim(saved.claim);
  }
  return undefined;
}

function loadClaim({ generation, key, carrier, portId, inode, uid, pid }: SavedClaim): Claim {
  const address = carrier === 'netlink' ? ({ carrier, portId } as const) : undefined;
  return { generation, key, address, inode, uid, pid, detached: carrier === 'none', restored: true };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isSavedNode(value: unknown): value is SavedNode {
  if (!isObject(value)) return false;
  return (
    isUnsigned(value.index) &&
    isMode(value.mode) &&
    ['failedOver', 'checkpointWanted', 'noticePending'].every((name) => typeof value[name] === 'boolean') &&
    (value.loss === undefined || isLoss(value.loss)) &&
    (value.claim === undefined || isSavedClaim(value.claim))
  );
}

function isLoss(value: unknown): value is Loss {
  if (!isObject(value)) return false;
  return (
    (LOSS_REASONS as readonly unknown[]).includes(value.reason) &&
    isMode(value.mode) &&
    typeof value.failedOver === 'boolean'
  );
}

function isSavedClaim(value: unknown): value is SavedClaim {
  if (!isObject(value)) return false;
  return (
    (value.generation === 1 || value.generation === 2) &&
    (value.carrier === 'netlink' || value.carrier === 'unix' || value.carrier === 'none') &&
    ['key', 'portId', 'inode', 'uid', 'pid'].every((name) => isUnsigned(value[name]))
  );
}

function isUnsigned(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isMode(value: unknown): value is ColoMode {
  return value === ColoMode.UNPROTECTED || value === ColoMode.PRIMARY || value === ColoMode.SECONDARY;
}
