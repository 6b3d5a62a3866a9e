// The kernel's word on the death of connections (ctnetlink, linux/netfilter/nfnetlink_conntrack.h): flows whose end the
// packets did not show are forgotten by it. Not on the packet path; events that are lost cost nothing but memory for a while,
// since every flow has a timeout of its own.

import { ConntrackDecoder, ConntrackEvent, type ConntrackTuple } from '../netlink/ctnetlink';
import { MessageReader } from '../netlink/message';
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket';

const NFNLGRP_CONNTRACK_DESTROY = 3; // NFNLGRP_CONNTRACK_DESTROY
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** Ten words as in a flow record: guest and peer addresses, ports, family and protocol. */
const KEY_WORDS = 10;

/** Calls `onDestroy` with the key of a destroyed entry, once for each way of seeing who the guest is. Throws OperatorError. */
export function watchConntrack(onDestroy: (key: Uint32Array) => void): { close(): void } {
  const reader = new MessageReader(new Uint8Array(0), 0, 0, 'conntrack event');
  const decoder = new ConntrackDecoder();
  const key = new Uint32Array(KEY_WORDS);
  const socket = new NetlinkSocket(
    { protocol: NETLINK_NETFILTER, groups: [NFNLGRP_CONNTRACK_DESTROY], receiveBufferBytes: RECEIVE_BUFFER_BYTES },
    {
      onMessage: (buf, sender) => {
        if (sender.portId !== 0) return;
        reader.reset(buf, 0, buf.length);
        while (reader.next()) {
          if (!decoder.read(buf, reader) || decoder.event !== ConntrackEvent.DESTROY) continue;
          onDestroy(load(key, decoder.original, false));
          onDestroy(load(key, decoder.original, true));
        }
      },
      onLost: () => {},
    },
  );
  return { close: () => socket.close() };
}

/** `guestIsDestination`: the peer opened the connection. */
function load(key: Uint32Array, t: ConntrackTuple, guestIsDestination: boolean): Uint32Array {
  const guest = guestIsDestination ? 4 : 0;
  const peer = 4 - guest;
  key[guest] = t.src0;
  key[guest + 1] = t.src1;
  key[guest + 2] = t.src2;
  key[guest + 3] = t.src3;
  key[peer] = t.dst0;
  key[peer + 1] = t.dst1;
  key[peer + 2] = t.dst2;
  key[peer + 3] = t.dst3;
  key[8] = guestIsDestination ? (t.dstPort << 16) | t.srcPort : (t.srcPort << 16) | t.dstPort;
  key[9] = (t.family << 8) | t.protocol;
  return key;
}
