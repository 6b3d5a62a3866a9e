// ARP for IPv4 on Ethernet (RFC 826, RFC 5227), and RARP's request (RFC 903) as an announcement of a bare MAC address.

import { read16, read32, write16, write32 } from '../core/big-endian';
import {
  ETH_ALEN,
  ETH_HLEN,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_RARP,
  FRAME_OK,
  FrameView,
  parseFrame,
  writeFrameHeader,
} from './ethernet';

const ARPHRD_ETHER = 1; // ARPHRD_ETHER
export const ARPOP_REQUEST = 1; // ARPOP_REQUEST
export const ARPOP_REPLY = 2; // ARPOP_REPLY
export const ARPOP_RREQUEST = 3; // ARPOP_RREQUEST

/** Of an ARP packet for IPv4 on Ethernet, without the Ethernet header. */
export const ARP_BYTES = 28;
/** Offsets of the IPv4 addresses, from the packet's beginning. */
export const ARP_SENDER_IP_AT = 14;
export const ARP_TARGET_IP_AT = 24;
export const ARP_FRAME_BYTES = ETH_HLEN + ARP_BYTES;

const BROADCAST = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
const NO_MAC = new Uint8Array(ETH_ALEN);

/** Reused. Hardware addresses are offsets in the buffer that was parsed, IPv4 addresses words in host order. */
export class ArpView {
  operation = 0;
  senderMac = 0;
  senderIp = 0;
  targetMac = 0;
  targetIp = 0;
}

/** Fills the view from the ARP (or RARP) packet of len bytes at off. False: cut off, or not about IPv4 on Ethernet. */
export function parseArp(view: ArpView, buf: Uint8Array, off: number, len: number): boolean {
  if (len < ARP_BYTES) return false;
  if (read16(buf, off) !== ARPHRD_ETHER || read16(buf, off + 2) !== ETH_P_IP) return false;
  if (buf[off + 4] !== ETH_ALEN || buf[off + 5] !== 4) return false;
  view.operation = read16(buf, off + 6);
  view.senderMac = off + 8;
  view.senderIp = read32(buf, off + ARP_SENDER_IP_AT);
  view.targetMac = off + 18;
  view.targetIp = read32(buf, off + ARP_TARGET_IP_AT);
  return true;
}

/** Does the frame's sender ask or answer for itself? So do ARP's and RARP's hosts, proxies too. */
export function isAboutSender(view: ArpView, buf: Uint8Array, frame: FrameView): boolean {
  const first = frame.type === ETH_P_RARP ? ARPOP_RREQUEST : ARPOP_REQUEST;
  if (view.operation !== first && view.operation !== first + 1) return false;
  for (let i = 0; i < ETH_ALEN; i++) if (buf[view.senderMac + i] !== buf[frame.source + i]) return false;
  return true;
}

/** A host that speaks of its own address, asked or not: sender and target are the same. */
export function isGratuitous(view: ArpView): boolean {
  return view.senderIp === view.targetIp && view.senderIp !== 0;
}

/**
 * A question for another's address; one for its own is an announcement, and one without a sender asks whether its own
 * is free (RFC 5227).
 */
export function asksForAnother(view: ArpView): boolean {
  return view.operation === ARPOP_REQUEST && view.senderIp !== 0 && view.senderIp !== view.targetIp;
}

/**
 * Reads the ARP packet of a whole Ethernet frame, tagged or not, into the view; returns its VLAN (0: none), or -1: it
 * is none.
 */
export function parseArpFrame(view: ArpView, frame: Uint8Array, off: number, len: number): number {
  if (parseFrame(frameView, frame, off, len) !== FRAME_OK || frameView.type !== ETH_P_ARP) return -1;
  if (!parseArp(view, frame, frameView.network, off + len - frameView.network)) return -1;
  return frameView.tags === 0 ? 0 : frameView.outerVlan;
}

/** Is this whole Ethernet frame, tagged or not, an ARP request for another's address? */
export function isArpRequest(frame: Uint8Array, off: number, len: number): boolean {
  return parseArpFrame(arpView, frame, off, len) >= 0 && asksForAnother(arpView);
}

const frameView = new FrameView();
const arpView = new ArpView();

/** Writes an ARP packet; IPv4 addresses are words in host order. Returns the offset behind it. */
export function writeArp(
  buf: Uint8Array,
  off: number,
  operation: number,
  senderMac: Uint8Array,
  senderIp: number,
  targetMac: Uint8Array,
  targetIp: number,
): number {
  write16(buf, off, ARPHRD_ETHER);
  write16(buf, off + 2, ETH_P_IP);
  buf[off + 4] = ETH_ALEN;
  buf[off + 5] = 4;
  write16(buf, off + 6, operation);
  buf.set(senderMac.subarray(0, ETH_ALEN), off + 8);
  write32(buf, off + 14, senderIp);
  buf.set(targetMac.subarray(0, ETH_ALEN), off + 18);
  write32(buf, off + 24, targetIp);
  return off + ARP_BYTES;
}

/** A frame that asks who has targetIp. */
export function arpRequestFrame(senderMac: Uint8Array, senderIp: number, targetIp: number): Buffer {
  return arpFrame(BROADCAST, senderMac, ETH_P_ARP, ARPOP_REQUEST, senderIp, NO_MAC, targetIp);
}

/** A frame that answers targetMac. */
export function arpReplyFrame(
  senderMac: Uint8Array,
  senderIp: number,
  targetMac: Uint8Array,
  targetIp: number,
): Buffer {
  return arpFrame(targetMac, senderMac, ETH_P_ARP, ARPOP_REPLY, senderIp, targetMac, targetIp);
}

/** An announcement (RFC 5227 section 3): a broadcast request for the sender's own address. */
export function gratuitousArpFrame(mac: Uint8Array, ip: number): Buffer {
  return arpFrame(BROADCAST, mac, ETH_P_ARP, ARPOP_REQUEST, ip, NO_MAC, ip);
}

/** Shows switches where a MAC address is when no IP address is known: a broadcast question for one's own IP address. */
export function rarpFrame(mac: Uint8Array): Buffer {
  return arpFrame(BROADCAST, mac, ETH_P_RARP, ARPOP_RREQUEST, 0, mac, 0);
}

function arpFrame(
  destination: Uint8Array,
  senderMac: Uint8Array,
  type: number,
  operation: number,
  senderIp: number,
  targetMac: Uint8Array,
  targetIp: number,
): Buffer {
  const frame = Buffer.alloc(ARP_FRAME_BYTES);
  const at = writeFrameHeader(frame, 0, destination, senderMac, type);
  writeArp(frame, at, operation, senderMac, senderIp, targetMac, targetIp);
  return frame;
}
