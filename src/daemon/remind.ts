// Right after a failover has moved the guest's port: the peer of each living connection is told what the guest has
// acknowledged, and asked for its own acknowledgement, so that nobody waits for a timer. The frames leave by the outer
// bridge itself, which looks up the port and learns nothing from what its own host sends; switches on the way learn
// from them where the guest is now.

import { setTimeout as sleep } from 'node:timers/promises';
import { PacketSocket } from '../io/packet-socket';
import type { SecondaryEngine } from '../seccolo/engine';
import { REMIND_PAUSE_MS, remindSome } from '../seccolo/remind-some';

/** Resolves with the number of frames. Rejects with OperatorError when the bridge takes no frames. */
export async function remindPeers(engine: SecondaryEngine, bridge: string): Promise<number> {
  let frames = 0;
  const socket = new PacketSocket({ interface: bridge }, { onFrame: () => {} });
  const send = (frame: Uint8Array): void => {
    if (socket.send(frame)) frames++;
  };
  try {
    for (let base = remindSome(engine, -1, send); base >= 0; base = remindSome(engine, base, send))
      await sleep(REMIND_PAUSE_MS);
  } finally {
    socket.close();
  }
  return frames;
}
