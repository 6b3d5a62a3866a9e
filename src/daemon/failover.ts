// What follows a failover outside of the packets: the guest's port joins the outer bridge, and the network learns where the
// guest's addresses are now.

import { announceGuest } from '../io/announce';
import { learnBehind, macsBehind, moveToBridge } from '../io/link';
import type { GuestAddress } from '../seccolo/guest-addresses';
import type { Logger } from './log';
import type { NodeSettings } from './node-config';

/** Does both, as far as the node is configured so. Never rejects: what fails is logged with what to do by hand. */
export async function takeOver(settings: NodeSettings, addresses: readonly GuestAddress[], log: Logger): Promise<void> {
  const { guestPort, outerBridge } = settings;
  // A bridge forgets what it heard behind a port that leaves it.
  const macs = await macsBehind(guestPort).catch(() => []);
  if (settings.moveTapOnFailover) {
    try {
      await moveToBridge(guestPort, outerBridge, macs);
      await learnBehind(guestPort, macs);
      log.warn({ port: guestPort, bridge: outerBridge }, 'the guest is on the outer bridge');
    } catch (error) {
      log.error({ error: String(error), byHand: `ip link set dev ${guestPort} master ${outerBridge}` }, 'the guest could not be moved to the outer bridge');
    }
  }
  if (settings.announceOnFailover) {
    try {
      await announceGuest(outerBridge, guestPort, addresses, macs);
      log.info({ addresses: addresses.length }, 'the guest\'s addresses are announced');
    } catch (error) {
      log.error({ error: String(error) }, 'the guest\'s addresses could not be announced');
    }
  }
}
