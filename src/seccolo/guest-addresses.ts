// The addresses that the guest has used as sources: what has to be announced when the guest moves to another port at a failover.

import type { PacketView } from '../packet/view';

/** A guest with more addresses than this has the rest found by its own traffic. */
export const MAX_GUEST_ADDRESSES = 64;

export interface GuestAddress {
  family: 4 | 6;
  /** Network order: 4 or 16 bytes. */
  bytes: Uint8Array;
}

const WORDS = 5; // family, then four words as in a packet view

export class GuestAddresses {
  private readonly words = new Uint32Array(MAX_GUEST_ADDRESSES * WORDS);
  private last = 0;
  count = 0;
  /** Packets whose source found the list full. */
  overflows = 0;

  /** Takes the source of a packet that the guest sent. */
  note(v: PacketView): void {
    if (this.count > 0 && this.isAt(this.last, v)) return;
    for (let i = 0; i < this.count; i++) {
      if (this.isAt(i, v)) {
        this.last = i;
        return;
      }
    }
    if (!announceable(v)) return;
    if (this.count === MAX_GUEST_ADDRESSES) {
      this.overflows++;
      return;
    }
    const w = this.count * WORDS;
    this.words[w] = v.family;
    this.words[w + 1] = v.src0;
    this.words[w + 2] = v.src1;
    this.words[w + 3] = v.src2;
    this.words[w + 4] = v.src3;
    this.last = this.count++;
  }

  /** In the order in which they were first seen. */
  list(): GuestAddress[] {
    const out: GuestAddress[] = [];
    for (let i = 0; i < this.count; i++) {
      const family = this.words[i * WORDS] === 4 ? 4 : 6;
      const bytes = new Uint8Array(family === 4 ? 4 : 16);
      const view = new DataView(bytes.buffer);
      for (let n = 0; n < bytes.length; n += 4) view.setUint32(n, this.words[i * WORDS + 1 + n / 4]!);
      out.push({ family, bytes });
    }
    return out;
  }

  clear(): void {
    this.count = 0;
    this.last = 0;
    this.overflows = 0;
  }

  private isAt(i: number, v: PacketView): boolean {
    const { words } = this;
    const w = i * WORDS;
    return (
      words[w + 1] === v.src0 &&
      words[w] === v.family &&
      words[w + 2] === v.src1 &&
      words[w + 3] === v.src2 &&
      words[w + 4] === v.src3
    );
  }
}

/** False for sources that name nobody: unspecified, loopback, multicast, broadcast. */
function announceable(v: PacketView): boolean {
  const first = v.src0 >>> 24;
  if (v.family === 4) return first !== 0 && first !== 127 && first < 224;
  const low = v.src0 === 0 && v.src1 === 0 && v.src2 === 0 && v.src3 <= 1;
  return first !== 0xff && !low;
}
