// Ethernet headers of the guest's TCP connections, as its SYNs and SYN/ACKs bore them, or whatever else
// it sends while some are missing: a kernel queue gives a packet
// from its IP header on, and a packet that is to be sent anew needs to know whom the guest spoke to, and in which VLAN.

import { readWord, write16, write32 } from '../core/big-endian';
import { LINK_HEAD_SEARCH_LIMIT, MAX_LINK_HEADS } from '../core/limits';
import {
  ETH_HLEN,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_TYPE_AT,
  ETH_TYPE_BYTES,
  FRAME_OK,
  FrameView,
  isGroupMac,
  parseFrame,
  VLAN_HLEN,
} from '../packet/ethernet';
import { PARSE_OK, parseIp } from '../packet/parse';
import { IPPROTO_TCP, PacketView, TCP_SYN } from '../packet/view';
import { FLOW_USER, FlowTable } from './flow-table';

/** Destination and source, and the tag (TPID << 16 | TCI, 0 = none). */
const L_MACS = FLOW_USER; // three words
const L_VLAN = FLOW_USER + 3;
/** It was asked for since the search for one to forget has passed it. */
const L_USED = FLOW_USER + 4;
const RECORD_WORDS = FLOW_USER + 6;

/** With a tag. */
export const MAX_LINK_HEAD_BYTES = ETH_HLEN + VLAN_HLEN;

export class LinkHeads {
  /** Connections that were forgotten for others. */
  forgotten = 0;
  private readonly flows: FlowTable;
  private readonly frame = new FrameView();
  private readonly view = new PacketView();
  private hand = -1;

  constructor(seed: readonly [number, number], maxFlows = MAX_LINK_HEADS) {
    this.flows = new FlowTable(maxFlows, RECORD_WORDS, seed[0], seed[1]);
  }

  get size(): number {
    return this.flows.size;
  }

  /**
   * A frame that the guest has sent; `vlan` is the tag that the kernel keeps beside it. What is not TCP with one of
   * these flags is passed over.
   */
  learn(buf: Buffer, bytes: number, vlan: number, flags = TCP_SYN): void {
    const { frame, view, flows } = this;
    // A second tag would have to be kept, too.
    if (parseFrame(frame, buf, 0, bytes) !== FRAME_OK || frame.tags > 0) return;
    if (frame.type !== ETH_P_IP && frame.type !== ETH_P_IPV6) return;
    if (parseIp(view, buf, ETH_HLEN, bytes - ETH_HLEN) !== PARSE_OK || view.fragment) return;
    if (view.protocol !== IPPROTO_TCP || (view.flags & flags) === 0 || isGroupMac(buf, 0)) return;
    let flow = flows.find(view, false);
    if (flow < 0) {
      if (flows.size === flows.maxFlows) this.forgetOne();
      flow = flows.insert(view, false);
    }
    const w = flows.words;
    for (let i = 0; i < 3; i++) w[flow + L_MACS + i] = readWord(buf, 0, i);
    w[flow + L_VLAN] = vlan;
  }

  /**
   * Writes the header for the guest's packet in the view, so that it ends at `end` of out. Returns where it begins; -1:
   * not known.
   */
  write(v: PacketView, out: Buffer, end: number): number {
    const flow = this.flows.find(v, false);
    if (flow < 0) return -1;
    const w = this.flows.words;
    w[flow + L_USED] = 1;
    const vlan = w[flow + L_VLAN]!;
    const at = end - (vlan === 0 ? ETH_HLEN : MAX_LINK_HEAD_BYTES);
    for (let i = 0; i < 3; i++) write32(out, at + 4 * i, w[flow + L_MACS + i]!);
    if (vlan !== 0) write32(out, at + ETH_TYPE_AT, vlan);
    write16(out, end - ETH_TYPE_BYTES, v.family === 4 ? ETH_P_IP : ETH_P_IPV6);
    return at;
  }

  /**
   * A flood of connections must not push out those that are in use: they are passed once (a clock with a second
   * chance).
   */
  private forgetOne(): void {
    const { flows } = this;
    for (let n = 0; ; n++) {
      this.hand = flows.next(this.hand);
      if (this.hand < 0) continue;
      const used = flows.words[this.hand + L_USED] !== 0;
      flows.words[this.hand + L_USED] = 0;
      if (!used || n >= LINK_HEAD_SEARCH_LIMIT) break;
    }
    flows.remove(this.hand);
    this.forgotten++;
  }
}
