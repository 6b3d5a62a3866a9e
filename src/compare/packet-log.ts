// The comparison log: one ring of bytes and one ring of records, filled in the order of arrival. It holds bytes that
// are still to be compared or released and, while the ring has room, verified bytes: a retransmission is compared with
// this history. Records are not freed one by one: the tail passes over those that are no longer needed and moves the
// few that are to the head, so a stalled flow cannot block the others.
//
// The ring uses the first part of its memory, which fits into caches, and more only when that proves too small.

import { ArenaBytes } from '../core/arena-bytes';
import { copyBytes } from '../core/bytes';
import { broken, invariant } from '../core/errors';

/** Words of a record, at `recordIndex(id)`. A record's id is never 0; a dead record has R_ID 0. */
export const R_ID = 0;
/** Base of the owning flow in the flow table. */
export const R_FLOW = 1;
/** Stream position of the first byte that takes part in the comparison (PVM numbers). */
export const R_SEQ = 2;
/** Bytes that take part in the comparison. */
export const R_BYTES = 3;
/** Offset of those bytes in the log's data. */
export const R_AT = 4;
/** Offset and length of the whole copy (a packet for the PVM, the compared bytes for the SVM). */
export const R_COPY = 5;
export const R_COPY_BYTES = 6;
export const R_FLAGS = 7;
/** Neighbours in the flow's list, in stream order; R_PREV goes on into the history. */
export const R_NEXT = 8;
export const R_PREV = 9;
/** Slot of the held packet that needs this copy (valid with LOG_HELD). */
export const R_HOLD = 10;
/** Epoch in which the record was made (low 32 bits). */
export const R_EPOCH = 11;
const RECORD_WORDS = 12;

/** Length of the ring at first: some 70 ms of history at a gigabit per second. */
const FIRST_RING_BYTES = 8 << 20;
/** The ring is at least this many times as long as the needed bytes, so that cleaning seldom has to move them. */
const RING_PER_NEEDED = 4;
/** Most bytes of the ring that a record takes beyond its own. */
const GRID_BYTES = 8;
/** Bounds the number of needed records, however short: the overhead of all is at most an eighth of the log. */
const BYTES_PER_NEEDED = 8 * GRID_BYTES;

/** In a flow's list of bytes that await the other side. */
export const LOG_PENDING = 1;
/** A held packet is released from this copy. */
export const LOG_HELD = 2;
/** Came from the SVM. */
export const LOG_SECONDARY = 4;
/** The SVM's copy is the only one: the PVM's bytes were compared with it and are not in the log. */
export const LOG_SOLE = 8;

/** Told when a needed record gets a new id because it was moved to the head. */
export interface LogOwner {
  /**
   * Must change every reference to oldId. The record's words are already under newId; holdSlot is 0 if no packet is
   * held by it.
   */
  onMove(flow: number, oldId: number, newId: number, holdSlot: number): void;
}

export class PacketLog {
  readonly data: Buffer;
  readonly words: Uint32Array;
  private readonly bytes: ArenaBytes;
  owner: LogOwner | undefined;
  /** Bytes of pending or held records: cleaning must move these. */
  neededBytes = 0;
  /** Pending records of an older epoch are covered by a checkpoint, so they are not needed. */
  epoch = 0;
  private readonly mask: number;
  private readonly maxNeeded: number;
  /** End of the ring in the data. Records have the places of their bytes, so it may change at any time. */
  private ringBytes: number;
  private headId = 1;
  private tailId = 1;
  private headAt = 0;
  private tailAt = 0;
  private usedRecords = 0;
  private runIsOpen = false;

