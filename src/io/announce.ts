// Tells the network where a guest is now: switches learn the port of its MAC address, neighbours are reminded of its IP
// addresses (RFC 5227, RFC 4861 section 7.2.6). Sent out of every port of the bridge but the guest's own.

import { setTimeout as sleep } from 'node:timers/promises';
import { read32 } from '../core/big-endian';
import { OperatorError } from '../core/errors';
import { gratuitousArpFrame, rarpFrame } from '../packet/arp';
import { unsolicitedNaFrame } from '../packet/neighbour';
import { macsBehind, portsOf } from './link';
import { PacketSocket } from './packet-socket';

/** A frame may get lost, so each is sent more than once. */
const ROUNDS = 3;
const ROUND_MS = 100;

export interface AnnouncedAddress {
  family: 4 | 6;
  /** Network order: 4 or 16 bytes. */
  bytes: Uint8Array;
}

/** Frames for one guest. With several MAC addresses it is not known which owns which IP address: only switches are told then. */
export function announcementFrames(macs: readonly Uint8Array[], addresses: readonly AnnouncedAddress[]): Uint8Array[] {
  if (macs.length !== 1 || addresses.length === 0) return macs.map((mac) => rarpFrame(mac));
  const mac = macs[0]!;
  return addresses.map(({ family, bytes }) =>
    family === 4
      ? gratuitousArpFrame(mac, read32(bytes, 0))
      : unsolicitedNaFrame(mac, bytes),
  );
}

/**
 * Announces a guest behind a port of a bridge, three times, 100 ms apart. `macs`: its MAC addresses, as macsBehind() told
 * before the port moved; without them the bridge is asked now. Resolves with the number of frames sent, 0 for a guest that nobody
 * has heard. Rejects with OperatorError when no port takes frames.
 */
export async function announceGuest(
  bridge: string,
  guestPort: string,
  addresses: readonly AnnouncedAddress[],
  macs?: readonly Uint8Array[],
): Promise<number> {
  const known = macs !== undefined && macs.length > 0 ? macs : await macsBehind(guestPort);
  const frames = announcementFrames(known, addresses);
  if (frames.length === 0) return 0;
  const sockets: PacketSocket[] = [];
  let failed: unknown;
  let sent = 0;
  try {
    for (const port of await portsOf(bridge, guestPort)) {
      try {
        sockets.push(new PacketSocket({ interface: port }, { onFrame: () => {} }));
      } catch (error) {
        failed = error;
      }
    }
    for (let round = 0; round < ROUNDS; round++) {
      if (round > 0) await sleep(ROUND_MS);
      for (const socket of sockets) {
        try {
          for (const frame of frames) if (socket.send(frame)) sent++;
        } catch (error) {
          failed = error;
        }
      }
    }
  } finally {
    for (const socket of sockets) socket.close();
  }
  if (sent === 0) {
    throw new OperatorError(
      'EANNOUNCE',
      `no port of ${bridge} takes frames`,
      'put the port to the outer network into it, and switch it on',
      {
        cause: failed,
      },
    );
  }
  return sent;
}
