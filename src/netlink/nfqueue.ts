// nfnetlink_queue: its constants, and messages for tools and tests. The packet path itself is in the native binding.
// Linux: <linux/netfilter/nfnetlink_queue.h>, <linux/netfilter.h>. NFQNL_MSG_VERDICT_BATCH settles
// every packet up to an id, those that are held, too: only the binding, which knows what is held, says it.

import { AttributeReader } from './attributes';
import type { MessageBuilder } from './builder';
import { readU16, readU32, writeU32 } from './byte-order';
import { Errno } from './errno';
import { NetlinkError } from './error';
import { NFGENMSG_BYTES, NFNETLINK_V0, nfnlType, Subsystem } from './nfnetlink';
import { MessageFlag } from './uapi';

export const QueueMessage = {
  PACKET: 0, // NFQNL_MSG_PACKET
  VERDICT: 1, // NFQNL_MSG_VERDICT
  CONFIG: 2, // NFQNL_MSG_CONFIG
} as const;

export const QueueAttribute = {
  PACKET_HDR: 1, // NFQA_PACKET_HDR
  VERDICT_HDR: 2, // NFQA_VERDICT_HDR
  MARK: 3, // NFQA_MARK
  TIMESTAMP: 4, // NFQA_TIMESTAMP
  IFINDEX_INDEV: 5, // NFQA_IFINDEX_INDEV
  IFINDEX_OUTDEV: 6, // NFQA_IFINDEX_OUTDEV
  IFINDEX_PHYSINDEV: 7, // NFQA_IFINDEX_PHYSINDEV
  IFINDEX_PHYSOUTDEV: 8, // NFQA_IFINDEX_PHYSOUTDEV
  HWADDR: 9, // NFQA_HWADDR
  PAYLOAD: 10, // NFQA_PAYLOAD
  CT: 11, // NFQA_CT
  CT_INFO: 12, // NFQA_CT_INFO
  CAP_LEN: 13, // NFQA_CAP_LEN
  SKB_INFO: 14, // NFQA_SKB_INFO
} as const;

export const QueueConfigAttribute = {
  CMD: 1, // NFQA_CFG_CMD
  PARAMS: 2, // NFQA_CFG_PARAMS
  QUEUE_MAXLEN: 3, // NFQA_CFG_QUEUE_MAXLEN
  MASK: 4, // NFQA_CFG_MASK
  FLAGS: 5, // NFQA_CFG_FLAGS
} as const;

export const QueueCommand = {
  BIND: 1, // NFQNL_CFG_CMD_BIND
  UNBIND: 2, // NFQNL_CFG_CMD_UNBIND
} as const;
export type QueueCommand = (typeof QueueCommand)[keyof typeof QueueCommand];

export const CopyMode = {
  NONE: 0, // NFQNL_COPY_NONE
  META: 1, // NFQNL_COPY_META
  PACKET: 2, // NFQNL_COPY_PACKET
} as const;
export type CopyMode = (typeof CopyMode)[keyof typeof CopyMode];

export const QueueFlag = {
  FAIL_OPEN: 1, // NFQA_CFG_F_FAIL_OPEN
  CONNTRACK: 2, // NFQA_CFG_F_CONNTRACK
  GSO: 4, // NFQA_CFG_F_GSO
} as const;

export const SkbInfo = {
  CSUM_NOT_READY: 1, // NFQA_SKB_CSUMNOTREADY
  GSO: 2, // NFQA_SKB_GSO
  CSUM_NOT_VERIFIED: 4, // NFQA_SKB_CSUM_NOTVERIFIED
} as const;

