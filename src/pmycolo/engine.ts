// PMYCOLO, the primary's engine: takes the packets of both VMs, compares them, lets the PVM's go when the SVM has said the
// same, and asks for a checkpoint when it has not. It does no I/O: packets and times come in, verdicts go out.
//
//                    a divergence, what cannot be compared, an exhausted bound
//      +-----------+ ------------------------------------------> +--------+
//      | comparing |                                             | paused |  everything is held, nothing compared
//      +-----------+ <------------------------------------------ +--------+
//                    DO_CHECKPOINT: the PVM's is released in order, the SVM's purged, all counters aligned
//
// One guest's silence, and an address that the SVM has lost, ask for a checkpoint without a pause: nothing is known to differ, and what
// proves equal before the checkpoint leaves as ever. So a guest that was only slow costs no more than its slowness where nobody answers.
//
// The request itself goes out when the PVM has run for a while since the last checkpoint (request-pace); the pause begins at once.

import {
  X_FLAGS,
  X_ODD,
  X_PRIMARY_NEXT,
  XF_BASED,
  XF_MATCHED,
  XF_PRIMARY_FIN,
  XF_PRIMARY_RST,
  XF_SECONDARY_FIN,
  XF_SECONDARY_RST,
  XF_SECONDARY_SYN,
  XO_SECONDARY_OFFER,
} from '../compare/flow-words';
import { CHECKPOINT_CAUSES, CheckpointCause, DIVERGED, EQUAL, EXHAUSTED, type Outcome, WAIT } from '../compare/outcome';
import { R_COPY, R_COPY_BYTES } from '../compare/packet-log';
import { FLOW_META } from '../conntrack/flow-table';
import { read32 } from '../core/big-endian';
import { ANSWER_GRACE_MS, DEFAULT_LIMITS, type EngineLimits } from '../core/limits';
import { type FrameView, viewLinkFrame } from '../packet/ethernet';
import { isIcmpAnswer } from '../packet/icmp-answer';
import { isInfrastructure, isNeighbourAdvertisement, isNeighbourRequest, neighbourTarget } from '../packet/infrastructure';
import { canonicalIp, hasExtensionHeaders, isPlainIp, viewWhole } from '../packet/ip-canon';
import { PARSE_OK, parseIp } from '../packet/parse';
import { IPPROTO_TCP, IPPROTO_UDP, PacketView } from '../packet/view';
import { AddressQuestions } from './address-questions';
import { AnswerIntake } from './answer-intake';
import { type BypassRule, bypasses } from './bypass';
import { type DeltaTable, NO_DELTAS, type PrimaryActions, PrimaryContext } from './context';
import {
  C_CHECKPOINTS,
  C_CLASSES_EVICTED,
  C_DIVERGENCES,
  C_IP_CLEARED,
  C_PRIMARY_BYPASSED,
  C_PRIMARY_BYTES,
  C_PRIMARY_FRAGMENTS,
  C_PRIMARY_INFRASTRUCTURE,
  C_PRIMARY_MALFORMED,
  C_PRIMARY_OPAQUE,
  C_PRIMARY_PACKETS,
  C_QUESTIONS_FULL,
  C_REQUESTS_DELAYED,
  C_SECONDARY_BYPASSED,
  C_SECONDARY_BYTES,
  C_SECONDARY_FRAGMENTS,
  C_SECONDARY_INFRASTRUCTURE,
  C_SECONDARY_MALFORMED,
  C_SECONDARY_OPAQUE,
  C_SECONDARY_PACKETS,
  C_SECONDARY_PAUSED,
  C_SECONDARY_SETTLING,
  C_UNPROTECTED,
  type PrimaryCounters,
} from './counters';
import { DatagramIntake } from './datagram-intake';
import { DividedDatagram } from './divided-datagram';
import { Eviction } from './eviction';
import { Expiry } from './expiry';
import {
  H_FLAGS,
  H_FLOW,
  H_ID,
  H_L4,
  H_RECORD,
  H_TIME,
  HF_DIRTY,
  HF_HEAD_SHIFT,
  HF_PARTIAL,
  HF_TCP,
  holdFlags,
  NO_FLOW,
} from './holds';
import { noteHeldLeft } from './keepalive';
import { PAIR_RELEASED, PairIntake, type PairResult } from './pair-intake';
import { RequestPace } from './request-pace';
import { type CompareTimeout, Silence } from './silence';
import { TcpIntake } from './tcp-intake';

