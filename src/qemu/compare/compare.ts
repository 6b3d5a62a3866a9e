// colo-compare without its sockets: Ethernet frames of both guests in, frames of the primary out, the engine of
// src/pmycolo between.
//
//                   primary                          secondary
//   IPv4, IPv6      the engine's verdict             the engine's
//   fragments       are compared as the packet that they make, and leave as they came; parts of a packet that is never
//                   complete do not leave
//   UDP packed      (segmentation offload) is compared by datagram; a frame leaves whole when all of its datagrams may
//   ARP, RARP       leaves, without what is behind   dropped; an ARP request for another's address that the primary
//                                                    does not put within a second, or that the secondary puts again
//                                                    first, asks for a checkpoint: an address was lost
//   anything else   waits for the same frame of the secondary, by VLANs, MAC addresses and EtherType; so LLDP or STP of
//                   a guest leave late or not at all where the two guests differ, and their timeouts ask for
//                   checkpoints as all others do
//   < 14 bytes      dropped                          dropped
//
// VLAN tags are looked through; frames with different headers (MAC addresses, tags) are never compared with each other.
// A virtio-net header is not compared: it is brought into the form that its packet needs (vnet-settle.ts). Of a packet
// that the engine has shortened, or cut from another, it says that nothing is left to do.

import { LinkHeaders, MAX_ZONE_TAGS, NO_ZONE, sameHeaders } from '../../chardev/link-headers';
import { settleHeader } from '../../chardev/vnet-settle';
import type { CheckpointCause } from '../../compare/outcome';
import { read16 } from '../../core/big-endian';
import { DEFAULT_LIMITS, type EngineLimits } from '../../core/limits';
import type { PrimaryEngineFace } from '../../node/primary';
import { ARP_BYTES, ArpView, asksForAnother, isAboutSender, parseArp } from '../../packet/arp';
import {
  ETH_HLEN,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_RARP,
  ETH_TYPE_AT,
  FRAME_OK,
  FrameView,
  parseFrame,
} from '../../packet/ethernet';
import { isPadding } from '../../packet/ip-canon';
import type { ReassemblyLimits } from '../../packet/reassembly';
import { isPartial, ONE_PACKET, packingOf, samePacking } from '../../packet/vnet-offload';
import { type PrimaryActions, PrimaryEngine } from '../../pmycolo/engine';
import { describeDifference } from '../../pmycolo/explain';
import { PAIR_BOTH, PAIR_RELEASED, type PairResult } from '../../pmycolo/pair-intake';
import type { CompareTimeout } from '../../pmycolo/silence';
import {
  C_PRIMARY_ARP,
  C_PRIMARY_FRAMES,
  C_PRIMARY_LINK,
  C_PRIMARY_RUNTS,
  C_SECONDARY_ARP,
  C_SECONDARY_FRAMES,
  C_SECONDARY_LINK,
  C_SECONDARY_RUNTS,
  C_ZONES_EXHAUSTED,
  CompareCounters,
} from './compare-counters';
import { FragmentIntake } from './fragment-intake';
import { FrameOutlet, type OutputSink } from './frame-outlet';
import { mayBeFragment } from './held-fragments';
import { PackedFrames } from './packed-frames';
import { ID_HEAD_SHIFT, ID_SLOT_SHIFT, SLOT_OF_SEND } from './packet-id';

export interface CompareOptions {
  /** QEMU's compare_timeout; `auto` is ours. */
  compareTimeoutMs: CompareTimeout;
  /** See PrimaryConfig. */
  maxCompareTimeoutMs?: number;
  /** See PrimaryConfig. */
  minCheckpointIntervalMs?: number;
  /**
   * QEMU's max_queue_size bounds the packets of each connection, and drops further ones silently. Here it bounds the
   * held packets of all connections together, at HELD_PER_QUEUE times as many; a further one is dropped, counted, and
   * asks for a checkpoint, which empties everything.
   */
  maxQueueSize: number;
  /** QEMU's vnet_hdr_support. */
  vnetHeaders: boolean;
  /** 64 random bits for the flow table. */
  seed: readonly [number, number];
  /** Bounds of the engine; maxHeldPackets follows from maxQueueSize. */
  limits?: Partial<EngineLimits>;
  /** Bounds of each side's reassembly. */
  reassembly?: Partial<ReassemblyLimits>;
}

/** With QEMU's default of 1024 this is the engine's own default. */
export const HELD_PER_QUEUE = 16;
const MOST_HELD_PACKETS = 1 << 20;