export const Verdict = {
  DROP: 0, // NF_DROP
  ACCEPT: 1, // NF_ACCEPT
  REPEAT: 4, // NF_REPEAT
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** struct nfqnl_msg_config_cmd for one queue. */
export function buildQueueCommand(
  b: MessageBuilder,
  queue: number,
  command: QueueCommand,
  seq: number,
): MessageBuilder {
  beginConfig(b, queue, seq);
  return b.bytes(QueueConfigAttribute.CMD, Uint8Array.of(command, 0, 0, 0)).end();
}

/** How much of each packet to copy: struct nfqnl_msg_config_params. */
export function buildQueueCopy(
  b: MessageBuilder,
  queue: number,
  mode: CopyMode,
  bytes: number,
  seq: number,
): MessageBuilder {
  const params = new Uint8Array(5);
  writeU32(params, 0, bytes, false);
  params[4] = mode;
  beginConfig(b, queue, seq);
  return b.bytes(QueueConfigAttribute.PARAMS, params).end();
}

/** Queue length and flags. Flags and their mask must come in one message, so they do. */
export function buildQueueLimits(
  b: MessageBuilder,
  queue: number,
  maxPackets: number,
  flags: number,
  mask: number,
  seq: number,
): MessageBuilder {
  beginConfig(b, queue, seq);
  b.u32(QueueConfigAttribute.QUEUE_MAXLEN, maxPackets, false);
  b.u32(QueueConfigAttribute.FLAGS, flags, false);
  return b.u32(QueueConfigAttribute.MASK, mask, false).end();
}

/** One packet's verdict; a payload replaces the packet. */
export function buildVerdict(
  b: MessageBuilder,
  queue: number,
  id: number,
  verdict: Verdict,
  payload?: Uint8Array,
): MessageBuilder {
  const header = new Uint8Array(8);
  writeU32(header, 0, verdict, false);
  writeU32(header, 4, id, false);
  b.begin(nfnlType(Subsystem.QUEUE, QueueMessage.VERDICT), MessageFlag.REQUEST, 0, 0);
  b.nfgenmsg(0, NFNETLINK_V0, queue).bytes(QueueAttribute.VERDICT_HDR, header);
  if (payload !== undefined) b.bytes(QueueAttribute.PAYLOAD, payload);
  return b.end();
}

function beginConfig(b: MessageBuilder, queue: number, seq: number): void {
  b.begin(nfnlType(Subsystem.QUEUE, QueueMessage.CONFIG), MessageFlag.REQUEST | MessageFlag.ACK, seq, 0);
  b.nfgenmsg(0, NFNETLINK_V0, queue);
}

/**
 * The attributes of an NFQNL_MSG_PACKET; one object is reused. Absent fields are 0, the payload is a range of the
 * buffer.
 */
export class QueuePacket {
  id = 0;
  hwProtocol = 0;
  hook = 0;
  mark = 0;
  indev = 0;
  outdev = 0;
  physIndev = 0;
  physOutdev = 0;
  skbInfo = 0;
  payload = 0;
  payloadBytes = 0;
  /** Length before the kernel cut the copy, equal to payloadBytes when it did not. */
  originalBytes = 0;

  private readonly attributes = new AttributeReader('decode queued packet', false);

  /** Reads the payload of a message, nfgenmsg included; gives what is wrong with it, if anything. */
  read(buf: Uint8Array, off: number, end: number): NetlinkError | undefined {
    if (end - off < NFGENMSG_BYTES) {
      return new NetlinkError('decode queued packet', Errno.EINVAL, 'no room for nfgenmsg', off);
    }
    this.id = this.hwProtocol = this.hook = this.mark = this.skbInfo = this.originalBytes = 0;
    this.indev = this.outdev = this.physIndev = this.physOutdev = 0;
    this.payload = end;
    this.payloadBytes = 0;
    const a = this.attributes.reset(buf, off + NFGENMSG_BYTES, end);
    while (a.next()) {
      if (a.type === QueueAttribute.PACKET_HDR) {
        if (a.valueBytes < 7) return new NetlinkError('decode queued packet', Errno.EINVAL, 'short header', a.value);
        this.id = readU32(buf, a.value, false);
        this.hwProtocol = readU16(buf, a.value + 4, false);
        this.hook = buf[a.value + 6]!;
      } else if (a.type === QueueAttribute.PAYLOAD) {
        this.payload = a.value;
        this.payloadBytes = a.valueBytes;
      } else if (a.type === QueueAttribute.MARK) this.mark = a.u32();
      else if (a.type === QueueAttribute.IFINDEX_INDEV) this.indev = a.u32();
      else if (a.type === QueueAttribute.IFINDEX_OUTDEV) this.outdev = a.u32();
      else if (a.type === QueueAttribute.IFINDEX_PHYSINDEV) this.physIndev = a.u32();
      else if (a.type === QueueAttribute.IFINDEX_PHYSOUTDEV) this.physOutdev = a.u32();
      else if (a.type === QueueAttribute.CAP_LEN) this.originalBytes = a.u32();
      else if (a.type === QueueAttribute.SKB_INFO) this.skbInfo = a.u32();
    }
    if (this.originalBytes === 0) this.originalBytes = this.payloadBytes;
    return a.error;
  }
}
