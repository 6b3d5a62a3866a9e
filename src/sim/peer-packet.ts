// The fields that the primary's node reads of a packet on its way to the guest.

import { FLOW_GUEST, FLOW_KEY_WORDS, FLOW_META, FLOW_PEER, FLOW_PORTS, flowMeta } from '../packet/tuple';
import type { SimPacket } from './packet';
import { CLIENT_HOST, GUEST_HOST, ipHeaderBytes, PROTO_TCP } from './wire';

/** Connection key of a packet of the client. */
export function keyOfPeerPacket(packet: SimPacket): Uint32Array {
  const l4 = ipHeaderBytes(packet.family);
  const ports = ((packet.buf.readUInt16BE(l4 + 2) << 16) | packet.buf.readUInt16BE(l4)) >>> 0;
  return flowKey(packet.family, ports);
}

/** Sequence number of a TCP packet. */
export function seqOf(packet: SimPacket): number {
  return packet.buf.readUInt32BE(ipHeaderBytes(packet.family) + 4);
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
  address(FLOW_GUEST, GUEST_HOST);
  address(FLOW_PEER, CLIENT_HOST);
  key[FLOW_PORTS] = ports;
  key[FLOW_META] = flowMeta(0, family, PROTO_TCP);
  return key;
}
