// Which numbers the guest uses. DO_CHECKPOINT means that it has become the primary's copy, whose numbers are the
// peer's; but a controller may send it before the guest has the state, and the primary may die in between. Then the
// guest goes on as what it was before, and the offsets of the time before are what its connections live on. So those
// are kept until the guest itself has shown it:
//
//                DO_CHECKPOINT                a segment that fits the new numbers alone
//   certain ---------------------> in doubt -------------------------------------------> certain, the old offsets are gone
//                                     |      a segment that fits the old numbers alone
//                                     +------------------------------------------------> certain, the old offsets are back
//
// Numbers are sequence numbers against the peer's last acknowledgement, and timestamps against its last echo. One
// segment decides for all connections; a handshake that is repeated is a hint only (handshakeRepeats). Until it has
// come the new numbers are taken for right; after a failover, where nothing but the guest's connections is left, the
// peers' segments wait, the guest's that tell nothing are dropped, and the guest is asked: a segment from below its
// window makes it acknowledge, and whatever it acknowledges bears its numbers (RFC 9293 section 3.10.7.4).

import { FLOW_GUEST_ISN } from '../conntrack/flow-table';
import { Rank } from '../conntrack/offset-table';
import { seqDiff } from '../core/seq32';
import { BareAck } from '../packet/bare-ack';
import type { TcpOptions } from '../packet/tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/view';
import { C_CHECKPOINTS_CONFIRMED, C_CHECKPOINTS_MISSED, type SecondaryCounters } from './counters';
import {
  Phase,
  S_GUEST_ACK,
  S_NEXT,
  S_OLD_NEXT,
  S_PEER_ACK,
  S_SLOT,
  S_STATE,
  S_TS_ECR,
  S_TS_VAL,
  SF_ACKED,
  SF_OLD_NEXT,
  SF_PEER_ACK,
  SF_SAID,
  SF_TIMED,
} from './flow-words';
import type { SecondaryFlows } from './flows';

/**
 * How far from the peer's last acknowledgement a segment of the guest may lie: no window of it is known here without
 * its scale. A number of the other kind falls inside by chance once in 2,000 times, and then the next segment decides.
 */
const NEAR = 1 << 20;
/**
 * Two guests of one image choose close numbers, one for each 64 ns of their clocks' difference: from so far apart on,
 * the exact place in the stream distinguishes them.
 */
const APART = 1 << 16;
/**
 * A clock so near to the peer's last echo is the one that it echoed; connections that were silent for longer are judged
 * by their numbers.
 */
const NEAR_MS = 1 << 20;
/** The question lies this far below what the guest has acknowledged: below its window, whichever state it is in. */
const FAR_BELOW = 1 << 20;

export class Numbering {
  private doubt: boolean;
  /** For when nothing decides: the checkpoint is not likely to have come about. */
  private likelyOld = false;
  /** A handshake has ended since with the ISN of the previous epoch: that others repeat theirs tells nothing. */
  private handshakeEnded = false;
  private readonly question = new BareAck();

  constructor(
    private readonly flows: SecondaryFlows,
    private readonly counters: SecondaryCounters,
  ) {
    this.doubt = flows.offsets.inDoubt;
  }

  get inDoubt(): boolean {
    return this.doubt;
  }

  /** No connection is known any more. */
  forget(): void {
    this.doubt = false;
    this.flows.offsets.endDoubt();
  }

  /** DO_CHECKPOINT. */
  checkpoint(): void {
    const { offsets } = this.flows;
    this.likelyOld = false;
    this.handshakeEnded = false;
    // Without an offset there is nothing to lose.
    this.doubt = offsets.countOf(Rank.Live) + offsets.countOf(Rank.Embryonic) > 0;
    offsets.advanceEpoch(this.doubt);
  }

  /** A segment of the guest, before anything else is made of it. `failedOver`: a word that is only likely will do. */
  judge(v: PacketView, o: TcpOptions, failedOver: boolean): void {
    const { flows } = this;
    const { old, words } = flows;
    const base = flows.table.find(v, false);
    if (base < 0 || (v.flags & TCP_RST) !== 0 || !flows.previousOf(base)) return;
    const fromOldIsn = seqDiff(v.seq, old.isn);
    if ((v.flags & TCP_SYN) !== 0) {
      // The same answer to the same SYN is recognised by its number. Another connection may begin on the tuple of a
      // SYN, but none would have this number.
      const again = old.phase === Phase.SynAnswered && (v.flags & TCP_ACK) !== 0 && v.ack === old.synAck;
      if (again && fromOldIsn !== 0) this.decide(false);
      else if (fromOldIsn === 0 && (again || old.phase === Phase.SynSent)) this.handshakeRepeats(failedOver);
      return;
    }
    const handshake = old.phase !== Phase.Learned;
    const same = handshake && words[base + FLOW_GUEST_ISN] === old.isn;
    // A connection that has begun on the tuple since has offsets of its own: nearness to them proves nothing.
    if (!old.present && flows.phase(base) !== Phase.Settled && !same) return;
    if (handshake) {
      this.judgeHandshake(base, v, failedOver);
      return;
    }
    if (o.timestampOffset >= 0 && this.judgeTime(words[base + S_SLOT]!, o.tsVal)) return;
    const state = words[base + S_STATE]!;
    if (old.off === 0 || (state & SF_PEER_ACK) === 0) return;
    const inNew = seqDiff(v.seq, words[base + S_PEER_ACK]!);
    const inOld = seqDiff((v.seq + old.off) >>> 0, words[base + S_PEER_ACK]!);
    const nearNew = Math.abs(inNew) <= NEAR;
    const nearOld = Math.abs(inOld) <= NEAR;
    // The very next byte of what it was: it goes on there, or answers a question.
    const spoke = (state & SF_SAID) !== 0 && !old.present;
    const next =
      (state & (spoke ? SF_OLD_NEXT : SF_ACKED)) !== 0 && v.seq === words[base + (spoke ? S_OLD_NEXT : S_NEXT)];
    if (nearNew && nearOld) {
      if (!failedOver) return;
      const exactlyOld = next || (inOld === 0 && Math.abs(old.off | 0) >= APART);
      if (exactlyOld !== (inNew === 0)) this.decide(exactlyOld);
    } else if (nearNew) this.decide(false);
    else if (inOld === 0 || next || (nearOld && failedOver)) this.decide(true);
  }

