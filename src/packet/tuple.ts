// The key of a flow: ten words that identify a connection, or an exchange of datagrams. Flow tables,
// files of offsets and the interfaces between rooms use the same ten words in the same order.
// "Guest" is the protected VM, whichever end has opened the connection.

import type { PacketView } from './view';

export const FLOW_GUEST = 0; // four words; an IPv4 address stands in the first, the others are 0
export const FLOW_PEER = 4; // four words
export const FLOW_PORTS = 8; // guestPort << 16 | peerPort
export const FLOW_META = 9; // zone << 16 | family << 8 | protocol; never 0
/** Words of a key. */
export const FLOW_KEY_WORDS = 10;

/** Zone 0 is all that the kernel's conntrack and the table of offsets know of. */
export function flowMeta(zone: number, family: number, protocol: number): number {
  return ((zone << 16) | (family << 8) | protocol) >>> 0;
}

export function metaFamily(meta: number): number {
  return (meta >>> 8) & 0xff;
}

export function metaProtocol(meta: number): number {
  return meta & 0xff;
}

export function metaZone(meta: number): number {
  return meta >>> 16;
}

/** Fills the key of the packet's flow. `fromPeer`: the packet's source is the peer, not the guest. */
export function loadKey(key: Uint32Array, view: PacketView, fromPeer: boolean): void {
  const src = fromPeer ? FLOW_PEER : FLOW_GUEST;
  const dst = FLOW_PEER - src;
  key[src] = view.src0;
  key[src + 1] = view.src1;
  key[src + 2] = view.src2;
  key[src + 3] = view.src3;
  key[dst] = view.dst0;
  key[dst + 1] = view.dst1;
  key[dst + 2] = view.dst2;
  key[dst + 3] = view.dst3;
  key[FLOW_PORTS] = fromPeer ? (view.dstPort << 16) | view.srcPort : (view.srcPort << 16) | view.dstPort;
  key[FLOW_META] = flowMeta(view.zone, view.family, view.protocol);
}
