// The COLO messages of generation 1 (netlink family 28, 2014): a bare header, no nfgenmsg, no attributes. libxl speaks
// them. Byte layouts with examples: docs/PROTOCOL.md.

import type { MessageBuilder } from './builder';
import type { MessageReader } from './message';
import { MessageFlag, NLMSG_MIN_TYPE } from './uapi';

/** The netlink family of generation 1, today the default port id of the daemon. */
export const NETLINK_COLO = 28; // NETLINK_COLO

export const Colo1Type = {
  /** Notice to the controller that a checkpoint is wanted; from a controller, the question whether one is. */
  QUERY_CHECKPOINT: NLMSG_MIN_TYPE + 1, // COLO_QUERY_CHECKPOINT
  /** The guest is stopped: let out what is held. */
  CHECKPOINT: NLMSG_MIN_TYPE + 2, // COLO_CHECKPOINT
  /** To a secondary only. */
  FAILOVER: NLMSG_MIN_TYPE + 3, // COLO_FAILOVER
  PROXY_INIT: NLMSG_MIN_TYPE + 4, // COLO_PROXY_INIT
  /** Nobody sends it. */
  PROXY_RESET: NLMSG_MIN_TYPE + 5, // COLO_PROXY_RESET
} as const;
export type Colo1Type = (typeof Colo1Type)[keyof typeof Colo1Type];

export function isColo1Type(type: number): type is Colo1Type {
  return type >= Colo1Type.QUERY_CHECKPOINT && type <= Colo1Type.PROXY_RESET;
}

/** A controller's message; 16 bytes. `pid` is the index that the controller has given itself. */
export function buildColo1Command(
  b: MessageBuilder,
  type: Colo1Type,
  pid: number,
  ack: boolean,
  seq = 0,
): MessageBuilder {
  return b.begin(type, MessageFlag.REQUEST | (ack ? MessageFlag.ACK : 0), seq, pid).end();
}

const WANTED = Uint8Array.of(1);
const NOT_WANTED = Uint8Array.of(0);

/**
 * The notice, and the answer to a question: struct colomsg { bool checkpoint; }. nlmsg_len is 17, 20 bytes are sent.
 */
export function buildColo1Notice(b: MessageBuilder, wanted: boolean, seq: number, pid: number): MessageBuilder {
  return b
    .begin(Colo1Type.QUERY_CHECKPOINT, 0, seq, pid)
    .raw(wanted ? WANTED : NOT_WANTED)
    .end();
}

/** Whether a notice wants a checkpoint; undefined when the message holds no such byte. */
export function readColo1Notice(buf: Uint8Array, message: MessageReader): boolean | undefined {
  return message.end > message.payload ? buf[message.payload] !== 0 : undefined;
}
