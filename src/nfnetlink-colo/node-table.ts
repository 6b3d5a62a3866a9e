// The nodes (protected VMs) that this daemon is configured for, and which controller holds which.

import { ColoMode } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import type { LossReason } from '../node/controller';
import { type Address, sameAddress } from './peer';

export interface NodeConfig {
  readonly index: number;
  readonly name: string;
  readonly role: typeof ColoMode.PRIMARY | typeof ColoMode.SECONDARY;
}

/** A controller's hold on a node. */
export interface Claim {
  /** The generation that it speaks, and in which it is notified. */
  readonly generation: 1 | 2;
  /** What names the node in its messages: generation 2 nlmsg_pid, generation 1 its port id. */
  readonly key: number;
  /** undefined: nobody to notify, because it is detached, or has not come back after a restart of the daemon. */
  readonly address: Address | undefined;
  /** Of the socket behind a netlink port, 0 elsewhere. */
  readonly inode: number;
  readonly uid: number;
  readonly pid: number;
  /** Made to last without a controller. */
  readonly detached: boolean;
  /** Taken over from before a restart of the daemon, and not confirmed by an INIT since. */
  readonly restored: boolean;
}

/** How a node's controller was lost, and the node's mode until then. */
export interface Loss {
  readonly reason: LossReason;
  readonly mode: ColoMode;
  readonly failedOver: boolean;
}

export class ControlNode {
  mode: ColoMode = ColoMode.UNPROTECTED;
  claim: Claim | undefined;
  failedOver = false;
  /** A checkpoint was asked for and has not been done. */
  checkpointWanted = false;
  /** The notice of it could not be sent yet. */
  noticePending = false;
  /** How its last controller was lost; undefined when none was, or another has come since. */
  loss: Loss | undefined;

  constructor(readonly config: NodeConfig) {}

  get index(): number {
    return this.config.index;
  }
}

export class NodeTable {
  readonly nodes: readonly ControlNode[];
  private readonly byIndex: ReadonlyMap<number, ControlNode>;

  constructor(configs: readonly NodeConfig[]) {
    this.nodes = configs.map((config) => new ControlNode(config));
    this.byIndex = new Map(this.nodes.map((node) => [node.index, node]));
  }

  at(index: number): ControlNode | undefined {
    return this.byIndex.get(index);
  }

  /**
   * The node that a message to `key` is for: the one with exactly this index, else the one whose controller has this
   * key. Key 0 is the one that the sender itself holds, else the only one that there is. undefined when that is none.
   */
  find(key: number, from: Address): ControlNode | undefined {
    const named = this.named(key);
    if (named !== undefined || key !== 0) return named;
    const held = this.nodes.filter(({ claim }) => claim?.address !== undefined && sameAddress(claim.address, from));
    if (held.length === 1) return held[0];
    return this.nodes.length === 1 ? this.nodes[0] : undefined;
  }

  /**
   * The node that an INIT with `key` and `mode` claims (mode undefined: any role fits), or a negative errno. A key that
   * names no node gets the one that is left: controllers use process ids as keys, which nobody can configure.
   */
  choose(key: number, mode: ColoMode | undefined): ControlNode | number {
    const named = this.named(key);
    if (named !== undefined) return fits(named, mode) ? named : -Errno.EINVAL;
    const fitting = this.nodes.filter((node) => fits(node, mode));
    if (fitting.length === 0) return this.nodes.length === 0 ? -Errno.ENODEV : -Errno.EINVAL;
    if (fitting.length === 1) return fitting[0]!;
    const free = fitting.filter((node) => node.claim === undefined);
    if (free.length === 1) return free[0]!;
    return free.length === 0 ? -Errno.EEXIST : -Errno.ENODEV;
  }

  private named(key: number): ControlNode | undefined {
    const exact = this.byIndex.get(key);
    if (exact !== undefined || key === 0) return exact;
    return this.nodes.find((node) => node.claim?.key === key);
  }
}

function fits(node: ControlNode, mode: ColoMode | undefined): boolean {
  return mode === undefined || mode === ColoMode.UNPROTECTED || mode === node.config.role;
}
