// ISN(PVM) - ISN(SVM) of the connections of this epoch, kept where a restarted daemon finds them again: without them a
// connection's two numberings could not be brought together before the next checkpoint.

import { FLOW_KEY_WORDS, FLOW_USER, FlowTable } from '../conntrack/flow-table';
import { type OffsetTable, Rank } from '../conntrack/offset-table';
import type { PacketView } from '../packet/view';
import type { DeltaTable } from './context';

const I_SLOT = FLOW_USER;
/** Owner's word of the table: the last epoch of which not every delta is here. */
const O_LOST_EPOCH = 0;

export class StoredDeltas implements DeltaTable {
  /** Deltas that found the table full, or gave way to newer ones: those connections wait for a checkpoint after a restart. */
  lost = 0;
  /** False: an earlier process may have known deltas of this epoch that are not here. */
  readonly whole: boolean;
  /** Key -> slot + 1. */
  private readonly index: FlowTable;
  private readonly key = new Uint32Array(FLOW_KEY_WORDS);

  /** seed: 64 random bits, against collisions that a peer could aim at. */
  constructor(
    readonly table: OffsetTable,
    seed: readonly [number, number] = [0, 0],
  ) {
    this.whole = table.origin === 'resumed' && table.damaged === 0 && table.owner(O_LOST_EPOCH) !== table.epoch;
    if (!this.whole) table.setOwner(O_LOST_EPOCH, table.epoch);
    this.index = new FlowTable(table.capacity, FLOW_USER + 1, seed[0], seed[1]);
    for (let slot = table.next(-1); slot >= 0; slot = table.next(slot)) {
      table.copyKey(slot, this.key);
      const at = this.index.insertKey(this.key);
      if (at >= 0) this.index.words[at + I_SLOT] = slot + 1;
    }
  }

  find(v: PacketView): number {
    const at = this.index.find(v, false);
    if (at < 0) return 0;
    const slot = this.index.words[at + I_SLOT]! - 1;
    return this.table.isCurrent(slot) ? this.table.off(slot) : 0;
  }

  store(v: PacketView, delta: number): void {
    let at = this.index.find(v, false);
    if (at >= 0) {
      this.table.write(this.index.words[at + I_SLOT]! - 1, 0, delta, 0, 0);
      return;
    }
    at = this.index.insert(v, false);
    if (at < 0) {
      // One of an older epoch gives way; it loses only what a restart of the daemon would need.
      this.lost++;
      const victim = this.table.victim();
      if (victim < 0) {
        this.table.setOwner(O_LOST_EPOCH, this.table.epoch);
        return;
      }
      this.forget(victim);
      at = this.index.insert(v, false);
      if (at < 0) return;
    }
    const slot = this.table.insert(this.index.words, at, Rank.Live, 0, delta, 0, 0);
    if (slot < 0) this.index.remove(at);
    else this.index.words[at + I_SLOT] = slot + 1;
  }

  /** The flow whose key stands at base of words is gone. */
  remove(words: Uint32Array, base: number): void {
    for (let i = 0; i < FLOW_KEY_WORDS; i++) this.key[i] = words[base + i]!;
    const at = this.index.findKey(this.key);
    if (at < 0) return;
    this.table.remove(this.index.words[at + I_SLOT]! - 1);
    this.index.remove(at);
  }

  /** A checkpoint: the SVM numbers like the PVM now. */
  clear(): void {
    this.table.advanceEpoch();
  }

  private forget(slot: number): void {
    this.table.copyKey(slot, this.key);
    const at = this.index.findKey(this.key);
    if (at >= 0) this.index.remove(at);
    this.table.remove(slot);
  }
}