export class FrameComparison {
  readonly engine: PrimaryEngine;
  private readonly frame = new FrameView();
  private readonly arp = new ArpView();
  private readonly links: LinkHeaders;
  private readonly fragments: FragmentIntake;
  private readonly packed: PackedFrames;
  private readonly outlet: FrameOutlet;

  constructor(
    options: CompareOptions,
    sink: OutputSink,
    onRequest: (cause: CheckpointCause) => void,
    readonly counters = new CompareCounters(),
  ) {
    this.links = new LinkHeaders(...options.seed);
    this.fragments = new FragmentIntake(options.reassembly, options.seed);
    const outlet = new FrameOutlet(sink, options.vnetHeaders, this.fragments.held, counters);
    const actions: PrimaryActions = {
      accept: (id, buf, off, len) => {
        const slot = id >>> ID_SLOT_SHIFT;
        if (slot >= SLOT_OF_SEND) this.packed.settle(slot & ~SLOT_OF_SEND, true);
        else outlet.accept(id, buf, off, len);
      },
      acceptRewritten: (id, buf, off, len, partial) => {
        const slot = id >>> ID_SLOT_SHIFT;
        // A change of one datagram cannot be made in the frame of several.
        if (slot >= SLOT_OF_SEND) this.packed.settle(slot & ~SLOT_OF_SEND, false);
        else outlet.acceptRewritten(id, buf, off, len, partial);
      },
      drop: (id) => {
        const slot = id >>> ID_SLOT_SHIFT;
        if (slot >= SLOT_OF_SEND) this.packed.settle(slot & ~SLOT_OF_SEND, false);
        else outlet.drop(id);
      },
      emit: (id, buf, off, len) => outlet.emit(id, buf, off, len),
      requestCheckpoint: onRequest,
    };
    this.engine = new PrimaryEngine(
      {
        limits: engineLimits(options),
        compareTimeoutMs: options.compareTimeoutMs,
        ...(options.maxCompareTimeoutMs === undefined ? {} : { maxCompareTimeoutMs: options.maxCompareTimeoutMs }),
        minCheckpointIntervalMs: options.minCheckpointIntervalMs ?? 0,
        seed: options.seed,
        secondaryNumbers: 'translated',
      },
      actions,
    );
    this.outlet = outlet;
    this.packed = new PackedFrames(this.engine, counters, (vnetBytes, buf, off, len) =>
      outlet.write(vnetBytes, buf, off, len),
    );
  }

  /**
   * A frame of the primary: buf[off, off+len), the first vnetBytes of it a virtio-net header. The bytes may be changed.
   */
  primary(buf: Buffer, off: number, len: number, vnetBytes: number, nowMs: number): void {
    const c = this.counters.values;
    c[C_PRIMARY_FRAMES]!++;
    const end = off + len;
    const { frame } = this;
    const zone = this.takeApart(buf, off + vnetBytes, end);
    if (zone < 0) {
      this.refuse(zone, C_PRIMARY_RUNTS);
      return;
    }
    const { network } = frame;
    const head = network - off;
    const id = (head << ID_HEAD_SHIFT) | vnetBytes;
    this.settle(buf, off, vnetBytes, end);
    if (this.isIp(buf, end)) {
      const packing = packingOf(buf, off, vnetBytes, network);
      if (packing !== ONE_PACKET && this.packed.primary(packing, buf, off, network, end, vnetBytes, zone, nowMs))
        return;
      if (this.isFragment(true, buf, off, end, vnetBytes, zone, nowMs)) return;
      this.engine.primary(id, buf, network, end - network, isPartial(buf, off, vnetBytes), nowMs, head, zone);
    } else if (this.isAddressResolution(buf, end)) {
      c[C_PRIMARY_ARP]!++;
      this.noteArp(true, buf, end, zone, nowMs);
      this.outlet.write(vnetBytes, buf, off, head + contentBytes(buf, network, ARP_BYTES, end));
    } else {
      c[C_PRIMARY_LINK]!++;
      this.engine.primaryLink(id, buf, frame, end, nowMs, head, zone);
    }
  }

