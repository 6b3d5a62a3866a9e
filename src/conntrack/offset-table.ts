// What must outlive the daemon, per connection: the offsets between what a VM numbers and what its peer numbers. The
// table lies in memory that the caller supplies, a mapped file in production, and is whole after a kill at any
// instruction: the process may stop between any two stores, and what it stored is then what the next one reads, in the
// same order. So a record exists from the one store of its check word on, and an update is written beside the old
// values and then switched to.
//
// A checkpoint makes every offset void by one store: a new epoch. Records of an older epoch still name connections (and
// the newest echo of their peers); only their offsets no longer count. What they held in the epoch before the present
// one stays readable, for as long as it is in doubt whether the checkpoint came about.

import { invariant } from '../core/errors';
import { hashWords } from '../core/hash';
import { SlotLists } from '../core/slot-lists';
import { FLOW_KEY_WORDS } from '../packet/tuple';

const MAGIC = 0x434f4c4f;
/** Of the layout below. A file of another version is not converted: its connections are those of another program. */
const VERSION = 2;

const H_MAGIC = 0;
const H_VERSION = 1;
const H_RECORD_WORDS = 2;
const H_CAPACITY = 3;
const H_EPOCH = 4;
/** Records of an epoch before this one are void altogether. */
const H_FLOOR = 5;
const H_FAILED_OVER = 6;
/** Slots ever used: what lies above was never written by this table and may be anything. */
const H_HIGH_WATER = 7;
const H_OWNER = 8;
const HEADER_WORDS = 16;
/** The epoch that came before the present one. */
const H_PREVIOUS = 13;
/** The epoch of which it is in doubt whether the VM lives in it or in the previous one. */
const H_DOUBT = 14;
/** The epoch in which what the previous one held is being put back. */
const H_RETURNING = 15;
export const OWNER_WORDS = H_PREVIOUS - H_OWNER;

const RECORD_WORDS = 32;
const R_KEY_CHECK = FLOW_KEY_WORDS; // 0 = the slot is free
/** Which of the three copies holds (2 bits), and which, plus 1, held the last values of another epoch (2 bits). */
const R_SELECTOR = 11;
const R_ECHO = 12;
const R_ECHO_KNOWN = 13;
const R_COPY = 14;
const COPIES = 3;
const COPY_STRIDE = 6;
const C_EPOCH = 0;
const C_FLAGS = 1;
const C_OFF = 2;
const C_TS_OFF = 3;
const C_EXTRA = 4;
const C_CHECK = 5;

/** Seeds of the check words: they detect torn and foreign bytes, not forged ones. */
const CHECK_SEED_KEY = 0x6b657973;
const CHECK_SEED_COPY = 0x636f7079;

/** What the constructor found in the memory. All but `resumed` mean that the table starts empty. */
export type OffsetTableOrigin = 'new' | 'resumed' | 'not-a-table' | 'other-version' | 'other-size' | 'damaged';

/**
 * Who gives way when the table is full: ranks in this order, within a rank the oldest. Live records of this epoch never
 * do.
 */
export const Rank = { Finished: 1, Settled: 2, Live: 3, Embryonic: 4 } as const;
export type Rank = (typeof Rank)[keyof typeof Rank];

export class OffsetTable {
  readonly origin: OffsetTableOrigin;
  readonly capacity: number;
  /** Records that were found torn or foreign and were dropped when the table was opened. */
  readonly damaged: number = 0;
  /** Records in use. */
  size = 0;

  private readonly lists: SlotLists;
  /** base + 1, 0 = nobody's: untouched slots cost no memory. */
  private readonly holders: Int32Array;

  static bytesFor(capacity: number): number {
    return (HEADER_WORDS + capacity * RECORD_WORDS) * 4;
  }

  /** `words` spans the memory; its length gives the capacity. */
  constructor(protected readonly words: Uint32Array) {
    this.capacity = Math.floor((words.length - HEADER_WORDS) / RECORD_WORDS);
    invariant(this.capacity >= 1, 'an offset table needs room for a record');
    this.lists = new SlotLists(this.capacity, Rank.Embryonic + 1);
    this.holders = new Int32Array(this.capacity);
    this.origin = this.judge();
    if (this.origin === 'resumed') this.damaged = this.load();
    else this.format();
  }

