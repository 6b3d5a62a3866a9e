// What the handlers of the message kinds see of the channel.

import type { MessageReader } from '../netlink/message';
import type { NodeControl } from '../node/controller';
import type { Claims } from './claims';
import type { ControlCounters } from './counters';
import type { ControlNode, NodeTable } from './node-table';
import type { Sender } from './peer';

/**
 * Result of a request whose reply has gone out and ends with NLMSG_DONE: as for the kernel's dumps, no acknowledgement
 * follows.
 */
export const ANSWERED = 1;

export interface ControlContext {
  readonly table: NodeTable;
  readonly claims: Claims;
  readonly actions: NodeControl;
  readonly counters: ControlCounters;
  /** Sends the generation-1 answer to a question. */
  answerQuery(sender: Sender, seq: number, node: ControlNode): void;
  /** Sends a JSON value in as many parts as it takes: ANSWERED, or a negative errno when it is too long. */
  answerJson(sender: Sender, request: MessageReader, type: number, value: unknown): number;
  /** Something that has to outlive the daemon has changed. */
  changed(): void;
  /** Counts a malformed message; gives -EINVAL. */
  malformed(): number;
  /** The last sender that was refused, for the status. */
  readonly lastRefused: { readonly uid: number | null; readonly pid: number } | undefined;
}
