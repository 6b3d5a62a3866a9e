// Slots of a table in a few ordered lists, each slot in one of them at the most: append, move and take from the front
// in O(1).

/** Lists are numbered from 0; list 0 is by custom that of the free slots. */
export class SlotLists {
  /** slot + 1, 0 = none; so untouched slots cost no memory. */
  private readonly nextOf: Int32Array;
  private readonly prevOf: Int32Array;
  /** list + 1; 0 = in none. */
  private readonly inList: Uint8Array;
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly counts: Float64Array;

  constructor(slots: number, lists: number) {
    this.nextOf = new Int32Array(slots);
    this.prevOf = new Int32Array(slots);
    this.inList = new Uint8Array(slots);
    this.heads = new Int32Array(lists);
    this.tails = new Int32Array(lists);
    this.counts = new Float64Array(lists);
  }

  /** The oldest slot of a list, or -1. */
  first(list: number): number {
    return this.heads[list]! - 1;
  }

  count(list: number): number {
    return this.counts[list]!;
  }

  /** The list that the slot is in, or -1. */
  listOf(slot: number): number {
    return this.inList[slot]! - 1;
  }

  /** Appends a slot that may be in another list. */
  append(list: number, slot: number): void {
    this.take(slot);
    const tail = this.tails[list]!;
    this.nextOf[slot] = 0;
    this.prevOf[slot] = tail;
    if (tail === 0) this.heads[list] = slot + 1;
    else this.nextOf[tail - 1] = slot + 1;
    this.tails[list] = slot + 1;
    this.inList[slot] = list + 1;
    this.counts[list]!++;
  }

  /** Takes the slot out of the list that it is in, if any. */
  take(slot: number): void {
    const list = this.inList[slot]! - 1;
    if (list < 0) return;
    const next = this.nextOf[slot]!;
    const prev = this.prevOf[slot]!;
    if (prev === 0) this.heads[list] = next;
    else this.nextOf[prev - 1] = next;
    if (next === 0) this.tails[list] = prev;
    else this.prevOf[next - 1] = prev;
    this.inList[slot] = 0;
    this.counts[list]!--;
  }

  clear(): void {
    for (const array of [this.nextOf, this.prevOf, this.inList, this.heads, this.tails, this.counts]) array.fill(0);
  }
}
