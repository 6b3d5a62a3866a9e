// colo-compare without its sockets: Ethernet frames of both guests in, frames of the primary out, the engine of src/pmycolo between.
//
//                   primary                          secondary
//   IPv4, IPv6      the engine's verdict             the engine's
//   ARP, RARP       leaves                           dropped; an ARP request asks for a checkpoint (an address was lost)
//   anything else   waits for the same frame of the secondary, by VLANs, MAC addresses and EtherType; so LLDP or STP of a guest
//                   leave late or not at all where the two guests differ, and their timeouts ask for checkpoints as all others do
//   < 14 bytes      dropped                          dropped
//
// VLAN tags are looked through; what is in different VLANs never meets. A virtio-net header is never compared: it leaves with its
// frame as it came, but for a packet that the engine had to cut short, whose header would ask for what is done already.

import type { CheckpointCause } from '../compare/outcome';
import { DEFAULT_LIMITS, type EngineLimits } from '../core/limits';
import { ARPOP_REQUEST, ArpView, parseArp } from '../packet/arp';
import {
  ETH_HLEN,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_RARP,
  FRAME_OK,
  FrameView,
  parseFrame,
} from '../packet/ethernet';
import { type PrimaryActions, PrimaryEngine } from '../pmycolo/engine';
import {
  C_OFFLOADS_CLEARED,
  C_PRIMARY_ARP,
  C_PRIMARY_FRAMES,
  C_PRIMARY_LINK,
  C_PRIMARY_RUNTS,
  C_RELEASED_FRAMES,
  C_SECONDARY_ARP,
  C_SECONDARY_FRAMES,
  C_SECONDARY_LINK,
  C_SECONDARY_RUNTS,
  C_WITHOUT_PEER,
  C_WITHOUT_ROOM,
  C_ZONES_EXHAUSTED,
  CompareCounters,
} from './compare-counters';
import { type FrameSink, writeFrame } from './frame';
import { clearOffloads, isPartial } from './vnet-offload';
import { MAX_ZONE_TAGS, Zones } from './zones';

export interface CompareOptions {
  /** QEMU's compare_timeout. */
  compareTimeoutMs: number;
  /**
   * QEMU's max_queue_size bounds each connection's packets, and one more is dropped without a word. Here it bounds those that are
   * held of all connections together, at HELD_PER_QUEUE times as many; going over it drops the packet, counts it, and asks for a
   * checkpoint, which empties everything.
   */
  maxQueueSize: number;
  /** QEMU's vnet_hdr_support. */
  vnetHeaders: boolean;
  /** 64 random bits for the flow table. */
  seed: readonly [number, number];
  /** Bounds of the engine; maxHeldPackets follows from maxQueueSize. */
  limits?: Partial<EngineLimits>;
}

/** With QEMU's default of 1024 this is the engine's own default. */
export const HELD_PER_QUEUE = 16;
const MOST_HELD_PACKETS = 1 << 20;

/** What the comparison writes to: QEMU's outdev. */
export interface OutputSink extends FrameSink {
  readonly connected: boolean;
}

/** What the engine gives back as a packet's id: the size of the virtio-net header, and of all headers before the packet. */
const ID_VNET_MASK = 0xff;
const ID_HEAD_SHIFT = 8;

export class FrameComparison {
  readonly engine: PrimaryEngine;
  private readonly frame = new FrameView();
  private readonly arp = new ArpView();
  private readonly zones = new Zones();
  private readonly vnetWord: boolean;

  constructor(
    options: CompareOptions,
    private readonly sink: OutputSink,
    onRequest: (cause: CheckpointCause) => void,
    readonly counters = new CompareCounters(),
  ) {
    this.vnetWord = options.vnetHeaders;
    const actions: PrimaryActions = {
      accept: (id, buf, off, len) => {
        const head = id >>> ID_HEAD_SHIFT;
        this.write(id & ID_VNET_MASK, buf, off - head, head + len);
      },
      acceptRewritten: (id, buf, off, len, partial) => this.leaveRewritten(id, buf, off, len, partial),
      drop: () => {},
      requestCheckpoint: onRequest,
    };
    this.engine = new PrimaryEngine(
      {
        limits: engineLimits(options),
        compareTimeoutMs: options.compareTimeoutMs,
        seed: options.seed,
        secondaryNumbers: 'translated',
      },
      actions,
    );
  }

