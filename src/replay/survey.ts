// The first pass over two captures: finds the flows, their sizes, and the guest.

import { FLOW_USER, FlowTable } from '../conntrack/flow-table';
import { OperatorError } from '../core/errors';
import { seqDiff } from '../core/seq32';
import { formatAddress } from '../packet/address';
import { FLOW_GUEST, FLOW_META, FLOW_PEER, metaFamily, metaProtocol } from '../packet/tuple';
import { IPPROTO_TCP, TCP_RST, TCP_SYN } from '../packet/view';
import {
  type AddressKey,
  addressKey,
  ipPackets,
  leftOut,
  type Owner,
  PRIMARY,
  SECONDARY,
  type Side,
  type SidePacket,
  Skipped,
} from './side';

/** Words of a flow: each one for the primary, followed by the secondary's. */
export const S_PACKETS = FLOW_USER;
export const S_BYTES = FLOW_USER + 2;
/** Connections: SYNs of the guest with another ISN than the one before. */
export const S_SYNS = FLOW_USER + 4;
const S_ISN = FLOW_USER + 6;
/** Sequence number of the first packet. */
export const S_FIRST_SEQ = FLOW_USER + 8;
const S_RESETS = FLOW_USER + 10;
/** A reset with text came first: the place of its bytes in the stream is unknown. */
const RESET_WITH_TEXT = 2;
/** Bits for a walk through the flows. */
export const S_STATE = FLOW_USER + 12;
const RECORD_WORDS = FLOW_USER + 14;

/** More would need a gigabyte for the tables of their engines alone. */
const MAX_FLOWS = 1 << 20;
/** In a file: headers of the packet's record and of IP. */
const LEAST_PACKET_BYTES = 16 + 20;
/** In captures that began in the middle of a connection, numbers further apart than this belong to different ISNs. */
const MAX_START_DISTANCE = 1 << 24;

export class Survey {
  /** All flows, each seen from its sender. */
  readonly flows: FlowTable;
  readonly packets = [0, 0];
  /** Packets that are no IP, or damaged. */
  readonly skipped = [new Skipped(), new Skipped()];
  /** Time of the first packet of each address, by side. */
  private readonly firstTime = [new Map<AddressKey, bigint>(), new Map<AddressKey, bigint>()];
  /** Number of the first packet that the capture cut, by address and side. */
  private readonly firstCut = [new Map<AddressKey, number>(), new Map<AddressKey, number>()];
  /** Senders of each address's frames: the guest itself, if the capture was taken at its port. */
  private readonly senders = new Map<AddressKey, Set<Owner>>();

  /** Makes room for all flows that files of this total size can have, up to MAX_FLOWS. */
  constructor(fileBytes: number) {
    this.flows = new FlowTable(Math.min(MAX_FLOWS, Math.ceil(fileBytes / LEAST_PACKET_BYTES) + 1), RECORD_WORDS);
  }

  /** Throws OperatorError. */
  read(side: Side, path: string): void {
    for (const p of ipPackets(path, this.skipped[side]!)) {
      this.packets[side]!++;
      const source = p.source;
      if (!this.firstTime[side]!.has(source)) this.firstTime[side]!.set(source, p.timeNs);
      const senders = this.senders.get(source);
      if (senders === undefined) this.senders.set(source, new Set([p.sender]));
      else senders.add(p.sender);
      if (p.cut) {
        if (!this.firstCut[side]!.has(source)) this.firstCut[side]!.set(source, p.number);
      } else if (leftOut(p.view) === undefined) this.note(side, p);
    }
  }

  /** Time of the guest's first packet, or undefined. */
  startOf(side: Side, guests: ReadonlySet<AddressKey>): bigint | undefined {
    let first: bigint | undefined;
    for (const guest of guests) {
      const time = this.firstTime[side]!.get(guest);
      if (time !== undefined && (first === undefined || time < first)) first = time;
    }
    return first;
  }

  /** The guests' addresses and those of their frames. */
  ownersOf(guests: ReadonlySet<AddressKey>): Set<Owner> {
    const owners = new Set<Owner>(guests);
    for (const guest of guests) for (const sender of this.senders.get(guest) ?? []) owners.add(sender);
    return owners;
  }

  /** Number of a cut packet of the guest, or undefined. Without guests: of any sender, if no packet is whole. */
  cutOf(side: Side, guests?: ReadonlySet<AddressKey>): number | undefined {
    if (guests === undefined) {
      for (let flow = this.flows.next(-1); flow >= 0; flow = this.flows.next(flow)) {
        if (this.flows.words[flow + S_PACKETS + side] !== 0) return undefined;
      }
    }
    for (const guest of guests ?? this.firstCut[side]!.keys()) {
      const number = this.firstCut[side]!.get(guest);
      if (number !== undefined) return number;
    }
    return undefined;
  }

