// Connection tracking events: the birth and death of connections as the kernel sees them. Linux:
// <linux/netfilter/nfnetlink_conntrack.h>, <linux/netfilter/nf_conntrack_common.h>,
// <linux/netfilter/nf_conntrack_tcp.h>.

import { AttributeReader } from './attributes';
import type { MessageBuilder } from './builder';
import { readU32, writeU32 } from './byte-order';
import { Errno } from './errno';
import { NetlinkError } from './error';
import type { MessageReader } from './message';
import { NFGENMSG_BYTES, NFNETLINK_V0, nfnlOperation, nfnlSubsystem, nfnlType, Subsystem } from './nfnetlink';
import { MessageFlag } from './uapi';

export const ConntrackMessage = {
  NEW: 0, // IPCTNL_MSG_CT_NEW
  GET: 1, // IPCTNL_MSG_CT_GET
  DELETE: 2, // IPCTNL_MSG_CT_DELETE
} as const;

export const ConntrackAttribute = {
  TUPLE_ORIG: 1, // CTA_TUPLE_ORIG
  TUPLE_REPLY: 2, // CTA_TUPLE_REPLY
  STATUS: 3, // CTA_STATUS
  PROTOINFO: 4, // CTA_PROTOINFO
  ID: 12, // CTA_ID
  ZONE: 18, // CTA_ZONE
} as const;

export const TupleAttribute = {
  IP: 1, // CTA_TUPLE_IP
  PROTO: 2, // CTA_TUPLE_PROTO
  ZONE: 3, // CTA_TUPLE_ZONE
} as const;

export const TupleIpAttribute = {
  V4_SRC: 1, // CTA_IP_V4_SRC
  V4_DST: 2, // CTA_IP_V4_DST
  V6_SRC: 3, // CTA_IP_V6_SRC
  V6_DST: 4, // CTA_IP_V6_DST
} as const;

export const TupleProtoAttribute = {
  NUM: 1, // CTA_PROTO_NUM
  SRC_PORT: 2, // CTA_PROTO_SRC_PORT
  DST_PORT: 3, // CTA_PROTO_DST_PORT
  ICMP_ID: 4, // CTA_PROTO_ICMP_ID
  ICMP_TYPE: 5, // CTA_PROTO_ICMP_TYPE
  ICMP_CODE: 6, // CTA_PROTO_ICMP_CODE
  ICMPV6_ID: 7, // CTA_PROTO_ICMPV6_ID
  ICMPV6_TYPE: 8, // CTA_PROTO_ICMPV6_TYPE
  ICMPV6_CODE: 9, // CTA_PROTO_ICMPV6_CODE
} as const;

const AF_INET = 2; // AF_INET
const AF_INET6 = 10; // AF_INET6
const PROTOINFO_TCP = 1; // CTA_PROTOINFO_TCP
const PROTOINFO_TCP_STATE = 1; // CTA_PROTOINFO_TCP_STATE
/** Both ends have answered each other; what follows, up to TIME_WAIT, is the end of such a connection. */
export const TCP_CONNTRACK_ESTABLISHED = 3; // TCP_CONNTRACK_ESTABLISHED
export const TCP_CONNTRACK_TIME_WAIT = 7; // TCP_CONNTRACK_TIME_WAIT

export const ConntrackStatus = {
  SEEN_REPLY: 2, // IPS_SEEN_REPLY
  ASSURED: 4, // IPS_ASSURED
  DYING: 0x200, // IPS_DYING
} as const;

export const ConntrackEvent = {
  NONE: 0,
  NEW: 1,
  UPDATE: 2,
  DESTROY: 3,
} as const;
export type ConntrackEvent = (typeof ConntrackEvent)[keyof typeof ConntrackEvent];

/** One direction of a connection; an IPv4 address stands in word 0, the others are 0. Echo ids stand in both ports. */
export class ConntrackTuple {
  family: 0 | 4 | 6 = 0;
  protocol = 0;
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  srcPort = 0;
  dstPort = 0;
  icmpType = 0;
  icmpCode = 0;
  /** Of this direction alone; 0 is the default zone. */
  zone = 0;

