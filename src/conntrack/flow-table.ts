// All flows of a node in one preallocated array of records, found by tuple in O(1). Both engines keep their per-flow
// state in it.
//
// A record is `recordWords` 32-bit words; its first 16 (one cache line) are the table's: key (packet/tuple.ts), hash,
// timers, TCP state. The index is a linear hash table (Litwin 1980): it grows by splitting one bucket at a time, so no
// insert ever pays for a rehash, and what is touched stays proportional to the flows that exist. Untouched pages of the
// arrays cost no memory. Hashes and links stand in arrays of their own as well: a walk through a bucket would wait for
// a record out of the cache at every step.

import { invariant } from '../core/errors';
import { hash4, hashWords } from '../core/hash';
import {
  FLOW_GUEST,
  FLOW_KEY_WORDS,
  FLOW_META,
  FLOW_PEER,
  FLOW_PORTS,
  flowMeta,
  loadKey,
  metaFamily,
} from '../packet/tuple';
import type { PacketView } from '../packet/view';

// Words of a record that belong to the table: behind the key.
export const FLOW_HASH = 10;
// Word 11 is free.
export const FLOW_DEADLINE = 12; // ms modulo 2^32: when the flow has been idle for too long
export const FLOW_TCP_STATE = 13; // tcp-track.ts
export const FLOW_GUEST_ISN = 14; // tcp-track.ts
export const FLOW_PEER_ISN = 15; // tcp-track.ts

/** First word that is free for the engine that owns the table. */
export const FLOW_USER = 16;

/** Buckets per flow: at one half the load, a find looks at 1.25 records on average. */
const BUCKETS_PER_FLOW = 2;
const FIRST_BUCKETS = 64;

/**
 * The flows found last are cached by a few hash bits, as packets come in trains; forcing collisions gains an
 * attacker nothing.
 */
const RECENT_BITS = 8;
/** 2^32 / phi: spreads neighbours (Knuth's multiplicative hash). */
const SPREAD = 0x9e3779b1;

export class FlowTable {
  readonly words: Uint32Array;
  /** Flows in the table. */
  size = 0;

  /** Number + 1 of the first record of each bucket, 0 = empty. A record's number is its base / recordWords. */
  private readonly heads: Int32Array;
  /** By number: number + 1 of the next record in the bucket, or of the next free record; 0 ends. */
  private readonly links: Int32Array;
  /** By number: what stands in FLOW_HASH. */
  private readonly hashes: Uint32Array;
  private buckets: number;
  /** The greatest power of two <= buckets, minus one. */
  private mask: number;
  /** Words in use so far: every record ever used lies below, so freed ones are used again before a fresh one is. */
  private highWater = 0;
  private firstFree = 0;
  private readonly key = new Uint32Array(FLOW_KEY_WORDS);
  /** Bases; what stands there by now may be another flow, or none. */
  private readonly recent = new Int32Array(1 << RECENT_BITS);

  /** seed0 and seed1 are 32 random bits each; two tables with equal seeds behave alike (for tests and replays). */
  constructor(
    readonly maxFlows: number,
    readonly recordWords: number,
    private readonly seed0 = 0,
    private readonly seed1 = 0,
  ) {
    invariant(maxFlows >= 1 && recordWords >= FLOW_USER, 'a flow table needs room for a flow');
    invariant(maxFlows * recordWords < 2 ** 31, 'a record must be addressable by 31 bits');
    this.words = new Uint32Array(maxFlows * recordWords);
    this.links = new Int32Array(maxFlows);
    this.hashes = new Uint32Array(maxFlows);
    this.heads = new Int32Array(Math.max(FIRST_BUCKETS, maxFlows * BUCKETS_PER_FLOW));
    this.buckets = FIRST_BUCKETS;
    this.mask = FIRST_BUCKETS - 1;
  }

  /** Base (word offset) of the packet's flow, or -1. `fromPeer`: the packet's source is the peer, not the guest. */
  find(view: PacketView, fromPeer: boolean): number {
    const meta = flowMeta(view.zone, view.family, view.protocol);
    if (view.family === 4) {
      if (fromPeer) return this.find4(view.dst0, view.src0, ((view.dstPort << 16) | view.srcPort) >>> 0, meta);
      return this.find4(view.src0, view.dst0, ((view.srcPort << 16) | view.dstPort) >>> 0, meta);
    }
    loadKey(this.key, view, fromPeer);
    return this.findKey(this.key);
  }

  /** Base of the flow with exactly this key (FLOW_KEY_WORDS words as in a record), or -1. */
  findKey(key: Uint32Array): number {
    if (metaFamily(key[FLOW_META]!) === 4)
      return this.find4(key[FLOW_GUEST]!, key[FLOW_PEER]!, key[FLOW_PORTS]!, key[FLOW_META]!);
    const { words, hashes } = this;
    const hash = hashWords(this.seed0, this.seed1, key, 0, FLOW_KEY_WORDS);
    for (let link = this.heads[this.bucketOf(hash)]!; link !== 0; link = this.links[link - 1]!) {
      if (hashes[link - 1] !== hash) continue;
      const base = (link - 1) * this.recordWords;
      let i = 0;
      while (i < FLOW_KEY_WORDS && words[base + i] === key[i]) i++;
      if (i === FLOW_KEY_WORDS) return base;
    }
    return -1;
  }

