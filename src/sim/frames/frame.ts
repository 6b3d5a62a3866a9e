// Packets of the simulated machines as frames on a character device, and back, on purpose without src/chardev: a
// mistake there must not cancel itself out here. Formats: QEMU's length words, IEEE 802.1Q, virtio 1.2 5.1.6.

import type { SimPacket } from '../packet';
import { checksumOffset, ipHeaderBytes, PROTO_TCP } from '../wire';

export interface FramePlan {
  vnetBytes: number;
  /** VLANs, outer first. */
  vlans: readonly number[];
  /** vnet_hdr_support: a second length word. */
  vnetWord: boolean;
}

const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const ETHERNET_BYTES = 14;

export function headBytes(plan: FramePlan): number {
  return plan.vnetBytes + ETHERNET_BYTES + 4 * plan.vlans.length;
}

/** MAC addresses, tags and type. */
function ethernet(plan: FramePlan, family: 4 | 6): Buffer {
  const tags = plan.vlans.flatMap((vlan, i) => [
    ...(i + 1 < plan.vlans.length ? [0x88, 0xa8] : [0x81, 0]),
    vlan >> 8,
    vlan & 0xff,
  ]);
  return Buffer.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, ...tags, ...(family === 4 ? [8, 0] : [0x86, 0xdd])]);
}

export function toFrame(packet: SimPacket, plan: FramePlan): Buffer {
  const { buf, family, protocol } = packet;
  const link = ethernet(plan, family);
  const frame = Buffer.alloc(plan.vnetBytes + link.length + buf.length);
  link.copy(frame, plan.vnetBytes);
  buf.copy(frame, plan.vnetBytes + link.length);
  if (packet.partial) {
    const l4 = link.length + ipHeaderBytes(family);
    frame[0] = NEEDS_CSUM;
    frame.writeUInt16LE(l4, 6);
    frame.writeUInt16LE(checksumOffset(protocol), 8);
  }
  if (
    protocol === PROTO_TCP &&
    packet.segmentBytes > 0 &&
    packet.dataBytes > packet.segmentBytes &&
    plan.vnetBytes > 0
  ) {
    frame[1] = family === 4 ? GSO_TCPV4 : GSO_TCPV6;
    frame.writeUInt16LE(link.length + buf.length - packet.dataBytes, 2);
    frame.writeUInt16LE(packet.segmentBytes, 4);
  }
  return onTheStream(frame, plan);
}

export function onTheStream(frame: Buffer, plan: Pick<FramePlan, 'vnetWord' | 'vnetBytes'>): Buffer {
  const words = Buffer.alloc(plan.vnetWord ? 8 : 4);
  words.writeUInt32BE(frame.length, 0);
  if (plan.vnetWord) words.writeUInt32BE(plan.vnetBytes, 4);
  return Buffer.concat([words, frame]);
}

/** The frame as a device sends it. */
export interface Received {
  packet: Buffer;
  family: 4 | 6;
  partial: boolean;
  segmentBytes: number;
}

/** Takes frames off a stream; any frame not of this plan is an error. */
export class FrameTaker {
  private rest = Buffer.alloc(0);

  constructor(
    private readonly plan: FramePlan,
    private readonly wrong: (what: string) => void,
  ) {}

  /** A new connection begins: partial frames are forgotten. */
  clear(): void {
    this.rest = Buffer.alloc(0);
  }

  take(bytes: Buffer): Received[] {
    const { plan } = this;
    const all = Buffer.concat([this.rest, bytes]);
    const words = plan.vnetWord ? 8 : 4;
    const out: Received[] = [];
    let at = 0;
    while (all.length - at >= words) {
      const len = all.readUInt32BE(at);
      if (len < headBytes(plan) || len > 70_000) this.wrong(`a frame of ${len} bytes`);
      if (plan.vnetWord && all.readUInt32BE(at + 4) !== plan.vnetBytes)
        this.wrong(`a virtio-net header of ${all.readUInt32BE(at + 4)} bytes`);
      if (all.length - at - words < len) break;
      out.push(this.apart(Buffer.from(all.subarray(at + words, at + words + len))));
      at += words + len;
    }
    this.rest = all.subarray(at);
    return out;
  }

  private apart(frame: Buffer): Received {
    const { plan } = this;
    const head = headBytes(plan);
    const family = frame[head]! >> 4 === 6 ? 6 : 4;
    if (!frame.subarray(plan.vnetBytes, head).equals(ethernet(plan, family))) this.wrong('a frame with another header');
    const vnet = plan.vnetBytes > 0;
    const partial = vnet && (frame[0]! & NEEDS_CSUM) !== 0;
    const segmentBytes = vnet && frame[1] !== 0 ? frame.readUInt16LE(4) : 0;
    return { packet: frame.subarray(head), family, partial, segmentBytes };
  }
}