  get epoch(): number {
    return this.words[H_EPOCH]!;
  }

  /**
   * Every offset is void from here on: the one store of the epoch, whatever the number of records. With `doubt` see
   * inDoubt.
   */
  advanceEpoch(doubt = false): void {
    if (doubt) this.store(H_DOUBT, this.epoch + 1);
    this.store(H_PREVIOUS, this.epoch);
    this.store(H_EPOCH, this.epoch + 1);
  }

  /** It is not known whether the VM lives in the present epoch or in the previous one. */
  get inDoubt(): boolean {
    return this.words[H_DOUBT] === this.epoch;
  }

  /** The present epoch is the one. */
  endDoubt(): void {
    this.store(H_DOUBT, 0);
    this.store(H_RETURNING, 0);
  }

  /** The previous epoch is valid: to be called before its values are written back; endDoubt() follows. */
  beginReturn(): void {
    this.store(H_RETURNING, this.epoch);
  }

  /** A process stopped between the two. */
  get returning(): boolean {
    return this.words[H_RETURNING] === this.epoch;
  }

  get previousEpoch(): number {
    return this.words[H_PREVIOUS]!;
  }

  get failedOver(): boolean {
    return this.words[H_FAILED_OVER] === 1;
  }

  set failedOver(on: boolean) {
    this.store(H_FAILED_OVER, on ? 1 : 0);
  }

  /** Words for the owner's use (0 <= index < OWNER_WORDS), 0 in a new table. */
  owner(index: number): number {
    return this.words[H_OWNER + index]!;
  }

  setOwner(index: number, value: number): void {
    invariant(index >= 0 && index < OWNER_WORDS, 'owner data has eight words');
    this.store(H_OWNER + index, value);
  }

  /** Forgets every record; the failover flag and the owner's words stay. */
  clear(): void {
    this.store(H_FLOOR, this.epoch + 1);
    this.store(H_EPOCH, this.epoch + 1);
    this.store(H_HIGH_WATER, 0);
    this.lists.clear();
    this.holders.fill(0);
    this.size = 0;
  }

  /**
   * A slot for the key (ten words of `key` from `keyOff`, as in a flow record), or -1 when all are taken. The echo is
   * unknown.
   */
  insert(
    key: Uint32Array,
    keyOff: number,
    rank: Rank,
    flags: number,
    off: number,
    tsOff: number,
    extra: number,
  ): number {
    const slot = this.allocate();
    if (slot < 0) return -1;
    const r = this.at(slot);
    for (let i = 0; i < FLOW_KEY_WORDS; i++) this.store(r + i, key[keyOff + i]!);
    this.store(r + R_ECHO_KNOWN, 0);
    this.writeCopy(r, 0, flags, off, tsOff, extra);
    this.store(r + R_SELECTOR, 0);
    this.store(r + R_KEY_CHECK, this.keyCheck(r));
    this.lists.append(rank, slot);
    this.size++;
    return slot;
  }

  /** New values for a record, which belongs to the present epoch from then on. All or nothing. */
  write(slot: number, flags: number, off: number, tsOff: number, extra: number): void {
    const r = this.at(slot);
    const selector = this.words[r + R_SELECTOR]!;
    const holds = selector & 3;
    const before = this.isCurrent(slot) ? selector >>> 2 : holds + 1;
    let free = 0;
    while (free === holds || free + 1 === before) free++;
    this.writeCopy(r, free, flags, off, tsOff, extra);
    this.store(r + R_SELECTOR, free | (before << 2));
  }

  /** For the accessors: the copy with the record's last values of the previous epoch, or -1. */
  previous(slot: number): number {
    const r = this.at(slot);
    const selector = this.words[r + R_SELECTOR]!;
    const copy = this.isCurrent(slot) ? (selector >>> 2) - 1 : selector & 3;
    if (copy < 0 || this.field(slot, C_EPOCH, copy) !== this.previousEpoch) return -1;
    const c = r + R_COPY + copy * COPY_STRIDE;
    return this.previousEpoch !== this.epoch && this.words[c + C_CHECK] === this.copyCheck(c) ? copy : -1;
  }