  constructor(
    bytes: number,
    records: number,
    private readonly maxNeededBytes: number,
    firstRingBytes = FIRST_RING_BYTES,
  ) {
    invariant((records & (records - 1)) === 0, 'log records are a power of two');
    invariant(maxNeededBytes * 2 <= bytes, 'needed bytes are at most half the log');
    this.data = Buffer.from(new ArrayBuffer(bytes));
    this.words = new Uint32Array(records * RECORD_WORDS);
    this.bytes = new ArenaBytes(this.data);
    this.mask = records - 1;
    this.maxNeeded = Math.min(this.mask >>> 1, Math.ceil(bytes / BYTES_PER_NEEDED));
    this.ringBytes = Math.min(bytes, firstRingBytes);
  }

  /** The ring has proved too short: doubles it, up to all of its memory. */
  grow(): void {
    this.ringBytes = Math.min(this.ringBytes * 2, this.data.length);
  }

  recordIndex(id: number): number {
    return (id & this.mask) * RECORD_WORDS;
  }

  /** Are the record's compared bytes equal to as many bytes at off of buf? */
  saysTheSame(id: number, buf: Buffer, off: number): boolean {
    const r = (id & this.mask) * RECORD_WORDS;
    return this.bytes.equal(this.words[r + R_AT]!, buf, off, this.words[r + R_BYTES]!);
  }

  /** True while the record is in the ring and still belongs to that flow. */
  alive(id: number, flow: number): boolean {
    const r = (id & this.mask) * RECORD_WORDS;
    return id !== 0 && this.words[r + R_ID] === id && this.words[r + R_FLOW] === flow;
  }

  /**
   * Is there room for another needed record of that many bytes? If not, the bound is exhausted: only a checkpoint
   * helps.
   */
  hasRoom(bytes: number): boolean {
    return this.neededBytes + bytes <= this.maxNeededBytes && this.usedNeeded < this.maxNeeded;
  }

  /** Number of needed records, for the bound on records. */
  usedNeeded = 0;

  /**
   * Copies [off, off+bytes) of buf to the head and makes a record with the given flags.
   * The caller has asked hasRoom(). Returns the new id.
   */
  append(flow: number, buf: Buffer, off: number, bytes: number, flags: number): number {
    if (this.runIsOpen) broken('nothing is appended to the log while a run is open');
    const needed = this.neededBytes + bytes + (this.usedNeeded + 1) * GRID_BYTES;
    while (needed * RING_PER_NEEDED > this.ringBytes && this.ringBytes < this.data.length) this.grow();
    const at = this.reserve(bytes);
    this.bytes.take(buf, off, at, bytes);
    const id = this.makeRecord(flow, at, bytes, flags);
    if (this.displaced.length > 0) this.placeDisplaced();
    return id;
  }

  /**
   * Makes room for a run of that many bytes and records, which runRecord() makes and closeRun() fills: contiguous
   * packets are copied at once. Nothing else may be appended before the run is closed. Returns its offset, or -1: it
   * would overwrite too much of the history at once.
   */
  openRun(bytes: number, records: number): number {
    invariant(!this.runIsOpen, 'one run is open at a time');
    if (bytes > this.ringBytes >>> 2 || records >= this.mask >>> 1) return -1;
    for (;;) {
      while (this.usedRecords + 2 + records > this.mask) this.dropTail();
      const at = this.place((bytes + 8) & ~7);
      if (at < 0) this.dropTail();
      else if (this.displaced.length > 0) this.placeDisplaced();
      else {
        this.runIsOpen = true;
        return at;
      }
    }
  }

  /** A record that is history from the start: bytes [at, at+bytes) of the data, within the open run. */
  runRecord(flow: number, at: number, bytes: number, seq: number): number {
    const id = this.makeRecord(flow, at, bytes, 0);
    const r = this.recordIndex(id);
    this.words[r + R_SEQ] = seq;
    this.words[r + R_BYTES] = bytes;
    return id;
  }

  /** Copies what the run's records speak of, if anything: [off, off+bytes) of buf to the run's beginning. */
  closeRun(at: number, buf: Buffer, off: number, bytes: number): void {
    if (bytes > 0) copyBytes(buf, off, this.data, at, bytes);
    this.closeFilledRun(at, bytes);
  }

