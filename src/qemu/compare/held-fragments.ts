// Fragments of the primary, which are compared as one packet and leave as they came. They stay in the reassembler's
// memory until the engine's verdict on the whole; the engine identifies them by a slot.

import { read16 } from '../../core/big-endian';
import { copyBytes } from '../../core/bytes';
import { firstProtocol, IP_MF, IP_OFFSET, IPV4_FRAGMENT_AT, ipFamily } from '../../packet/ip-header';
import type { Datagram, Reassembler } from '../../packet/reassembly';
import { IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../../packet/view';

/** May the IP packet at `at` be a fragment? A cheap test whose "no" is certain. */
export function mayBeFragment(buf: Uint8Array, at: number, end: number): boolean {
  if (end - at < 8) return false;
  if (ipFamily(buf, at) === 4) return (read16(buf, at + IPV4_FRAGMENT_AT) & (IP_MF | IP_OFFSET)) !== 0;
  const next = firstProtocol(buf, at);
  return next !== IPPROTO_TCP && next !== IPPROTO_UDP && next !== IPPROTO_ICMPV6;
}

export class HeldFragments {
  private readonly slots: (Datagram | undefined)[] = [undefined];
  private readonly free: number[] = [];

  constructor(private readonly reassembler: Reassembler) {}

  /** Returns the datagram's slot, never 0. The reassembler bounds the number of datagrams. */
  hold(d: Datagram): number {
    const slot = this.free.pop() ?? this.slots.length;
    this.slots[slot] = d;
    return slot;
  }

  /** The frames of a slot, in the order of arrival. */
  forEach(slot: number, leave: (buf: Buffer, off: number, len: number) => void): void {
    const { data } = this.reassembler;
    for (let f = this.slots[slot]!.fragments; f !== undefined; f = f.next) leave(data, f.frameOffset, f.frameBytes);
  }

  /**
   * The engine has changed the whole packet to buf[off, off+len). False: it was shortened, which cannot be done with
   * fragments.
   */
  change(slot: number, buf: Buffer, off: number, len: number): boolean {
    const d = this.slots[slot]!;
    const { data } = this.reassembler;
    if (len !== d.bytes - d.headBytes) return false;
    const at = d.offset + d.headBytes;
    if (buf !== data || off !== at) copyBytes(buf, off, data, at, len);
    this.reassembler.patchFragments(d);
    return true;
  }

  /** Its frames have left or are dropped. */
  release(slot: number): void {
    this.reassembler.free(this.slots[slot]!);
    this.slots[slot] = undefined;
    this.free.push(slot);
  }
}

/** Fragments with virtio-net headers of different sizes are not joined: the whole packet would have two sizes. */
export function fragmentZone(zone: number, vnetBytes: number): number {
  return ((vnetBytes << 16) | zone) >>> 0;
}