  /** A frame of the secondary. Needed bytes are copied. The frame's bytes may be changed, here and in pair(). */
  secondary(buf: Buffer, off: number, len: number, vnetBytes: number, nowMs: number): void {
    const c = this.counters.values;
    c[C_SECONDARY_FRAMES]!++;
    const end = off + len;
    const { frame } = this;
    const zone = this.takeApart(buf, off + vnetBytes, end);
    if (zone < 0) {
      this.refuse(zone, C_SECONDARY_RUNTS);
      return;
    }
    const { network } = frame;
    this.settle(buf, off, vnetBytes, end);
    if (this.isIp(buf, end)) {
      const packing = packingOf(buf, off, vnetBytes, network);
      if (packing !== ONE_PACKET && this.packed.secondary(packing, buf, off, network, end, zone, nowMs)) return;
      if (this.isFragment(false, buf, off, end, vnetBytes, zone, nowMs)) return;
      this.engine.secondary(buf, network, end - network, nowMs, zone);
    } else if (this.isAddressResolution(buf, end)) {
      c[C_SECONDARY_ARP]!++;
      this.noteArp(false, buf, end, zone, nowMs);
    } else {
      c[C_SECONDARY_LINK]!++;
      this.engine.secondaryLink(buf, frame, end, nowMs, zone);
    }
  }

  /**
   * The next frame of each side at once (PairIntake.pair): p[pOff, pOff+pLen) and s[sOff, sOff+sLen), with
   * virtio-net headers of the same size. When RELEASED, the caller sends the primary's frame from its buffer.
   */
  pair(
    p: Buffer,
    pOff: number,
    pLen: number,
    s: Buffer,
    sOff: number,
    sLen: number,
    vnetBytes: number,
    differing: number,
    nowMs: number,
  ): PairResult {
    const end = pOff + pLen;
    const zone = this.takeApart(p, pOff + vnetBytes, end);
    if (zone < 0 || !this.isIp(p, end)) return PAIR_BOTH;
    const head = this.frame.network - pOff;
    const sNetwork = sOff + head;
    // The differing byte was found in the frames as they came.
    if (
      vnetBytes > 0 &&
      (this.settle(p, pOff, vnetBytes, end) || settleHeader(s, sOff, vnetBytes, sNetwork, sOff + sLen, true))
    )
      return PAIR_BOTH;
    if (!samePacking(p, pOff, s, sOff, vnetBytes, this.frame.network)) return PAIR_BOTH;
    // Another header is another zone.
    if (differing > vnetBytes && !sameHeaders(p, pOff + vnetBytes, s, sOff + vnetBytes, head - vnetBytes))
      return PAIR_BOTH;
    const result = this.engine.pairs.pair(
      p,
      pOff + head,
      pLen - head,
      s,
      sOff + head,
      sLen - head,
      differing - head,
      isPartial(p, pOff, vnetBytes),
      nowMs,
      zone,
    );
    if (result !== PAIR_RELEASED) return result;
    const c = this.counters.values;
    c[C_PRIMARY_FRAMES]!++;
    c[C_SECONDARY_FRAMES]!++;
    return result;
  }

  /** The batch is complete (PrimaryEngine.endBatch). */
  endBatch(nowMs: number): void {
    this.engine.endBatch(nowMs);
  }

  /** Both guests are stopped and equal, and all frames that they sent before were handed in. */
  checkpoint(nowMs: number): void {
    this.engine.checkpoint(nowMs);
    this.fragments.checkpoint(nowMs);
    if (this.links.full) this.links.clear();
  }

  /** The node's engine: the engine itself, and the fragments before it. */
  get compared(): PrimaryEngineFace {
    const { engine } = this;
    return {
      get awaitsCheckpoint() {
        return engine.awaitsCheckpoint;
      },
      get heldPackets() {
        return engine.heldPackets;
      },
      get isProtected() {
        return engine.isProtected;
      },
      get nextDeadlineMs() {
        return engine.nextDeadlineMs;
      },
      boundExhausted: () => engine.boundExhausted(),
      checkpoint: (nowMs) => this.checkpoint(nowMs),
      doubtCheckpoint: (nowMs) => engine.doubtCheckpoint(nowMs),
      doubtEpoch: () => engine.doubtEpoch(),
      dropAll: () => engine.dropAll(),
      endBatch: (nowMs) => engine.endBatch(nowMs),
      forgetPair: (nowMs) => this.forgetPrimary(nowMs),
      peerReset: (key, seq, nowMs) => engine.peerReset(key, seq, nowMs),
      releaseAll: (nowMs) => engine.releaseAll(nowMs),
      secondaryUnknown: () => engine.secondaryUnknown(),
      setBypass: (rules) => engine.setBypass(rules),
      setProtected: (on) => engine.setProtected(on),
      tick: (nowMs) => this.tick(nowMs),
    };
  }

  /** The primary is gone: its held packets are dropped and its connections forgotten. */
  forgetPrimary(nowMs: number): void {
    this.engine.forgetPair(nowMs);
    this.fragments.forgetPrimary();
  }