  clear(): void {
    this.family = 0;
    this.protocol = this.srcPort = this.dstPort = this.icmpType = this.icmpCode = this.zone = 0;
    this.src0 = this.src1 = this.src2 = this.src3 = 0;
    this.dst0 = this.dst1 = this.dst2 = this.dst3 = 0;
  }
}

/** Decodes one event at a time into its own fields: at a high rate of connections nothing is allocated. */
export class ConntrackDecoder {
  event: ConntrackEvent = ConntrackEvent.NONE;
  readonly original = new ConntrackTuple();
  readonly reply = new ConntrackTuple();
  /** Of both directions; a zone of one direction stands in its tuple. */
  zone = 0;
  status = 0;
  /** TCP_CONNTRACK_*, 0 if it was not sent. */
  tcpState = 0;
  /** The kernel's id of the entry, 0 if it was not sent. */
  id = 0;
  error: NetlinkError | undefined;

  private readonly top = new AttributeReader('decode conntrack event', false);
  private readonly tuple = new AttributeReader('decode conntrack tuple', false);
  private readonly inner = new AttributeReader('decode conntrack tuple', false);

  /** True for a whole conntrack event. False for another message, or a broken one: `error` is set then. */
  read(buf: Uint8Array, message: MessageReader): boolean {
    this.event = ConntrackEvent.NONE;
    this.error = undefined;
    if (nfnlSubsystem(message.type) !== Subsystem.CTNETLINK) return false;
    const operation = nfnlOperation(message.type);
    if (operation !== ConntrackMessage.NEW && operation !== ConntrackMessage.DELETE) return false;
    if (message.end - message.payload < NFGENMSG_BYTES) return this.fail('no room for nfgenmsg', message.payload);
    this.original.clear();
    this.reply.clear();
    this.zone = this.status = this.id = this.tcpState = 0;

    const top = this.top.reset(buf, message.payload + NFGENMSG_BYTES, message.end);
    while (top.next()) {
      if (top.type === ConntrackAttribute.TUPLE_ORIG) this.readTuple(buf, this.original);
      else if (top.type === ConntrackAttribute.TUPLE_REPLY) this.readTuple(buf, this.reply);
      else if (top.type === ConntrackAttribute.STATUS) this.status = top.u32();
      else if (top.type === ConntrackAttribute.PROTOINFO) this.readProtoInfo();
      else if (top.type === ConntrackAttribute.ZONE) this.zone = top.u16();
      else if (top.type === ConntrackAttribute.ID) this.id = top.u32();
    }
    if (top.error !== undefined) {
      this.error = top.error;
      return false;
    }
    if (this.original.family === 0) return this.fail('no original tuple', message.payload);
    if (operation === ConntrackMessage.DELETE) this.event = ConntrackEvent.DESTROY;
    else this.event = (message.flags & MessageFlag.CREATE) !== 0 ? ConntrackEvent.NEW : ConntrackEvent.UPDATE;
    return true;
  }

  private readTuple(buf: Uint8Array, into: ConntrackTuple): void {
    const { top, inner } = this;
    const tuple = top.enter(this.tuple);
    while (tuple.next()) {
      if (tuple.type === TupleAttribute.IP) {
        tuple.enter(inner);
        this.readAddresses(buf, into);
        tuple.adopt(inner);
      } else if (tuple.type === TupleAttribute.PROTO) {
        tuple.enter(inner);
        this.readPorts(into);
        tuple.adopt(inner);
      } else if (tuple.type === TupleAttribute.ZONE) into.zone = tuple.u16();
    }
    top.adopt(tuple);
  }

  private readProtoInfo(): void {
    const { top, tuple, inner } = this;
    top.enter(tuple);
    while (tuple.next()) {
      if (tuple.type !== PROTOINFO_TCP) continue;
      tuple.enter(inner);
      while (inner.next()) if (inner.type === PROTOINFO_TCP_STATE) this.tcpState = inner.u8();
      tuple.adopt(inner);
    }
    top.adopt(tuple);
  }

