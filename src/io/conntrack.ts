// What the kernel's conntrack knows of a connection (ctnetlink, linux/netfilter/nfnetlink_conntrack.h). It is asked
// when that matters, and not listened to: its five or six events took an eighth of what a short connection costs,
// mostly in the kernel, which writes each of them down.

import { MessageBuilder } from '../netlink/builder';
import {
  buildConntrackGet,
  ConntrackDecoder,
  ConntrackTuple,
  TCP_CONNTRACK_ESTABLISHED,
  TCP_CONNTRACK_TIME_WAIT,
} from '../netlink/ctnetlink';
import { MessageReader } from '../netlink/message';
import { FLOW_GUEST, FLOW_META, FLOW_PEER, FLOW_PORTS, metaFamily, metaProtocol } from '../packet/tuple';
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket';

const QUESTION_BYTES = 128;

export class Conntrack {
  private readonly socket: NetlinkSocket;
  private readonly builder = new MessageBuilder(Buffer.alloc(QUESTION_BYTES));
  private readonly reader = new MessageReader(new Uint8Array(0), 0, 0, 'conntrack answer');
  private readonly decoder = new ConntrackDecoder();
  private readonly tuple = new ConntrackTuple();
  private seq = 0;

  /** Throws OperatorError. */
  constructor(netns?: string) {
    this.socket = new NetlinkSocket(
      { protocol: NETLINK_NETFILTER, ...(netns !== undefined && { netns }) },
      { onMessage: () => {} },
    );
  }

  /**
   * Has the peer of the TCP connection with this key (packet/tuple.ts) answered the guest, and not reset
   * it since?
   */
  hasAnswered(key: Uint32Array): boolean {
    const { builder, reader, decoder, tuple } = this;
    this.seq = (this.seq + 1) >>> 0;
    load(tuple, key);
    const answer = this.socket.ask(buildConntrackGet(builder.reset(), tuple, this.seq).finish());
    if (answer === undefined) return false;
    reader.reset(answer, 0, answer.length);
    if (!reader.next() || reader.seq !== this.seq || !decoder.read(answer, reader)) return false;
    return decoder.tcpState >= TCP_CONNTRACK_ESTABLISHED && decoder.tcpState <= TCP_CONNTRACK_TIME_WAIT;
  }

  close(): void {
    this.socket.close();
  }
}

function load(t: ConntrackTuple, key: Uint32Array): void {
  t.src0 = key[FLOW_GUEST]!;
  t.src1 = key[FLOW_GUEST + 1]!;
  t.src2 = key[FLOW_GUEST + 2]!;
  t.src3 = key[FLOW_GUEST + 3]!;
  t.dst0 = key[FLOW_PEER]!;
  t.dst1 = key[FLOW_PEER + 1]!;
  t.dst2 = key[FLOW_PEER + 2]!;
  t.dst3 = key[FLOW_PEER + 3]!;
  t.srcPort = key[FLOW_PORTS]! >>> 16;
  t.dstPort = key[FLOW_PORTS]! & 0xffff;
  t.family = metaFamily(key[FLOW_META]!) === 4 ? 4 : 6;
  t.protocol = metaProtocol(key[FLOW_META]!);
}