export interface PrimaryConfig {
  limits?: Partial<EngineLimits>;
  /** How long one side may be silent before a checkpoint is asked for, in ms; `auto` learns it (silence.ts). Default 3000. */
  compareTimeoutMs?: CompareTimeout;
  /** The most that `auto` may come to, in ms. Default 3000. */
  maxCompareTimeoutMs?: number;
  /**
   * After DO_CHECKPOINT, packets of the SVM are refused for so long, in ms: those on the way were sent before it stopped.
   * It must be shorter than the time from DO_CHECKPOINT to the SVM's first packet after it resumes.
   */
  forwardSettleMs?: number;
  /** How long the PVM runs at least between a checkpoint and the request for the next, in ms. Default 0: no such time. */
  minCheckpointIntervalMs?: number;
  /** 64 random bits for the flow table's hash, so that a peer cannot aim at one bucket. */
  seed?: readonly [number, number];
  deltas?: DeltaTable;
  /**
   * How the SVM's TCP packets are numbered when they come. `own`: by the SVM itself, what that differs by is learnt from both
   * SYNs. `translated`: as the PVM numbers, but for the sequence number of the SVM's SYNs (behind filter-rewriter). Default own.
   */
  secondaryNumbers?: 'own' | 'translated';
  /**
   * ICMP answers: `matched` by what they answer, or `ordered`, as every other packet of their flow, for who wants to hear of each that
   * only one guest gives. Default matched.
   */
  icmpAnswers?: 'matched' | 'ordered';
}

export type { PrimaryActions } from './context';

const DEFAULT_COMPARE_TIMEOUT_MS = 3000;

export class PrimaryEngine {
  readonly counters: PrimaryCounters;
  private readonly x: PrimaryContext;
  private readonly tcp: TcpIntake;
  private readonly datagrams: DatagramIntake;
  private readonly answers: AnswerIntake;
  private readonly divided: DividedDatagram;
  private readonly matchesAnswers: boolean;
  private readonly pairs: PairIntake;
  private readonly silence: Silence;
  private readonly expiry: Expiry;
  private readonly view = new PacketView();
  private bypass: readonly BypassRule[] = [];
  private protectedNow = true;
  private paused = false;
  private requested = false;
  /** What is requested was asked for because a guest is silent. */
  private silent = false;
  /** The cause of a request that waits until the pace allows it. */
  private delayed: CheckpointCause | undefined;
  private readonly pace: RequestPace;
  private readonly questions = new AddressQuestions();
  /** Of the last call that told it. */
  private nowMs = 0;
  private settleUntil = -1;
  /** Packets that had passed without protection when the numbers were last known. */
  private passedUnseen = 0;
  private readonly forwardSettleMs: number;

  constructor(config: PrimaryConfig, actions: PrimaryActions) {
    const limits = { ...DEFAULT_LIMITS, ...config.limits };
    this.forwardSettleMs = config.forwardSettleMs ?? 0;
    this.pace = new RequestPace(config.minCheckpointIntervalMs ?? 0);
    this.x = new PrimaryContext(
      limits,
      actions,
      config.deltas ?? NO_DELTAS,
      config.seed ?? [0, 0],
      config.secondaryNumbers === 'translated',
    );
    this.counters = this.x.counters;
    this.tcp = new TcpIntake(this.x);
    this.silence = new Silence(
      config.compareTimeoutMs ?? DEFAULT_COMPARE_TIMEOUT_MS,
      config.maxCompareTimeoutMs ?? DEFAULT_COMPARE_TIMEOUT_MS,
      this.x.flows,
      this.x.holds,
      config.seed ?? [0, 0],
    );
    this.expiry = new Expiry(this.x, this.silence);
    const eviction = new Eviction(this.x, this.expiry);
    this.x.makeRoom = () => eviction.makeRoom();
    this.datagrams = new DatagramIntake(this.x, this.expiry);
    this.divided = new DividedDatagram(this.x);
    this.matchesAnswers = config.icmpAnswers !== 'ordered';
    const graceMs = Math.min(ANSWER_GRACE_MS, this.silence.mostMs);
    this.answers = new AnswerIntake(this.x, config.seed ?? [0, 0], limits.maxHeldBytes, graceMs);
    this.pairs = new PairIntake(this.x, this.expiry);
  }