  private readAddresses(buf: Uint8Array, into: ConntrackTuple): void {
    const a = this.inner;
    while (a.next()) {
      if (a.type === TupleIpAttribute.V4_SRC) {
        into.family = 4;
        into.src0 = a.u32();
      } else if (a.type === TupleIpAttribute.V4_DST) {
        into.dst0 = a.u32();
      } else if (a.type === TupleIpAttribute.V6_SRC && a.valueBytes === 16) {
        into.family = 6;
        into.src0 = readU32(buf, a.value, false);
        into.src1 = readU32(buf, a.value + 4, false);
        into.src2 = readU32(buf, a.value + 8, false);
        into.src3 = readU32(buf, a.value + 12, false);
      } else if (a.type === TupleIpAttribute.V6_DST && a.valueBytes === 16) {
        into.dst0 = readU32(buf, a.value, false);
        into.dst1 = readU32(buf, a.value + 4, false);
        into.dst2 = readU32(buf, a.value + 8, false);
        into.dst3 = readU32(buf, a.value + 12, false);
      }
    }
  }

  private readPorts(into: ConntrackTuple): void {
    const a = this.inner;
    while (a.next()) {
      if (a.type === TupleProtoAttribute.NUM) into.protocol = a.u8();
      else if (a.type === TupleProtoAttribute.SRC_PORT) into.srcPort = a.u16();
      else if (a.type === TupleProtoAttribute.DST_PORT) into.dstPort = a.u16();
      else if (a.type === TupleProtoAttribute.ICMP_ID || a.type === TupleProtoAttribute.ICMPV6_ID) {
        into.srcPort = into.dstPort = a.u16();
      } else if (a.type === TupleProtoAttribute.ICMP_TYPE || a.type === TupleProtoAttribute.ICMPV6_TYPE) {
        into.icmpType = a.u8();
      } else if (a.type === TupleProtoAttribute.ICMP_CODE || a.type === TupleProtoAttribute.ICMPV6_CODE) {
        into.icmpCode = a.u8();
      }
    }
  }

  private fail(what: string, offset: number): false {
    this.error = new NetlinkError('decode conntrack event', Errno.EINVAL, what, offset);
    return false;
  }
}

/**
 * Asks for the entry of the default zone that this direction belongs to, which may be its reply; the answer looks like
 * an event.
 */
export function buildConntrackGet(b: MessageBuilder, t: ConntrackTuple, seq: number): MessageBuilder {
  const family = t.family === 4 ? AF_INET : AF_INET6;
  b.begin(nfnlType(Subsystem.CTNETLINK, ConntrackMessage.GET), MessageFlag.REQUEST, seq, 0).nfgenmsg(
    family,
    NFNETLINK_V0,
    0,
  );
  const tuple = b.beginNest(ConntrackAttribute.TUPLE_ORIG);
  const ip = b.beginNest(TupleAttribute.IP);
  if (t.family === 4) {
    b.u32(TupleIpAttribute.V4_SRC, t.src0, false).u32(TupleIpAttribute.V4_DST, t.dst0, false);
  } else {
    b.bytes(TupleIpAttribute.V6_SRC, networkOrder(t.src0, t.src1, t.src2, t.src3));
    b.bytes(TupleIpAttribute.V6_DST, networkOrder(t.dst0, t.dst1, t.dst2, t.dst3));
  }
  b.endNest(ip);
  const proto = b.beginNest(TupleAttribute.PROTO);
  b.u8(TupleProtoAttribute.NUM, t.protocol)
    .u16(TupleProtoAttribute.SRC_PORT, t.srcPort, false)
    .u16(TupleProtoAttribute.DST_PORT, t.dstPort, false);
  return b.endNest(proto).endNest(tuple).end();
}

function networkOrder(...words: readonly number[]): Uint8Array {
  const out = new Uint8Array(4 * words.length);
  words.forEach((word, i) => {
    writeU32(out, 4 * i, word, false);
  });
  return out;
}

/** Asks for all entries of a family (AF_INET 2, AF_INET6 10, 0 for both); the answers look like events. */
export function buildConntrackDump(b: MessageBuilder, family: number, seq: number): MessageBuilder {
  const flags = MessageFlag.REQUEST | MessageFlag.DUMP;
  return b
    .begin(nfnlType(Subsystem.CTNETLINK, ConntrackMessage.GET), flags, seq, 0)
    .nfgenmsg(family, NFNETLINK_V0, 0)
    .end();
}
