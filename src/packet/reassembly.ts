// Whole packets out of IPv4 and IPv6 fragments (RFC 791, RFC 815, RFC 8200 4.5, RFC 5722), for a path on which no
// kernel does it. The fragments themselves are kept, so that they can be sent on as they came, or with payload bytes
// that were changed in the whole.
//
// Two fragments that claim the same bytes discard their datagram, and what else comes for it until its time is over:
// an overlap could make the comparison see other bytes than the receiver. Only an exact duplicate is accepted.

import { BuddyPool } from '../core/buddy-pool';
import { copyBytes, equalBytes } from '../core/bytes';
import { Counters, slotsOf } from '../core/counters';
import { invariant } from '../core/errors';
import { Datagram, DatagramIndex, Fragment, State } from './datagram';
import { FragmentFields, mendIpv4Header, mendIpv6Header, readFragment } from './fragment';
import { FRAGMENT_HEADER_BYTES } from './ip-header';
import { PARSE_OK, parseIp } from './parse';
import { PacketView } from './view';

export { Datagram, Fragment } from './datagram';

export interface ReassemblyLimits {
  /** Datagrams at once: incomplete, complete and not yet freed, and discarded ones whose time is not over. */
  maxDatagrams: number;
  /** Of all datagrams together. */
  maxFragments: number;
  /** 64 KiB in the smallest packets that every IPv4 host takes (576 bytes) are 119. */
  maxFragmentsPerDatagram: number;
  /** Memory for frames, original and reassembled, is 2^n bytes. */
  bytesLog2: number;
  /** From the first fragment's coming on; the kernel's ipfrag_time. */
  lifetimeMs: number;
}

/** 16 MiB hold 100 of the largest datagrams, or thousands of two fragments. */
export const DEFAULT_REASSEMBLY_LIMITS: Readonly<ReassemblyLimits> = {
  maxDatagrams: 4096,
  maxFragments: 16384,
  maxFragmentsPerDatagram: 128,
  bytesLog2: 24,
  lifetimeMs: 30_000,
};

/** What may stand before an IP header: virtio-net header, Ethernet, tags. */
export const MAX_HEAD_BYTES = 64;
/** No IP packet of ours is larger, with its header. */
const MAX_PACKET_BYTES = 0xffff;
/** A frame takes at least 2^8 bytes. */
const UNIT_LOG2 = 8;
/** Twice the largest frame, rounded up. */
const LEAST_BYTES_LOG2 = 18;

export const REASSEMBLY_COUNTER_NAMES = [
  'fragments',
  'completed',
  /** Exact duplicates; nothing is lost. */
  'duplicates',
  // Datagrams that were discarded, with all their fragments, because of one fragment:
  'overlaps',
  /** A last fragment before bytes that had come, or bytes behind the last fragment. */
  'beyond_end',
  /** More than 65535 bytes when put together. */
  'oversized',
  /** No multiple of 8 bytes, and not the last. */
  'unaligned',
  'too_many_fragments',
  // Datagrams lost to a bound, or never completed:
  'evicted',
  'expired',
  // Fragments that were dropped alone:
  /** Of a datagram discarded before. */
  'after_discard',
  'empty',
  'head_too_long',
  /** All room is taken by complete datagrams. */
  'no_room',
] as const;
export type ReassemblyCounterName = (typeof REASSEMBLY_COUNTER_NAMES)[number];

const COUNT = slotsOf(REASSEMBLY_COUNTER_NAMES);

/** The fragment is kept (or was a duplicate); the datagram is not whole yet. */
export const REASSEMBLY_WAITING = 0;
/** The fragment is lost, perhaps with its datagram; a counter gives the reason. */
export const REASSEMBLY_DROPPED = 1;
/** The datagram is in `complete`. */
export const REASSEMBLY_COMPLETE = 2;
export type ReassemblyOutcome = typeof REASSEMBLY_WAITING | typeof REASSEMBLY_DROPPED | typeof REASSEMBLY_COMPLETE;

