// Ethernet frames and their VLAN tags (IEEE 802.3, 802.1Q, 802.1ad; linux/if_ether.h): where the network layer begins.

import { read16, read32, write16, write32 } from '../core/big-endian';
import { FAMILY_LINK, type PacketView } from './view';

export const ETH_P_IP = 0x0800; // ETH_P_IP
export const ETH_P_ARP = 0x0806; // ETH_P_ARP
export const ETH_P_RARP = 0x8035; // ETH_P_RARP
export const ETH_P_IPV6 = 0x86dd; // ETH_P_IPV6
export const ETH_P_8021Q = 0x8100; // ETH_P_8021Q
export const ETH_P_8021AD = 0x88a8; // ETH_P_8021AD
const ETH_P_QINQ1 = 0x9100; // ETH_P_QINQ1: stacked tags before 802.1ad
const ETH_P_802_3_MIN = 0x0600; // ETH_P_802_3_MIN

export const ETH_ALEN = 6; // ETH_ALEN
export const ETH_HLEN = 14; // ETH_HLEN
export const VLAN_HLEN = 4; // VLAN_HLEN
/** As many as the kernel follows. */
export const MAX_VLAN_TAGS = 8; // VLAN_MAX_DEPTH

/** Of the header: where an EtherType stands, or the first VLAN tag, from the frame's beginning. */
export const ETH_TYPE_AT = 2 * ETH_ALEN;
export const ETH_TYPE_BYTES = 2;

export const FRAME_OK = 0;
/** The frame ends within its header or a tag. */
export const FRAME_SHORT = 1;
/** More tags than MAX_VLAN_TAGS. */
export const FRAME_TAGS = 2;
export type FrameCode = typeof FRAME_OK | typeof FRAME_SHORT | typeof FRAME_TAGS;

/** Reused for every frame. Offsets are absolute in the buffer that was parsed. */
export class FrameView {
  /** Of the MAC addresses. */
  destination = 0;
  source = 0;
  /** EtherType behind all tags; 0 for an 802.3 frame, whose field is a length (LLC follows). */
  type = 0;
  /** First byte behind the header and all tags. */
  network = 0;
  tags = 0;
  /** VLAN id of the outermost and of the innermost tag; -1 without one. */
  outerVlan = -1;
  innerVlan = -1;
}

/** Fills the view from the frame of len bytes at off. */
export function parseFrame(view: FrameView, buf: Uint8Array, off: number, len: number): FrameCode {
  if (len < ETH_HLEN) return FRAME_SHORT;
  view.destination = off;
  view.source = off + ETH_ALEN;
  return parseFromType(view, buf, off + 2 * ETH_ALEN, off + len);
}

/**
 * Fills a packet's view from a frame that is no IP packet: the MAC addresses stand for the IP addresses, the EtherType
 * for the ports, and all that lies behind the header up to `end` is content. Which part of that is padding only its
 * protocol knows.
 */
export function viewLinkFrame(view: PacketView, buf: Uint8Array, frame: FrameView, end: number): void {
  view.buf = buf;
  view.start = frame.network;
  view.end = end;
  view.family = FAMILY_LINK;
  view.protocol = 0;
  view.fragment = false;
  view.src0 = macHigh(buf, frame.source);
  view.src1 = macLow(buf, frame.source);
  view.src2 = 0;
  view.src3 = 0;
  view.dst0 = macHigh(buf, frame.destination);
  view.dst1 = macLow(buf, frame.destination);
  view.dst2 = 0;
  view.dst3 = 0;
  view.srcPort = frame.type;
  view.dstPort = frame.type;
  view.flags = 0;
  view.icmpType = 0;
  view.icmpCode = 0;
  view.l4 = frame.network;
  view.payload = frame.network;
  view.payloadBytes = end - frame.network;
}

/** From an EtherType at `at` on: other link layers end in one too, and tags may follow it there as well. */
export function parseFromType(view: FrameView, buf: Uint8Array, at: number, end: number): FrameCode {
  view.tags = 0;
  view.outerVlan = -1;
  view.innerVlan = -1;
  for (;;) {
    if (at + 2 > end) return FRAME_SHORT;
    const type = (buf[at]! << 8) | buf[at + 1]!;
    if (type !== ETH_P_8021Q && type !== ETH_P_8021AD && type !== ETH_P_QINQ1) {
      view.type = type < ETH_P_802_3_MIN ? 0 : type;
      view.network = at + 2;
      return FRAME_OK;
    }
    // A tag that is cut is found by the next round, which wants a type behind it.
    if (view.tags === MAX_VLAN_TAGS) return FRAME_TAGS;
    const vlan = ((buf[at + 2]! << 8) | buf[at + 3]!) & 0xfff;
    if (view.tags === 0) view.outerVlan = vlan;
    view.innerVlan = vlan;
    view.tags++;
    at += VLAN_HLEN;
  }
}

/** The first four bytes of a MAC address, as a word. */
export function macHigh(buf: Uint8Array, at: number): number {
  return read32(buf, at);
}

/** And its last two. */
export function macLow(buf: Uint8Array, at: number): number {
  return read16(buf, at + 4);
}

export function writeMac(buf: Uint8Array, at: number, high: number, low: number): void {
  write32(buf, at, high);
  write16(buf, at + 4, low);
}

/** A group's, not a station's. */
export function isGroupMac(buf: Uint8Array, at: number): boolean {
  return (buf[at]! & 1) !== 0;
}

/** VLAN tag i (TPID << 16 | TCI), from the outermost, of the frame at off. */
export function tagWord(buf: Uint8Array, off: number, i: number): number {
  return read32(buf, off + ETH_TYPE_AT + i * VLAN_HLEN);
}

/** Writes an untagged header; returns the offset behind it. */
export function writeFrameHeader(
  buf: Uint8Array,
  off: number,
  destination: Uint8Array,
  source: Uint8Array,
  type: number,
): number {
  buf.set(destination.subarray(0, ETH_ALEN), off);
  buf.set(source.subarray(0, ETH_ALEN), off + ETH_ALEN);
  write16(buf, off + ETH_TYPE_AT, type);
  return off + ETH_HLEN;
}

const PRIORITY_BITS = 0xf000;

/**
 * The VLAN tags of the frame in the view (TPID << 16 | VLAN id, outermost first), with the one that the kernel has taken off it (0: none)
 * before them. Priorities, and tags that give nothing else, are left out.
 */
export function frameTags(view: FrameView, buf: Uint8Array, vlan: number): number[] {
  const tags = vlan === 0 ? [] : [vlan];
  for (let i = 0; i < view.tags; i++) tags.push(tagWord(buf, view.destination, i));
  return tags.map((tag) => (tag & ~PRIORITY_BITS) >>> 0).filter((tag) => (tag & 0xfff) !== 0);
}

/** The frame with VLAN tags (TPID << 16 | TCI, outermost first) behind its MAC addresses. */
export function taggedFrame(frame: Uint8Array, tags: readonly number[]): Uint8Array {
  if (tags.length === 0) return frame;
  const at = 2 * ETH_ALEN;
  const out = new Uint8Array(frame.length + tags.length * VLAN_HLEN);
  out.set(frame.subarray(0, at));
  for (const [i, tag] of tags.entries()) write32(out, at + i * VLAN_HLEN, tag);
  out.set(frame.subarray(at), at + tags.length * VLAN_HLEN);
  return out;
}
