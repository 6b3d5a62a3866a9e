// The COLO messages of generation 2 (nfnetlink subsystem 12, 2015): nfgenmsg and one attribute. QEMU's COLO branch
// speaks them. Byte layouts with examples: docs/PROTOCOL.md.

import { AttributeReader } from './attributes';
import type { MessageBuilder } from './builder';
import { Errno } from './errno';
import { NetlinkError } from './error';
import type { MessageReader } from './message';
import { NFGENMSG_BYTES, NFNETLINK_V0, nfnlType } from './nfnetlink';
import { MessageFlag } from './uapi';

/** Mainline's NFNL_SUBSYS_HOOK today: a kernel refuses these messages, so they go between processes. */
export const COLO_SUBSYSTEM = 12; // NFNL_SUBSYS_COLO

export const Colo2Type = {
  /** To the controller only: a checkpoint is wanted. */
  KERNEL_NOTIFY: 0, // NFCOLO_KERNEL_NOTIFY
  DO_CHECKPOINT: 1, // NFCOLO_DO_CHECKPOINT
  DO_FAILOVER: 2, // NFCOLO_DO_FAILOVER
  PROXY_INIT: 3, // NFCOLO_PROXY_INIT
  /** Nobody sends it. */
  PROXY_RESET: 4, // NFCOLO_PROXY_RESET
} as const;
export type Colo2Type = (typeof Colo2Type)[keyof typeof Colo2Type];

/** Of a controller's message. */
export const NFNL_COLO_MODE = 1; // NFNL_COLO_MODE
/** Ours, of PROXY_INIT: u8, not 0 when the node is to last although its controller goes away. Others ignore it. */
export const COLO_ATTR_DETACHED = 64;
/** Of the notice; signed, network byte order. */
export const NFNL_COLO_COMPARE_RESULT = 1; // NFNL_COLO_COMPARE_RESULT

export const ColoMode = {
  UNPROTECTED: 0, // COLO_UNPROTECTED_MODE
  PRIMARY: 1, // COLO_PRIMARY_MODE
  SECONDARY: 2, // COLO_SECONDARY_MODE
} as const;
export type ColoMode = (typeof ColoMode)[keyof typeof ColoMode];

const MODE_MAX = 3; // COLO_MODE_MAX

/** A controller's message; 28 bytes with a mode. `pid` is the controller's port id, and the node's key. */
export function buildColo2Command(
  b: MessageBuilder,
  type: Colo2Type,
  mode: ColoMode | undefined,
  pid: number,
  ack: boolean,
  seq = 0,
): MessageBuilder {
  beginColo2Command(b, type, mode, pid, ack, seq);
  return b.end();
}

/** The same without its end, for more attributes. */
export function beginColo2Command(
  b: MessageBuilder,
  type: number,
  mode: ColoMode | undefined,
  pid: number,
  ack: boolean,
  seq: number,
): MessageBuilder {
  const flags = MessageFlag.REQUEST | (ack ? MessageFlag.ACK : 0);
  b.begin(nfnlType(COLO_SUBSYSTEM, type), flags, seq, pid).nfgenmsg(0, NFNETLINK_V0, 1);
  if (mode !== undefined) b.u8(NFNL_COLO_MODE, mode);
  return b;
}

/** The notice that a checkpoint is wanted; 28 bytes. The value is always 1: "no difference" is never sent. */
export function buildColo2Notice(b: MessageBuilder, pid: number): MessageBuilder {
  return b
    .begin(nfnlType(COLO_SUBSYSTEM, Colo2Type.KERNEL_NOTIFY), 0, 0, pid)
    .nfgenmsg(0, NFNETLINK_V0, 0)
    .u32(NFNL_COLO_COMPARE_RESULT, 1, false)
    .end();
}

/** Reads one message of generation 2 into its own fields; one object is reused. */
export class Colo2Message {
  mode: ColoMode | undefined;
  detached = false;
  /** Of a notice; undefined when there was none. */
  compareResult: number | undefined;

  private readonly attributes = new AttributeReader('decode COLO message', false);

  /** A controller's message. Gives what is wrong with it; a mode that was not sent is not wrong here. */
  readCommand(buf: Uint8Array, message: MessageReader): NetlinkError | undefined {
    this.mode = undefined;
    this.detached = false;
    const a = this.attributesOf(buf, message);
    if (a === undefined) return tooShort(message);
    while (a.next()) {
      if (a.type === COLO_ATTR_DETACHED) this.detached = a.u8() !== 0;
      if (a.type !== NFNL_COLO_MODE) continue;
      const mode = a.u8();
      if (mode >= MODE_MAX) {
        return new NetlinkError('decode COLO message', Errno.EINVAL, `mode ${mode} is not 0, 1 or 2`, a.value);
      }
      this.mode = mode as ColoMode;
    }
    return a.error;
  }

  /** The daemon's notice. */
  readNotice(buf: Uint8Array, message: MessageReader): NetlinkError | undefined {
    this.compareResult = undefined;
    const a = this.attributesOf(buf, message);
    if (a === undefined) return tooShort(message);
    while (a.next()) if (a.type === NFNL_COLO_COMPARE_RESULT) this.compareResult = a.s32();
    return a.error;
  }

  private attributesOf(buf: Uint8Array, message: MessageReader): AttributeReader | undefined {
    if (message.end - message.payload < NFGENMSG_BYTES) return undefined;
    return this.attributes.reset(buf, message.payload + NFGENMSG_BYTES, message.end);
  }
}

function tooShort(message: MessageReader): NetlinkError {
  return new NetlinkError('decode COLO message', Errno.EINVAL, 'no room for nfgenmsg', message.payload);
}
