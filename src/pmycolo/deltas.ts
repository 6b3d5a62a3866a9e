// ISN(PVM) - ISN(SVM) of the connections of this epoch, kept where a restarted daemon finds them again, and a
// connection that was silent for long: without them a connection's two numberings cannot be brought together before the
// next checkpoint.
//
// The table is bounded, so it may have to forget. What then is not in it may be a connection from before the last
// checkpoint, which both guests number alike, or one that was forgotten: that is not known, and nothing of it is
// comparable. Nobody can make it forget a connection whose peer has answered both guests: half-open ones have a part of
// their own, and those that have ended go first. Whether the peer of one has answered is asked when it would have to
// go, if the guest has sent nothing since that shows it.

import { FLOW_USER, FlowTable } from '../conntrack/flow-table';
import { type OffsetTable, Rank } from '../conntrack/offset-table';
import { HALF_OPEN_PART, MAX_HALF_OPEN_QUESTIONS } from '../core/limits';
import { FLOW_KEY_WORDS } from '../packet/tuple';
import type { PacketView } from '../packet/view';
import { type DeltaTable, NUMBERS_UNKNOWN } from './context';

const I_SLOT = FLOW_USER;
/** Owner's word of the table: the last epoch of which not every delta is here. */
const O_LOST_EPOCH = 0;
/** Flags of a record. */
const F_COMPLETED = 1;
const F_LEFT = 2;

export class StoredDeltas implements DeltaTable {
  /** Deltas of this or an earlier epoch that were forgotten, or not kept, for lack of room. */
  lost = 0;
  /** False: an earlier process may have known deltas of this epoch that are not here. */
  readonly whole: boolean;
  /** Key -> slot + 1. */
  private readonly index: FlowTable;
  private readonly key = new Uint32Array(FLOW_KEY_WORDS);
  private readonly mostHalfOpen: number;

  /** seed: 64 random bits, against collisions that a peer could aim at. */
  constructor(
    readonly table: OffsetTable,
    seed: readonly [number, number] = [0, 0],
    /** Has the peer of the connection with this key (FLOW_KEY_WORDS words) answered? */
    private readonly hasAnswered: (key: Uint32Array) => boolean = () => false,
  ) {
    this.mostHalfOpen = Math.max(1, Math.floor(table.capacity * HALF_OPEN_PART));
    this.whole = table.origin === 'resumed' && table.damaged === 0 && this.complete;
    if (!this.whole) this.incomplete();
    this.index = new FlowTable(table.capacity, FLOW_USER + 1, seed[0], seed[1]);
    for (let slot = table.next(-1); slot >= 0; slot = table.next(slot)) {
      table.copyKey(slot, this.key);
      const at = this.index.insertKey(this.key);
      if (at < 0) continue;
      this.index.words[at + I_SLOT] = slot + 1;
      if (table.isCurrent(slot)) table.setRank(slot, rankOf(table.flags(slot)));
    }
  }

  find(v: PacketView): number {
    const at = this.index.find(v, false);
    if (at < 0) return this.complete ? 0 : NUMBERS_UNKNOWN;
    const slot = this.index.words[at + I_SLOT]! - 1;
    return this.table.isCurrent(slot) ? this.table.off(slot) : 0;
  }

  store(v: PacketView, delta: number): void {
    const { table, index } = this;
    let at = index.find(v, false);
    if (at >= 0) {
      const slot = index.words[at + I_SLOT]! - 1;
      table.write(slot, 0, delta, 0, 0);
      table.setRank(slot, Rank.Embryonic);
    } else {
      if (index.size === table.capacity) this.forget(this.victim());
      at = index.insert(v, false);
      if (at < 0) {
        this.lost++;
        this.incomplete();
        return;
      }
      index.words[at + I_SLOT] = table.insert(index.words, at, Rank.Embryonic, 0, delta, 0, 0) + 1;
    }
    if (table.countOf(Rank.Embryonic) > this.mostHalfOpen) this.forget(this.oldestHalfOpen());
  }

  completed(words: Uint32Array, base: number): void {
    this.mark(words, base, F_COMPLETED);
  }

  /** It may go on all the same, and be known by its numbers still; but it gives way before any other. */
  left(words: Uint32Array, base: number): void {
    this.mark(words, base, F_LEFT);
  }

  remove(words: Uint32Array, base: number): void {
    const at = this.indexOf(words, base);
    if (at < 0) return;
    this.table.remove(this.index.words[at + I_SLOT]! - 1);
    this.index.remove(at);
  }

  incomplete(): void {
    this.table.setOwner(O_LOST_EPOCH, this.table.epoch);
  }

  clear(): void {
    this.table.advanceEpoch();
  }

  /** Is every connection of this epoch that is not here known to have ended? */
  private get complete(): boolean {
    return this.table.owner(O_LOST_EPOCH) !== this.table.epoch;
  }

  private mark(words: Uint32Array, base: number, flags: number): void {
    const { table } = this;
    const at = this.indexOf(words, base);
    if (at < 0) return;
    const slot = this.index.words[at + I_SLOT]! - 1;
    if (!table.isCurrent(slot)) return;
    table.write(slot, flags, table.off(slot), 0, 0);
    table.setRank(slot, rankOf(flags));
  }

  private indexOf(words: Uint32Array, base: number): number {
    for (let i = 0; i < FLOW_KEY_WORDS; i++) this.key[i] = words[base + i]!;
    return this.index.findKey(this.key);
  }

  /** Which record gives way: one of an older epoch, one that has ended, a half-open one; none (-1) that is open. */
  private victim(): number {
    const { table } = this;
    // Each rank is in the order of the last change, so those of older epochs stand first.
    for (const rank of [Rank.Settled, Rank.Finished, Rank.Embryonic, Rank.Live]) {
      const slot = table.oldest(rank);
      if (slot >= 0 && !table.isCurrent(slot)) return slot;
    }
    const ended = table.oldest(Rank.Finished);
    return ended >= 0 ? ended : this.oldestHalfOpen();
  }

  /** -1: there is none, or as many as were looked at are open after all, which they are called from now on. */
  private oldestHalfOpen(): number {
    const { table, key } = this;
    for (let n = 0; n < MAX_HALF_OPEN_QUESTIONS; n++) {
      const slot = table.oldest(Rank.Embryonic);
      if (slot < 0 || !table.isCurrent(slot)) return slot;
      table.copyKey(slot, key);
      if (!this.hasAnswered(key)) return slot;
      table.write(slot, F_COMPLETED, table.off(slot), 0, 0);
      table.setRank(slot, Rank.Live);
      if (table.countOf(Rank.Embryonic) <= this.mostHalfOpen && this.index.size < table.capacity) break;
    }
    return -1;
  }

  private forget(slot: number): void {
    if (slot < 0) return;
    if (this.table.isCurrent(slot)) {
      this.lost++;
      this.incomplete();
    }
    this.table.copyKey(slot, this.key);
    const at = this.index.findKey(this.key);
    if (at >= 0) this.index.remove(at);
    this.table.remove(slot);
  }
}

function rankOf(flags: number): Rank {
  if (flags === F_COMPLETED) return Rank.Live;
  return flags === F_LEFT ? Rank.Finished : Rank.Embryonic;
}
