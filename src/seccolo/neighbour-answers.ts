// Answers the SVM's questions for neighbours (ARP, neighbour discovery) with what the PVM was answered. The SVM's own
// questions reach no network: it learns what the PVM asks for, from the answers that come over the forward link, and
// what it alone asks for from nobody.
//
// Only with an answer that passed to the PVM less than ANSWER_MS ago, by the MAC address, the router flag and the
// override flag that it bore, or that an announcement has brought since. A question that there is no such answer to
// waits for QUESTION_MS: the SVM runs a little before the PVM, whose question is put next. Never answered: a probe (RFC
// 5227, RFC 4862), whose sender asks whether an address is free, and a question for an address of the guest's own.

import { readWord } from '../core/big-endian';
import {
  ARP_SENDER_IP_AT,
  ARP_TARGET_IP_AT,
  ARPOP_REPLY,
  ArpView,
  arpReplyFrame,
  asksForAnother,
  parseArp,
} from '../packet/arp';
import {
  ETH_ALEN,
  ETH_P_ARP,
  ETH_P_IPV6,
  FRAME_OK,
  FrameView,
  frameTags,
  parseFrame,
  taggedFrame,
} from '../packet/ethernet';
import { isNeighbourRequest, neighbourTarget } from '../packet/infrastructure';
import { NeighbourClaim, parseNeighbourClaim, solicitedNaFrame } from '../packet/neighbour';
import { PARSE_OK, parseIp } from '../packet/parse';
import { PacketView } from '../packet/view';

export const ANSWER_MS = 30_000;
export const QUESTION_MS = 1000;
/** Neighbours of a guest that are remembered, and asked for, at a time; the oldest give way. */
export const MAX_NEIGHBOURS = 256;

interface Answer {
  mac: Uint8Array;
  router: boolean;
  override: boolean;
  atMs: number;
}

interface Question {
  family: 4 | 6;
  target: Uint8Array;
  /** Who asks. */
  mac: Uint8Array;
  address: Uint8Array;
  tags: readonly number[];
  atMs: number;
}

export class NeighbourAnswers {
  /** Questions of the SVM, and answers that it was given. */
  asked = 0;
  answered = 0;
  private readonly answers = new Map<string, Answer>();
  private readonly questions = new Map<string, Question>();
  private readonly frame = new FrameView();
  private readonly arp = new ArpView();
  private readonly packet = new PacketView();
  private readonly claim = new NeighbourClaim();

  /** `isOwn`: is this (network order) an address of the guest's? */
  constructor(private readonly isOwn: (family: 4 | 6, address: Uint8Array) => boolean) {}

  /**
   * A frame that came over the forward link, and so passed to the PVM. `vlan`: the tag that the kernel has taken off it (TPID << 16 | TCI),
   * 0 without one. Returns the frame that answers the SVM, if it waits for that.
   */
  heard(buf: Uint8Array, len: number, vlan: number, nowMs: number): Uint8Array | undefined {
    const { frame, arp, packet, claim } = this;
    const tags = this.read(buf, len, vlan);
    if (tags === undefined) return undefined;
    const unicast = (buf[frame.destination]! & 1) === 0;
    if (frame.type === ETH_P_ARP) {
      if (!parseArp(arp, buf, frame.network, len - frame.network) || arp.senderIp === 0) return undefined;
      const isAnswer = unicast && arp.operation === ARPOP_REPLY && arp.senderIp !== arp.targetIp;
      return this.take(4, buf, frame.network + ARP_SENDER_IP_AT, arp.senderMac, false, true, isAnswer, tags, nowMs);
    }
    if (parseIp(packet, buf, frame.network, len - frame.network) !== PARSE_OK) return undefined;
    // Only an advertisement's target has flags.
    if (!parseNeighbourClaim(claim, packet) || claim.address !== neighbourTarget(packet)) return undefined;
    const mac = claim.mac < 0 ? frame.source : claim.mac;
    return this.take(
      6,
      buf,
      claim.address,
      mac,
      claim.router === true,
      claim.override,
      unicast && claim.solicited,
      tags,
      nowMs,
    );
  }

