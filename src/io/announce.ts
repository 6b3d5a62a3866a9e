// Tells the network where a guest is now: switches learn the port of its MAC address, neighbours are reminded of its IP
// addresses (RFC 5227, RFC 4861 section 7.2.6), out of every port of the bridge but the guest's own; and asks the guest
// for its multicast groups, so that switches learn those, too.

import { readWord } from '../core/big-endian';
import { OperatorError } from '../core/errors';
import { gratuitousArpFrame, rarpFrame } from '../packet/arp';
import { taggedFrame } from '../packet/ethernet';
import { igmpQueryFrame, mldQueryFrame } from '../packet/group-query';
import { unsolicitedNaFrame } from '../packet/neighbour';
import { portsOf } from './link';
import { PacketSocket } from './packet-socket';

export interface AnnouncedAddress {
  family: 4 | 6;
  /** Network order: 4 or 16 bytes. */
  bytes: Uint8Array;
  mac: Uint8Array;
  /** VLAN tags, outermost first: TPID << 16 | VLAN id. */
  tags: readonly number[];
  router: boolean;
  override: boolean;
}

/** Frames for one guest: a MAC address without an IP address of its own is shown to switches only. */
export function announcementFrames(macs: readonly Uint8Array[], addresses: readonly AnnouncedAddress[]): Uint8Array[] {
  const bare = macs.filter((mac) => !addresses.some((address) => Buffer.compare(address.mac, mac) === 0));
  return [...addresses.map(addressFrame), ...bare.map((mac) => rarpFrame(mac))];
}

function addressFrame({ family, bytes, mac, tags, router, override }: AnnouncedAddress): Uint8Array {
  const frame =
    family === 4 ? gratuitousArpFrame(mac, readWord(bytes, 0, 0)) : unsolicitedNaFrame(mac, bytes, router, override);
  return taggedFrame(frame, tags);
}

/** General queries of multicast groups, without a tag and in each VLAN that the guest has an address in. */
export function groupQueryFrames(addresses: readonly AnnouncedAddress[]): Uint8Array[] {
  const vlans = new Map<string, readonly number[]>([['', []]]);
  for (const { tags } of addresses) vlans.set(tags.join(), tags);
  return [...vlans.values()].flatMap((tags) =>
    [igmpQueryFrame(), mldQueryFrame()].map((frame) => taggedFrame(frame, tags)),
  );
}

/**
 * Sends the frames once by every port of a bridge but the guest's. Resolves with the number of frames sent. Rejects
 * with OperatorError when no port takes frames, and when the guest's port `must` be one of the bridge and is not:
 * nobody would find it.
 */
export async function sendOutwards(
  bridge: string,
  guestPort: string,
  must: boolean,
  frames: readonly Uint8Array[],
): Promise<number> {
  if (frames.length === 0) return 0;
  let failed: unknown;
  let sent = 0;
  const ports = await portsOf(bridge);
  if (must && !ports.includes(guestPort)) {
    throw new OperatorError(
      'EANNOUNCE',
      `${guestPort} is not in ${bridge}`,
      `ip link set dev ${guestPort} master ${bridge}`,
    );
  }
  for (const port of ports) {
    if (port === guestPort) continue;
    try {
      sent += sendBy(port, frames);
    } catch (error) {
      failed = error;
    }
  }
  if (sent > 0) return sent;
  throw new OperatorError(
    'EANNOUNCE',
    `no port of ${bridge} takes frames`,
    'put the port to the outer network into it, and switch it on',
    { cause: failed },
  );
}

/** Sends the frames by one port; returns how many it took. Throws OperatorError. */
export function sendBy(port: string, frames: readonly Uint8Array[]): number {
  const socket = new PacketSocket({ interface: port }, { onFrame: () => {} });
  try {
    return frames.filter((frame) => socket.send(frame)).length;
  } finally {
    socket.close();
  }
}
