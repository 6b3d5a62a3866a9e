// The Ethernet header of a segment made for a connection: its addresses are those that the connection's own frames have borne.

import { FLOW_META, metaFamily } from '../conntrack/flow-table';
import { write16, write32 } from '../core/big-endian';
import { ETH_ALEN, ETH_HLEN, ETH_P_IP, ETH_P_IPV6 } from '../packet/ethernet';
import { MAX_BARE_ACK_BYTES } from './bare-ack';
import { S_GUEST_MAC, S_PEER_MAC } from './flow-words';

/** A bare acknowledgement as a whole frame. */
export const MAX_ACK_FRAME_BYTES = ETH_HLEN + MAX_BARE_ACK_BYTES;

/** Who sent the packet at hand, by its Ethernet header: the first four bytes and the last two. Zero: not known. */
export interface LinkSource {
  macHigh: number;
  macLow: number;
}

/**
 * Writes the header of a frame from one end of the flow to the other; returns its bytes, 0 where an address is not known, or the flow is
 * in a VLAN, whose tags nobody has kept.
 */
export function writeFrameHead(words: Uint32Array, base: number, fromGuest: boolean, out: Uint8Array, off: number): number {
  const source = base + (fromGuest ? S_GUEST_MAC : S_PEER_MAC);
  const destination = base + (fromGuest ? S_PEER_MAC : S_GUEST_MAC);
  if (words[base + FLOW_META]! >>> 16 !== 0) return 0;
  if ((words[source]! | words[source + 1]!) === 0 || (words[destination]! | words[destination + 1]!) === 0) return 0;
  write32(out, off, words[destination]!);
  write16(out, off + 4, words[destination + 1]!);
  write32(out, off + ETH_ALEN, words[source]!);
  write16(out, off + ETH_ALEN + 4, words[source + 1]!);
  write16(out, off + 2 * ETH_ALEN, metaFamily(words[base + FLOW_META]!) === 6 ? ETH_P_IPV6 : ETH_P_IP);
  return ETH_HLEN;
}
