// One of the two captures of `colo compare`: its IP packets, and a count of what was passed over and why.

import { readCapture } from '../io/pcap';
import { LINK_NAMES, LINK_UNKNOWN, networkOffset } from '../io/pcap-link';
import { isInfrastructure } from '../packet/infrastructure';
import { PARSE_IP_LENGTH, PARSE_NAMES, PARSE_OK, parseIp } from '../packet/parse';
import { REASSEMBLY_COMPLETE, Reassembler } from '../packet/reassembly';
import { PacketView } from '../packet/view';

export const PRIMARY = 0;
export const SECONDARY = 1;
export type Side = typeof PRIMARY | typeof SECONDARY;

/** An address as a key of maps: an IPv4 one is its word. */
export type AddressKey = number | string;

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
  /** The capture cut the packet: of the view only family and source hold. */
  cut = false;

  get source(): AddressKey {
    const v = this.view;
    return v.family === 4 ? v.src0 : `${v.src0},${v.src1},${v.src2},${v.src3}`;
  }
}

export class Skipped {
  readonly counts = new Map<string, number>();
  /** A link type that nothing is known of, if there was one. */
  unknownLinkType: number | undefined;

  add(reason: string, packets = 1): void {
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + packets);
  }

  toObject(): Record<string, number> {
    return Object.fromEntries([...this.counts].sort());
  }
}

/**
 * IP packets of the file in its order, those that can be compared and those that were cut. Fragments come as the packet that they
 * make, in the place of the last. Throws OperatorError.
 */
export function* ipPackets(path: string, skipped: Skipped): Generator<SidePacket, void, undefined> {
  const packet = new SidePacket();
  let reassembler: Reassembler | undefined;
  let loose = 0;
  for (const captured of readCapture(path)) {
    const { data } = captured;
    const off = networkOffset(captured.linkType, data);
    if (off < 0) {
      skipped.add(LINK_NAMES[-off - 1]!);
      if (off === LINK_UNKNOWN) skipped.unknownLinkType = captured.linkType;
      continue;
    }
    packet.buf = data;
    packet.timeNs = captured.timeNs;
    packet.number = captured.number;
    const { view } = packet;
    const code = parseIp(view, data, off, data.length - off);
    packet.cut = code === PARSE_IP_LENGTH && data.length < captured.originalBytes;
    if (packet.cut) readSource(view, data, off);
    else if (code !== PARSE_OK) {
      skipped.add(PARSE_NAMES[code]!);
      continue;
    } else if (view.fragment) {
      // Memory for it only where there are fragments, which is seldom.
      reassembler ??= new Reassembler();
      loose++;
      if (reassembler.add(view, off, view.end, 0, Number(captured.timeNs / 1_000_000n)) !== REASSEMBLY_COMPLETE)
        continue;
      const whole = reassembler.complete!;
      loose -= whole.fragmentCount;
      packet.buf = reassembler.data;
      const at = whole.offset + whole.headBytes;
      if (parseIp(view, packet.buf, at, whole.bytes - whole.headBytes) === PARSE_OK) yield packet;
      else skipped.add('fragment', whole.fragmentCount);
      reassembler.free(whole);
      continue;
    }
    yield packet;
  }
  if (loose > 0) skipped.add('fragment', loose);
}

/** Why the packet takes no part in the comparison, or undefined. */
export function leftOut(view: PacketView): string | undefined {
  if (view.fragment) return 'fragment';
  return isInfrastructure(view) ? 'infrastructure' : undefined;
}

/** The parser has seen that the fixed header is there. */
function readSource(view: PacketView, data: Buffer, off: number): void {
  view.family = data[off]! >>> 4 === 4 ? 4 : 6;
  const at = off + (view.family === 4 ? 12 : 8);
  view.src0 = data.readUInt32BE(at);
  view.src1 = view.family === 4 ? 0 : data.readUInt32BE(at + 4);
  view.src2 = view.family === 4 ? 0 : data.readUInt32BE(at + 8);
  view.src3 = view.family === 4 ? 0 : data.readUInt32BE(at + 12);
}
