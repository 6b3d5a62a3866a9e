// The PVM's packets that wait for a verdict: the kernel keeps the packet, the comparison log a copy of its bytes, this
// table the rest. Every held packet is in one list by order of arrival (for checkpoints and timeouts) and in one of two
// lists of its flow: packets with content, and pure acknowledgements, which may overtake held content.

import { X_ACKS_HEAD, X_HELD_HEAD } from '../compare/flow-words';
import { LOG_HELD, type PacketLog, R_COPY, R_COPY_BYTES, R_HOLD } from '../compare/packet-log';
import { REFUSAL } from '../compare/tcp';
import type { FlowTable } from '../conntrack/flow-table';
import { broken } from '../core/errors';
import { seqAdd, seqDiff } from '../core/seq32';
import { tcpHeaderBytes } from '../packet/tcp-header';
import { type PacketView, TCP_SYN } from '../packet/view';

export const H_ID = 0;
export const H_FLOW = 1;
/** 0: the slot is free. */
export const H_RECORD = 2;
/** Content: position of the first payload byte (of the SYN for a SYN), and behind the last. */
export const H_SEQ = 3;
export const H_END = 4;
/** TCP flags in the low byte, HF_* above. */
export const H_FLAGS = 5;
/** Offset of the transport header in the copy. */
export const H_L4 = 6;
export const H_TIME = 7;
const H_NEXT = 8;
const H_PREV = 9;
export const H_FLOW_NEXT = 10;
const H_FLOW_PREV = 11;
const HOLD_WORDS = 12;

/** The kernel's copy has a partial checksum. */
export const HF_PARTIAL = 1 << 8;
/** The copy in the log was changed (options taken out), so it must replace the kernel's. */
export const HF_DIRTY = 1 << 9;
/** A pure acknowledgement. */
export const HF_ACK_ONLY = 1 << 10;
export const HF_TCP = 1 << 11;
/** Its header is signed (TCP-MD5, TCP-AO): whatever is changed of it makes it worthless. */
export const HF_SIGNED = 1 << 12;
/** Bit 13 is compare/tcp's REFUSAL. */
export const HF_TCP_FLAGS = 0xff | REFUSAL;
/** An ICMP answer: it waits for the other guest's as long as answers do, and no longer. */
export const HF_ANSWER = 1 << 14;
/** Bytes of the frame's headers before the packet in the copy; the eight bits from here on. */
export const HF_HEAD_SHIFT = 16;

/**
 * Flags of every held packet: the checksum is partial, they were changed, and how many are its frame's
 * headers.
 */
export function holdFlags(v: PacketView, partial: boolean): number {
  return (partial ? HF_PARTIAL : 0) | (v.changed ? HF_DIRTY : 0) | (v.head << HF_HEAD_SHIFT);
}

/** No flow: fragments and the like wait for a checkpoint only. */
export const NO_FLOW = 0xffffffff;

export class Holds {
  readonly words: Uint32Array;
  count = 0;
  /** First and last slot + 1 by arrival, 0 = none. */
  head = 0;
  private tail = 0;
  private free = 0;
  private fresh = 0;

  constructor(
    readonly capacity: number,
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
  ) {
    this.words = new Uint32Array(capacity * HOLD_WORDS);
  }

  index(slot: number): number {
    return (slot - 1) * HOLD_WORDS;
  }

  /** The slot that arrived after this one, 0 = none. */
  next(slot: number): number {
    return this.words[this.index(slot) + H_NEXT]!;
  }

  get full(): boolean {
    return this.count === this.capacity;
  }

  /** The slot that add() gave last. */
  get newest(): number {
    return this.tail;
  }

  /** The oldest slot that waits for the SVM, 0 = none. */
  get awaiting(): number {
    let slot = this.head;
    while (slot !== 0 && (this.words[this.index(slot) + H_FLAGS]! & HF_ANSWER) !== 0) slot = this.next(slot);
    return slot;
  }

  // The one reader of a held packet's copy; h is index(slot). It stands in the log's data until the next packet is
  // logged.

  /** Where the copy begins, with the frame's headers. */
  copyAt(h: number): number {
    return this.log.words[this.log.recordIndex(this.words[h + H_RECORD]!) + R_COPY]!;
  }

  /** Of all of the copy. */
  copyBytes(h: number): number {
    return this.log.words[this.log.recordIndex(this.words[h + H_RECORD]!) + R_COPY_BYTES]!;
  }

