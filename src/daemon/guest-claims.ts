// Listens on the guest's port for the addresses that the guest and its neighbours claim.

import { neighbourFilter } from '../io/frame-filter';
import { PACKET_OUTGOING } from '../io/packet-socket';
import type { GuestAddresses } from '../seccolo/guest-addresses';
import type { Logger } from './log';
import { watchFrames } from './watch-frames';

/** The port may come later: it is made with the guest. Throws OperatorError. */
export function watchGuestClaims(port: string, addresses: GuestAddresses, log: Logger): { close(): void } {
  return watchFrames(
    { interface: port, filter: neighbourFilter(), outgoing: true },
    (frame, { packetType, vlan }) => addresses.note(frame, frame.length, vlan, packetType !== PACKET_OUTGOING),
    "the guest's claims of addresses, which a failover would announce,",
    log,
    true,
  );
}
