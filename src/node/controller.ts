// What a controller, or an operator, may ask of the nodes of a host, whatever the messages in which it comes.

export type NodeMode = 'unprotected' | 'primary' | 'secondary';

/** Why a word is not obeyed. */
export type RefusalKind =
  /** It makes no sense now, or at all. */
  | 'invalid'
  /** Not of this node. */
  | 'forbidden'
  /** No node of this kind does that. */
  | 'unsupported'
  /** What it is about does not exist. */
  | 'missing'
  /** Something of this host is in use elsewhere. */
  | 'busy'
  /** It was tried, and could not be done. */
  | 'failed';

export interface Refusal {
  readonly refused: RefusalKind;
  /** In words, for people. */
  readonly why?: string;
}

/** undefined: it was done. */
export type Answer = Refusal | undefined;

/**
 * The answer comes later where something has to happen first that takes time: a disk's part of a checkpoint must have
 * reached the disk.
 */
export type Reply = Answer | Promise<Answer>;

export type InitHow =
  /** A controller has come: a new pair begins. */
  | 'fresh'
  /** The process was restarted and goes on with the controller that it had. */
  | 'restored'
  /** A controller that had been there has come again after a restart of the process: the pair goes on. */
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
  /** It did not come back after a restart of the process. */
  'not_back',
  /** Another controller has taken its place. */
  'replaced',
  /** It, or the operator, has sent LEAVE. */
  'left',
  /** The process could not take the node up again after a restart. */
  'not_restored',
] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

export interface LostController {
  readonly reason: LossReason;
  /** The node's mode until now. */
  readonly mode: NodeMode;
  /** The failover had happened: controllers leave after it, and nothing is wrong. */
  readonly failedOver: boolean;
}

/** `node` is always a configured node's index. */
export interface NodeControl {
  /** Unprotected: let everything pass. Primary, secondary: protect. */
  init(node: number, mode: NodeMode, context: InitContext): Answer;
  /** Both guests stand and are equal: release and align. */
  checkpoint(node: number): Reply;
  /** The primary is dead; only for a secondary, and only the first time. */
  failover(node: number): Reply;
  /** Forget the connections, and a failover with them. */
  reset(node: number): Reply;
  /** The failover was done, and connections live on what was known of the primary. A fresh init does not end that. */
  failedOver(node: number): boolean;
  /** The operator's word: let out what is held, now. */
  release(node: number): Reply;
  /** The node has no controller any more. */
  controllerLost(node: number, loss: LostController): void;
  /** Fields for the status of a node, or of the process (undefined). JSON values only. */
  status(node: number | undefined): Record<string, unknown>;
  /** Fields for the statistics of a node, or of the process (undefined). JSON values only. */
  stats(node: number | undefined): Record<string, unknown>;
  /** The rules in force, as JSON values. */
  bypassList(node: number): readonly unknown[];
  /** `rule` is unchecked JSON. */
  bypassAdd(node: number, rule: unknown): Answer;
  bypassRemove(node: number, rule: unknown): Answer;
  bypassFlush(node: number): Answer;
}
