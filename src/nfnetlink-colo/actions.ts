// What the control channel asks of the daemon. Everything is synchronous: what takes time (moving a port, announcing addresses) is
// started here and goes on by itself.

import type { ColoMode } from '../netlink/colo-generation2';

/** Why not, in words too; only clients that know our own messages see the words. */
export interface Refusal {
  /** Negative. */
  readonly errno: number;
  readonly message: string;
}

/** 0, a negative errno, or a refusal. */
export type ActionResult = number | Refusal;

export type InitHow =
  /** A controller has come: a new pair begins. */
  | 'fresh'
  /** The daemon was restarted and goes on with the controller that it had. */
  | 'restored'
  /** A controller that had been there has said INIT again after a restart of the daemon: the pair goes on. */
  | 'reattached';

export interface InitContext {
  readonly how: InitHow;
  /** The node's failover has happened already, as far as the control channel knows (only when not fresh). */
  readonly failedOver: boolean;
}

export const LOSS_REASONS = [
  /** Its connection ended. */
  'connection_closed',
  /** Its netlink port is gone. */
  'port_gone',
  /** Its netlink port id belongs to another socket now. */
  'port_reused',
  /** It did not come back after a restart of the daemon. */
  'not_back',
  /** Another controller has taken its place. */
  'replaced',
  /** It, or the operator, has said so. */
  'left',
  /** The daemon could not take the node up again after a restart. */
  'not_restored',
] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

export interface ControllerLoss {
  readonly reason: LossReason;
  /** The node's mode until now. */
  readonly mode: ColoMode;
  /** The failover had happened: controllers leave after it, and nothing is wrong. */
  readonly failedOver: boolean;
}

/** `node` is always a configured node's index. */
export interface ControlActions {
  /** UNPROTECTED: let everything pass. PRIMARY, SECONDARY: protect. */
  init(node: number, mode: ColoMode, context: InitContext): ActionResult;
  /** Both guests stand and are equal: release and align. */
  checkpoint(node: number): ActionResult;
  /** The primary is dead; only for a secondary, and only the first time. */
  failover(node: number): ActionResult;
  /** Forget the connections, and a failover with them. */
  reset(node: number): ActionResult;
  /** DO_FAILOVER was done, and connections live on what was known of the primary. A fresh init does not end that. */
  failedOver(node: number): boolean;
  /** The operator's word: let out what is held, now. */
  release(node: number): ActionResult;
  /** The node has no controller any more. */
  controllerLost(node: number, loss: ControllerLoss): void;
  /** Fields for the status of a node, or of the daemon (undefined). JSON values only. */
  status(node: number | undefined): Record<string, unknown>;
  /** Fields for the statistics of a node, or of the daemon (undefined). JSON values only. */
  stats(node: number | undefined): Record<string, unknown>;
  /** The rules in force, as JSON values. */
  bypassList(node: number): readonly unknown[];
  /** `rule` is unchecked JSON. */
  bypassAdd(node: number, rule: unknown): ActionResult;
  bypassRemove(node: number, rule: unknown): ActionResult;
  bypassFlush(node: number): ActionResult;
}

export function errnoOf(result: ActionResult): number {
  return typeof result === 'number' ? result : result.errno;
}

export function wordsOf(result: ActionResult): string | undefined {
  return typeof result === 'number' ? undefined : result.message;
}
