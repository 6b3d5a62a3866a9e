// ARP requests of the SVM on the forward NIC: it has lost an address that the PVM still knows. ARP cannot be queued, so it is
// listened to beside the queues.

import { isArpRequest } from '../packet/arp';
import { ETH_P_ARP, PacketSocket } from '../io/packet-socket';

export function watchAddressRequests(port: string, onRequest: () => void): { close(): void } {
  const socket = new PacketSocket(
    { interface: port, ethertype: ETH_P_ARP },
    {
      onFrame: (frame) => {
        if (isArpRequest(frame, 0, frame.length)) onRequest();
      },
    },
  );
  return { close: () => socket.close() };
}
