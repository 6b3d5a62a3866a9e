// The Ethernet header of a segment made for a connection: its addresses are those that the connection's own frames have
// borne.

import { write16, write32 } from '../core/big-endian';
import { MAX_BARE_ACK_BYTES } from '../packet/bare-ack';
import { ETH_ALEN, ETH_HLEN, ETH_P_IP, ETH_P_IPV6, ETH_TYPE_AT, VLAN_HLEN, writeMac } from '../packet/ethernet';
import { FLOW_META, metaFamily, metaZone } from '../packet/tuple';
import { S_GUEST_MAC, S_PEER_MAC, S_TAGS } from './flow-words';

/** More tags than these are not kept. */
export const MAX_KEPT_TAGS = 2;

/** A bare acknowledgement as a whole frame. */
export const MAX_ACK_FRAME_BYTES = ETH_HLEN + MAX_KEPT_TAGS * VLAN_HLEN + MAX_BARE_ACK_BYTES;

/** The Ethernet header of the packet at hand, as far as it is known. */
export interface LinkSource {
  /** Who sent it: the first four bytes and the last two; both zero: not known. */
  macHigh: number;
  macLow: number;
  /** VLAN tags, outermost first: TPID << 16 | TCI, 0 = none. */
  outerTag: number;
  innerTag: number;
}

/**
 * Writes the header of a frame from one end of the flow to the other, with the tags that the guest's own frames bear;
 * returns its bytes, 0 where an address is not known, or the flow is in a VLAN and its tags are not known.
 */
export function writeFrameHead(
  words: Uint32Array,
  base: number,
  fromGuest: boolean,
  out: Uint8Array,
  off: number,
): number {
  const source = base + (fromGuest ? S_GUEST_MAC : S_PEER_MAC);
  const destination = base + (fromGuest ? S_PEER_MAC : S_GUEST_MAC);
  const tags = base + S_TAGS;
  if (metaZone(words[base + FLOW_META]!) !== 0 && words[tags] === 0) return 0;
  if ((words[source]! | words[source + 1]!) === 0 || (words[destination]! | words[destination + 1]!) === 0) return 0;
  writeMac(out, off, words[destination]!, words[destination + 1]!);
  writeMac(out, off + ETH_ALEN, words[source]!, words[source + 1]!);
  let at = off + ETH_TYPE_AT;
  for (let tag = tags; tag < tags + MAX_KEPT_TAGS && words[tag] !== 0; tag++) {
    write32(out, at, words[tag]!);
    at += VLAN_HLEN;
  }
  write16(out, at, metaFamily(words[base + FLOW_META]!) === 6 ? ETH_P_IPV6 : ETH_P_IP);
  return at + 2 - off;
}
