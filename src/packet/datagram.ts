// The records of reassembly.ts: fragments, the datagrams that they belong to, and the index that finds a datagram by
// its key. They are allocated on first use, up to their bounds, and then reused.

import { hashWords } from '../core/hash';
import type { FragmentFields } from './fragment';
import type { PacketView } from './view';

/** A fragment as it came. Offsets are those in the reassembler's `data`. */
export class Fragment {
  /** The frame, from its head (virtio-net header, Ethernet, tags) to its padding. */
  frameOffset = 0;
  frameBytes = 0;
  ipOffset = 0;
  payloadOffset = 0;
  payloadBytes = 0;
  /** Where the same payload bytes stand in the reassembled frame. */
  target = 0;
  /** The one that came after it. */
  next: Fragment | undefined;
  /** In the datagram's payload. */
  offset = 0;
  more = false;
  /** The one behind it in the datagram. */
  above: Fragment | undefined;
}

export const State = { Free: 0, Partial: 1, Complete: 2, Discarded: 3 } as const;
export type State = (typeof State)[keyof typeof State];

/**
 * What fragments make together. When complete: the reassembled frame in the reassembler's `data`, and the fragments
 * that it was.
 */
export class Datagram {
  /** Of the reassembled frame: the first fragment's head, then the whole packet. */
  offset = 0;
  bytes = 0;
  /** Before the IP header. */
  headBytes = 0;
  /** In the order of their coming. */
  fragments: Fragment | undefined;
  fragmentCount = 0;

  state: State = State.Free;
  newest: Fragment | undefined;
  /** In the order of their offsets. */
  lowest: Fragment | undefined;
  /** Of the payload; -1 before the last fragment has come. */
  totalBytes = -1;
  receivedBytes = 0;
  expiresAtMs = 0;
  /** In the order of their beginning. */
  older: Datagram | undefined;
  newer: Datagram | undefined;
  /** In the index, or among the free ones. */
  chain: Datagram | undefined;
  hash = 0;
  readonly key = new Uint32Array(KEY_WORDS);
}

/** Zone, family and IPv4's protocol, id, addresses. An IPv6 fragment's next header is not part of it (RFC 8200 4.5). */
const KEY_WORDS = 11;

export class DatagramIndex {
  private readonly buckets: (Datagram | undefined)[];
  private readonly key = new Uint32Array(KEY_WORDS);

  /** The seeds keep strangers, who choose the keys, from aiming at one bucket. */
  constructor(
    bucketsLog2: number,
    private readonly seed0: number,
    private readonly seed1: number,
  ) {
    this.buckets = new Array(1 << bucketsLog2).fill(undefined);
  }

  /** The datagram that the fragment belongs to. */
  find(view: PacketView, fields: FragmentFields, zone: number): Datagram | undefined {
    const { key } = this;
    fillKey(key, view, fields, zone);
    const hash = hashWords(this.seed0, this.seed1, key, 0, KEY_WORDS);
    let d = this.buckets[hash & (this.buckets.length - 1)];
    while (d !== undefined && !(d.hash === hash && sameKey(d.key, key))) d = d.chain;
    return d;
  }

  insert(d: Datagram, view: PacketView, fields: FragmentFields, zone: number): void {
    fillKey(d.key, view, fields, zone);
    d.hash = hashWords(this.seed0, this.seed1, d.key, 0, KEY_WORDS);
    const bucket = d.hash & (this.buckets.length - 1);
    d.chain = this.buckets[bucket];
    this.buckets[bucket] = d;
  }

  remove(d: Datagram): void {
    const bucket = d.hash & (this.buckets.length - 1);
    let at = this.buckets[bucket]!;
    if (at === d) {
      this.buckets[bucket] = d.chain;
    } else {
      while (at.chain !== d) at = at.chain!;
      at.chain = d.chain;
    }
    d.chain = undefined;
  }
}

function fillKey(key: Uint32Array, view: PacketView, fields: FragmentFields, zone: number): void {
  key[0] = zone;
  key[1] = view.family === 4 ? (4 << 8) | view.protocol : 6 << 8;
  key[2] = fields.id;
  key[3] = view.src0;
  key[4] = view.src1;
  key[5] = view.src2;
  key[6] = view.src3;
  key[7] = view.dst0;
  key[8] = view.dst1;
  key[9] = view.dst2;
  key[10] = view.dst3;
}

function sameKey(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < KEY_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}