  /**
   * A packet of the PVM, its IP header at off. `id` gets exactly one verdict, now or later. With headBytes the frame's own
   * headers lie directly before off, and are there again when the packet is released. Packets of different zones (VLANs) are
   * strangers to each other.
   */
  primary(
    id: number,
    buf: Buffer,
    off: number,
    len: number,
    partialChecksum: boolean,
    nowMs: number,
    headBytes = 0,
    zone = 0,
  ): void {
    const c = this.counters.values;
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += len;
    this.primarySpeaks(nowMs);
    if (!this.protectedNow) {
      c[C_UNPROTECTED]!++;
      this.x.accept(id, buf, off, len);
      return;
    }
    const v = this.view;
    v.head = headBytes;
    v.limit = off + len;
    v.zone = zone;
    if (parseIp(v, buf, off, len) !== PARSE_OK) {
      c[C_PRIMARY_MALFORMED]!++;
      this.x.drop(id);
      return;
    }
    if (this.bypass.length > 0 && bypasses(this.bypass, v)) {
      c[C_PRIMARY_BYPASSED]!++;
      this.x.accept(id, buf, off, len);
      return;
    }
    v.changed = !isPlainIp(v) && canonicalIp(v);
    if (v.changed) c[C_IP_CLEARED]!++;
    if (v.fragment) {
      // Reassembly is for those before us; a fragment that comes here all the same cannot be compared.
      c[C_PRIMARY_FRAGMENTS]!++;
      this.holdUnknown(id, v, buf, partialChecksum, nowMs);
      return;
    }
    const comparing = !this.paused;
    let outcome: Outcome;
    if (isInfrastructure(v)) {
      c[C_PRIMARY_INFRASTRUCTURE]!++;
      this.noteNeighbours(v, true);
      this.x.leave(id, v, buf, partialChecksum);
      return;
    }
    if (hasExtensionHeaders(v)) viewWhole(v);
    if (v.protocol === IPPROTO_TCP) {
      outcome = this.tcp.primary(id, v, buf, partialChecksum, comparing, nowMs);
    } else if (this.matchesAnswers && isIcmpAnswer(v)) {
      outcome = this.answers.primary(id, v, buf, partialChecksum, comparing, nowMs);
    } else {
      outcome = this.datagrams.primary(id, v, buf, partialChecksum, comparing, nowMs);
      if (v.protocol === IPPROTO_UDP) this.divided.note(id, v, outcome === WAIT, nowMs);
    }
    if (!comparing) return;
    if (outcome === EQUAL) this.silence.inStep(nowMs);
    this.conclude(outcome, nowMs);
  }

  /**
   * A packet of the PVM that cannot be compared, as not all of it is known: it was cut to `len` of its originalLen bytes, or is several
   * in one. It is held, asks for a checkpoint, and leaves by that. A cut TCP segment is dropped: TCP repeats it, and in smaller ones;
   * a whole one is compared, as a stream does not care where it is cut.
   */
  primaryOpaque(
    id: number,
    buf: Buffer,
    off: number,
    len: number,
    originalLen: number,
    partialChecksum: boolean,
    nowMs: number,
    headBytes = 0,
    zone = 0,
  ): void {
    const c = this.counters.values;
    const v = this.view;
    v.head = headBytes;
    v.limit = off + len;
    v.zone = zone;
    // Headers stand at the front: those of a cut packet are read as those of the whole.
    const known = this.protectedNow && parseIp(v, buf, off, originalLen) === PARSE_OK;
    const wholeTcp = v.protocol === IPPROTO_TCP && !v.fragment && len === originalLen;
    if (!known || wholeTcp || (this.bypass.length > 0 && bypasses(this.bypass, v))) {
      this.primary(id, buf, off, originalLen, partialChecksum, nowMs, headBytes, zone);
      return;
    }
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += originalLen;
    c[C_PRIMARY_OPAQUE]!++;
    this.primarySpeaks(nowMs);
    v.changed = false;
    if (v.protocol === IPPROTO_TCP && !v.fragment) this.x.drop(id);
    else this.holdUnknown(id, v, buf, partialChecksum, nowMs);
  }