  remove(slot: number): void {
    this.store(this.at(slot) + R_KEY_CHECK, 0);
    this.holders[slot] = 0;
    this.lists.append(0, slot);
    this.size--;
  }

  /** True when the record's offsets are of the present epoch. */
  isCurrent(slot: number): boolean {
    return this.field(slot, C_EPOCH) === this.epoch;
  }

  flags(slot: number, copy = this.holding(slot)): number {
    return this.field(slot, C_FLAGS, copy);
  }

  off(slot: number, copy = this.holding(slot)): number {
    return this.field(slot, C_OFF, copy);
  }

  tsOff(slot: number, copy = this.holding(slot)): number {
    return this.field(slot, C_TS_OFF, copy);
  }

  extra(slot: number, copy = this.holding(slot)): number {
    return this.field(slot, C_EXTRA, copy);
  }

  copyKey(slot: number, to: Uint32Array): void {
    const r = this.at(slot);
    for (let i = 0; i < FLOW_KEY_WORDS; i++) to[i] = this.words[r + i]!;
  }

  /** The newest timestamp that the peer has echoed; on the packet path, so one plain store that is whole by itself. */
  noteEcho(slot: number, tsEcr: number): void {
    const r = this.at(slot);
    this.words[r + R_ECHO] = tsEcr;
    if (this.words[r + R_ECHO_KNOWN] === 0) this.store(r + R_ECHO_KNOWN, 1);
  }

  forgetEcho(slot: number): void {
    this.store(this.at(slot) + R_ECHO_KNOWN, 0);
  }

  echoKnown(slot: number): boolean {
    return this.words[this.at(slot) + R_ECHO_KNOWN] === 1;
  }

  echo(slot: number): number {
    return this.words[this.at(slot) + R_ECHO]!;
  }

  /** Whose record it is (a flow's base); not kept in the memory. -1 = nobody's. */
  holder(slot: number): number {
    return this.holders[slot]! - 1;
  }

  setHolder(slot: number, base: number): void {
    this.holders[slot] = base + 1;
  }

  /** Moves the record to the young end of a rank. */
  setRank(slot: number, rank: Rank): void {
    this.lists.append(rank, slot);
  }

  rank(slot: number): Rank {
    return this.lists.listOf(slot) as Rank;
  }

  countOf(rank: Rank): number {
    return this.lists.count(rank);
  }

  /** The record of a rank that was put there first, or -1. */
  oldest(rank: Rank): number {
    return this.lists.first(rank);
  }

  /** The record that has to give way to a new one, or -1 when all are live. */
  victim(): number {
    const finished = this.lists.first(Rank.Finished);
    if (finished >= 0) return finished;
    const settled = this.lists.first(Rank.Settled);
    if (settled >= 0) return settled;
    // Live records stand in the order of their epochs: after a checkpoint the oldest are settled too.
    const live = this.lists.first(Rank.Live);
    if (live >= 0 && !this.isCurrent(live)) return live;
    return this.lists.first(Rank.Embryonic);
  }

  /** For walks: the first record after `slot`, or -1. Start with -1. */
  next(slot: number): number {
    const end = this.words[H_HIGH_WATER]!;
    for (let s = slot + 1; s < end; s++) if (this.words[this.at(s) + R_KEY_CHECK] !== 0) return s;
    return -1;
  }

  /** Every write that must keep its place in the order of writes goes through here. */
  protected store(index: number, value: number): void {
    Atomics.store(this.words, index, value);
  }

  private at(slot: number): number {
    return HEADER_WORDS + slot * RECORD_WORDS;
  }

  private holding(slot: number): number {
    return this.words[this.at(slot) + R_SELECTOR]! & 3;
  }

  private field(slot: number, field: number, copy = this.holding(slot)): number {
    return this.words[this.at(slot) + R_COPY + copy * COPY_STRIDE + field]!;
  }

