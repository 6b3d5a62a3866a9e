// The peers' resets: they go past the queues, to the guest. Listened to at its port.

import { rstFilter } from '../io/frame-filter';
import { PACKET_OUTGOING } from '../io/packet-socket';
import { ETH_HLEN, FRAME_OK, FrameView, parseFrame } from '../packet/ethernet';
import { PARSE_OK, parseIp } from '../packet/parse';
import { FLOW_KEY_WORDS, loadKey } from '../packet/tuple';
import { IPPROTO_TCP, PacketView, TCP_RST } from '../packet/view';
import type { Logger } from './log';
import { watchFrames } from './watch-frames';

/**
 * `onReset` gets the connection's key (packet/tuple.ts) and the reset's sequence number. `key` is valid during the
 * call only. Throws OperatorError.
 */
export function watchPeerResets(
  guestPort: string,
  onReset: (key: Uint32Array, seq: number) => void,
  log: Logger,
): { close(): void } {
  const frame = new FrameView();
  const view = new PacketView();
  const key = new Uint32Array(FLOW_KEY_WORDS);
  return watchFrames(
    { interface: guestPort, filter: rstFilter(), outgoing: true },
    (buf, { packetType }) => {
      if (packetType !== PACKET_OUTGOING || parseFrame(frame, buf, 0, buf.length) !== FRAME_OK || frame.tags > 0)
        return;
      if (parseIp(view, buf, ETH_HLEN, buf.length - ETH_HLEN) !== PARSE_OK || view.fragment) return;
      if (view.protocol !== IPPROTO_TCP || (view.flags & TCP_RST) === 0) return;
      loadKey(key, view, true);
      onReset(key, view.seq);
    },
    'resets by peers',
    log,
    true,
  );
}
