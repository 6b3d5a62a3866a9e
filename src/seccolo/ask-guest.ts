// After a failover it may be unknown which numbers the guest uses (seccolo/numbering.ts): it is asked, and its
// peers' packets wait meanwhile. Used by the owner of the packets: it brings a frame to the guest, and
// hands in again the packets that waited.

import type { SecondaryEngine } from './engine';
import { MAX_ACK_FRAME_BYTES } from './frame-head';

/**
 * Connections that are asked at a time: the guest may have closed some, and answers one such question in half a second
 * (Linux).
 */
const ASKED_AT_ONCE = 8;

/** Sends questions about some connections; returns the connection to go on behind, -1 = from the start. */
export function askGuest(
  engine: Pick<SecondaryEngine, 'nextToAsk' | 'writeQuestion'>,
  behind: number,
  send: (frame: Uint8Array) => void,
): number {
  let base = engine.nextToAsk(behind);
  for (let i = 0; i < ASKED_AT_ONCE && base >= 0; i++) {
    const frame = new Uint8Array(MAX_ACK_FRAME_BYTES);
    const bytes = engine.writeQuestion(base, frame, 0);
    if (bytes > 0) send(frame.subarray(0, bytes));
    base = engine.nextToAsk(base);
  }
  return base;
}
