// Where the IP packet begins in what a capture recorded, by link type (https://www.tcpdump.org/linktypes.html).

import {
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_RARP,
  FRAME_OK,
  FrameView,
  parseFrame,
  parseFromType,
} from '../../packet/ethernet';

export const LINKTYPE_NULL = 0; // LINKTYPE_NULL
export const LINKTYPE_ETHERNET = 1; // LINKTYPE_ETHERNET
const DLT_RAW_BSD = 12; // DLT_RAW, as some systems number it
const DLT_RAW_OPENBSD = 14; // DLT_RAW on OpenBSD
export const LINKTYPE_RAW = 101; // LINKTYPE_RAW
export const LINKTYPE_LOOP = 108; // LINKTYPE_LOOP
export const LINKTYPE_LINUX_SLL = 113; // LINKTYPE_LINUX_SLL
export const LINKTYPE_IPV4 = 228; // LINKTYPE_IPV4
export const LINKTYPE_IPV6 = 229; // LINKTYPE_IPV6
export const LINKTYPE_LINUX_SLL2 = 276; // LINKTYPE_LINUX_SLL2

const ETH_P_8021Q = 0x8100; // ETH_P_8021Q
const ETH_P_8021AD = 0x88a8; // ETH_P_8021AD

const SLL_TYPE_AT = 14;
const SLL2_HEADER_BYTES = 20;
/** linux/if_arp.h: a netlink monitor, whose protocol field is a netlink family. */
const ARPHRD_NETLINK = 824; // ARPHRD_NETLINK

/** Results below 0 of networkOffset(): why there is no IP packet. ARP and RARP: */
export const LINK_ARP = -1;
export const LINK_NOT_IP = -2;
export const LINK_SHORT = -3;
export const LINK_UNKNOWN = -4;
/** Names by -result - 1. */
export const LINK_NAMES: readonly string[] = ['arp', 'not_ip', 'short_frame', 'unknown_link_type'];

const view = new FrameView();

/** Offset of the IP header in the frame, or one of LINK_*. */
export function networkOffset(linkType: number, frame: Buffer): number {
  switch (linkType) {
    case LINKTYPE_ETHERNET:
      return byFrame(parseFrame(view, frame, 0, frame.length));
    case LINKTYPE_LINUX_SLL:
      if (frame.length < SLL_TYPE_AT + 2) return LINK_SHORT;
      if (frame.readUInt16BE(2) === ARPHRD_NETLINK) return LINK_NOT_IP;
      return byFrame(parseFromType(view, frame, SLL_TYPE_AT, frame.length));
    case LINKTYPE_LINUX_SLL2:
      return sll2(frame);
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP:
      // The address family, whose number depends on the system that captured: the IP version is enough.
      return frame.length < 4 ? LINK_SHORT : byVersion(frame, 4);
    case LINKTYPE_RAW:
    case DLT_RAW_BSD:
    case DLT_RAW_OPENBSD:
    case LINKTYPE_IPV4:
    case LINKTYPE_IPV6:
      return byVersion(frame, 0);
    default:
      return LINK_UNKNOWN;
  }
}

/** Who sent the frame, as text; '' where the link type has no sender. */
export function senderOf(linkType: number, frame: Buffer): string {
  return linkType === LINKTYPE_ETHERNET && frame.length >= 12 ? frame.toString('hex', 6, 12) : '';
}

function sll2(frame: Buffer): number {
  if (frame.length < SLL2_HEADER_BYTES) return LINK_SHORT;
  if (frame.readUInt16BE(8) === ARPHRD_NETLINK) return LINK_NOT_IP;
  const type = frame.readUInt16BE(0);
  switch (type) {
    case ETH_P_IP:
    case ETH_P_IPV6:
      return SLL2_HEADER_BYTES;
    case ETH_P_ARP:
      return LINK_ARP;
    case ETH_P_8021Q:
    case ETH_P_8021AD:
      // The tag's own two bytes, then the EtherType behind it.
      return byFrame(parseFromType(view, frame, SLL2_HEADER_BYTES + 2, frame.length));
    default:
      return LINK_NOT_IP;
  }
}

function byFrame(code: number): number {
  if (code !== FRAME_OK) return LINK_SHORT;
  if (view.type === ETH_P_IP || view.type === ETH_P_IPV6) return view.network;
  return view.type === ETH_P_ARP || view.type === ETH_P_RARP ? LINK_ARP : LINK_NOT_IP;
}

function byVersion(frame: Buffer, at: number): number {
  if (frame.length <= at) return LINK_SHORT;
  const version = frame[at]! >>> 4;
  return version === 4 || version === 6 ? at : LINK_NOT_IP;
}
