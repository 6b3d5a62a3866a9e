// The kernel's conntrack on a host, as far as the engines depend on it: it sees both directions, so it knows that a
// connection has ended where an engine that sees one does not, and says so some time after (ctnetlink DESTROY).

import { FLOW_KEY_WORDS } from '../conntrack/flow-table';
import type { SimPacket } from './packet';
import { CLIENT_HOST, GUEST_HOST, ipHeaderBytes, PROTO_TCP } from './wire';

/** Time from a connection's end to its entry's; the kernel's own values are 10 s to 120 s. */
const LINGER_US = 10_000_000;

interface Entry {
  readonly key: Uint32Array;
  readonly family: 4 | 6;
  readonly guestPort: number;
  readonly peerPort: number;
  lastUs: number;
}

export class SimConntrack {
  private readonly entries = new Map<string, Entry>();

  /** A TCP packet that the guest sent passes the host. */
  guestPacket(packet: SimPacket, nowUs: number): void {
    if (packet.protocol !== PROTO_TCP) return;
    const l4 = ipHeaderBytes(packet.family);
    const ports = packet.buf.readUInt32BE(l4);
    const name = `${packet.family}:${ports}`;
    const known = this.entries.get(name);
    if (known) {
      known.lastUs = nowUs;
      return;
    }
    const guestPort = ports >>> 16;
    const peerPort = ports & 0xffff;
    this.entries.set(name, {
      key: flowKey(packet.family, ports),
      family: packet.family,
      guestPort,
      peerPort,
      lastUs: nowUs,
    });
  }

  /** Ends the entries of connections that the peer does not have open any more; tells each key. */
  sweep(
    nowUs: number,
    isOpen: (family: 4 | 6, guestPort: number, peerPort: number) => boolean,
    ended: (key: Uint32Array) => void,
  ): void {
    for (const [name, e] of this.entries) {
      if (nowUs - e.lastUs < LINGER_US || isOpen(e.family, e.guestPort, e.peerPort)) continue;
      this.entries.delete(name);
      ended(e.key);
    }
  }
}

/** Key of the connection to which a packet of the client belongs. */
export function keyOfPeerPacket(packet: SimPacket): Uint32Array {
  const l4 = ipHeaderBytes(packet.family);
  const ports = ((packet.buf.readUInt16BE(l4 + 2) << 16) | packet.buf.readUInt16BE(l4)) >>> 0;
  return flowKey(packet.family, ports);
}

/** As in a flow table's record: the guest's address, the peer's, ports, family and protocol. */
function flowKey(family: 4 | 6, ports: number): Uint32Array {
  const key = new Uint32Array(FLOW_KEY_WORDS);
  const address = (at: number, host: number): void => {
    if (family === 4) key[at] = (0x0a000000 | host) >>> 0;
    else {
      key[at] = 0xfd000000;
      key[at + 3] = host;
    }
  };
  address(0, GUEST_HOST);
  address(4, CLIENT_HOST);
  key[8] = ports;
  key[9] = (family << 8) | PROTO_TCP;
  return key;
}