  /**
   * A segment without SYN where the previous epoch left a handshake. The guest does not speak before that has ended: so
   * it has not ended as what it was, or the peer has acknowledged the ISN of then, which was the primary's already.
   * Only the bare next byte is what a guest that is asked in the handshake answers, too: it repeats the handshake with
   * it, unless the peer has acknowledged just that ISN.
   */
  private judgeHandshake(base: number, v: PacketView, failedOver: boolean): void {
    const { old, words } = this.flows;
    const fromOldIsn = seqDiff(v.seq, old.isn);
    if (Math.abs(fromOldIsn) > NEAR) this.decide(false);
    else if (fromOldIsn !== 1 || v.payloadBytes > 0 || (v.flags & TCP_FIN) !== 0) {
      if (!old.ownIsn) return;
      this.handshakeEnded = true;
      this.likelyOld = false;
    } else if (old.phase === Phase.SynAnswered) {
      const acknowledged = (words[base + S_STATE]! & SF_PEER_ACK) !== 0;
      if (acknowledged && words[base + S_PEER_ACK] !== v.seq) this.handshakeRepeats(failedOver);
    }
  }

  /**
   * A handshake goes on with the ISN that it had in the previous epoch. One that began before that does so in either
   * case: the ISN was the primary's already. And it may be such a one unnoticed, when its first packets were missed. So
   * what it tells is believed only where nobody else can be asked, or nobody answers.
   */
  private handshakeRepeats(failedOver: boolean): void {
    if (!this.flows.old.ownIsn || this.handshakeEnded) return;
    if (failedOver && this.nextToAsk(-1) < 0) this.decide(true);
    else this.likelyOld = true;
  }

  /** By the guest's clock against the newest timestamp that the peer has echoed. False: not decided. */
  private judgeTime(slot: number, tsVal: number): boolean {
    const { offsets, old } = this.flows;
    if (!offsets.echoKnown(slot) || Math.abs(old.tsOff | 0) < 2 * NEAR_MS) return false;
    const nearNew = Math.abs(seqDiff(tsVal, offsets.echo(slot))) < NEAR_MS;
    const nearOld = Math.abs(seqDiff((tsVal + old.tsOff) >>> 0, offsets.echo(slot))) < NEAR_MS;
    if (nearNew === nearOld) return false;
    this.decide(nearOld);
    return true;
  }

  /** Does it matter to a segment which numbers the guest lives in? */
  concerns(v: PacketView, fromPeer: boolean): boolean {
    const base = this.flows.table.find(v, fromPeer);
    return base >= 0 && this.differs(base);
  }

  /** `old`: the guest is what it was before the checkpoint. */
  decide(old: boolean): void {
    if (!this.doubt) return;
    this.doubt = false;
    this.counters.values[old ? C_CHECKPOINTS_MISSED : C_CHECKPOINTS_CONFIRMED]!++;
    if (old) this.flows.returnToPrevious();
    this.flows.offsets.endDoubt();
  }

  /** The guest has shown nothing: `old` is what is believed otherwise. */
  decideUntold(old: boolean): void {
    this.decide(old || this.likelyOld);
  }

  /** For walks: the first connection behind `base` on which an answer would decide, or -1. Start with -1. */
  nextToAsk(base: number): number {
    const { table, words } = this.flows;
    const wanted = SF_PEER_ACK | SF_ACKED;
    let next = table.next(base);
    while (next >= 0 && ((words[next + S_STATE]! & wanted) !== wanted || !this.differs(next))) next = table.next(next);
    return next;
  }

  /** Writes the question to the guest as an IP packet; returns its bytes. */
  writeQuestion(base: number, out: Uint8Array, off: number): number {
    const { question } = this;
    const { words } = this.flows;
    question.fromGuest = false;
    question.seq = words[base + S_GUEST_ACK]! - FAR_BELOW;
    // Nothing of it but its place counts: the guest takes no acknowledgement from outside of its window.
    question.ack = words[base + S_PEER_ACK]!;
    question.window = 0;
    question.timed = (words[base + S_STATE]! & SF_TIMED) !== 0;
    question.tsVal = words[base + S_TS_ECR]!;
    question.tsEcr = words[base + S_TS_VAL]!;
    return question.write(words, base, out, off);
  }

  private differs(base: number): boolean {
    const { flows } = this;
    return (
      flows.previousOf(base) && (flows.old.phase !== Phase.Learned || flows.old.off !== 0 || flows.old.tsOff !== 0)
    );
  }
}
