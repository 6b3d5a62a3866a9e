// PMYCOLO, the primary's engine: takes the packets of both VMs, compares them, lets the PVM's go when the SVM has sent
// the same, and asks for a checkpoint when it has not. It does no I/O: packets and times come in, verdicts go out.
//
//    packet-intake --> flow-handler: tcp-intake, udp-intake, answer-intake, datagram-intake --> compare/
//         |                 |                                                                      |
//       phase            holds: what waits <---------- verified? ---------------------------------+
//    (paused, asked)        |
//                           +--> tcp-outlet, tcp-release, prefix-outlet --> verdicts; all at once: held-release

import { CheckpointCause } from '../compare/outcome';
import { ANSWER_GRACE_MS, DEFAULT_LIMITS } from '../core/limits';
import type { FrameView } from '../packet/ethernet';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../packet/view';
import { AddressWatch } from './address-watch';
import { AnswerIntake } from './answer-intake';
import type { BypassRule } from './bypass';
import { NO_DELTAS, type PrimaryActions, PrimaryContext } from './context';
import { C_CHECKPOINTS, C_CLASSES_EVICTED, C_UNPROTECTED, type PrimaryCounters } from './counters';
import { DatagramIntake } from './datagram-intake';
import { DividedDatagram } from './divided-datagram';
import { DEFAULT_COMPARE_TIMEOUT_MS, type PrimaryConfig } from './engine-config';
import { Eviction } from './eviction';
import { Expiry } from './expiry';
import { FlowHandlers } from './flow-handler';
import { HeldRelease } from './held-release';
import { PacketIntake } from './packet-intake';
import { PairIntake } from './pair-intake';
import { Phase } from './phase';
import { PrimaryWords } from './primary-words';
import { SettledEpochs } from './secondary-epochs';
import { Silence } from './silence';
import { TcpIntake } from './tcp-intake';
import { UdpIntake } from './udp-intake';

export type { PrimaryActions } from './context';
export type { PrimaryConfig } from './engine-config';

export class PrimaryEngine {
  readonly counters: PrimaryCounters;
  /** For whoever knows what the SVM has said by digests. */
  readonly said: PrimaryWords;
  /** For packets of both sides that come at once. */
  readonly pairs: PairIntake;
  private readonly x: PrimaryContext;
  private readonly answers: AnswerIntake;
  private readonly divided: DividedDatagram;
  private readonly held: HeldRelease;
  private readonly phase: Phase;
  private readonly addresses: AddressWatch;
  private readonly intake: PacketIntake;
  private readonly silence: Silence;
  private readonly expiry: Expiry;
  /** Packets that had passed without protection when the numbers were last known. */
  private passedUnseen = 0;

  constructor(config: PrimaryConfig, actions: PrimaryActions) {
    const limits = { ...DEFAULT_LIMITS, ...config.limits };
    const seed = config.seed ?? [0, 0];
    const x = new PrimaryContext(
      limits,
      actions,
      config.deltas ?? NO_DELTAS,
      seed,
      config.secondaryNumbers === 'translated',
    );
    this.x = x;
    this.counters = x.counters;
    this.phase = new Phase(config.minCheckpointIntervalMs ?? 0, config.epochs ?? new SettledEpochs(0), x);
    this.silence = new Silence(
      config.compareTimeoutMs ?? DEFAULT_COMPARE_TIMEOUT_MS,
      config.maxCompareTimeoutMs ?? DEFAULT_COMPARE_TIMEOUT_MS,
      x.flows,
      x.holds,
      seed,
    );
    this.expiry = new Expiry(x, this.silence);
    const eviction = new Eviction(x, this.expiry);
    x.makeRoom = () => eviction.makeRoom();
    this.divided = new DividedDatagram(x);
    const graceMs = Math.min(ANSWER_GRACE_MS, this.silence.mostMs);
    this.answers = new AnswerIntake(x, this.expiry, seed, limits.maxHeldBytes, graceMs);
    const datagrams = new DatagramIntake(x, this.expiry);
    const icmp = config.icmpAnswers === 'ordered' ? datagrams : this.answers;
    x.handlers = new FlowHandlers(x.flows, datagrams, [
      [IPPROTO_TCP, new TcpIntake(x)],
      [IPPROTO_UDP, new UdpIntake(x, this.expiry, this.divided)],
      [IPPROTO_ICMP, icmp],
      [IPPROTO_ICMPV6, icmp],
    ]);
    this.held = new HeldRelease(x);
    this.addresses = new AddressWatch(this.phase, x.counters);
    this.intake = new PacketIntake(x, x.handlers, this.phase, this.silence, this.addresses);
    this.said = new PrimaryWords(x, this.intake);
    this.pairs = new PairIntake(x, this.expiry, this.phase, this.silence, this.intake);
  }