  /**
   * A new record for the packet's flow, all words after the key zero; -1 when the table is full. The flow must not be
   * in the table.
   */
  insert(view: PacketView, fromPeer: boolean): number {
    loadKey(this.key, view, fromPeer);
    return this.insertKey(this.key);
  }

  insertKey(key: Uint32Array): number {
    const number = this.allocate();
    if (number < 0) return -1;
    const { words } = this;
    const base = number * this.recordWords;
    words.fill(0, base + FLOW_KEY_WORDS, base + this.recordWords);
    for (let i = 0; i < FLOW_KEY_WORDS; i++) words[base + i] = key[i]!;
    const hash =
      metaFamily(key[FLOW_META]!) === 4
        ? hash4(this.seed0, this.seed1, key[0]!, key[4]!, key[8]!, key[9]!)
        : hashWords(this.seed0, this.seed1, key, 0, FLOW_KEY_WORDS);
    words[base + FLOW_HASH] = hash;
    this.hashes[number] = hash;
    const bucket = this.bucketOf(hash);
    this.links[number] = this.heads[bucket]!;
    this.heads[bucket] = number + 1;
    this.size++;
    const wanted = Math.min(this.size * BUCKETS_PER_FLOW, this.heads.length);
    while (this.buckets < wanted) this.split();
    return base;
  }

  /** Forgets a flow. Its record is the next to be used again. */
  remove(base: number): void {
    const { words, heads, links } = this;
    invariant(words[base + FLOW_META] !== 0, 'a removed flow must be in the table');
    const number = base / this.recordWords;
    const next = links[number]!;
    const bucket = this.bucketOf(this.hashes[number]!);
    let link = heads[bucket]!;
    if (link === number + 1) {
      heads[bucket] = next;
    } else {
      while (links[link - 1] !== number + 1) link = links[link - 1]!;
      links[link - 1] = next;
    }
    words[base + FLOW_META] = 0;
    links[number] = this.firstFree;
    this.firstFree = number + 1;
    this.size--;
  }

  /** Forgets every flow. */
  clear(): void {
    this.heads.fill(0);
    for (let b = 0; b < this.highWater; b += this.recordWords) this.words[b + FLOW_META] = 0;
    this.buckets = FIRST_BUCKETS;
    this.mask = FIRST_BUCKETS - 1;
    this.highWater = 0;
    this.firstFree = 0;
    this.size = 0;
  }

  /** For walks: the first flow after `base` in record order, or -1. Start with -1. Safe while flows come and go. */
  next(base: number): number {
    const { words, recordWords, highWater } = this;
    for (let b = base < 0 ? 0 : base + recordWords; b < highWater; b += recordWords) {
      if (words[b + FLOW_META] !== 0) return b;
    }
    return -1;
  }

  private find4(guest: number, peer: number, ports: number, meta: number): number {
    const { hashes, recent } = this;
    const slot = Math.imul(peer ^ ports, SPREAD) >>> (32 - RECENT_BITS);
    const last = recent[slot]!;
    if (this.is4(last, guest, peer, ports, meta)) return last;
    const hash = hash4(this.seed0, this.seed1, guest, peer, ports, meta);
    for (let link = this.heads[this.bucketOf(hash)]!; link !== 0; link = this.links[link - 1]!) {
      if (hashes[link - 1] !== hash) continue;
      const base = (link - 1) * this.recordWords;
      if (this.is4(base, guest, peer, ports, meta)) {
        recent[slot] = base;
        return base;
      }
    }
    return -1;
  }

  private is4(base: number, guest: number, peer: number, ports: number, meta: number): boolean {
    const { words } = this;
    return (
      words[base + FLOW_PORTS] === ports &&
      words[base + FLOW_GUEST] === guest &&
      words[base + FLOW_PEER] === peer &&
      words[base + FLOW_META] === meta
    );
  }

  private bucketOf(hash: number): number {
    const bucket = hash & (this.mask * 2 + 1);
    return bucket < this.buckets ? bucket : bucket & this.mask;
  }

  /** The number of a free record, or -1. */
  private allocate(): number {
    if (this.firstFree !== 0) {
      const number = this.firstFree - 1;
      this.firstFree = this.links[number]!;
      return number;
    }
    if (this.highWater === this.words.length) return -1;
    const number = this.highWater / this.recordWords;
    this.highWater += this.recordWords;
    return number;
  }

  /** Opens one bucket more and moves to it what belongs there from the one it was folded into. */
  private split(): void {
    const { heads, links, hashes } = this;
    const fresh = this.buckets;
    const old = fresh & this.mask;
    const wide = this.mask * 2 + 1;
    let stay = 0;
    let move = 0;
    for (let link = heads[old]!; link !== 0; ) {
      const next = links[link - 1]!;
      if ((hashes[link - 1]! & wide) === fresh) {
        links[link - 1] = move;
        move = link;
      } else {
        links[link - 1] = stay;
        stay = link;
      }
      link = next;
    }
    heads[old] = stay;
    heads[fresh] = move;
    this.buckets++;
    if (this.buckets > wide) this.mask = wide;
  }
}