  /** The last difference, for the log. */
  describeDifference(): Record<string, unknown> {
    return describeDifference(this.engine, (zone) => this.links.vlansOf(zone));
  }

  tick(nowMs: number): void {
    this.engine.tick(nowMs);
    this.fragments.tick(nowMs);
  }

  /** Counters of both sides' reassembly. */
  fragmentCounts(): Record<string, number> {
    return this.fragments.counts();
  }

  /** Takes the frame if it is a fragment. False: it is not. */
  private isFragment(
    primary: boolean,
    buf: Buffer,
    off: number,
    end: number,
    vnetBytes: number,
    zone: number,
    nowMs: number,
  ): boolean {
    const { engine, fragments } = this;
    const { network } = this.frame;
    if (!mayBeFragment(buf, network, end)) return false;
    return primary
      ? fragments.primary(engine, buf, off, network, end, vnetBytes, zone, nowMs)
      : fragments.secondary(engine, buf, off, network, end, vnetBytes, zone, nowMs);
  }

  /** Tells the engine of an ARP request for another's address. */
  private noteArp(primary: boolean, buf: Buffer, end: number, zone: number, nowMs: number): void {
    const { frame, arp } = this;
    if (frame.type !== ETH_P_ARP || !parseArp(arp, buf, frame.network, end - frame.network) || !asksForAnother(arp))
      return;
    this.engine.addressQuestion(primary, zone, 4, nowMs, arp.targetIp);
  }

  /** Fills the frame's view; returns its zone, or RUNT, or NO_ZONE. */
  private takeApart(buf: Buffer, at: number, end: number): number {
    const { frame } = this;
    if (end - at < ETH_HLEN) return RUNT;
    if (parseFrame(frame, buf, at, end - at) !== FRAME_OK || frame.tags > MAX_ZONE_TAGS) {
      // Truncated tags, or more than two: compared as content.
      frame.type = read16(buf, at + ETH_TYPE_AT);
      frame.network = at + ETH_HLEN;
      return 0;
    }
    const zone = this.links.of(buf, at, frame.tags);
    if (zone !== NO_ZONE || this.engine.isProtected) return zone;
    // Nothing is compared, so nothing is stored under its zone.
    this.links.clear();
    return this.links.of(buf, at, frame.tags);
  }

  /** Corrects the virtio-net header. Without a secondary, a frame leaves uncompared as it came. */
  private settle(buf: Buffer, off: number, vnetBytes: number, end: number): boolean {
    if (vnetBytes === 0 || !this.engine.isProtected) return false;
    return settleHeader(buf, off, vnetBytes, this.frame.network, end, this.isIp(buf, end));
  }

  private refuse(zone: number, runts: number): void {
    this.counters.values[zone === RUNT ? runts : C_ZONES_EXHAUSTED]!++;
    // A checkpoint empties the table.
    if (zone === NO_ZONE) this.engine.boundExhausted();
  }

  /**
   * Is it a well-formed ARP or RARP frame whose sender is the frame's? Then `arp` has its fields. Any other is compared
   * as content.
   */
  private isAddressResolution(buf: Buffer, end: number): boolean {
    const { arp, frame } = this;
    if (frame.type !== ETH_P_ARP && frame.type !== ETH_P_RARP) return false;
    return parseArp(arp, buf, frame.network, end - frame.network) && isAboutSender(arp, buf, frame);
  }

  /** A frame whose type is IP but whose version field (first half byte) is not is compared as it is. */
  private isIp(buf: Buffer, end: number): boolean {
    const { type, network } = this.frame;
    if (type !== ETH_P_IP && type !== ETH_P_IPV6) return false;
    return network < end && buf[network]! >>> 4 === (type === ETH_P_IP ? 4 : 6);
  }
}

const RUNT = NO_ZONE - 1;

/** Bytes behind a frame's header that leave: the packet, and zeros up to the shortest frame. */
function contentBytes(buf: Buffer, network: number, bytes: number, end: number): number {
  return isPadding(buf, network, network + bytes, end) ? end - network : bytes;
}

function engineLimits(options: CompareOptions): EngineLimits {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const maxHeldPackets = Math.min(options.maxQueueSize * HELD_PER_QUEUE, MOST_HELD_PACKETS);
  // Half of the records may be needed at once, by held packets and by the other side's bytes.
  let { logRecords } = limits;
  while (logRecords < maxHeldPackets * 4) logRecords *= 2;
  return { ...limits, maxHeldPackets, logRecords };
}