  /** Ends a run which somebody else has filled: its records speak of [at, at+bytes) of the data. */
  closeFilledRun(at: number, bytes: number): void {
    this.runIsOpen = false;
    if (bytes > 0) this.headAt = at + ((bytes + 8) & ~7);
  }

  need(id: number, flag: number): void {
    const r = this.recordIndex(id);
    const flags = this.words[r + R_FLAGS]!;
    if ((flags & (LOG_PENDING | LOG_HELD)) === 0) {
      this.neededBytes += this.words[r + R_COPY_BYTES]!;
      this.usedNeeded++;
    }
    this.words[r + R_FLAGS] = flags | flag;
  }

  /** Clears a need; a record without one remains as history until the tail passes it. */
  unneed(id: number, flag: number): void {
    const r = this.recordIndex(id);
    const flags = this.words[r + R_FLAGS]!;
    const left = flags & ~flag;
    this.words[r + R_FLAGS] = left;
    if ((flags & (LOG_PENDING | LOG_HELD)) !== 0 && (left & (LOG_PENDING | LOG_HELD)) === 0) {
      this.neededBytes -= this.words[r + R_COPY_BYTES]!;
      this.usedNeeded--;
    }
  }

  /** After a checkpoint: pending bytes are covered. Held packets must have got their verdicts before. */
  newEpoch(): void {
    this.epoch = (this.epoch + 1) >>> 0;
    this.neededBytes = 0;
    this.usedNeeded = 0;
  }

  private makeRecord(flow: number, at: number, bytes: number, flags: number): number {
    const id = this.headId;
    this.headId = (id + 1) >>> 0 || this.skipZero();
    this.usedRecords++;
    const r = this.recordIndex(id);
    const w = this.words;
    w[r + R_ID] = id;
    w[r + R_FLOW] = flow;
    w[r + R_SEQ] = 0;
    w[r + R_BYTES] = 0;
    w[r + R_AT] = at;
    w[r + R_COPY] = at;
    w[r + R_COPY_BYTES] = bytes;
    w[r + R_FLAGS] = flags;
    w[r + R_NEXT] = 0;
    w[r + R_PREV] = 0;
    w[r + R_HOLD] = 0;
    w[r + R_EPOCH] = this.epoch;
    if ((flags & (LOG_PENDING | LOG_HELD)) !== 0) {
      this.neededBytes += bytes;
      this.usedNeeded++;
    }
    return id;
  }

  /** Id 0 means "none", so its record slot stays dead for one round. */
  private skipZero(): number {
    this.usedRecords++;
    this.words[this.recordIndex(0) + R_ID] = 0;
    return 1;
  }

  /** Makes room for a contiguous run and one record (two where id 0 is skipped), and returns the run's offset. */
  private reserve(bytes: number): number {
    // Runs keep an 8-byte grid and are never empty, so that head and tail only meet when the ring is empty.
    const run = (bytes + 8) & ~7;
    while (this.usedRecords + 2 > this.mask) this.dropTail();
    for (;;) {
      const at = this.place(run);
      if (at >= 0) {
        this.headAt = at + run;
        return at;
      }
      this.dropTail();
    }
  }

  /** Offset where a run of that many bytes fits between head and tail, or -1. */
  private place(run: number): number {
    if (this.usedRecords === 0) {
      this.headAt = 0;
      this.tailAt = 0;
      return 0;
    }
    if (this.headAt > this.tailAt) {
      if (this.headAt + run <= this.ringBytes) return this.headAt;
      // The rest up to the end stays empty: a run is not split, as comparing needs contiguous bytes.
      return run < this.tailAt ? 0 : -1;
    }
    return this.headAt + run < this.tailAt ? this.headAt : -1;
  }