  /** A frame of the SVM. Returns the frame that answers it, if it is a question that there is an answer to. */
  question(buf: Uint8Array, len: number, vlan: number, nowMs: number): Uint8Array | undefined {
    const { frame, arp, packet } = this;
    const tags = this.read(buf, len, vlan);
    if (tags === undefined) return undefined;
    let family: 4 | 6 = 4;
    let target: number;
    let sender: number;
    if (frame.type === ETH_P_ARP) {
      if (!parseArp(arp, buf, frame.network, len - frame.network) || !asksForAnother(arp)) return undefined;
      sender = frame.network + ARP_SENDER_IP_AT;
      target = frame.network + ARP_TARGET_IP_AT;
    } else {
      family = 6;
      if (parseIp(packet, buf, frame.network, len - frame.network) !== PARSE_OK || !isNeighbourRequest(packet))
        return undefined;
      // As the PVM's neighbours look at it, too.
      if (!parseNeighbourClaim(this.claim, packet)) return undefined;
      sender = packet.start + 8;
      target = neighbourTarget(packet);
      if (target < 0 || buf[target] === 0xff) return undefined;
    }
    const bytes = family === 4 ? 4 : 16;
    const address = copy(buf, target, target + bytes);
    if (this.isOwn(family, address)) return undefined;
    this.asked++;
    const question: Question = {
      family,
      target: address,
      mac: copy(buf, frame.source, frame.source + ETH_ALEN),
      address: copy(buf, sender, sender + bytes),
      tags,
      atMs: nowMs,
    };
    const key = keyOf(tags, address);
    const answer = this.answers.get(key);
    if (answer !== undefined && nowMs - answer.atMs < ANSWER_MS) return this.answer(question, answer);
    put(this.questions, key, question);
    return undefined;
  }

  /** The SVM has become a copy of the PVM, and knows and asks what that does. */
  checkpoint(): void {
    this.questions.clear();
  }

  /** A new pair, or no pair any more. */
  clear(): void {
    this.answers.clear();
    this.questions.clear();
  }

  private take(
    family: 4 | 6,
    buf: Uint8Array,
    at: number,
    mac: number,
    router: boolean,
    override: boolean,
    isAnswer: boolean,
    tags: readonly number[],
    nowMs: number,
  ): Uint8Array | undefined {
    const address = copy(buf, at, at + (family === 4 ? 4 : 16));
    const key = keyOf(tags, address);
    const known = this.answers.get(key);
    if ((buf[mac]! & 1) !== 0 || this.isOwn(family, address)) return undefined;
    const macBytes = copy(buf, mac, mac + ETH_ALEN);
    if (!isAnswer) {
      // An announcement: it is no answer, but replaces what an earlier answer said (RFC 4861 section 7.2.5).
      if (known === undefined || (!override && !equal(known.mac, macBytes))) return undefined;
      put(this.answers, key, { mac: macBytes, router, override, atMs: known.atMs });
      return undefined;
    }
    const answer = { mac: macBytes, router, override, atMs: nowMs };
    put(this.answers, key, answer);
    const question = this.questions.get(key);
    if (question === undefined) return undefined;
    this.questions.delete(key);
    return nowMs - question.atMs < QUESTION_MS ? this.answer(question, answer) : undefined;
  }

  private answer(question: Question, { mac, router, override }: Answer): Uint8Array {
    this.answered++;
    const { family, target, address, tags } = question;
    const frame =
      family === 4
        ? arpReplyFrame(mac, readWord(target, 0, 0), question.mac, readWord(address, 0, 0))
        : solicitedNaFrame(question.mac, address, mac, target, router, override);
    return taggedFrame(frame, tags);
  }

  /** The frame's tags, outermost first; undefined: it is of no interest. */
  private read(buf: Uint8Array, len: number, vlan: number): readonly number[] | undefined {
    const { frame } = this;
    if (parseFrame(frame, buf, 0, len) !== FRAME_OK) return undefined;
    if (frame.type !== ETH_P_ARP && frame.type !== ETH_P_IPV6) return undefined;
    return frameTags(frame, buf, vlan);
  }
}

function keyOf(tags: readonly number[], address: Uint8Array): string {
  return `${tags.map((tag) => tag & 0xfff).join()} ${Buffer.from(address).toString('hex')}`;
}

/** At the end of the map, so that its beginning is the oldest. */
function put<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  if (map.size === MAX_NEIGHBOURS) map.delete(map.keys().next().value!);
  map.set(key, value);
}

/** The caller's buffer is used again. */
function copy(buf: Uint8Array, from: number, to: number): Uint8Array {
  return Uint8Array.from(buf.subarray(from, to));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