  /** Such a packet of the SVM: nothing of it is used. The PVM's, if there is one, asks for the checkpoint. */
  secondaryOpaque(buf: Buffer, off: number, len: number, originalLen: number, nowMs: number, zone = 0): void {
    const v = this.view;
    if (len === originalLen && parseIp(v, buf, off, len) === PARSE_OK && v.protocol === IPPROTO_TCP && !v.fragment) {
      this.secondary(buf, off, len, nowMs, zone);
      return;
    }
    const c = this.counters.values;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += len;
    c[C_SECONDARY_OPAQUE]!++;
  }

  /** A frame of the PVM that is no IP packet, its content at frame.network: compared with the SVM's next of the same header. */
  primaryLink(
    id: number,
    buf: Buffer,
    frame: FrameView,
    end: number,
    nowMs: number,
    headBytes: number,
    zone: number,
  ): void {
    const c = this.counters.values;
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += end - frame.network;
    this.primarySpeaks(nowMs);
    if (!this.protectedNow) {
      c[C_UNPROTECTED]!++;
      this.x.accept(id, buf, frame.network, end - frame.network);
      return;
    }
    const v = this.view;
    v.head = headBytes;
    v.limit = end;
    v.zone = zone;
    viewLinkFrame(v, buf, frame, end);
    v.changed = false;
    const comparing = !this.paused;
    const outcome = this.datagrams.primary(id, v, buf, false, comparing, nowMs);
    if (comparing) this.conclude(outcome, nowMs);
  }

  /** Such a frame of the SVM. */
  secondaryLink(buf: Buffer, frame: FrameView, end: number, nowMs: number, zone: number): void {
    const c = this.counters.values;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += end - frame.network;
    this.secondarySpeaks(nowMs);
    if (!this.protectedNow || !this.listensToSecondary(nowMs)) return;
    const v = this.view;
    v.zone = zone;
    viewLinkFrame(v, buf, frame, end);
    this.conclude(this.datagrams.secondary(v, buf, nowMs), nowMs);
  }

  /** A packet of the SVM. What is needed of it is copied; the caller drops the original always. */
  secondary(buf: Buffer, off: number, len: number, nowMs: number, zone = 0): void {
    const c = this.counters.values;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += len;
    this.secondarySpeaks(nowMs);
    if (!this.protectedNow) return;
    const v = this.view;
    v.zone = zone;
    if (parseIp(v, buf, off, len) !== PARSE_OK) {
      c[C_SECONDARY_MALFORMED]!++;
      return;
    }
    if (this.bypass.length > 0 && bypasses(this.bypass, v)) {
      c[C_SECONDARY_BYPASSED]!++;
      return;
    }
    if (v.fragment) {
      c[C_SECONDARY_FRAGMENTS]!++;
      return;
    }
    if (isInfrastructure(v)) {
      c[C_SECONDARY_INFRASTRUCTURE]!++;
      this.noteNeighbours(v, false);
      return;
    }
    if (!this.listensToSecondary(nowMs)) return;
    if (hasExtensionHeaders(v)) viewWhole(v);
    let outcome: Outcome;
    if (v.protocol === IPPROTO_TCP) outcome = this.tcp.secondary(v, buf, nowMs);
    else if (this.matchesAnswers && isIcmpAnswer(v)) outcome = this.answers.secondary(v, buf, nowMs);
    else outcome = this.datagrams.secondary(v, buf, nowMs);
    this.conclude(outcome, nowMs);
  }

