// One of the two captures of `colo compare`: its IP packets, and counts of skipped packets by reason.

import { readWord } from '../core/big-endian';
import { LINK_ARP, LINK_NAMES, LINK_UNKNOWN, networkOffset, senderOf } from '../io/pcap/link';
import { readCapture } from '../io/pcap/pcap';
import { isInfrastructure } from '../packet/infrastructure';
import { hasExtensionHeaders, viewWhole } from '../packet/ip-canon';
import {
  firstProtocol,
  IPV4_LENGTH_AT,
  IPV4_SOURCE_AT,
  IPV6_LENGTH_AT,
  IPV6_SOURCE_AT,
  ipFamily,
  writeIpBytes,
} from '../packet/ip-header';
import { PARSE_EXTENSION, PARSE_IP_LENGTH, PARSE_NAMES, PARSE_OK, PARSE_TRANSPORT, parseIp } from '../packet/parse';
import { REASSEMBLY_COMPLETE, Reassembler } from '../packet/reassembly';
import { IPPROTO_TCP, IPPROTO_UDP, PacketView } from '../packet/view';

/** Ethernet pads frames to this many bytes behind the header. */
const LONGEST_PADDED_BYTES = 46;

export const PRIMARY = 0;
export const SECONDARY = 1;
export type Side = typeof PRIMARY | typeof SECONDARY;

/** An address as a key of maps: an IPv4 one is its word. */
export type AddressKey = number | string;

/** Owner of a packet: its IP source, or the frame's sender where no IP source can be read; '' = unknown. */
export type Owner = AddressKey;

export function addressKey(family: 4 | 6, words: ArrayLike<number>, at = 0): AddressKey {
  return family === 4 ? words[at]! : `${words[at]},${words[at + 1]},${words[at + 2]},${words[at + 3]}`;
}

/** Reused for every packet; valid until the next one is asked for. */
export class SidePacket {
  readonly view = new PacketView();
  /** Holds the packet at [view.start, view.end). */
  buf: Buffer = Buffer.alloc(0);
  timeNs = 0n;
  /** Number of the packet in its file, from 1. */
  number = 0;
  /** The capture cut the packet: only family and source of the view are valid. */
  cut = false;
  /** Sender of the frame ('' where the capture has none). */
  sender: Owner = '';

  get source(): AddressKey {
    const v = this.view;
    return v.family === 4 ? v.src0 : `${v.src0},${v.src1},${v.src2},${v.src3}`;
  }
}

export class Skipped {
  readonly counts = new Map<string, number>();
  /** An unknown link type, if there was one. */
  unknownLinkType: number | undefined;
  private readonly byOwner = new Map<Owner, Map<string, number>>();

  /** `owner`: for packets that should have been compared if they are the guest's. */
  add(reason: string, owner?: Owner, packets = 1): void {
    count(this.counts, reason, packets);
    if (owner === undefined) return;
    let own = this.byOwner.get(owner);
    if (own === undefined) {
      own = new Map();
      this.byOwner.set(owner, own);
    }
    count(own, reason, packets);
  }

  /** Adds to `into` the counts of packets of these owners, or of unknown ones, that should have been compared. */
  addUncompared(owners: Iterable<Owner>, into: Map<string, number>): void {
    for (const owner of new Set([...owners, ''])) {
      for (const [reason, packets] of this.byOwner.get(owner) ?? []) count(into, reason, packets);
    }
  }

  toObject(): Record<string, number> {
    return Object.fromEntries([...this.counts].sort());
  }
}

export function count(counts: Map<string, number>, reason: string, more: number): void {
  counts.set(reason, (counts.get(reason) ?? 0) + more);
}

/**
 * IP packets of the file in its order, those that can be compared and those that were cut. Fragments come as one
 * packet, in the place of the last. Throws OperatorError.
 */
