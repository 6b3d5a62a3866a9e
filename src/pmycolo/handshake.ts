// When a connection counts as open: its peer has answered the guests' SYN or SYN/ACK. Until then it may be anybody's
// who can write a packet, and what is kept of it gives way to what is kept of others.

import { setOdd, X_FLAGS, X_ODD, X_PRIMARY_SYN_ACK, XF_HALF_OPEN, XO_PEER_RESET } from '../compare/flow-words';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST } from '../packet/view';
import type { PrimaryContext } from './context';

/**
 * Does this segment of the PVM, no SYN, prove that? A bare acknowledgement of what its SYN/ACK acknowledged is also the
 * answer to a stray segment.
 */
export function completesHandshake(x: PrimaryContext, flow: number, v: PacketView): boolean {
  if ((v.flags & (TCP_ACK | TCP_RST)) !== TCP_ACK) return false;
  return v.payloadBytes > 0 || (v.flags & TCP_FIN) !== 0 || v.ack !== x.flows.words[flow + X_PRIMARY_SYN_ACK];
}

/** To be called for a flow of the present epoch. */
export function complete(x: PrimaryContext, flow: number): void {
  const w = x.flows.words;
  if ((w[flow + X_FLAGS]! & XF_HALF_OPEN) === 0) return;
  w[flow + X_FLAGS] = w[flow + X_FLAGS]! & ~XF_HALF_OPEN;
  if ((w[flow + X_ODD]! & XO_PEER_RESET) !== 0) setOdd(w, flow, w[flow + X_ODD]! & ~XO_PEER_RESET);
  x.deltas.completed(w, flow);
}
