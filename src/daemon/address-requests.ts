// ARP at a port, in what comes in there: which neighbours a guest asks for, and who answers it.

import { ETH_P_ARP } from '../io/packet-socket';
import { ArpView, parseArpFrame } from '../packet/arp';
import type { Logger } from './log';
import { watchFrames } from './watch-frames';

/**
 * `onArp` is told of every packet with its VLAN (0: none); both hold during the call only. Throws OperatorError when
 * the port is not there now, unless it `mayCome` later, as a guest's port does. `whose` is for the log.
 */
export function watchArp(
  port: string,
  whose: string,
  onArp: (arp: ArpView, vlan: number) => void,
  log: Logger,
  mayCome = false,
): { close(): void } {
  const view = new ArpView();
  return watchFrames(
    { interface: port, ethertype: ETH_P_ARP },
    (frame) => {
      const vlan = parseArpFrame(view, frame, 0, frame.length);
      if (vlan >= 0) onArp(view, vlan);
    },
    `${whose} ARP packets`,
    log,
    mayCome,
  );
}
