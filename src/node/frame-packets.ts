// An Ethernet frame, with or without a virtio-net header before it, as the packet that a queue of the kernel would
// show.

import { ETH_P_IP, ETH_P_IPV6, FRAME_OK, FrameView, macHigh, macLow, parseFrame, tagWord } from '../packet/ethernet';
import { NO_ZONE, Zones } from '../packet/vlan-zones';
import { isPartial, ONE_PACKET, packingOf } from '../packet/vnet-offload';
import { MAX_KEPT_TAGS } from '../seccolo/frame-head';
import type { QueuedPacket } from './ports';

export class FramePackets {
  /** Of the last frame. */
  readonly view = new FrameView();
  private readonly zones: Zones | undefined;

  /** Without zones VLANs are not told apart, as the kernel's queues do not. */
  constructor(zones: boolean) {
    this.zones = zones ? new Zones() : undefined;
  }

  /**
   * Fills p but for its id from the frame buf[off, off+len), whose first vnetBytes are a virtio-net header. Returns
   * where its IP packet begins, or -1: there is none (`view` says what there is), or there are too many VLANs.
   */
  fill(p: QueuedPacket, buf: Buffer, off: number, len: number, vnetBytes: number): number {
    const { view, zones } = this;
    view.type = 0;
    if (parseFrame(view, buf, off + vnetBytes, len - vnetBytes) !== FRAME_OK) return -1;
    if (view.type !== ETH_P_IP && view.type !== ETH_P_IPV6) return -1;
    const { network, tags } = view;
    const zone = zones === undefined ? 0 : zones.of(tags, view.outerVlan, view.innerVlan);
    if (zone === NO_ZONE) return -1;
    p.buf = buf;
    p.off = network;
    p.len = off + len - network;
    p.originalLen = p.len;
    p.partialChecksum = isPartial(buf, off, vnetBytes);
    p.segmented = packingOf(buf, off, vnetBytes, network) !== ONE_PACKET;
    p.macHigh = macHigh(buf, view.source);
    p.macLow = macLow(buf, view.source);
    const kept = tags <= MAX_KEPT_TAGS;
    p.outerTag = kept && tags > 0 ? tagWord(buf, view.destination, 0) : 0;
    p.innerTag = kept && tags > 1 ? tagWord(buf, view.destination, 1) : 0;
    p.zone = zone;
    return network;
  }
}
