// Fragments of both guests, reassembled before the comparison: the engine gets the whole packet, and the primary's
// fragments wait for its verdict.

import { canonicalIp, hasExtensionHeaders } from '../../packet/ip-canon';
import { PARSE_OK, parseIp } from '../../packet/parse';
import {
  REASSEMBLY_COMPLETE,
  REASSEMBLY_COUNTER_NAMES,
  REASSEMBLY_DROPPED,
  Reassembler,
  type ReassemblyLimits,
} from '../../packet/reassembly';
import { PacketView } from '../../packet/view';
import { isPartial } from '../../packet/vnet-offload';
import type { PrimaryEngine } from '../../pmycolo/engine';
import { fragmentZone, HeldFragments } from './held-fragments';
import { ID_HEAD_SHIFT, ID_SLOT_SHIFT } from './packet-id';

const NO_ROOM = REASSEMBLY_COUNTER_NAMES.indexOf('no_room');

export class FragmentIntake {
  /** The primary's fragments whose packets the engine has. */
  readonly held: HeldFragments;
  private readonly primaries: Reassembler;
  private readonly secondaries: Reassembler;
  private readonly view = new PacketView();

  constructor(limits: Partial<ReassemblyLimits> | undefined, seed: readonly [number, number]) {
    this.primaries = new Reassembler(limits, ...seed);
    this.secondaries = new Reassembler(limits, ...seed);
    this.held = new HeldFragments(this.primaries);
  }

  /**
   * A frame of the primary, buf[off, end), its IP packet at `network`, the first vnetBytes of it a virtio-net header.
   * False: it is no fragment, and nothing was done.
   */
  primary(
    engine: PrimaryEngine,
    buf: Buffer,
    off: number,
    network: number,
    end: number,
    vnetBytes: number,
    zone: number,
    nowMs: number,
  ): boolean {
    const { view, primaries: all } = this;
    if (!this.isFragment(buf, network, end)) return false;
    // Each leaves as it is here; the whole packet has only the first one's headers.
    view.limit = end;
    canonicalIp(view);
    const noRoom = all.counters.values[NO_ROOM];
    const outcome = all.add(view, off, view.limit, fragmentZone(zone, vnetBytes), nowMs);
    if (outcome === REASSEMBLY_COMPLETE) {
      const d = all.complete!;
      const head = d.headBytes;
      const id = (this.held.hold(d) << ID_SLOT_SHIFT) | (head << ID_HEAD_SHIFT) | vnetBytes;
      const partial = isPartial(all.data, d.offset, vnetBytes);
      engine.primary(id >>> 0, all.data, d.offset + head, d.bytes - head, partial, nowMs, head, zone);
    } else if (outcome === REASSEMBLY_DROPPED && all.counters.values[NO_ROOM] !== noRoom) {
      // Held packets take all the room; a checkpoint empties it.
      engine.boundExhausted();
    }
    return true;
  }

  /** The same for the secondary. */
  secondary(
    engine: PrimaryEngine,
    buf: Buffer,
    off: number,
    network: number,
    end: number,
    vnetBytes: number,
    zone: number,
    nowMs: number,
  ): boolean {
    const { view, secondaries: all } = this;
    if (!this.isFragment(buf, network, end)) return false;
    if (all.add(view, off, end, fragmentZone(zone, vnetBytes), nowMs) === REASSEMBLY_COMPLETE) {
      const d = all.complete!;
      engine.secondary(all.data, d.offset + d.headBytes, d.bytes - d.headBytes, nowMs, zone);
      all.free(d);
    }
    return true;
  }

  /**
   * The secondary is the primary's copy: it continues the datagrams that the primary has begun, with their
   * identifications.
   */
  checkpoint(nowMs: number): void {
    this.secondaries.adopt(this.primaries, nowMs);
  }

  /** The primary is gone: forgets its incomplete datagrams. */
  forgetPrimary(): void {
    this.primaries.expire(Number.POSITIVE_INFINITY);
  }

  tick(nowMs: number): void {
    this.primaries.expire(nowMs);
    this.secondaries.expire(nowMs);
  }

  /** Counters of both sides' reassembly. */
  counts(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [side, { counters }] of Object.entries({ primary: this.primaries, secondary: this.secondaries })) {
      for (const [name, value] of Object.entries(counters.snapshot())) out[`${side}_reassembly_${name}`] = value;
    }
    return out;
  }

  /** Fills the view. */
  private isFragment(buf: Buffer, network: number, end: number): boolean {
    const { view } = this;
    return parseIp(view, buf, network, end - network) === PARSE_OK && view.fragment && !hasExtensionHeaders(view);
  }
}
