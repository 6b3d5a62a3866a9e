// The netfilter family's frame: subsystem and operation share nlmsg_type, and struct nfgenmsg follows the header.
// Linux: <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_compat.h>.

import { readU16 } from './byte-order';

export const NFNETLINK_V0 = 0; // NFNETLINK_V0
export const NFGENMSG_BYTES = 4; // sizeof(struct nfgenmsg)

export const Subsystem = {
  CTNETLINK: 1, // NFNL_SUBSYS_CTNETLINK
  QUEUE: 3, // NFNL_SUBSYS_QUEUE
  /** The number that the COLO messages took in 2015; mainline gave it to the hook dump in 2021. */
  HOOK: 12, // NFNL_SUBSYS_HOOK
} as const;

/** Multicast groups, as the number for NETLINK_ADD_MEMBERSHIP. */
export const Group = {
  CONNTRACK_NEW: 1, // NFNLGRP_CONNTRACK_NEW
  CONNTRACK_UPDATE: 2, // NFNLGRP_CONNTRACK_UPDATE
  CONNTRACK_DESTROY: 3, // NFNLGRP_CONNTRACK_DESTROY
} as const;

/** The same groups as bits for sockaddr_nl.nl_groups. */
export const GroupMask = {
  CONNTRACK_NEW: 1, // NF_NETLINK_CONNTRACK_NEW
  CONNTRACK_UPDATE: 2, // NF_NETLINK_CONNTRACK_UPDATE
  CONNTRACK_DESTROY: 4, // NF_NETLINK_CONNTRACK_DESTROY
} as const;

export function nfnlType(subsystem: number, operation: number): number {
  return (subsystem << 8) | operation;
}

export function nfnlSubsystem(type: number): number {
  return type >>> 8;
}

export function nfnlOperation(type: number): number {
  return type & 0xff;
}

/** struct nfgenmsg; one object is reused. */
export class NfGenMsg {
  family = 0;
  version = 0;
  resId = 0;

  /** False when fewer than its 4 bytes are there. */
  read(buf: Uint8Array, off: number, end: number): boolean {
    if (end - off < NFGENMSG_BYTES) return false;
    this.family = buf[off]!;
    this.version = buf[off + 1]!;
    this.resId = readU16(buf, off + 2, false);
    return true;
  }
}