  /**
   * Before a row of pair() calls for PVM packets that stand in buf[from, to), in this order and at most `packets` of them. False:
   * the long way is the only one now. Between it and endPairs() nothing but pair() may be called.
   */
  beginPairs(from: number, to: number, packets: number, nowMs: number): boolean {
    if (!this.protectedNow || this.paused || nowMs < this.settleUntil || this.bypass.length > 0) return false;
    this.primarySpeaks(nowMs);
    this.silence.secondaryHeard(nowMs);
    return this.pairs.openRun(from, to, packets);
  }

  /** Ends the row; what was said of the PVM's buffer must still stand there. */
  endPairs(buf: Buffer): void {
    this.pairs.closeRun(buf);
  }

  /**
   * The next packet of either side at once: p[pOff, pOff+pLen) and s[sOff, sOff+sLen), from their IP headers to their frames'
   * ends; when the lengths are equal, so are they from `differing` bytes on. RELEASED: the PVM's packet leaves, as it now stands there; both are settled
   * without a verdict by the actions. Any other result: nothing has happened, and says what to hand in the long way.
   */
  pair(
    p: Buffer,
    pOff: number,
    pLen: number,
    s: Buffer,
    sOff: number,
    sLen: number,
    differing: number,
    partialChecksum: boolean,
    nowMs: number,
    zone: number,
  ): PairResult {
    const result = this.pairs.pair(p, pOff, pLen, s, sOff, sLen, differing, partialChecksum, zone, nowMs);
    if (result === PAIR_RELEASED) this.silence.inStep(nowMs);
    return result;
  }

  /**
   * All that arrived together was handed in, and what it let out is on its way: now what is verified of held packets' beginnings leaves.
   * For what has to wait a moment for more of the SVM's, nextDeadlineMs tells when.
   */
  endBatch(nowMs: number): void {
    if (this.protectedNow && !this.paused) this.x.prefixes.send(nowMs);
  }

  /** DO_CHECKPOINT: the guests are stopped and equal. Everything the PVM has said is released, in order of arrival. */
  checkpoint(nowMs: number): void {
    this.counters.values[C_CHECKPOINTS]!++;
    this.nowMs = nowMs;
    this.releaseHeld(nowMs);
    this.silence.checkpoint();
    this.newEpoch();
    this.pace.checkpoint(nowMs);
    this.settleUntil = nowMs + this.forwardSettleMs;
  }

  /** The PVM was resumed. Who cannot tell need not: its first packet tells. */
  primaryResumed(nowMs: number): void {
    this.pace.primaryRuns(nowMs);
  }

  /** When tick() and endBatch() want to be called beside its regular times, by the clock of nowMs; Infinity: at no time. */
  get nextDeadlineMs(): number {
    if (!this.protectedNow) return Number.POSITIVE_INFINITY;
    const { opensMs } = this.pace;
    if (this.delayed !== undefined) return this.paused ? opensMs : Math.min(opensMs, this.x.prefixes.deadlineMs);
    if (this.paused) return Number.POSITIVE_INFINITY;
    if (this.silent) return this.x.prefixes.deadlineMs;
    return Math.min(Math.max(this.silence.wakeMs, opensMs), this.x.prefixes.deadlineMs);
  }

  /** The operator's word: what is held now leaves unverified, in order. Comparing goes on behind it. */
  releaseAll(nowMs: number): void {
    this.settleFlowsOfHeld(true);
    this.releaseHeld(nowMs);
    this.silence.nothingHeld();
  }

  /** What is held now is lost: a dead guest's output must not appear. */
  dropAll(): void {
    const { holds } = this.x;
    this.settleFlowsOfHeld(false);
    for (let slot = holds.head; slot !== 0; slot = holds.head) {
      this.x.drop(holds.words[holds.index(slot) + H_ID]!);
      holds.remove(slot);
    }
    this.answers.released();
    this.silence.nothingHeld();
  }

