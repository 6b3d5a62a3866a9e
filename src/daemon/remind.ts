// Right after a failover has moved the guest's port: the peer of each living connection is told what the guest has acknowledged, and asked for
// its own acknowledgement, so that nobody waits for a timer. The frames leave by the outer bridge itself, which looks up the port and
// learns nothing from what its own host sends; switches on the way learn from them where the guest is now.

import { setTimeout as sleep } from 'node:timers/promises';
import { PacketSocket } from '../io/packet-socket';
import type { SecondaryEngine } from '../seccolo/engine';
import { MAX_ACK_FRAME_BYTES } from '../seccolo/frame-head';

/** Connections per millisecond: 128 short frames, a tenth of what a gigabit carries. */
const PER_TURN = 64;

/** Resolves with the number of connections. Rejects with OperatorError when the bridge takes no frames. */
export async function remindPeers(engine: SecondaryEngine, bridge: string): Promise<number> {
  const frame = new Uint8Array(MAX_ACK_FRAME_BYTES);
  let connections = 0;
  const socket = new PacketSocket({ interface: bridge }, { onFrame: () => {} });
  try {
    for (let base = engine.nextToRemind(-1); base >= 0; base = engine.nextToRemind(base)) {
      for (const which of [0, 1] as const) {
        const bytes = engine.writeReminder(base, which, frame, 0);
        if (bytes > 0) socket.send(frame.subarray(0, bytes));
      }
      if (++connections % PER_TURN === 0) await sleep(1);
    }
  } finally {
    socket.close();
  }
  return connections;
}