  /** Of the frame's headers at its beginning. */
  headBytes(h: number): number {
    return (this.words[h + H_FLAGS]! >>> HF_HEAD_SHIFT) & 0xff;
  }

  /** Where the packet itself begins, behind them. */
  packetAt(h: number): number {
    return this.copyAt(h) + this.headBytes(h);
  }

  /** From there to the frame's end. */
  packetBytes(h: number): number {
    return this.copyBytes(h) - this.headBytes(h);
  }

  /** Where the transport header begins. */
  headerAt(h: number): number {
    return this.copyAt(h) + this.words[h + H_L4]!;
  }

  /** TCP: position of the first payload byte. */
  contentSeq(h: number): number {
    return seqAdd(this.words[h + H_SEQ]!, (this.words[h + H_FLAGS]! & TCP_SYN) !== 0 ? 1 : 0);
  }

  /** TCP: bytes of payload. */
  contentBytes(h: number): number {
    return seqDiff(this.words[h + H_END]!, this.contentSeq(h));
  }

  /** TCP: where the payload begins behind the header at l4 (headerAt). */
  contentAt(l4: number): number {
    return l4 + tcpHeaderBytes(this.log.data, l4);
  }

  /** Notes a held packet whose copy is log record `record` (already marked LOG_HELD). Returns its slot (from 1). */
  add(
    id: number,
    flow: number,
    record: number,
    seq: number,
    end: number,
    flags: number,
    l4: number,
    nowMs: number,
  ): number {
    let slot = this.free;
    const w = this.words;
    if (slot !== 0) this.free = w[this.index(slot) + H_NEXT]!;
    else slot = ++this.fresh;
    const h = this.index(slot);
    w[h + H_ID] = id;
    w[h + H_FLOW] = flow;
    w[h + H_RECORD] = record;
    w[h + H_SEQ] = seq;
    w[h + H_END] = end;
    w[h + H_FLAGS] = flags;
    w[h + H_L4] = l4;
    w[h + H_TIME] = nowMs;
    w[h + H_NEXT] = 0;
    w[h + H_PREV] = this.tail;
    if (this.tail === 0) this.head = slot;
    else w[this.index(this.tail) + H_NEXT] = slot;
    this.tail = slot;
    w[h + H_FLOW_NEXT] = 0;
    w[h + H_FLOW_PREV] = 0;
    if (flow !== NO_FLOW) {
      const fw = this.flows.words;
      const at = flow + ((flags & HF_ACK_ONLY) !== 0 ? X_ACKS_HEAD : X_HELD_HEAD);
      const last = fw[at + 1]!;
      if ((last === 0) !== (fw[at] === 0)) broken('a list of held packets has both a head and a tail, or neither');
      w[h + H_FLOW_PREV] = last;
      if (last === 0) fw[at] = slot;
      else w[this.index(last) + H_FLOW_NEXT] = slot;
      fw[at + 1] = slot;
    }
    this.log.words[this.log.recordIndex(record) + R_HOLD] = slot;
    this.count++;
    return slot;
  }

  /** Takes a packet out of all lists; its copy stays readable until the next packet is logged. */
  remove(slot: number): void {
    const w = this.words;
    const h = this.index(slot);
    const record = w[h + H_RECORD]!;
    if (record === 0) broken('a held packet gets one verdict');
    w[h + H_RECORD] = 0;
    const next = w[h + H_NEXT]!;
    const prev = w[h + H_PREV]!;
    if (prev === 0) this.head = next;
    else w[this.index(prev) + H_NEXT] = next;
    if (next === 0) this.tail = prev;
    else w[this.index(next) + H_PREV] = prev;
    const flow = w[h + H_FLOW]!;
    if (flow !== NO_FLOW) {
      const fw = this.flows.words;
      const at = flow + ((w[h + H_FLAGS]! & HF_ACK_ONLY) !== 0 ? X_ACKS_HEAD : X_HELD_HEAD);
      const flowNext = w[h + H_FLOW_NEXT]!;
      const flowPrev = w[h + H_FLOW_PREV]!;
      if (flowPrev === 0) fw[at] = flowNext;
      else w[this.index(flowPrev) + H_FLOW_NEXT] = flowNext;
      if (flowNext === 0) fw[at + 1] = flowPrev;
      else w[this.index(flowNext) + H_FLOW_PREV] = flowPrev;
    }
    this.log.unneed(record, LOG_HELD);
    w[h + H_NEXT] = this.free;
    this.free = slot;
    this.count--;
  }

  onMove(newId: number, slot: number): void {
    this.words[this.index(slot) + H_RECORD] = newId;
  }
}
