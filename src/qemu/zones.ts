// VLANs as zones of the flow table, which have 16 bits: an untagged frame is zone 0 (and so is a priority tag, VLAN 0), a tagged one
// the zone of its VLAN's number, and a pair of tags (802.1ad) gets a zone of its own when it is first seen.

const FIRST_PAIR = 4096;
const LAST_ZONE = 0xffff;

/** More tags than these are not looked through. */
export const MAX_ZONE_TAGS = 2;

export class Zones {
  private readonly pairs = new Map<number, number>();
  private next = FIRST_PAIR;

  /** -1: there are more pairs than zones, which takes 61,440 of them. */
  of(tags: number, outerVlan: number, innerVlan: number): number {
    if (tags === 0) return 0;
    if (tags === 1) return outerVlan;
    const pair = (outerVlan << 12) | innerVlan;
    const known = this.pairs.get(pair);
    if (known !== undefined) return known;
    if (this.next > LAST_ZONE) return -1;
    this.pairs.set(pair, this.next);
    return this.next++;
  }
}