  /**
   * A packet of the PVM, its IP header at off. `id` gets exactly one verdict, now or later. With headBytes the frame's
   * own headers lie directly before off, and are there again when the packet is released. Packets of different zones
   * (VLANs) are strangers to each other.
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
    this.intake.primary(id, buf, off, len, partialChecksum, nowMs, headBytes, zone);
  }

  /**
   * A packet of the PVM that cannot be compared, as not all of it is known: it was cut to `len` of its originalLen
   * bytes, or is several in one. It is held, asks for a checkpoint, and leaves by that. A cut TCP segment is dropped:
   * TCP repeats it, and in smaller ones; a whole one is compared, as a stream does not care where it is cut.
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
    this.intake.primaryOpaque(id, buf, off, len, originalLen, partialChecksum, nowMs, headBytes, zone);
  }

  /** Such a packet of the SVM: nothing of it is used. The PVM's, if there is one, asks for the checkpoint. */
  secondaryOpaque(buf: Buffer, off: number, len: number, originalLen: number, nowMs: number, zone = 0): void {
    this.intake.secondaryOpaque(buf, off, len, originalLen, nowMs, zone);
  }

  /**
   * A frame of the PVM that is no IP packet, its content at frame.network: compared with the SVM's next of the same
   * header.
   */
  primaryLink(
    id: number,
    buf: Buffer,
    frame: FrameView,
    end: number,
    nowMs: number,
    headBytes: number,
    zone: number,
  ): void {
    this.intake.primaryLink(id, buf, frame, end, nowMs, headBytes, zone);
  }

  /** Such a frame of the SVM. */
  secondaryLink(buf: Buffer, frame: FrameView, end: number, nowMs: number, zone: number): void {
    this.intake.secondaryLink(buf, frame, end, nowMs, zone);
  }

  /** A packet of the SVM. What is needed of it is copied; the caller drops the original always. */
  secondary(buf: Buffer, off: number, len: number, nowMs: number, zone = 0): void {
    this.intake.secondary(buf, off, len, nowMs, zone);
  }

  /** Has the SVM sent what the PVM has not, and nothing of the PVM's is held? */
  get awaitsPrimary(): boolean {
    return this.x.holds.count === 0 && this.x.log.usedNeeded > 0;
  }

  /**
   * All that arrived together was handed in, and what it let out is on its way: now what is verified of held packets'
   * beginnings leaves. For what has to wait a moment for more of the SVM's, nextDeadlineMs tells when.
   */
  endBatch(nowMs: number): void {
    if (this.phase.protectedNow && !this.phase.paused) this.x.prefixes.send(nowMs);
  }

  /** DO_CHECKPOINT: the guests are stopped and equal. Everything the PVM has sent is released, in order of arrival. */
  checkpoint(nowMs: number): void {
    this.counters.values[C_CHECKPOINTS]!++;
    this.phase.nowMs = nowMs;
    this.releaseHeld(nowMs);
    this.silence.checkpoint();
    this.newEpoch(nowMs);
    this.phase.pace.checkpoint(nowMs);
  }

  /** The PVM was resumed. Who cannot tell need not: its first packet tells. */
  primaryResumed(nowMs: number): void {
    this.phase.pace.primaryRuns(nowMs);
  }

  /**
   * When tick() and endBatch() want to be called beside its regular times, by the clock of nowMs; Infinity: at no time.
   */
  get nextDeadlineMs(): number {
    return this.phase.nextDeadlineMs(this.silence.wakeMs, this.x.prefixes.deadlineMs);
  }

  /** The operator's word: what is held now leaves unverified, in order. Comparing goes on behind it. */
  releaseAll(nowMs: number): void {
    this.held.settle(true);
    this.releaseHeld(nowMs);
    this.silence.nothingHeld();
  }

  /** What is held now is lost: a dead guest's output must not appear. */
  dropAll(): void {
    this.held.dropAll();
    this.answers.released();
    this.silence.nothingHeld();
  }

  /** Off: the PVM's packets leave at once (after releaseAll or dropAll). On again: nothing of before is known. */
  setProtected(on: boolean): void {
    if (on === this.phase.protectedNow) return;
    this.phase.protectedNow = on;
    const passed = this.counters.values[C_UNPROTECTED]!;
    if (!on) {
      this.passedUnseen = passed;
      return;
    }
    // What passed meanwhile was not followed.
    if (passed !== this.passedUnseen) this.x.deltas.incomplete();
    this.forgetFlows();
    this.startEpoch();
    this.phase.pace.forget();
  }

  /** A new pair: nothing of an earlier one is known any more, not even the kept deltas. What is held is dropped. */
  forgetPair(nowMs: number): void {
    this.forgetFlows();
    this.newEpoch(nowMs);
    this.phase.pace.forget();
  }