  /** Frees the oldest record; a needed one is set aside until placeDisplaced(). */
  private dropTail(): void {
    const id = this.tailId;
    const r = this.recordIndex(id);
    const w = this.words;
    this.tailId = (id + 1) >>> 0;
    this.usedRecords--;
    if (id !== 0 && w[r + R_ID] === id) {
      const flags = w[r + R_FLAGS]!;
      if ((flags & LOG_HELD) !== 0 || ((flags & LOG_PENDING) !== 0 && w[r + R_EPOCH] === this.epoch)) {
        // Rare (a stalled flow while others filled the whole ring), so an allocation is acceptable.
        const copy = w[r + R_COPY]!;
        this.displaced.push({
          words: w.slice(r, r + RECORD_WORDS),
          bytes: Buffer.from(this.data.subarray(copy, copy + w[r + R_COPY_BYTES]!)),
        });
      }
      w[r + R_ID] = 0;
    }
    this.tailAt = this.oldestAt();
  }

  /** Beginning of the oldest run. The slot of the skipped id 0 has none. */
  private oldestAt(): number {
    for (let id = this.tailId, n = this.usedRecords; n > 0; n--, id = (id + 1) >>> 0) {
      const r = this.recordIndex(id);
      if (id !== 0 && this.words[r + R_ID] === id) return this.words[r + R_COPY]!;
    }
    return this.headAt;
  }

  /**
   * Needed bytes take at most five eighths of the ring, so one round of the tail makes room for all displaced records.
   */
  private placeDisplaced(): void {
    const w = this.words;
    const moved = new Map<number, number>();
    for (let i = 0; i < this.displaced.length; i++) {
      const { words, bytes } = this.displaced[i]!;
      const at = this.reserve(bytes.length);
      bytes.copy(this.data, at);
      this.neededBytes -= bytes.length;
      this.usedNeeded--;
      const id = this.makeRecord(words[R_FLOW]!, at, bytes.length, words[R_FLAGS]!);
      const r = this.recordIndex(id);
      w[r + R_SEQ] = words[R_SEQ]!;
      w[r + R_BYTES] = words[R_BYTES]!;
      w[r + R_AT] = at + (words[R_AT]! - words[R_COPY]!);
      w[r + R_NEXT] = words[R_NEXT]!;
      w[r + R_PREV] = words[R_PREV]!;
      w[r + R_HOLD] = words[R_HOLD]!;
      w[r + R_EPOCH] = words[R_EPOCH]!;
      moved.set(words[R_ID]!, id);
    }
    this.displaced.length = 0;
    for (const [oldId, id] of moved) this.mendLinks(oldId, id, moved);
    for (const [oldId, id] of moved) {
      const r = this.recordIndex(id);
      const held = (w[r + R_FLAGS]! & LOG_HELD) !== 0 ? w[r + R_HOLD]! : 0;
      this.owner?.onMove(w[r + R_FLOW]!, oldId, id, held);
    }
  }

  /** Neighbours may have moved in the same round, or be history that is gone. */
  private mendLinks(oldId: number, id: number, moved: ReadonlyMap<number, number>): void {
    const w = this.words;
    const r = this.recordIndex(id);
    const flow = w[r + R_FLOW]!;
    const next = moved.get(w[r + R_NEXT]!) ?? w[r + R_NEXT]!;
    const prev = moved.get(w[r + R_PREV]!) ?? w[r + R_PREV]!;
    w[r + R_NEXT] = next;
    w[r + R_PREV] = prev;
    if (this.alive(next, flow) && w[this.recordIndex(next) + R_PREV] === oldId) w[this.recordIndex(next) + R_PREV] = id;
    if (this.alive(prev, flow) && w[this.recordIndex(prev) + R_NEXT] === oldId) w[this.recordIndex(prev) + R_NEXT] = id;
  }

  private readonly displaced: { words: Uint32Array; bytes: Buffer }[] = [];
}