  /** Do the two sides' numbers in this flow correspond? Without both SYNs that is known only if they are close. */
  isNumberingKnown(flow: number): boolean {
    const w = this.flows.words;
    if (metaProtocol(w[flow + FLOW_META]!) !== IPPROTO_TCP) return true;
    const resets = [w[flow + S_RESETS + PRIMARY]!, w[flow + S_RESETS + SECONDARY]!];
    if (resets.every((kind) => kind === RESET_WITH_TEXT)) return false;
    // One side only, or a refusal: there are no numbers to relate.
    if (
      w[flow + S_PACKETS + PRIMARY] === 0 ||
      w[flow + S_PACKETS + SECONDARY] === 0 ||
      resets.some((kind) => kind !== 0)
    )
      return true;
    const syns = Math.min(w[flow + S_SYNS]!, w[flow + S_SYNS + SECONDARY]!);
    if (syns > 0) return true;
    const both = Math.max(w[flow + S_SYNS]!, w[flow + S_SYNS + SECONDARY]!);
    const distance = Math.abs(seqDiff(w[flow + S_FIRST_SEQ]!, w[flow + S_FIRST_SEQ + SECONDARY]!));
    return both === 0 && distance <= MAX_START_DISTANCE;
  }

  /**
   * The addresses that send in both captures. If some of these send to others, the guest is the one that all others of
   * a group communicate with. Throws OperatorError when that leaves a choice.
   */
  findGuests(): { key: AddressKey; text: string }[] {
    const w = this.flows.words;
    const sides = new Map<AddressKey, number>();
    const texts = new Map<AddressKey, string>();
    const peers = new Map<AddressKey, Set<AddressKey>>();
    for (let flow = this.flows.next(-1); flow >= 0; flow = this.flows.next(flow)) {
      const family = metaFamily(w[flow + FLOW_META]!) === 4 ? 4 : 6;
      const from = addressKey(family, w, flow + FLOW_GUEST);
      const to = addressKey(family, w, flow + FLOW_PEER);
      const seen = (w[flow + S_PACKETS] !== 0 ? 1 : 0) | (w[flow + S_PACKETS + SECONDARY] !== 0 ? 2 : 0);
      sides.set(from, (sides.get(from) ?? 0) | seen);
      if (!texts.has(from)) texts.set(from, formatAddress(family, w, flow + FLOW_GUEST));
      for (const [a, b] of [
        [from, to],
        [to, from],
      ] as const) {
        const known = peers.get(a);
        if (known === undefined) peers.set(a, new Set([b]));
        else known.add(b);
      }
    }
    const common = [...sides].filter(([, seen]) => seen === 3).map(([key]) => key);
    const partners = (key: AddressKey): AddressKey[] =>
      common.filter((other) => other !== key && peers.get(key)!.has(other));
    const guests = common.filter((key) => {
      const mine = partners(key);
      return mine.length === 0 || (mine.length > 1 && mine.every((other) => partners(other).length === 1));
    });
    // Every other common address must be explained as a peer of one of these.
    const explained = common.every(
      (key) => guests.includes(key) || partners(key).some((other) => guests.includes(other)),
    );
    if (guests.length === 0 || !explained) {
      const names = common.map((key) => texts.get(key)!);
      throw new OperatorError(
        'EGUEST',
        names.length === 0
          ? 'no address sends in both captures'
          : `several addresses send in both captures: ${names.join(', ')}`,
        'name the guest with --guest ADDRESS',
      );
    }
    return guests.map((key) => ({ key, text: texts.get(key)! }));
  }

  private note(side: Side, p: SidePacket): void {
    const { view: v } = p;
    let flow = this.flows.find(v, false);
    if (flow < 0) {
      flow = this.flows.insert(v, false);
      if (flow < 0) {
        throw new OperatorError('ECAPTURE', `the captures have more than ${MAX_FLOWS} flows`, 'split them by time');
      }
    }
    const w = this.flows.words;
    const first = w[flow + S_PACKETS + side] === 0;
    if (first) w[flow + S_FIRST_SEQ + side] = v.seq;
    w[flow + S_PACKETS + side]!++;
    w[flow + S_BYTES + side] = Math.min(0xffffffff, w[flow + S_BYTES + side]! + v.end - v.start);
    if (v.protocol !== IPPROTO_TCP) return;
    if ((v.flags & TCP_SYN) !== 0 && (w[flow + S_SYNS + side] === 0 || w[flow + S_ISN + side] !== v.seq)) {
      w[flow + S_SYNS + side]!++;
      w[flow + S_ISN + side] = v.seq;
    }
    if ((v.flags & TCP_RST) === 0) return;
    if (first && v.payloadBytes > 0) w[flow + S_RESETS + side] = RESET_WITH_TEXT;
    else if (w[flow + S_RESETS + side] === 0) w[flow + S_RESETS + side] = 1;
  }
}