export function* ipPackets(path: string, skipped: Skipped): Generator<SidePacket, void, undefined> {
  const packet = new SidePacket();
  let reassembler: Reassembler | undefined;
  const loose = new Map<Owner, number>();
  for (const captured of readCapture(path)) {
    const { data } = captured;
    const off = networkOffset(captured.linkType, data);
    packet.sender = senderOf(captured.linkType, data);
    if (off < 0) {
      skipped.add(LINK_NAMES[-off - 1]!, off === LINK_ARP ? undefined : packet.sender);
      if (off === LINK_UNKNOWN) skipped.unknownLinkType = captured.linkType;
      continue;
    }
    packet.buf = data;
    packet.timeNs = captured.timeNs;
    packet.number = captured.number;
    const { view } = packet;
    restoreLength(data, off, captured.originalBytes - off);
    const code = parseIp(view, data, off, data.length - off);
    packet.cut = code === PARSE_IP_LENGTH && data.length < captured.originalBytes;
    if (packet.cut) readSource(view, data, off);
    else if (code !== PARSE_OK) {
      const sourceKnown = code === PARSE_IP_LENGTH || code === PARSE_EXTENSION || code === PARSE_TRANSPORT;
      if (sourceKnown) readSource(view, data, off);
      skipped.add(PARSE_NAMES[code]!, sourceKnown ? packet.source : packet.sender);
      continue;
    } else if (view.fragment) {
      // Made only for a capture with fragments, which is rare.
      reassembler ??= new Reassembler();
      const owner = packet.source;
      const waiting = (loose.get(owner) ?? 0) + 1;
      loose.set(owner, waiting);
      if (reassembler.add(view, off, view.end, 0, Number(captured.timeNs / 1_000_000n)) !== REASSEMBLY_COMPLETE)
        continue;
      const whole = reassembler.complete!;
      loose.set(owner, waiting - whole.fragmentCount);
      packet.buf = reassembler.data;
      const at = whole.offset + whole.headBytes;
      if (parseIp(view, packet.buf, at, whole.bytes - whole.headBytes) === PARSE_OK) {
        viewAsCompared(view);
        yield packet;
      } else skipped.add('fragment', owner, whole.fragmentCount);
      reassembler.free(whole);
      continue;
    } else viewAsCompared(view);
    yield packet;
  }
  for (const [owner, fragments] of loose) if (fragments > 0) skipped.add('fragment', owner, fragments);
}

/**
 * Segments that the sender leaves to its network card to cut (TSO) are captured with a length of 0 in the IP header:
 * the captured length is used instead, but not in a frame so short that it may have padding.
 */
function restoreLength(data: Buffer, off: number, bytes: number): void {
  if (bytes <= LONGEST_PADDED_BYTES || bytes > 0xffff || data.length - off < 40) return;
  if (data[off]! >>> 4 === 4) {
    const protocol = firstProtocol(data, off);
    if (data.readUInt16BE(off + IPV4_LENGTH_AT) !== 0 || (protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP)) return;
    writeIpBytes(data, off, 4, bytes);
  } else if (data[off]! >>> 4 === 6) {
    // A jumbogram (RFC 2675) has a hop-by-hop header first.
    if (data.readUInt16BE(off + IPV6_LENGTH_AT) === 0 && firstProtocol(data, off) === IPPROTO_TCP)
      writeIpBytes(data, off, 6, bytes);
  }
}

/** As the engine sees it. */
function viewAsCompared(view: PacketView): void {
  if (hasExtensionHeaders(view) && !isInfrastructure(view)) viewWhole(view);
}

/** Reason why the packet is not compared, or undefined. */
export function leftOut(view: PacketView): string | undefined {
  if (view.fragment) return 'fragment';
  return isInfrastructure(view) ? 'infrastructure' : undefined;
}

/** The parser has checked that the fixed header is there. */
function readSource(view: PacketView, data: Buffer, off: number): void {
  view.family = ipFamily(data, off);
  const at = off + (view.family === 4 ? IPV4_SOURCE_AT : IPV6_SOURCE_AT);
  view.src0 = readWord(data, at, 0);
  view.src1 = view.family === 4 ? 0 : readWord(data, at, 1);
  view.src2 = view.family === 4 ? 0 : readWord(data, at, 2);
  view.src3 = view.family === 4 ? 0 : readWord(data, at, 3);
}
