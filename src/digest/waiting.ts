// Records of the SVM that wait on the primary, a list for each connection, in the order in which they came: behind one
// that waits for the PVM's bytes all of the connection's wait. What they are made of is copied into one pool.

import { FLOW_USER, FlowTable } from '../conntrack/flow-table';
import { BuddyPool } from '../core/buddy-pool';
import { copyBytes } from '../core/bytes';
import {
  MAX_WAITING_FLOWS,
  MAX_WAITING_RECORDS,
  MAX_WAITING_RECORDS_OF_FLOW,
  WAITING_BYTES_LOG2,
} from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import type { PacketView } from '../packet/view';

/** Smallest place in the pool, as a power of two. */
const UNIT_LOG2 = 7;

/** Words of a list: its first and last record + 1, how many there are, and the engine's flow + 1, as far as known. */
const L_HEAD = FLOW_USER;
const L_TAIL = FLOW_USER + 1;
const L_COUNT = FLOW_USER + 2;
const L_FLOW = FLOW_USER + 3;
/** 1: to be looked at before the batch ends. */
const L_DUE = FLOW_USER + 4;
/** Behind the furthest byte of the SVM's that has come into the list, in its own numbers. Valid with L_HAS_END. */
const L_END = FLOW_USER + 5;
const L_HAS_END = FLOW_USER + 6;
const LIST_WORDS = FLOW_USER + 8;

const NOWHERE = -1;

/** One record that waits. Objects are used again. */
export class Waiting {
  next = 0;
  /** The list that it is in. */
  list = 0;
  /** A frame of the SVM itself, or what a GUEST_DIGEST says, from the head on. */
  digest = false;
  place = NOWHERE;
  bytes = 0;
  sinceMs = 0;
  epoch = 0;
  serial = 0;
  chunk = 0;
  headBytes = 0;
  payloadBytes = 0;
  /** So much of the payload has gone to the comparison. */
  done = 0;
  /** What the PVM has said behind that, of a chunk that it has not said all of, and since when. */
  part = 0;
  partMs = 0;
  /** [wantedFrom, wantedTo) of the payload is to be fetched; empty: nothing. */
  wantedFrom = 0;
  wantedTo = 0;
  /** When it was asked for; before that Infinity. */
  askedMs = Number.POSITIVE_INFINITY;
  /** Where it stands, when it has come. */
  fetched = NOWHERE;
  /** Its bytes are known to nobody any more. */
  lost = false;

  get wanted(): boolean {
    return this.wantedFrom !== this.wantedTo;
  }
}

export class WaitingLists {
  readonly data = Buffer.from(new ArrayBuffer(2 ** WAITING_BYTES_LOG2));
  count = 0;
  private readonly pool = new BuddyPool(WAITING_BYTES_LOG2, UNIT_LOG2);
  private readonly lists: FlowTable;
  private readonly records: Waiting[] = [];
  private readonly free: number[] = [];
  /** The lists of the engine's flows, as far as they were known last. */
  private readonly ofFlow = new Map<number, number>();
  private due: number[] = [];
  private taking: number[] = [];

  constructor(seed: readonly [number, number]) {
    this.lists = new FlowTable(MAX_WAITING_FLOWS, LIST_WORDS, seed[0], seed[1]);
  }

  /** The list of the connection of the packet in the view, or -1: nothing of it waits. */
  find(v: PacketView): number {
    return this.lists.size === 0 ? -1 : this.lists.find(v, false);
  }

  /**
   * A record behind all that waits of the packet's connection, with a copy of buf[off, off+bytes). Undefined: no room.
   */
  append(v: PacketView, buf: Buffer, off: number, bytes: number, nowMs: number): Waiting | undefined {
    const { lists } = this;
    let list = lists.find(v, false);
    if (this.count === MAX_WAITING_RECORDS) return undefined;
    if (list >= 0 && lists.words[list + L_COUNT]! >= MAX_WAITING_RECORDS_OF_FLOW) return undefined;
    const place = this.pool.allocate(bytes);
    if (place < 0) return undefined;
    if (list < 0) list = lists.insert(v, false);
    if (list < 0) {
      this.pool.release(place);
      return undefined;
    }
    copyBytes(buf, off, this.data, place, bytes);
    const index = this.free.pop() ?? this.records.push(new Waiting()) - 1;
    const one = this.records[index]!;
    one.next = 0;
    one.list = list;
    one.digest = false;
    one.place = place;
    one.bytes = bytes;
    one.sinceMs = nowMs;
    one.done = 0;
    one.part = 0;
    one.wantedFrom = 0;
    one.wantedTo = 0;
    one.askedMs = Number.POSITIVE_INFINITY;
    one.lost = false;
    const w = lists.words;
    if (w[list + L_TAIL] === 0) w[list + L_HEAD] = index + 1;
    else this.records[w[list + L_TAIL]! - 1]!.next = index + 1;
    w[list + L_TAIL] = index + 1;
    w[list + L_COUNT] = w[list + L_COUNT]! + 1;
    this.count++;
    return one;
  }

