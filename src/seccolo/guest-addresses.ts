// The addresses that the guest claims on its link: what may be announced when it moves to another port at a failover.
// Only its own claims count (the sender of its ARP, the target and the source of its neighbour
// discovery). The sources of its IP packets do not: a guest that forwards packets sends those of others, and announcing
// them would take them off their owners.

import { readWord } from '../core/big-endian';
import { ARP_SENDER_IP_AT, ArpView, parseArp } from '../packet/arp';
import {
  ETH_ALEN,
  ETH_P_ARP,
  ETH_P_IPV6,
  FRAME_OK,
  FrameView,
  isGroupMac,
  macHigh,
  macLow,
  parseFrame,
  tagWord,
} from '../packet/ethernet';
import { NeighbourClaim, parseNeighbourClaim } from '../packet/neighbour';
import { PARSE_OK, parseIp } from '../packet/parse';
import { PacketView } from '../packet/view';

/**
 * A guest with more addresses than this has those announced that it claimed last; the rest is found by its own traffic.
 */
export const MAX_GUEST_ADDRESSES = 64;

export interface GuestAddress {
  family: 4 | 6;
  /** Network order: 4 or 16 bytes. */
  bytes: Uint8Array;
  /** That it was claimed for; a guest may have several. */
  mac: Uint8Array;
  /** VLAN tags of the claim, outermost first: TPID << 16 | VLAN id. */
  tags: readonly number[];
  /** IPv6: the guest forwards packets. */
  router: boolean;
  /** IPv6: neighbours are to replace what they know; not so for an anycast address. */
  override: boolean;
}

interface Claim extends GuestAddress {
  /** Greater = later. */
  claimed: number;
}

const PRIORITY_BITS = 0xf000;

export class GuestAddresses {
  /** Claims that had to give way to later ones. */
  overflows = 0;
  private readonly claims: Claim[] = [];
  private count = 0;
  private readonly frame = new FrameView();
  private readonly arp = new ArpView();
  private readonly packet = new PacketView();
  private readonly neighbour = new NeighbourClaim();
  /** Of the frame being looked at. */
  private outerTag = 0;
  private innerTag = 0;

  /**
   * A frame of len bytes on the guest's port. `vlan`: the tag that the kernel has taken off it (TPID << 16 | TCI), 0 without one. Not
   * `fromGuest`: somebody else's, on its way to the guest; an address that he claims is the guest's no longer.
   */
  note(buf: Uint8Array, len: number, vlan: number, fromGuest: boolean): void {
    const { frame, arp, packet, neighbour } = this;
    if (parseFrame(frame, buf, 0, len) !== FRAME_OK || !this.readTags(buf, vlan)) return;
    if (frame.type === ETH_P_ARP) {
      if (!parseArp(arp, buf, frame.network, len - frame.network)) return;
      this.take(4, buf, frame.network + ARP_SENDER_IP_AT, arp.senderMac, undefined, true, fromGuest);
    } else if (frame.type === ETH_P_IPV6) {
      if (parseIp(packet, buf, frame.network, len - frame.network) !== PARSE_OK) return;
      if (!parseNeighbourClaim(neighbour, packet)) return;
      const mac = neighbour.mac < 0 ? frame.source : neighbour.mac;
      this.take(6, buf, neighbour.address, mac, neighbour.router, neighbour.override, fromGuest);
    }
  }

  /** In the order in which they were first claimed. */
  list(): GuestAddress[] {
    return this.claims.map(({ claimed: _, ...address }) => address);
  }

  /** Is it claimed, in whichever VLAN? */
  has(family: 4 | 6, address: Uint8Array): boolean {
    return this.claims.some((claim) => claim.family === family && equalAt(claim.bytes, address, 0));
  }

  clear(): void {
    this.claims.length = 0;
    this.overflows = 0;
  }

  /** False: more tags than can be kept. */
  private readTags(buf: Uint8Array, vlan: number): boolean {
    const { frame } = this;
    const tags = frame.tags + (vlan === 0 ? 0 : 1);
    if (tags > 2) return false;
    const first = vlan === 0 && frame.tags > 0 ? tagWord(buf, 0, 0) : vlan;
    const second = tags < 2 ? 0 : tagWord(buf, 0, vlan === 0 ? 1 : 0);
    this.outerTag = (first & ~PRIORITY_BITS) >>> 0;
    this.innerTag = (second & ~PRIORITY_BITS) >>> 0;
    // A tag for VLAN 0 gives a priority, and is no VLAN.
    if ((this.outerTag & 0xfff) === 0) {
      this.outerTag = this.innerTag;
      this.innerTag = 0;
    }
    return true;
  }

  private take(
    family: 4 | 6,
    buf: Uint8Array,
    address: number,
    mac: number,
    router: boolean | undefined,
    override: boolean,
    fromGuest: boolean,
  ): void {
    if (!claimable(family, buf, address) || isGroupMac(buf, mac)) return;
    if (macHigh(buf, mac) === 0 && macLow(buf, mac) === 0) return;
    const at = this.claims.findIndex((claim) => this.isThis(claim, family, buf, address));
    if (!fromGuest) {
      if (at >= 0 && !equalAt(this.claims[at]!.mac, buf, mac)) this.claims.splice(at, 1);
      return;
    }
    const claim = at >= 0 ? this.claims[at]! : this.add(family, buf, address, mac);
    if (!equalAt(claim.mac, buf, mac)) claim.mac = Uint8Array.from(buf.subarray(mac, mac + ETH_ALEN));
    claim.claimed = ++this.count;
    claim.override = override;
    // A host is a router in all of its addresses on a link, whichever of them the message was about.
    const same = this.claims.filter((other) => this.isHere(other) && equalAt(other.mac, buf, mac));
    const is = router ?? same.some((other) => other.router);
    for (const other of same) other.router = is;
  }

  private add(family: 4 | 6, buf: Uint8Array, address: number, mac: number): Claim {
    if (this.claims.length === MAX_GUEST_ADDRESSES) {
      this.overflows++;
      const oldest = this.claims.reduce((a, b) => (a.claimed < b.claimed ? a : b));
      this.claims.splice(this.claims.indexOf(oldest), 1);
    }
    const claim: Claim = {
      family,
      bytes: Uint8Array.from(buf.subarray(address, address + (family === 4 ? 4 : 16))),
      mac: Uint8Array.from(buf.subarray(mac, mac + ETH_ALEN)),
      tags: [this.outerTag, this.innerTag].filter((tag) => tag !== 0),
      router: false,
      override: true,
      claimed: 0,
    };
    this.claims.push(claim);
    return claim;
  }

  private isThis(claim: Claim, family: 4 | 6, buf: Uint8Array, address: number): boolean {
    return claim.family === family && this.isHere(claim) && equalAt(claim.bytes, buf, address);
  }

  /** The claim is of the VLAN of the frame being looked at. */
  private isHere({ tags }: Claim): boolean {
    return (tags[0] ?? 0) === this.outerTag && (tags[1] ?? 0) === this.innerTag;
  }
}

function equalAt(bytes: Uint8Array, buf: Uint8Array, at: number): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== buf[at + i]) return false;
  return true;
}

/** False for addresses that name nobody: unspecified, loopback, multicast, broadcast. */
function claimable(family: 4 | 6, buf: Uint8Array, at: number): boolean {
  const first = buf[at]!;
  if (family === 4) return first !== 0 && first !== 127 && first < 224;
  const low =
    readWord(buf, at, 0) === 0 && readWord(buf, at, 1) === 0 && readWord(buf, at, 2) === 0 && readWord(buf, at, 3) <= 1;
  return first !== 0xff && !low;
}
