// ARP requests of the SVM on the forward NIC: it has lost an address that the PVM still knows. ARP cannot be queued, so it is
// listened to beside the queues.

import { OperatorError } from '../core/errors';
import { ETH_P_ARP, PacketSocket } from '../io/packet-socket';
import { isArpRequest } from '../packet/arp';
import type { Logger } from './log';

/** A port that was switched off, or is gone, is looked for again so often. */
const RETRY_MS = 500;

/** Throws OperatorError when the port is not there now. */
export function watchAddressRequests(port: string, onRequest: () => void, log: Logger): { close(): void } {
  let socket: PacketSocket;
  let retry: NodeJS.Timeout | undefined;
  let deaf = false;
  const open = (): void => {
    socket = new PacketSocket(
      { interface: port, ethertype: ETH_P_ARP },
      {
        onFrame: (frame) => {
          deaf = false;
          if (isArpRequest(frame, 0, frame.length)) onRequest();
        },
        onClose: (error) => lost(error),
      },
    );
  };
  const lost = (error: OperatorError): void => {
    if (!deaf)
      log.warn({ port, error: error.message }, "the SVM's ARP requests cannot be heard until the port is back");
    deaf = true;
    retry = setTimeout(() => {
      try {
        open();
      } catch (again) {
        if (!(again instanceof OperatorError)) throw again;
        lost(again);
      }
    }, RETRY_MS);
  };
  open();
  return {
    close: () => {
      clearTimeout(retry);
      socket.close();
    },
  };
}
