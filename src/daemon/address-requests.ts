// ARP requests of the SVM on the forward NIC: it has lost an address that the PVM still knows.

import { ETH_P_ARP } from '../io/packet-socket';
import { isArpRequest } from '../packet/arp';
import type { Logger } from './log';
import { watchFrames } from './watch-frames';

/** Throws OperatorError when the port is not there now. */
export function watchAddressRequests(port: string, onRequest: () => void, log: Logger): { close(): void } {
  return watchFrames(
    { interface: port, ethertype: ETH_P_ARP },
    (frame) => {
      if (isArpRequest(frame, 0, frame.length)) onRequest();
    },
    "the SVM's ARP requests",
    log,
  );
}