  get isProtected(): boolean {
    return this.phase.protectedNow;
  }

  /** True from a request that pauses the comparison until DO_CHECKPOINT. */
  get isPaused(): boolean {
    return this.phase.paused;
  }

  /** True until DO_CHECKPOINT from a request on without which something of the PVM's stays held. */
  get awaitsCheckpoint(): boolean {
    return this.phase.paused || this.phase.silent;
  }

  /**
   * An ARP request of either guest for another's address, which stands in words as in a packet view. (Neighbour
   * solicitations are packets, and come the packets' way.)
   */
  addressQuestion(
    primary: boolean,
    zone: number,
    family: 4 | 6,
    nowMs: number,
    a0: number,
    a1 = 0,
    a2 = 0,
    a3 = 0,
  ): void {
    this.addresses.question(primary, zone, family, nowMs, a0, a1, a2, a3);
  }

  /** The SVM has got an answer for this address. */
  addressAnswer(zone: number, family: 4 | 6, nowMs: number, a0: number, a1 = 0, a2 = 0, a3 = 0): void {
    this.addresses.answer(zone, family, nowMs, a0, a1, a2, a3);
  }

  /** The SVM has lost an address that the PVM still knows. */
  secondaryAddressRequest(): void {
    this.addresses.lost();
  }

  /**
   * The engine's owner has no room for held packets, or has lost events: only a checkpoint
   * helps.
   */
  boundExhausted(): void {
    if (this.phase.protectedNow) this.phase.ask(CheckpointCause.EXHAUSTED, true);
  }

  /**
   * What the SVM has sent, or what was sent to it, is not all known, and a checkpoint that was asked for may have
   * passed without effect here.
   */
  secondaryUnknown(): void {
    if (this.phase.protectedNow) this.phase.askAgain(CheckpointCause.NOT_KNOWN);
  }

  /**
   * What a guest says from now on may be of another epoch than what it would be compared with: everything is held until
   * DO_CHECKPOINT. Whoever calls sees to it that one comes.
   */
  doubtEpoch(): void {
    if (this.phase.protectedNow) this.phase.paused = true;
  }

  /** DO_CHECKPOINT came, and whether to both hosts is not known: as doubtEpoch(), but the guests have stood still. */
  doubtCheckpoint(nowMs: number): void {
    this.doubtEpoch();
    this.phase.pace.checkpoint(nowMs);
  }

  /**
   * The PVM was sent a RST with this sequence number in the connection with this key (FLOW_KEY_WORDS words). To be
   * called when all that the PVM had sent before was handed in.
   */
  peerReset(key: Uint32Array, seq: number, nowMs: number): void {
    if (this.phase.protectedNow) this.expiry.resetByPeer(key, seq, nowMs);
  }

  setBypass(rules: readonly BypassRule[]): void {
    // Connections that began under the old rules were not followed.
    if (this.intake.bypass.length > 0) this.x.deltas.incomplete();
    this.intake.bypass = rules;
  }

  /** Sends the request that has waited for its time; part of tick(), for who looks at no timeouts now. */
  askDelayed(nowMs: number): void {
    this.phase.askDelayed(nowMs);
  }

  /** Timeouts; to be called every 100 ms or so. */
  tick(nowMs: number): void {
    this.phase.nowMs = nowMs;
    this.expiry.tick(nowMs);
    this.phase.askDelayed(nowMs);
    this.addresses.tick(nowMs);
    if (!this.phase.protectedNow || this.phase.paused) return;
    this.answers.tick(nowMs);
    if (this.phase.silent || nowMs < this.phase.pace.opensMs) return;
    const overdue = this.divided.overdue(nowMs);
    const cause = overdue ? CheckpointCause.TIMEOUT_PRIMARY_HELD : this.silence.check(nowMs);
    this.counters.values[C_CLASSES_EVICTED] = this.silence.learned?.evicted ?? 0;
    if (cause === undefined) return;
    this.phase.silent = true;
    this.phase.ask(cause, false);
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

  /** Lets all held packets go, oldest first, with the PVM's own acknowledgements and windows. */
  private releaseHeld(nowMs: number): void {
    this.held.releaseAll(nowMs);
    this.answers.released();
  }

  private newEpoch(nowMs: number): void {
    this.x.deltas.clear();
    this.passedUnseen = this.counters.values[C_UNPROTECTED]!;
    this.startEpoch();
    this.phase.endEpoch(nowMs);
  }

  private startEpoch(): void {
    this.x.log.newEpoch();
    this.x.epoch = this.x.log.epoch;
    this.silence.startEpoch();
    this.x.prefixes.clear();
    this.answers.newEpoch();
    this.divided.newEpoch();
    this.phase.startEpoch();
    this.addresses.startEpoch();
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