  head(list: number): Waiting | undefined {
    return this.records[this.lists.words[list + L_HEAD]! - 1];
  }

  after(one: Waiting): Waiting | undefined {
    return this.records[one.next - 1];
  }

  /**
   * Content [seq, seq+bytes) of the SVM's has come into the list. True: it goes on where that before it has ended, or
   * behind.
   */
  goesOn(list: number, seq: number, bytes: number): boolean {
    const w = this.lists.words;
    const goesOn = w[list + L_HAS_END] === 0 || seqDiff(seq, w[list + L_END]!) >= 0;
    const end = seqAdd(seq, bytes);
    if (goesOn || seqDiff(end, w[list + L_END]!) > 0) w[list + L_END] = end;
    w[list + L_HAS_END] = 1;
    return goesOn;
  }

  /** Takes the first record of a list away. False: it was the last, and the list is gone. */
  shift(list: number): boolean {
    const w = this.lists.words;
    const index = w[list + L_HEAD]! - 1;
    const one = this.records[index]!;
    w[list + L_HEAD] = one.next;
    w[list + L_COUNT] = w[list + L_COUNT]! - 1;
    this.pool.release(one.place);
    this.forgetFetched(one);
    this.free.push(index);
    this.count--;
    if (one.next !== 0) return true;
    this.setFlow(list, -1);
    this.lists.remove(list);
    return false;
  }

  /** Keeps buf[off, off+bytes), what was fetched for a record. False: no room. */
  keepFetched(one: Waiting, buf: Buffer, off: number, bytes: number): boolean {
    this.forgetFetched(one);
    one.fetched = this.pool.allocate(bytes);
    if (one.fetched < 0) return false;
    copyBytes(buf, off, this.data, one.fetched, bytes);
    return true;
  }

  forgetFetched(one: Waiting): void {
    if (one.fetched !== NOWHERE) this.pool.release(one.fetched);
    one.fetched = NOWHERE;
  }

  /** What the PVM says in this flow of the engine's (-1: in none) is what the list waits for. */
  setFlow(list: number, flow: number): void {
    const w = this.lists.words;
    const before = w[list + L_FLOW]! - 1;
    if (before === flow) return;
    if (before >= 0 && this.ofFlow.get(before) === list) this.ofFlow.delete(before);
    w[list + L_FLOW] = flow + 1;
    if (flow >= 0) this.ofFlow.set(flow, list);
  }

  /** The list that waits for what the PVM says in this flow, or -1. */
  listOf(flow: number): number {
    return this.ofFlow.size === 0 ? -1 : (this.ofFlow.get(flow) ?? -1);
  }

  /** Enters a list among those that takeDue() gives; once. */
  noteDue(list: number): void {
    const w = this.lists.words;
    if (w[list + L_DUE] !== 0) return;
    w[list + L_DUE] = 1;
    this.due.push(list);
  }

  /** What is noted from now on is for the next time. */
  beginDue(): void {
    const taken = this.due;
    this.due = this.taking;
    this.taking = taken;
  }

  /** The next list that was noted before, or -1. */
  takeDue(): number {
    const w = this.lists.words;
    for (;;) {
      const list = this.taking.pop();
      if (list === undefined) return -1;
      // A list that ended, and perhaps another in its place.
      if (w[list + L_DUE] === 0 || w[list + L_HEAD] === 0) continue;
      w[list + L_DUE] = 0;
      return list;
    }
  }

  /** For walks; safe while lists come and go. */
  next(list: number): number {
    return this.lists.next(list);
  }

  clear(): void {
    for (let list = this.next(-1); list >= 0; list = this.next(list)) while (this.shift(list));
    this.due.length = 0;
    this.taking.length = 0;
  }
}
