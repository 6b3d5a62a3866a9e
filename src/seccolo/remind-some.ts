// After a failover the peers of the living connections get reminders (reminders.ts), some at a time. Used
// by the owner of the packets: it sends a frame, and goes on after a while.

import type { SecondaryEngine } from './engine';
import { MAX_ACK_FRAME_BYTES } from './frame-head';

/**
 * Connections at a time. With REMIND_PAUSE_MS between them: 128 short frames a millisecond, a tenth of
 * what a gigabit carries.
 */
const TOLD_AT_ONCE = 64;
export const REMIND_PAUSE_MS = 1;

/**
 * Reminds the peers of some connections; returns the connection to go on behind, -1 at the end. Start with
 * -1. A frame is valid during the call only.
 */
export function remindSome(
  engine: Pick<SecondaryEngine, 'nextToRemind' | 'writeReminder'>,
  behind: number,
  send: (frame: Uint8Array) => void,
): number {
  const frame = new Uint8Array(MAX_ACK_FRAME_BYTES);
  let last = -1;
  let base = engine.nextToRemind(behind);
  for (let i = 0; i < TOLD_AT_ONCE && base >= 0; i++) {
    for (const which of [0, 1] as const) {
      const bytes = engine.writeReminder(base, which, frame, 0);
      if (bytes > 0) send(frame.subarray(0, bytes));
    }
    last = base;
    base = engine.nextToRemind(base);
  }
  return base < 0 ? -1 : last;
}
