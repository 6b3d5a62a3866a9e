// Our own requests and replies: types from 64 up of the same subsystem, with nfgenmsg, whose version is that of this
// format. Byte layouts with examples: docs/PROTOCOL.md.

import { AttributeReader } from '../netlink/attributes';
import type { MessageBuilder } from '../netlink/builder';
import { COLO_SUBSYSTEM } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import { NetlinkError } from '../netlink/error';
import type { MessageReader } from '../netlink/message';
import { NFGENMSG_BYTES, NfGenMsg, nfnlType } from '../netlink/nfnetlink';
import { MessageFlag } from '../netlink/uapi';

/** The lowest operation that is ours. */
export const OWN_TYPE_MIN = 64;

export const OwnType = {
  STATUS: 64,
  STATS: 65,
  BYPASS_LIST: 66,
  BYPASS_ADD: 67,
  BYPASS_REMOVE: 68,
  BYPASS_FLUSH: 69,
  RELEASE: 70,
  LEAVE: 71,
} as const;
export type OwnType = (typeof OwnType)[keyof typeof OwnType];

/** Answered with JSON; all others with their result alone. */
export const OWN_REPORTS: ReadonlySet<OwnType> = new Set([OwnType.STATUS, OwnType.STATS, OwnType.BYPASS_LIST]);

export const OWN_TYPE_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(OwnType).map(([name, value]) => [value, name]),
);

export const OwnAttribute = {
  /** u32, network byte order: a configured node's index. */
  NODE: 1,
  /** UTF-8 bytes, without a NUL: of a request the whole text, of a reply the part that begins at OFFSET. */
  JSON: 2,
  /** u32, network byte order: bytes of the whole text. */
  TOTAL: 3,
  /** u32, network byte order. */
  OFFSET: 4,
} as const;

export const OWN_VERSION = 1;

export function buildOwnRequest(
  b: MessageBuilder,
  type: OwnType,
  node: number | undefined,
  json: Uint8Array | undefined,
  pid: number,
  ack: boolean,
  seq: number,
): MessageBuilder {
  const flags = MessageFlag.REQUEST | (ack ? MessageFlag.ACK : 0);
  b.begin(nfnlType(COLO_SUBSYSTEM, type), flags, seq, pid).nfgenmsg(0, OWN_VERSION, 0);
  if (node !== undefined) b.u32(OwnAttribute.NODE, node, false);
  if (json !== undefined) b.bytes(OwnAttribute.JSON, json);
  return b.end();
}

/** One part of a reply; NLMSG_DONE ends the reply. */
export function buildOwnReply(
  b: MessageBuilder,
  type: OwnType,
  seq: number,
  pid: number,
  total: number,
  offset: number,
  part: Uint8Array,
): MessageBuilder {
  b.begin(nfnlType(COLO_SUBSYSTEM, type), MessageFlag.MULTI, seq, pid).nfgenmsg(0, OWN_VERSION, 0);
  b.u32(OwnAttribute.TOTAL, total, false).u32(OwnAttribute.OFFSET, offset, false);
  return b.bytes(OwnAttribute.JSON, part).end();
}

/** Reads one message of ours into its own fields; one object is reused. */
export class OwnMessage {
  node: number | undefined;
  /** A view of the message's bytes. */
  json: Uint8Array | undefined;
  total = 0;
  offset = 0;

  private readonly head = new NfGenMsg();
  private readonly attributes = new AttributeReader('decode colo message', false);

  /** Gives what is wrong with the message, if anything. */
  read(buf: Uint8Array, message: MessageReader): NetlinkError | undefined {
    this.node = undefined;
    this.json = undefined;
    this.total = this.offset = 0;
    if (!this.head.read(buf, message.payload, message.end)) {
      return new NetlinkError('decode colo message', Errno.EINVAL, 'no room for nfgenmsg', message.payload);
    }
    if (this.head.version !== OWN_VERSION) {
      const what = `version ${this.head.version} of this message, only ${OWN_VERSION} is known`;
      return new NetlinkError('decode colo message', Errno.EPROTONOSUPPORT, what, message.payload + 1);
    }
    const a = this.attributes.reset(buf, message.payload + NFGENMSG_BYTES, message.end);
    while (a.next()) {
      if (a.type === OwnAttribute.NODE) this.node = a.u32();
      else if (a.type === OwnAttribute.JSON) this.json = a.bytes();
      else if (a.type === OwnAttribute.TOTAL) this.total = a.u32();
      else if (a.type === OwnAttribute.OFFSET) this.offset = a.u32();
    }
    return a.error;
  }
}
