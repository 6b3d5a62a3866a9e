// Link-layer headers as zones of the comparison's flow table: packets whose frames differ in a MAC address, a tag, its
// priority or its kind are never compared with each other, so a frame leaves only with a header that the secondary has
// given to the same packet. A zone has 16 bits, and its number has no meaning outside the process.

import { read16, read32, readWord } from '../core/big-endian';
import { hashWords } from '../core/hash';
import { ETH_TYPE_BYTES, tagWord } from '../packet/ethernet';

/** More tags than these are not looked through. */
export const MAX_ZONE_TAGS = 2;

/** Result of LinkHeaders.of(). */
export const NO_ZONE = -1;

/**
 * Zones above 0. A guest has as many as it has neighbours on its links, and a table that is full is emptied at a
 * checkpoint.
 */
const ZONES = 0xffff;
const SLOTS = 1 << 17;
const KEY_WORDS = 5;
const SLOT_WORDS = KEY_WORDS + 1;

export class LinkHeaders {
  /** Of each slot the key and its zone; 0: free. */
  private readonly table = new Uint32Array(SLOTS * SLOT_WORDS);
  /** Slot of each zone. */
  private readonly slots = new Int32Array(ZONES + 1);
  private readonly key = new Uint32Array(KEY_WORDS);
  /** Slot found last: packets of a flow often follow each other. */
  private latest = 0;
  private count = 0;

  constructor(
    private readonly seed0: number,
    private readonly seed1: number,
  ) {}

  get full(): boolean {
    return this.count === ZONES;
  }

  /**
   * Zone, from 1, of the header at `at` with that number of tags (at most MAX_ZONE_TAGS). NO_ZONE: it is new, and the
   * table is full.
   */
  of(buf: Uint8Array, at: number, tags: number): number {
    const { key, table } = this;
    key[0] = readWord(buf, at, 0);
    key[1] = readWord(buf, at, 1);
    key[2] = readWord(buf, at, 2);
    key[3] = tags > 0 ? tagWord(buf, at, 0) : 0;
    key[4] = tags > 1 ? tagWord(buf, at, 1) : 0;
    if (this.isAt(this.latest)) return table[this.latest * SLOT_WORDS + KEY_WORDS]!;
    let slot = hashWords(this.seed0, this.seed1, key, 0, KEY_WORDS) & (SLOTS - 1);
    for (; table[slot * SLOT_WORDS + KEY_WORDS] !== 0; slot = (slot + 1) & (SLOTS - 1)) {
      if (!this.isAt(slot)) continue;
      this.latest = slot;
      return table[slot * SLOT_WORDS + KEY_WORDS]!;
    }
    if (this.full) return NO_ZONE;
    table.set(key, slot * SLOT_WORDS);
    table[slot * SLOT_WORDS + KEY_WORDS] = ++this.count;
    this.slots[this.count] = slot;
    this.latest = slot;
    return this.count;
  }

  /** The VLANs of a zone, as reports name them: ` vlan 5`, ` vlan 5.6`, or nothing. */
  vlansOf(zone: number): string {
    if (zone === 0 || zone > this.count) return '';
    const at = this.slots[zone]! * SLOT_WORDS;
    const vlans = [3, 4].map((i) => this.table[at + i]!).filter((word) => word !== 0);
    return vlans.length === 0 ? '' : ` vlan ${vlans.map((word) => word & 0xfff).join('.')}`;
  }

  /** Forgets all headers; nothing that is known by its zone may be left. */
  clear(): void {
    this.table.fill(0);
    this.count = 0;
  }

  private isAt(slot: number): boolean {
    const { key, table } = this;
    const at = slot * SLOT_WORDS;
    return (
      table[at + KEY_WORDS] !== 0 &&
      table[at] === key[0] &&
      table[at + 1] === key[1] &&
      table[at + 2] === key[2] &&
      table[at + 3] === key[3] &&
      table[at + 4] === key[4]
    );
  }
}

/** Are the headers of two frames, from their MAC addresses to the network layer (14 bytes and 4 a tag), the same? */
export function sameHeaders(p: Uint8Array, pAt: number, s: Uint8Array, sAt: number, bytes: number): boolean {
  for (let i = 0; i + 4 <= bytes; i += 4) if (read32(p, pAt + i) !== read32(s, sAt + i)) return false;
  // Words and the type behind them.
  return read16(p, pAt + bytes - ETH_TYPE_BYTES) === read16(s, sAt + bytes - ETH_TYPE_BYTES);
}