export class Reassembler {
  readonly counters = new Counters<ReassemblyCounterName>(REASSEMBLY_COUNTER_NAMES);
  /** All frames, original and reassembled. */
  readonly data: Buffer;
  /** After REASSEMBLY_COMPLETE: the caller's until free(). */
  complete: Datagram | undefined;
  /** Datagrams in use, in whatever state, and their fragments. */
  datagrams = 0;
  fragments = 0;
  private readonly limits: ReassemblyLimits;
  private readonly pool: BuddyPool;
  private readonly index: DatagramIndex;
  private readonly fields = new FragmentFields();
  private readonly view = new PacketView();
  /** Incomplete and discarded ones, by age. */
  private oldest: Datagram | undefined;
  private newest: Datagram | undefined;
  private freeDatagrams: Datagram | undefined;
  private freeFragments: Fragment | undefined;

  /** The seeds: any two numbers that strangers do not know. */
  constructor(limits: Partial<ReassemblyLimits> = {}, seed0 = 0, seed1 = 0) {
    this.limits = { ...DEFAULT_REASSEMBLY_LIMITS, ...limits };
    invariant(this.limits.bytesLog2 >= LEAST_BYTES_LOG2, 'a largest datagram fits, and its fragments');
    this.pool = new BuddyPool(this.limits.bytesLog2, UNIT_LOG2);
    this.data = Buffer.allocUnsafeSlow(this.pool.bytes);
    this.index = new DatagramIndex(Math.max(1, 32 - Math.clz32(this.limits.maxDatagrams - 1)), seed0, seed1);
  }

  /** Memory taken, with what its granularity costs. */
  get usedBytes(): number {
    return this.pool.usedBytes;
  }

  /**
   * A fragment as parseIp() found it: view.buf[frameStart, frameEnd) is its frame, with the head before the IP header
   * and the padding behind the packet; view.buf is a Buffer. `zone` sets apart what may not be joined, as VLANs.
   */
  add(view: PacketView, frameStart: number, frameEnd: number, zone: number, nowMs: number): ReassemblyOutcome {
    this.complete = undefined;
    this.count('fragments');
    this.expire(nowMs);
    const { fields } = this;
    readFragment(fields, view);
    if (view.payloadBytes === 0) return this.drop('empty');
    if (view.start - frameStart > MAX_HEAD_BYTES) return this.drop('head_too_long');
    let d = this.index.find(view, fields, zone);
    if (d === undefined) {
      d = this.begin(nowMs);
      if (d === undefined) return this.drop('no_room');
      this.index.insert(d, view, fields, zone);
    }
    if (d.state === State.Discarded) return this.drop('after_discard');
    const end = fields.offset + view.payloadBytes;
    const headerBytes = view.l4 - view.start - (view.family === 6 ? FRAGMENT_HEADER_BYTES : 0);
    if (headerBytes + end > MAX_PACKET_BYTES) return this.discard(d, 'oversized');
    if (fields.more && (view.payloadBytes & 7) !== 0) return this.discard(d, 'unaligned');
    return this.place(d, view, frameStart, frameEnd, end);
  }

  /**
   * Gives up what has waited for the rest too long. To be called now and then; returns how many datagrams were lost.
   */
  expire(nowMs: number): number {
    let lost = 0;
    for (let d = this.oldest; d !== undefined && d.expiresAtMs <= nowMs; d = this.oldest) {
      if (d.state === State.Partial) {
        this.count('expired');
        lost++;
      }
      this.forget(d);
    }
    return lost;
  }

  /** Has the incomplete datagrams that `other` has, in the place of its own; their lifetime begins anew. */
  adopt(other: Reassembler, nowMs: number): void {
    for (let d = this.oldest; d !== undefined; d = this.oldest) this.forget(d);
    const { view } = this;
    for (let d = other.oldest; d !== undefined; d = d.newer) {
      for (let f = d.fragments; f !== undefined; f = f.next) {
        const end = f.frameOffset + f.frameBytes;
        const parsed = parseIp(view, other.data, f.ipOffset, end - f.ipOffset);
        invariant(parsed === PARSE_OK && view.fragment, 'what was kept as a fragment is one');
        this.add(view, f.frameOffset, end, d.key[0]!, nowMs);
      }
    }
  }

