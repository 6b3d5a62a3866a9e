// The kernel's word on connections (ctnetlink, linux/netfilter/nfnetlink_conntrack.h): what the guest's packets do not show, that a peer
// has answered or reset. Not on the packet path; events that are lost cost little, since every flow has a timeout of its own. Not asked
// for is the end of an entry: a SYN that begins the next connection of a tuple ends the last one's, and is told of when the next is under way.

import { ConntrackDecoder, type ConntrackTuple, TCP_CONNTRACK_CLOSE, TCP_CONNTRACK_ESTABLISHED } from '../netlink/ctnetlink';
import { MessageReader } from '../netlink/message';
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket';

const NFNLGRP_CONNTRACK_UPDATE = 2; // NFNLGRP_CONNTRACK_UPDATE
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** Ten words as in a flow record: guest and peer addresses, ports, family and protocol. */
const KEY_WORDS = 10;

export interface ConntrackWatcher {
  /** The handshake of a TCP connection of the default zone has ended. `key` is valid during the call only. */
  onEstablished(key: Uint32Array): void;
  /** A TCP connection of the default zone was reset by either end. */
  onReset(key: Uint32Array): void;
}

/** Tells of connections that are open or reset, each twice: once for either way of seeing who the guest is. Throws OperatorError. */
export function watchConntrack(watcher: ConntrackWatcher): { readonly lost: number; close(): void } {
  const reader = new MessageReader(new Uint8Array(0), 0, 0, 'conntrack event');
  const decoder = new ConntrackDecoder();
  const key = new Uint32Array(KEY_WORDS);
  let lost = 0;
  const socket = new NetlinkSocket(
    { protocol: NETLINK_NETFILTER, groups: [NFNLGRP_CONNTRACK_UPDATE], receiveBufferBytes: RECEIVE_BUFFER_BYTES },
    {
      onMessage: (buf, sender) => {
        if (sender.portId !== 0) return;
        reader.reset(buf, 0, buf.length);
        while (reader.next()) {
          // Other zones are the forward link's: the SVM's packets, not the connection.
          if (!decoder.read(buf, reader) || decoder.zone !== 0 || decoder.original.zone !== 0) continue;
          const reset = decoder.tcpState === TCP_CONNTRACK_CLOSE;
          if (!reset && decoder.tcpState !== TCP_CONNTRACK_ESTABLISHED) continue;
          for (const guestIsDestination of [false, true]) {
            load(key, decoder.original, guestIsDestination);
            if (reset) watcher.onReset(key);
            else watcher.onEstablished(key);
          }
        }
      },
      onLost: () => {
        lost++;
      },
    },
  );
  return {
    /** Times that the socket's buffer ran over. */
    get lost() {
      return lost;
    },
    close: () => socket.close(),
  };
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