  /** A frame of the primary: buf[off, off+len), the first vnetBytes of it a virtio-net header. The bytes may be changed. */
  primary(buf: Buffer, off: number, len: number, vnetBytes: number, nowMs: number): void {
    const c = this.counters.values;
    c[C_PRIMARY_FRAMES]!++;
    const end = off + len;
    const { frame } = this;
    const zone = this.takeApart(buf, off + vnetBytes, end);
    if (zone < 0) {
      c[zone === RUNT ? C_PRIMARY_RUNTS : C_ZONES_EXHAUSTED]!++;
      return;
    }
    const { network } = frame;
    const head = network - off;
    const id = (head << ID_HEAD_SHIFT) | vnetBytes;
    if (this.isIp(buf, end)) {
      this.engine.primary(id, buf, network, end - network, isPartial(buf, off, vnetBytes), nowMs, head, zone);
    } else if (frame.type === ETH_P_ARP || frame.type === ETH_P_RARP) {
      c[C_PRIMARY_ARP]!++;
      this.write(vnetBytes, buf, off, len);
    } else {
      c[C_PRIMARY_LINK]!++;
      this.engine.primaryLink(id, buf, frame, end, nowMs, head, zone);
    }
  }

  /** A frame of the secondary. What is needed of it is copied. */
  secondary(buf: Buffer, off: number, len: number, vnetBytes: number, nowMs: number): void {
    const c = this.counters.values;
    c[C_SECONDARY_FRAMES]!++;
    const end = off + len;
    const { frame } = this;
    const zone = this.takeApart(buf, off + vnetBytes, end);
    if (zone < 0) {
      c[zone === RUNT ? C_SECONDARY_RUNTS : C_ZONES_EXHAUSTED]!++;
      return;
    }
    const { network } = frame;
    if (this.isIp(buf, end)) {
      this.engine.secondary(buf, network, end - network, nowMs, zone);
    } else if (frame.type === ETH_P_ARP || frame.type === ETH_P_RARP) {
      c[C_SECONDARY_ARP]!++;
      if (
        frame.type === ETH_P_ARP &&
        parseArp(this.arp, buf, network, end - network) &&
        this.arp.operation === ARPOP_REQUEST
      ) {
        this.engine.secondaryAddressRequest();
      }
    } else {
      c[C_SECONDARY_LINK]!++;
      this.engine.secondaryLink(buf, frame, end, nowMs, zone);
    }
  }

  /** Both guests are stopped and equal, and all that they had said before was handed in. */
  checkpoint(nowMs: number): void {
    this.engine.checkpoint(nowMs);
  }

  /** The primary is gone: what is held of it is dropped, and nothing that was known of its connections holds any more. */
  forgetPrimary(): void {
    this.engine.forgetPair();
  }

  tick(nowMs: number): void {
    this.engine.tick(nowMs);
  }

  /** Fills the frame's view; returns its zone, or RUNT, or NO_ZONE. */
  private takeApart(buf: Buffer, at: number, end: number): number {
    const { frame } = this;
    if (end - at < ETH_HLEN) return RUNT;
    if (parseFrame(frame, buf, at, end - at) !== FRAME_OK || frame.tags > MAX_ZONE_TAGS) {
      // Tags that end nowhere, or more than two: content like any other.
      frame.type = (buf[at + 12]! << 8) | buf[at + 13]!;
      frame.network = at + ETH_HLEN;
      return 0;
    }
    return this.zones.of(frame.tags, frame.outerVlan, frame.innerVlan);
  }

  /** What says that it is IP and is not, in its first half byte, is compared as it stands. */
  private isIp(buf: Buffer, end: number): boolean {
    const { type, network } = this.frame;
    if (type !== ETH_P_IP && type !== ETH_P_IPV6) return false;
    return network < end && buf[network]! >>> 4 === (type === ETH_P_IP ? 4 : 6);
  }

  private leaveRewritten(id: number, buf: Buffer, off: number, len: number, partial: boolean): void {
    const head = id >>> ID_HEAD_SHIFT;
    const vnetBytes = id & ID_VNET_MASK;
    const wasPartial = isPartial(buf, off - head, vnetBytes);
    const at = this.write(vnetBytes, buf, off - head, head + len);
    if (at < 0 || partial || !wasPartial) return;
    this.counters.values[C_OFFLOADS_CLEARED]!++;
    clearOffloads(this.sink.out, at);
  }

  /** Lets a frame out; returns where its copy stands in the sink's buffer, or -1. */
  private write(vnetBytes: number, buf: Buffer, off: number, len: number): number {
    const c = this.counters.values;
    const at = writeFrame(this.sink, this.vnetWord, vnetBytes, buf, off, len);
    if (at >= 0) c[C_RELEASED_FRAMES]!++;
    else c[this.sink.connected ? C_WITHOUT_ROOM : C_WITHOUT_PEER]!++;
    return at;
  }
}

/** As Zones.of() says it. */
const NO_ZONE = -1;
const RUNT = NO_ZONE - 1;

function engineLimits(options: CompareOptions): EngineLimits {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const maxHeldPackets = Math.min(options.maxQueueSize * HELD_PER_QUEUE, MOST_HELD_PACKETS);
  // Half of the records may be needed at once, by what is held and by what the other side has said.
  let { logRecords } = limits;
  while (logRecords < maxHeldPackets * 4) logRecords *= 2;
  return { ...limits, maxHeldPackets, logRecords };
}