  /** A complete datagram and its fragments are done with. */
  free(d: Datagram): void {
    invariant(d.state === State.Complete, 'a reassembled datagram is freed once');
    this.pool.release(d.offset);
    this.release(d);
  }

  /** Writes the payload of the reassembled packet, which the caller has changed, back into the fragments. */
  patchFragments(d: Datagram): void {
    for (let f = d.fragments; f !== undefined; f = f.next) {
      copyBytes(this.data, f.target, this.data, f.payloadOffset, f.payloadBytes);
    }
  }

  private place(d: Datagram, view: PacketView, frameStart: number, frameEnd: number, end: number): ReassemblyOutcome {
    const { offset, more } = this.fields;
    const bytes = view.payloadBytes;
    let below: Fragment | undefined;
    let above = d.lowest;
    while (above !== undefined && above.offset < offset) {
      below = above;
      above = above.above;
    }
    if (above !== undefined && above.offset === offset && above.payloadBytes === bytes && above.more === more) {
      const same = equalBytes(this.data, above.payloadOffset, view.buf as Buffer, view.l4, bytes);
      if (!same) return this.discard(d, 'overlaps');
      this.count('duplicates');
      return REASSEMBLY_WAITING;
    }
    if (below !== undefined && below.offset + below.payloadBytes > offset) return this.discard(d, 'overlaps');
    if (above !== undefined && end > above.offset) return this.discard(d, 'overlaps');
    // Behind the last, or a last one that is none.
    if (below !== undefined && !below.more) return this.discard(d, 'beyond_end');
    if (above !== undefined && !more) return this.discard(d, 'beyond_end');
    if (d.fragmentCount === this.limits.maxFragmentsPerDatagram) return this.discard(d, 'too_many_fragments');

    const f = this.keep(d, view, frameStart, frameEnd);
    if (f === undefined) return this.drop('no_room');
    f.offset = offset;
    f.more = more;
    f.above = above;
    if (below === undefined) d.lowest = f;
    else below.above = f;
    if (!more) d.totalBytes = end;
    d.receivedBytes += bytes;
    // Without overlaps, as many bytes as there are is all of them.
    return d.receivedBytes === d.totalBytes ? this.finish(d) : REASSEMBLY_WAITING;
  }

  /** A copy of the frame. Undefined: there is no room, and the datagram may be gone. */
  private keep(d: Datagram, view: PacketView, frameStart: number, frameEnd: number): Fragment | undefined {
    const frameBytes = frameEnd - frameStart;
    while (this.fragments === this.limits.maxFragments)
      if (!this.evict() || d.state !== State.Partial) return undefined;
    let at = this.pool.allocate(frameBytes);
    while (at < 0) {
      if (!this.evict() || d.state !== State.Partial) return undefined;
      at = this.pool.allocate(frameBytes);
    }
    copyBytes(view.buf as Buffer, frameStart, this.data, at, frameBytes);
    const f = this.freeFragments ?? new Fragment();
    this.freeFragments = f.next;
    this.fragments++;
    f.next = undefined;
    f.frameOffset = at;
    f.frameBytes = frameBytes;
    f.ipOffset = at + view.start - frameStart;
    f.payloadOffset = at + view.l4 - frameStart;
    f.payloadBytes = view.payloadBytes;
    if (d.newest === undefined) d.fragments = f;
    else d.newest.next = f;
    d.newest = f;
    d.fragmentCount++;
    return f;
  }