  /** Off: the PVM's packets leave at once (after releaseAll or dropAll). On again: nothing of before is known. */
  setProtected(on: boolean): void {
    if (on === this.protectedNow) return;
    this.protectedNow = on;
    const passed = this.counters.values[C_UNPROTECTED]!;
    if (!on) {
      this.passedUnseen = passed;
      return;
    }
    // What passed meanwhile was not followed.
    if (passed !== this.passedUnseen) this.x.deltas.incomplete();
    this.forgetFlows();
    this.startEpoch();
    this.pace.forget();
  }

  /** A new pair: nothing of an earlier one is known any more, not even the kept deltas. What is held is dropped. */
  forgetPair(): void {
    this.forgetFlows();
    this.newEpoch();
    this.pace.forget();
  }

  get isProtected(): boolean {
    return this.protectedNow;
  }

  /** True from a request that pauses the comparison until DO_CHECKPOINT. */
  get isPaused(): boolean {
    return this.paused;
  }

  /** True until DO_CHECKPOINT from a request on without which something of the PVM's stays held. */
  get awaitsCheckpoint(): boolean {
    return this.paused || this.silent;
  }

  /**
   * An ARP request of either guest for another's address, which stands in words as in a packet view. (Neighbour solicitations are
   * packets, and come the packets' way.)
   */
  addressQuestion(primary: boolean, zone: number, family: 4 | 6, nowMs: number, a0: number, a1 = 0, a2 = 0, a3 = 0): void {
    // What was asked before a checkpoint is of no account, and one is coming or was just made.
    if (!this.protectedNow || this.paused || nowMs < this.settleUntil) return;
    this.nowMs = nowMs;
    const question = this.questions.about(zone, family, a0, a1, a2, a3);
    if (primary) question.primaryAsks(nowMs);
    else if (question.secondaryAsks(nowMs)) this.secondaryAddressRequest();
    this.counters.values[C_QUESTIONS_FULL] = this.questions.overflows;
  }

  /** Somebody has told the SVM where this address is. */
  addressAnswer(zone: number, family: 4 | 6, nowMs: number, a0: number, a1 = 0, a2 = 0, a3 = 0): void {
    if (this.protectedNow && !this.paused) this.questions.about(zone, family, a0, a1, a2, a3).answered(nowMs);
  }

  /** The SVM has lost an address that the PVM still knows. */
  secondaryAddressRequest(): void {
    if (this.protectedNow) this.request(CheckpointCause.ADDRESS_REQUEST, false);
  }

  /** Whoever feeds the engine has no room for what is held, or had none for what it has to know: only a checkpoint helps. */
  boundExhausted(): void {
    if (this.protectedNow) this.request(CheckpointCause.EXHAUSTED, true);
  }

  /**
   * The PVM was sent a RST with this sequence number in the connection with this key (FLOW_KEY_WORDS words). To be called when all that the
   * PVM had sent before was handed in.
   */
  peerReset(key: Uint32Array, seq: number, nowMs: number): void {
    if (this.protectedNow) this.expiry.resetByPeer(key, seq, nowMs);
  }

  setBypass(rules: readonly BypassRule[]): void {
    // Connections that began under the old rules were not followed.
    if (this.bypass.length > 0) this.x.deltas.incomplete();
    this.bypass = rules;
  }

  /** Sends the request that has waited for its time; part of tick(), for who looks at no timeouts now. */
  askDelayed(nowMs: number): void {
    if (this.protectedNow && this.delayed !== undefined && nowMs >= this.pace.opensMs) this.send(this.delayed);
  }

  /** Timeouts; to be called every 100 ms or so. */
  tick(nowMs: number): void {
    this.nowMs = nowMs;
    this.expiry.tick(nowMs);
    this.askDelayed(nowMs);
    if (this.questions.tick(nowMs)) this.secondaryAddressRequest();
    if (!this.protectedNow || this.paused) return;
    this.answers.tick(nowMs);
    if (this.silent || nowMs < this.pace.opensMs) return;
    const overdue = this.divided.overdue(nowMs);
    const cause = overdue ? CheckpointCause.TIMEOUT_PRIMARY_HELD : this.silence.check(nowMs);
    this.counters.values[C_CLASSES_EVICTED] = this.silence.learned?.evicted ?? 0;
    if (cause === undefined) return;
    this.silent = true;
    this.request(cause, false);
  }

