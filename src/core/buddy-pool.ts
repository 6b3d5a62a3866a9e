// Places of different sizes in one buffer, given back in any order: a buddy allocator (Knowlton 1965; Knuth, TAOCP 1,
// 2.5). A place takes the next power of two, and one that is given back joins its free neighbour, so that fragmentation
// does not accumulate.

import { invariant } from './errors';
import { SlotLists } from './slot-lists';

export class BuddyPool {
  readonly bytes: number;
  /** With what the rounding up costs. */
  usedBytes = 0;
  /**
   * Free blocks by order, each under its first unit. A block of order k is 2^k units, and begins at a multiple of that.
   */
  private readonly freeBlocks: SlotLists;
  /** order + 1 of the place that begins at a unit. */
  private readonly orders: Uint8Array;
  private readonly topOrder: number;

  /** 2^bytesLog2 bytes in units of 2^unitLog2. */
  constructor(
    bytesLog2: number,
    private readonly unitLog2: number,
  ) {
    this.bytes = 2 ** bytesLog2;
    this.topOrder = bytesLog2 - unitLog2;
    const units = 1 << this.topOrder;
    this.freeBlocks = new SlotLists(units, this.topOrder + 1);
    this.orders = new Uint8Array(units);
    this.freeBlocks.append(this.topOrder, 0);
  }

  /** Offset of a place for so many bytes (at least 1), or -1. */
  allocate(bytes: number): number {
    const order = this.orderOf(bytes);
    let k = order;
    while (k <= this.topOrder && this.freeBlocks.count(k) === 0) k++;
    if (k > this.topOrder) return -1;
    const unit = this.freeBlocks.first(k);
    this.freeBlocks.take(unit);
    while (k > order) {
      k--;
      this.freeBlocks.append(k, unit + (1 << k));
    }
    this.orders[unit] = order + 1;
    this.usedBytes += 2 ** (order + this.unitLog2);
    return unit * 2 ** this.unitLog2;
  }

  /** Gives back what allocate() gave. */
  release(offset: number): void {
    let unit = offset / 2 ** this.unitLog2;
    let order = this.orders[unit]! - 1;
    invariant(order >= 0, 'a place is given back once');
    this.orders[unit] = 0;
    this.usedBytes -= 2 ** (order + this.unitLog2);
    for (; order < this.topOrder; order++) {
      const buddy = unit ^ (1 << order);
      if (this.freeBlocks.listOf(buddy) !== order) break;
      this.freeBlocks.take(buddy);
      unit &= ~(1 << order);
    }
    this.freeBlocks.append(order, unit);
  }

  private orderOf(bytes: number): number {
    const units = Math.ceil(bytes / 2 ** this.unitLog2);
    return units <= 1 ? 0 : 32 - Math.clz32(units - 1);
  }
}
