// Controllers come and go: who holds which node, for how long, and what happens when the holder, or the daemon, was
// restarted.
//
//            INIT                              DO_FAILOVER (secondary)
//   free ───────────> held ─────────────────────────────────────> held, failed over
//    ^                 │  connection ended, port gone, LEAVE                │
//    └─────────────────┴────────────── controllerLost ──────────────────────┘
//
// A restarted daemon takes its nodes up as `held` again: a netlink port that is still bound by the same socket is
// notified as before, a Unix connection has REATTACH_MS to come back. The first INIT of the same controller after that
// is answered with 0, not EEXIST.

import { ColoMode } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import type { InitHow, LossReason, NodeControl } from '../node/controller';
import type { ControlCounters } from './counters';
import { REATTACH_MS } from './limits';
import type { Claim, ControlNode, Loss, NodeTable } from './node-table';
import { type PortProbe, type Sender, sameAddress } from './peer';
import { errnoOf, NODE_MODES, type Result, resultOf } from './results';
import { loadState } from './saved-state';

export interface InitRequest {
  readonly generation: 1 | 2;
  readonly key: number;
  /** undefined in generation 1: the node's role. */
  readonly mode: ColoMode | undefined;
  readonly detached: boolean;
}

export class Claims {
  /** When resume() ran; after REATTACH_MS it has no meaning. */
  private resumedAtMs = 0;

  constructor(
    private readonly table: NodeTable,
    private readonly actions: NodeControl,
    private readonly probe: PortProbe,
    private readonly counters: ControlCounters,
    private readonly onChange: () => void,
  ) {}

  /** PROXY_INIT. -EEXIST for a node whose controller is there. */
  init(request: InitRequest, sender: Sender): Result {
    const ports = this.sweep(sender.address.carrier === 'netlink');
    const node = this.table.choose(request.key, request.mode);
    if (typeof node === 'number') return node;
    const mode = request.mode ?? node.config.role;
    const claim = claimOf(request, sender, ports);
    if (claim === undefined) return -Errno.ENOTCONN;
    const old = node.claim;
    let how: InitHow = 'fresh';
    if (old !== undefined) {
      if (mode === node.mode && !request.detached && isBack(old, sender)) how = 'reattached';
      else if (old.address !== undefined || (old.detached && request.detached)) return -Errno.EEXIST;
      else this.lose(node, 'replaced');
    }
    if (how === 'fresh') {
      node.failedOver = false;
      node.checkpointWanted = false;
      node.noticePending = false;
    }
    const result = resultOf(this.actions.init(node.index, NODE_MODES[mode], { how, failedOver: node.failedOver }));
    if (errnoOf(result) < 0) return result;
    // A guest that has taken over is nobody's copy: a controller's successor finds it as it is.
    if (how === 'fresh') node.failedOver = this.actions.failedOver(node.index);
    node.mode = mode;
    node.claim = claim;
    node.loss = undefined;
    if (how === 'reattached' && node.checkpointWanted) node.noticePending = true;
    this.onChange();
    return result;
  }

  /** The node has no controller from now on. */
  lose(node: ControlNode, reason: LossReason): void {
    if (node.claim === undefined) return;
    const loss: Loss = { reason, mode: node.mode, failedOver: node.failedOver };
    node.claim = undefined;
    node.mode = ColoMode.UNPROTECTED;
    node.checkpointWanted = false;
    node.noticePending = false;
    node.loss = loss;
    this.counters.add('controllers_lost');
    this.tell(node, loss);
    this.onChange();
  }

  connectionClosed(connection: number): void {
    for (const node of this.table.nodes) {
      const address = node.claim?.address;
      if (address?.carrier === 'unix' && address.connection === connection) this.lose(node, 'connection_closed');
    }
  }

  /** Looks whether the controllers are still there. Gives the ports, if it had a reason to look (`always` is one). */
  sweep(always = false): ReadonlyMap<number, number> | undefined {
    const held = this.table.nodes.filter((node) => node.claim?.address?.carrier === 'netlink');
    if (held.length === 0 && !always) return undefined;
    const ports = this.probe.ports();
    if (ports === undefined) {
      this.counters.add('probes_failed');
      return undefined;
    }
    for (const node of held) this.check(node, ports);
    return ports;
  }

  /** Takes up what a former process saved. Says why not, if it is of no use; nothing is taken up then. */
  resume(state: unknown, nowMs: number): string | undefined {
    const problem = loadState(this.table, state);
    if (problem !== undefined) return problem;
    this.resumedAtMs = nowMs;
    for (const node of this.table.nodes) {
      if (node.claim === undefined) {
        if (node.loss !== undefined) this.repeatLoss(node, node.loss);
        continue;
      }
      const context = { how: 'restored', failedOver: node.failedOver } as const;
      if (this.actions.init(node.index, NODE_MODES[node.mode], context) !== undefined) this.lose(node, 'not_restored');
    }
    this.sweep();
    return undefined;
  }

  /** Gives up on controllers that have not come back after a restart of the daemon. */
  expire(nowMs: number): void {
    if (nowMs - this.resumedAtMs < REATTACH_MS) return;
    for (const node of this.table.nodes) {
      const { claim } = node;
      if (claim?.restored && claim.address === undefined && !claim.detached) this.lose(node, 'not_back');
    }
  }

  private check(node: ControlNode, ports: ReadonlyMap<number, number>): void {
    const { claim } = node;
    if (claim?.address?.carrier !== 'netlink') return;
    const inode = ports.get(claim.address.portId);
    if (inode === undefined) this.lose(node, 'port_gone');
    else if (claim.inode === 0) node.claim = { ...claim, inode };
    else if (claim.inode !== inode) this.lose(node, 'port_reused');
  }

  /** The daemon decided once what a lost controller means for this node; its successor decides it again. */
  private repeatLoss(node: ControlNode, loss: Loss): void {
    const context = { how: 'restored', failedOver: loss.failedOver } as const;
    if (this.actions.init(node.index, NODE_MODES[loss.mode], context) === undefined) this.tell(node, loss);
  }

  private tell(node: ControlNode, { reason, mode, failedOver }: Loss): void {
    this.actions.controllerLost(node.index, { reason, mode: NODE_MODES[mode], failedOver });
  }
}

/**
 * Whether an INIT comes from the controller that a former process of the daemon had. sweep() has compared inodes
 * before.
 */
function isBack(claim: Claim, { address, uid, pid }: Sender): boolean {
  if (!claim.restored || claim.detached) return false;
  if (claim.address !== undefined) return sameAddress(claim.address, address);
  return address.carrier === 'unix' && uid === claim.uid && pid === claim.pid && pid !== 0;
}

/** undefined when the sender's port is gone already. */
function claimOf(
  request: InitRequest,
  sender: Sender,
  ports: ReadonlyMap<number, number> | undefined,
): Claim | undefined {
  const { generation, key, detached } = request;
  const { address, uid = 0, pid } = sender;
  let inode = 0;
  if (address.carrier === 'netlink' && ports !== undefined) {
    inode = ports.get(address.portId) ?? 0;
    if (inode === 0 && !detached) return undefined;
  }
  return { generation, key, address: detached ? undefined : address, inode, uid, pid, detached, restored: false };
}