  /** Of the last request for silence: how long nothing had moved, in ms. */
  get waitedMs(): number {
    return this.silence.waitedMs;
  }

  /** The last difference found; its buffers hold until the next packet. */
  get difference() {
    return this.x.difference;
  }

  get heldPackets(): number {
    return this.x.holds.count;
  }

  /** Bytes in the log that are held or await the other side. */
  get heldBytes(): number {
    return this.x.log.neededBytes;
  }

  get flowCount(): number {
    return this.x.flows.size;
  }

  /** For reports: the flow table and its words. */
  get context(): PrimaryContext {
    return this.x;
  }

  private listensToSecondary(nowMs: number): boolean {
    if (this.paused) {
      // The checkpoint that is awaited makes the SVM forget what it says now.
      this.counters.values[C_SECONDARY_PAUSED]!++;
      return false;
    }
    if (nowMs < this.settleUntil) {
      this.counters.values[C_SECONDARY_SETTLING]!++;
      return false;
    }
    return true;
  }

  private noteNeighbours(v: PacketView, primary: boolean): void {
    const request = isNeighbourRequest(v);
    if (!request && (primary || !isNeighbourAdvertisement(v))) return;
    const at = neighbourTarget(v);
    if (at < 0) return;
    const { buf } = v;
    const a0 = read32(buf, at);
    const a1 = read32(buf, at + 4);
    const a2 = read32(buf, at + 8);
    const a3 = read32(buf, at + 12);
    if (request) this.addressQuestion(primary, v.zone, 6, this.nowMs, a0, a1, a2, a3);
    else this.addressAnswer(v.zone, 6, this.nowMs, a0, a1, a2, a3);
  }

  private primarySpeaks(nowMs: number): void {
    this.nowMs = nowMs;
    this.silence.primaryHeard(nowMs);
    if (this.pace.awaitsPrimary) this.pace.primaryRuns(nowMs);
  }

  private secondarySpeaks(nowMs: number): void {
    this.nowMs = nowMs;
    this.silence.secondaryHeard(nowMs);
  }

  private conclude(outcome: Outcome, nowMs: number): void {
    if (outcome === DIVERGED) {
      this.counters.values[C_DIVERGENCES]!++;
      this.request(this.x.difference.cause, true);
      return;
    }
    if (outcome === EXHAUSTED) {
      this.request(CheckpointCause.EXHAUSTED, true);
      return;
    }
    const flow = this.x.lastFlow;
    if (flow < 0) return;
    this.silence.note(flow, this.isAhead(flow), nowMs);
  }

  private isAhead(flow: number): boolean {
    const w = this.x.flows.words;
    if ((w[flow + FLOW_META]! & 0xff) !== IPPROTO_TCP) return this.datagrams.secondaryAhead(flow);
    const flags = w[flow + X_FLAGS]!;
    if ((flags & XF_SECONDARY_SYN) !== 0 || (w[flow + X_ODD]! & XO_SECONDARY_OFFER) !== 0) return true;
    const ends = flags & (XF_PRIMARY_FIN | XF_SECONDARY_FIN);
    if (ends === XF_SECONDARY_FIN) return true;
    // Where both have ended, a reset says that the SVM has forgotten the connection, which the PVM need not have at the same time.
    if (ends === 0 || ends === XF_PRIMARY_FIN) {
      if ((flags & (XF_PRIMARY_RST | XF_SECONDARY_RST)) === XF_SECONDARY_RST) return true;
    }
    return this.x.stream.secondaryAhead(flow);
  }

  /** Waits for a checkpoint, and for nothing else. */
  private holdUnknown(id: number, v: PacketView, buf: Buffer, partial: boolean, nowMs: number): void {
    const held = this.x.hold(id, NO_FLOW, v, buf, 0, 0, holdFlags(v, partial), nowMs);
    this.request(held === 0 ? CheckpointCause.EXHAUSTED : CheckpointCause.NOT_COMPARABLE, true);
  }

