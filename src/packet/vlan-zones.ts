// VLANs as zones of the flow table, which have 16 bits: an untagged frame is zone 0 (and so is a priority tag, VLAN 0),
// a tagged one the zone of its VLAN's number, and a pair of tags (802.1ad) gets a zone of its own when it is first
// seen. Unless another pair has taken it, the zone is the same in every process, as a rewriter's offsets outlive the
// process.

const FIRST_PAIR = 4096;
const PAIRS = (1 << 16) - FIRST_PAIR;

/** More tags than these are not looked through. */
export const MAX_ZONE_TAGS = 2;

/** Result of Zones.of(). */
export const NO_ZONE = -1;

export class Zones {
  private readonly pairs = new Map<number, number>();
  private readonly taken = new Set<number>();

  /** NO_ZONE: there are more pairs than zones, which takes 61,440 of them. */
  of(tags: number, outerVlan: number, innerVlan: number): number {
    if (tags === 0) return 0;
    if (tags === 1) return outerVlan;
    const pair = (outerVlan << 12) | innerVlan;
    const known = this.pairs.get(pair);
    if (known !== undefined) return known;
    if (this.pairs.size === PAIRS) return NO_ZONE;
    let place = pair % PAIRS;
    while (this.taken.has(place)) place = (place + 1) % PAIRS;
    this.taken.add(place);
    this.pairs.set(pair, FIRST_PAIR + place);
    return FIRST_PAIR + place;
  }
}
