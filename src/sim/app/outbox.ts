// Output of an application that TCP does not have yet. It is handed over at the machine's own pace, so that two guests
// cut the same stream into different packets.

import type { Connection } from '../tcp/connection';

interface Item {
  readonly literal: Buffer | null;
  readonly seed: number;
  readonly from: number;
  readonly bytes: number;
}

export class Outbox {
  private items: Item[] = [];

  clone(): Outbox {
    const copy = new Outbox();
    copy.items = this.items.slice();
    return copy;
  }

  get empty(): boolean {
    return this.items.length === 0;
  }

  literal(bytes: Buffer): void {
    this.items.push({ literal: bytes, seed: 0, from: 0, bytes: bytes.length });
  }

  content(seed: number, from: number, bytes: number): void {
    if (bytes === 0) return;
    const last = this.items[this.items.length - 1];
    if (last && last.literal === null && last.seed === seed && last.from + last.bytes === from) {
      this.items[this.items.length - 1] = { ...last, bytes: last.bytes + bytes };
      return;
    }
    this.items.push({ literal: null, seed, from, bytes });
  }

  /** Hands over up to `limit` bytes while the send buffer has room; the connection must be pushed afterwards. */
  handOver(c: Connection, limit: number): void {
    let left = Math.min(limit, c.room);
    while (left > 0 && this.items.length > 0) {
      const item = this.items[0]!;
      if (item.literal) {
        // A literal is short: it goes whole, even a little over the limit.
        c.send.writeLiteral(item.literal);
        left -= item.bytes;
        this.items.shift();
        continue;
      }
      const n = Math.min(left, item.bytes);
      c.send.writeContent(item.seed, item.from, n);
      left -= n;
      if (n === item.bytes) this.items.shift();
      else this.items[0] = { literal: null, seed: item.seed, from: item.from + n, bytes: item.bytes - n };
    }
  }
}