  private request(cause: CheckpointCause, pause: boolean): void {
    if (pause) this.paused = true;
    if (this.requested) return;
    this.requested = true;
    if (this.nowMs >= this.pace.opensMs) {
      this.send(cause);
      return;
    }
    this.counters.values[C_REQUESTS_DELAYED]!++;
    this.x.difference.keep();
    this.delayed = cause;
  }

  private send(cause: CheckpointCause): void {
    this.delayed = undefined;
    this.counters.requests[CHECKPOINT_CAUSES.indexOf(cause)]!++;
    this.x.actions.requestCheckpoint(cause);
  }

  /** Lets all held packets go, oldest first, with the PVM's own acknowledgements and windows; none with a time older than one that left. */
  private releaseHeld(nowMs: number): void {
    const { holds, log } = this.x;
    const hw = holds.words;
    for (let slot = holds.head; slot !== 0; slot = holds.head) {
      const h = holds.index(slot);
      const flags = hw[h + H_FLAGS]!;
      const r = log.recordIndex(hw[h + H_RECORD]!);
      const head = (flags >>> HF_HEAD_SHIFT) & 0xff;
      const copy = log.words[r + R_COPY]!;
      const at = copy + head;
      const bytes = log.words[r + R_COPY_BYTES]! - head;
      const partial = (flags & HF_PARTIAL) !== 0;
      const raised =
        (flags & HF_TCP) !== 0 &&
        this.x.release.raiseTimestamp(hw[h + H_FLOW]!, log.data, copy + hw[h + H_L4]!, partial);
      if ((flags & HF_TCP) !== 0) {
        this.tcp.remember(slot);
        noteHeldLeft(this.x, slot);
      }
      this.counters.noteHold((nowMs - hw[h + H_TIME]!) | 0);
      if (raised || (flags & HF_DIRTY) !== 0) {
        this.x.acceptRewritten(hw[h + H_ID]!, log.data, at, bytes, partial);
      } else {
        this.x.accept(hw[h + H_ID]!, log.data, at, bytes);
      }
      holds.remove(slot);
    }
    this.answers.released();
  }

  /** Before held packets go without a checkpoint: their streams either count as said, or as never said. */
  private settleFlowsOfHeld(released: boolean): void {
    const { holds, flows, stream } = this.x;
    for (let slot = holds.head; slot !== 0; slot = holds.next(slot)) {
      const flow = holds.words[holds.index(slot) + H_FLOW]!;
      if (flow === NO_FLOW || (flows.words[flow + FLOW_META]! & 0xff) !== IPPROTO_TCP) continue;
      // A SYN that leaves alone begins a connection that the SVM may number otherwise.
      if (released && (flows.words[flow + X_FLAGS]! & XF_MATCHED) === 0) this.x.deltas.incomplete();
      if ((flows.words[flow + X_FLAGS]! & XF_BASED) === 0) continue;
      if (released) stream.coverPrimary(flow, flows.words[flow + X_PRIMARY_NEXT]!);
      else {
        stream.dropPrimaryPending(flow);
        stream.range.retract(flow);
      }
    }
  }

  private newEpoch(): void {
    this.x.deltas.clear();
    this.passedUnseen = this.counters.values[C_UNPROTECTED]!;
    this.startEpoch();
  }

  private startEpoch(): void {
    this.x.log.newEpoch();
    this.x.epoch = this.x.log.epoch;
    this.silence.startEpoch();
    this.x.prefixes.clear();
    this.answers.newEpoch();
    this.divided.newEpoch();
    this.paused = false;
    this.requested = false;
    this.silent = false;
    this.delayed = undefined;
    this.questions.clear();
  }

  private forgetFlows(): void {
    const { flows } = this.x;
    // A held packet must not outlive the record of its flow.
    this.dropAll();
    for (let flow = flows.next(-1); flow >= 0; flow = flows.next(flow)) {
      this.x.wheel.disarm(flow);
      flows.remove(flow);
    }
  }
}