  private finish(d: Datagram): ReassemblyOutcome {
    const { data } = this;
    const first = d.lowest!;
    const v6 = d.key[1]! >>> 8 === 6;
    const headBytes = first.ipOffset - first.frameOffset;
    const headerBytes = first.payloadOffset - first.ipOffset - (v6 ? FRAGMENT_HEADER_BYTES : 0);
    const packetBytes = headerBytes + d.totalBytes;
    if (packetBytes > MAX_PACKET_BYTES) return this.discard(d, 'oversized');
    // It may not make room for itself.
    this.unlink(d);
    this.index.remove(d);
    let at = this.pool.allocate(headBytes + packetBytes);
    while (at < 0 && this.evict()) at = this.pool.allocate(headBytes + packetBytes);
    if (at < 0) {
      this.release(d);
      return this.drop('no_room');
    }
    const ip = at + headBytes;
    copyBytes(data, first.frameOffset, data, at, headBytes + headerBytes);
    if (v6) mendIpv6Header(data, ip, ip + headerBytes, data[first.payloadOffset - FRAGMENT_HEADER_BYTES]!, packetBytes);
    else mendIpv4Header(data, ip, headerBytes, packetBytes);
    for (let f: Fragment | undefined = first; f !== undefined; f = f.above) {
      f.target = ip + headerBytes + f.offset;
      copyBytes(data, f.payloadOffset, data, f.target, f.payloadBytes);
    }
    d.offset = at;
    d.bytes = headBytes + packetBytes;
    d.headBytes = headBytes;
    d.state = State.Complete;
    this.complete = d;
    this.count('completed');
    return REASSEMBLY_COMPLETE;
  }

  /** A new incomplete one, or undefined when all are complete. */
  private begin(nowMs: number): Datagram | undefined {
    if (this.datagrams === this.limits.maxDatagrams && !this.evict()) return undefined;
    const d = this.freeDatagrams ?? new Datagram();
    this.freeDatagrams = d.chain;
    d.chain = undefined;
    this.datagrams++;
    d.state = State.Partial;
    d.totalBytes = -1;
    d.receivedBytes = 0;
    d.expiresAtMs = nowMs + this.limits.lifetimeMs;
    d.older = this.newest;
    if (this.newest === undefined) this.oldest = d;
    else this.newest.newer = d;
    this.newest = d;
    return d;
  }

  /** The oldest that is not complete gives way. False: there is none. */
  private evict(): boolean {
    const d = this.oldest;
    if (d === undefined) return false;
    if (d.state === State.Partial) this.count('evicted');
    this.forget(d);
    return true;
  }

  /** Its fragments go, but it is remembered, so that no later ones make another datagram of the same name. */
  private discard(d: Datagram, why: ReassemblyCounterName): ReassemblyOutcome {
    this.releaseFragments(d);
    d.state = State.Discarded;
    return this.drop(why);
  }

  private forget(d: Datagram): void {
    this.unlink(d);
    this.index.remove(d);
    this.release(d);
  }

  private unlink(d: Datagram): void {
    if (d.older === undefined) this.oldest = d.newer;
    else d.older.newer = d.newer;
    if (d.newer === undefined) this.newest = d.older;
    else d.newer.older = d.older;
    d.older = undefined;
    d.newer = undefined;
  }

  private release(d: Datagram): void {
    this.releaseFragments(d);
    d.state = State.Free;
    d.chain = this.freeDatagrams;
    this.freeDatagrams = d;
    this.datagrams--;
  }

  private releaseFragments(d: Datagram): void {
    for (let f = d.fragments; f !== undefined; ) {
      const { next } = f;
      this.pool.release(f.frameOffset);
      f.above = undefined;
      f.next = this.freeFragments;
      this.freeFragments = f;
      this.fragments--;
      f = next;
    }
    d.fragments = undefined;
    d.newest = undefined;
    d.lowest = undefined;
    d.fragmentCount = 0;
  }

  private drop(why: ReassemblyCounterName): ReassemblyOutcome {
    this.count(why);
    return REASSEMBLY_DROPPED;
  }

  private count(name: ReassemblyCounterName): void {
    this.counters.values[COUNT[name]]!++;
  }
}