  private writeCopy(r: number, copy: number, flags: number, off: number, tsOff: number, extra: number): void {
    const c = r + R_COPY + copy * COPY_STRIDE;
    this.store(c + C_EPOCH, this.epoch);
    this.store(c + C_FLAGS, flags);
    this.store(c + C_OFF, off);
    this.store(c + C_TS_OFF, tsOff);
    this.store(c + C_EXTRA, extra);
    this.store(c + C_CHECK, this.copyCheck(c));
  }

  private keyCheck(r: number): number {
    return hashWords(CHECK_SEED_KEY, r, this.words, r, FLOW_KEY_WORDS) || 1;
  }

  private copyCheck(c: number): number {
    return hashWords(CHECK_SEED_COPY, c, this.words, c, C_CHECK);
  }

  private allocate(): number {
    const free = this.lists.first(0);
    if (free >= 0) return free;
    const slot = this.words[H_HIGH_WATER]!;
    if (slot === this.capacity) return -1;
    this.store(this.at(slot) + R_KEY_CHECK, 0);
    this.store(H_HIGH_WATER, slot + 1);
    return slot;
  }

  private judge(): OffsetTableOrigin {
    const { words } = this;
    if (words[H_MAGIC] !== MAGIC) {
      for (let i = 0; i < HEADER_WORDS; i++) if (words[i] !== 0) return 'not-a-table';
      return 'new';
    }
    if (words[H_VERSION] !== VERSION) return 'other-version';
    if (words[H_RECORD_WORDS] !== RECORD_WORDS || words[H_CAPACITY] !== this.capacity) return 'other-size';
    const sound =
      words[H_HIGH_WATER]! <= this.capacity &&
      words[H_FAILED_OVER]! <= 1 &&
      words[H_FLOOR]! >= 1 &&
      words[H_EPOCH]! + 1 >= words[H_FLOOR]!;
    return sound ? 'resumed' : 'damaged';
  }

  private format(): void {
    this.store(H_MAGIC, 0);
    for (let i = 1; i < HEADER_WORDS; i++) this.store(i, 0);
    this.store(H_VERSION, VERSION);
    this.store(H_RECORD_WORDS, RECORD_WORDS);
    this.store(H_CAPACITY, this.capacity);
    this.store(H_EPOCH, 1);
    this.store(H_FLOOR, 1);
    this.store(H_MAGIC, MAGIC);
  }

  /** Takes over what an earlier process left; returns how many records were not whole. */
  private load(): number {
    let damaged = 0;
    // Killed between the two stores of clear().
    if (this.epoch < this.words[H_FLOOR]!) this.store(H_EPOCH, this.words[H_FLOOR]!);
    const end = this.words[H_HIGH_WATER]!;
    for (let slot = 0; slot < end; slot++) {
      const r = this.at(slot);
      if (this.words[r + R_KEY_CHECK] !== 0 && !this.isWhole(r)) {
        damaged++;
        this.store(r + R_KEY_CHECK, 0);
      }
      if (this.words[r + R_KEY_CHECK] !== 0 && this.field(slot, C_EPOCH) < this.words[H_FLOOR]!) {
        this.store(r + R_KEY_CHECK, 0);
      }
      if (this.words[r + R_KEY_CHECK] === 0) {
        this.lists.append(0, slot);
      } else {
        this.lists.append(Rank.Settled, slot);
        this.size++;
      }
    }
    return damaged;
  }

  private isWhole(r: number): boolean {
    const { words } = this;
    if (words[r + R_KEY_CHECK] !== this.keyCheck(r)) return false;
    const selector = words[r + R_SELECTOR]!;
    if ((selector & 3) >= COPIES || selector >>> 2 > COPIES || words[r + R_ECHO_KNOWN]! > 1) return false;
    const c = r + R_COPY + (selector & 3) * COPY_STRIDE;
    return words[c + C_CHECK] === this.copyCheck(c) && words[c + C_EPOCH]! <= this.epoch;
  }
}
