// Constants of every netlink message. Linux: <linux/netlink.h>.

export const NetlinkFamily = {
  USERSOCK: 2, // NETLINK_USERSOCK
  NETFILTER: 12, // NETLINK_NETFILTER
} as const;

export const NLMSG_HDRLEN = 16; // NLMSG_HDRLEN
export const NLA_HDRLEN = 4; // NLA_HDRLEN
export const NLMSG_ALIGNTO = 4; // NLMSG_ALIGNTO
export const NLMSG_MIN_TYPE = 0x10; // NLMSG_MIN_TYPE

/** Message types below NLMSG_MIN_TYPE: netlink's own. */
export const ControlType = {
  NOOP: 1, // NLMSG_NOOP
  ERROR: 2, // NLMSG_ERROR
  DONE: 3, // NLMSG_DONE
  OVERRUN: 4, // NLMSG_OVERRUN
} as const;

export const MessageFlag = {
  REQUEST: 0x01, // NLM_F_REQUEST
  MULTI: 0x02, // NLM_F_MULTI
  ACK: 0x04, // NLM_F_ACK
  /** Of a GET request: the whole table. */
  DUMP: 0x300, // NLM_F_DUMP
  /** Of a NEW message. */
  EXCL: 0x200, // NLM_F_EXCL
  CREATE: 0x400, // NLM_F_CREATE
  /** Of an NLMSG_ERROR: only the header of the request is echoed. */
  CAPPED: 0x100, // NLM_F_CAPPED
  /** Of an NLMSG_ERROR: attributes follow the echo. */
  ACK_TLVS: 0x200, // NLM_F_ACK_TLVS
} as const;

/** Attributes of an NLMSG_ERROR with ACK_TLVS. */
export const ErrorAttribute = {
  MSG: 1, // NLMSGERR_ATTR_MSG
  OFFS: 2, // NLMSGERR_ATTR_OFFS
} as const;

export const NLA_F_NESTED = 0x8000; // NLA_F_NESTED
export const NLA_F_NET_BYTEORDER = 0x4000; // NLA_F_NET_BYTEORDER
export const NLA_TYPE_MASK = 0x3fff; // NLA_TYPE_MASK & 0xffff

export const NETLINK_ADD_MEMBERSHIP = 1; // NETLINK_ADD_MEMBERSHIP
export const SOL_NETLINK = 270; // SOL_NETLINK

/** Rounded up to the boundary on which messages and attributes begin. */
export function align4(n: number): number {
  return (n + 3) & ~3;
}
