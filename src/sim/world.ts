// One run: the real topology around the two nodes, the faults, and the rules that must hold.
//
//   client ==up==> PN tap --> PVM          PVM --> [PN guest queue] --released--> ==down==> client
//                   \ mirror                                                          ^
//                    ==forward==> [SN peer queue] --> SVM --> [SN guest queue] --+----+ after a failover
//                   [PN forward queue] <==forward back==-------------------------+ before

import { CheckpointCause } from '../compare/outcome';
import { seqAfter } from '../core/seq32';
import { ETH_HLEN } from '../packet/ethernet';
import { SILENT_START_MS } from '../pmycolo/request-pace';
import { remindSome } from '../seccolo/remind-some';
import { serve } from './app/server';
import { Ledger } from './check/ledger';
import { Clients } from './clients';
import { Controller } from './controller';
import { type NodeSurroundings, Note } from './daemon';
import { Faults } from './faults';
import { Link } from './link';
import { Machine } from './machine';
import type { Makers } from './makers';
import { Origin, SimPacket } from './packet';
import { keyOfPeerPacket, seqOf } from './peer-packet';
import { SimPrimary } from './primary';
import { Prng } from './prng';
import { type Scenario, SERVER_PORT } from './scenario';
import { SimSecondary } from './secondary';
import { Stage } from './stage';
import { StreamLink } from './stream/link';
import { readSegment, Segment } from './tcp/segment';
import type { Trace } from './trace';
import { PROTO_TCP } from './wire';

/**
 * Longest time from the last fault to the end of all traffic: a few timeouts, each followed by a checkpoint, and slow
 * readers; where the flow table is tiny, flows must also time out before others find room.
 */
const PATIENCE_US = 400_000_000;
/** No packet may be held longer than this once nothing fails any more. */
const HOLD_LIMIT_US = 15_000_000;
/**
 * Segments of the SVM that the client may drop as old in a run: the proxy knows only timestamps whose echo it has seen,
 * and learns a newer one from the answer to such a segment.
 */
const MAX_OLD_SEGMENTS = 8;
/** The engines' clock drops fractions of a ms. */
const ROUNDING_US = 1000;
const MAX_EVENTS = 3_000_000;

/** Receiver of the client's packets. */
type Side = 'primary' | 'nobody' | 'secondary';

export class World extends Stage {
  readonly prng: Prng;
  readonly client: Machine;
  readonly pvm: Machine;
  readonly svm: Machine;
  readonly pn: SimPrimary;
  readonly sn: SimSecondary;
  readonly clientUp: Link;
  readonly clientDown: Link;
  readonly forwardOut: Link;
  readonly forwardBack: Link;
  /** Instead of the two. */
  readonly stream: StreamLink | undefined;
  readonly controller: Controller;
  readonly ledger: Ledger;
  readonly clients: Clients;
  readonly faults: Faults;
  /** Checkpoints that the primary has asked for, by cause. */
  readonly asked: Record<string, number> = {};
  side: Side = 'primary';
  /** The primary compares; else everything passes. */
  isProtected: boolean;
  /** Time when the last DO_CHECKPOINT reached this primary's daemon; -1: never. */
  private checkpointUs = -1;
  /** There was a checkpoint since the pair began. */
  private svmIsCopy = true;
  /** The last checkpoint that each node was told of. */
  private primaryObeyed = 0;
  private secondaryObeyed = 0;

  constructor(
    readonly scenario: Scenario,
    readonly makers: Makers,
    trace: Trace,
  ) {
    super(trace);
    const root = new Prng(scenario.seed);
    const s = scenario;
    const { scheduler } = this;
    this.prng = root.fork('world');
    this.ledger = new Ledger((rule, what) => this.broken(rule, what));
    const machine = (origin: Origin, name: string, image: Scenario['guestImage'], habits: Scenario['clientHabits']) =>
      new Machine(origin, image, habits, root.fork(name), scheduler);
    this.client = machine(Origin.CLIENT, 'client', s.clientImage, s.clientHabits);
    this.pvm = machine(Origin.PVM, 'PVM', s.guestImage, s.primaryHabits);
    this.svm = machine(Origin.SVM, 'SVM', s.guestImage, s.secondaryHabits);
    this.stream = s.stream && new StreamLink(s.stream, root.fork('stream link'), scheduler);
    if (s.stream) this.svm.inboxLimit = s.stream.portFrames;
    const around: NodeSurroundings = {
      scheduler,
      prng: root.fork('nodes'),
      makers,
      queueLimit: s.queueLimit,
      queueLatencyUs: s.queueLatencyUs,
      baseMs: s.baseMs,
      stream: this.stream,
      portState: (guest) => ((guest === 'PVM' ? this.pvm : this.svm).alive ? 'up' : 'gone'),
      broken: (rule, what) => this.broken(rule, what),
      note: (code, x, y, text) => this.note(code, x, y, text),
    };
    this.pn = new SimPrimary(
      around,
      s.tickMs,
      s.primary,
      s.controller.onLoss,
      makers.primaryFiles(),
      (packet, out) => this.released(packet, out),
      (cause) => this.notified(cause),
      () => this.letsGo(),
      () => this.releasesAll(),
    );
    this.sn = new SimSecondary(
      around,
      s.tickMs,
      makers.secondaryFiles(),
      { deliver: (packet) => this.svm.deliver(packet), empty: () => this.svm.loseInbox() },
      (packet) => this.leftSecondary(packet),
    );
    const link = (name: string, plan: Scenario['forward'], deliver: (packet: SimPacket) => void) =>
      new Link(name, plan, root.fork(name), scheduler, deliver);
    this.clientUp = link('client up', s.clientUp, (packet) => this.reachedHost(packet));
    this.clientDown = link('client down', s.clientDown, (packet) => this.client.deliver(packet));
    this.forwardOut = link('forward', s.forward, (packet) => this.sn.peerQueue.enqueue(packet));
    this.forwardBack = link('forward back', s.forwardBack, (packet) => this.pn.forwardQueue.enqueue(packet));
    this.controller = new Controller(this, s.controller);
    this.clients = new Clients(this);
    this.faults = new Faults(this);
    this.isProtected = s.startsProtected;
    this.client.send = (packet) => this.clientUp.send(packet);
    this.pvm.send = (packet) => this.sentByGuest(packet, () => this.pn.guestQueue.enqueue(packet));
    this.svm.send = (packet) => this.sentByGuest(packet, () => this.sn.guestQueue.enqueue(packet));
  }

  /** Runs to the end; throws BrokenRule when a rule does not hold. */
  run(): void {
    this.begin();
    const deadlineUs = this.scenario.calmUs + PATIENCE_US;
    let events = 0;
    while (!this.clients.done || !this.faults.over) {
      if (!this.scheduler.step()) this.broken('liveness', `no event is left, ${this.unfinished()}`);
      if (this.nowUs > deadlineUs)
        this.broken('liveness', `not over after ${deadlineUs / 1e6} s: ${this.unfinished()}`);
      if (++events > MAX_EVENTS) this.broken('liveness', `${MAX_EVENTS} events: ${this.unfinished()}`);
      if ((events & 1023) === 0) this.checkWaiting();
    }
    this.checkWaiting();
  }

  private begin(): void {
    const s = this.scenario;
    this.pvm.listeners.set(SERVER_PORT, serve);
    this.svm.listeners.set(SERVER_PORT, serve);
    this.pn.start(s.startsProtected ? 'fresh' : 'unprotected');
    this.sn.start();
    if (s.startsProtected) {
      this.controller.begin();
      this.controller.ready = true;
    } else {
      this.ledger.judging = false;
      this.svm.stop();
      this.after(this.prng.range(50_000, 800_000), () => this.protect());
    }
    this.clients.begin();
    this.faults.begin();
    this.scheduler.at(s.calmUs, () => {
      for (const link of [this.clientUp, this.clientDown, this.forwardOut, this.forwardBack]) link.calm();
      this.stream?.calm();
    });
  }

  // The packets' ways.

  private reachedHost(packet: SimPacket): void {
    if (this.side === 'primary') {
      this.pvm.deliver(packet);
      if (packet.rst && packet.key === '') this.peerResets(packet);
      // Without a pair nothing is mirrored; what an SVM that is no copy yet was sent long ago would tell it nothing.
      if (!this.isProtected) return;
      if (this.stream) this.pn.portQueue.enqueue(packet);
      else this.forwardOut.send(packet);
    } else if (this.side === 'secondary') this.sn.peerQueue.enqueue(packet);
  }

  private peerResets(packet: SimPacket): void {
    const key = keyOfPeerPacket(packet);
    const seq = seqOf(packet);
    this.after(this.prng.below(this.scenario.tickMs * 1000), () => this.pn.node?.peerReset(key, seq));
  }

  private sentByGuest(packet: SimPacket, enqueue: () => void): void {
    this.note(Note.SENT, packet.origin, packet.buf.length, () => this.tell(packet));
    if (this.side === 'primary') this.ledger.sent(packet);
    enqueue();
  }

  private released(packet: SimPacket, out: Buffer): void {
    if (this.pn.node?.state === 'guest-dead')
      this.broken('a dead guest', 'its output leaves after the node has noticed the death');
    this.ledger.released(packet, out);
    this.clientDown.send(out === packet.buf ? packet : packet.withBytes(out));
  }

  private leftSecondary(packet: SimPacket): void {
    if (this.side === 'secondary') this.clientDown.send(packet);
    else if (this.side === 'primary') this.forwardBack.send(packet);
  }

  private notified(cause: string): void {
    this.asked[cause] = (this.asked[cause] ?? 0) + 1;
    this.checkPace(cause);
    if (cause === CheckpointCause.ADDRESS_REQUEST && !this.faults.has('address-request')) {
      this.broken('needless checkpoint', 'the PVM has asked for the same address as the SVM');
    }
    this.controller.notified();
  }

  /**
   * The PVM has run long enough since the last checkpoint, or has long been silent. An aborted checkpoint (the SVM's
   * host died in it) stops and resumes the PVM, too; the node is not told, so for it the time runs on.
   */
  private checkPace(cause: string): void {
    const minUs = this.scenario.primary.minCheckpointIntervalMs * 1000;
    if (this.checkpointUs < 0 || minUs === 0) return;
    const silent = this.nowUs - this.checkpointUs >= SILENT_START_MS * 1000 + minUs - ROUNDING_US;
    const ran = this.pvm.ranFromUs < 0 ? 0 : this.nowUs - this.pvm.ranFromUs;
    if (silent || ran >= minUs - ROUNDING_US) return;
    this.broken('pace', `a checkpoint is asked for (${cause}) when the PVM has run for only ${ran} us since the last`);
  }

  /** The daemon that was told of the last checkpoint is gone, or the pair has ended. */
  forgetPace(): void {
    this.checkpointUs = -1;
  }

  // What the controller does.

  /** Early order: from now on the stopped PVM's state counts as the SVM's. */
  promise(): void {
    this.ledger.cover();
  }

  copyState(): void {
    if (!this.controller.promised) this.ledger.cover();
    this.svm.copyFrom(this.pvm);
    if (!this.svmIsCopy) {
      // An SVM that was no copy may have received acknowledgements of anything.
      this.svm.counts.unsentAcks = 0;
      this.svm.counts.unsentSacks = 0;
    }
    this.pvm.epoch = this.ledger.epoch;
    this.svm.epoch = this.ledger.epoch;
    this.ledger.judging = this.isProtected;
    this.svmIsCopy = true;
  }

  checkpointPrimary(): void {
    this.primaryObeyed = this.controller.attempt;
    this.pn.checkpoint(this.ledger.epoch - 1);
    this.checkpointUs = this.nowUs;
    this.pvm.noteCheckpoint();
  }

  /**
   * Packets in the stopped SVM's tap have the numbers of the old epoch, and no proxy can call them back: the tap's
   * queue has to be emptied with the checkpoint. (An acknowledgement moved by a small old offset could confirm bytes
   * that nobody has.)
   */
  checkpointSecondary(): void {
    this.secondaryObeyed = this.controller.attempt;
    this.sn.node!.checkpoint();
    if (!this.stream) this.svm.loseInbox();
  }

  /** Over a stream link: at the later of both hosts' DO_CHECKPOINT. */
  private releasesAll(): void {
    if (this.stream && this.isProtected && this.secondaryObeyed < this.primaryObeyed)
      this.broken('both have obeyed', 'a checkpoint releases what is held before SN has obeyed it');
  }

  /** No packet of the SVM is on its way to PN. Packets that have arrived there are the node's to read. */
  queuesAreIdle(): boolean {
    return this.sn.guestQueue.heldPackets === 0;
  }

  takeOver(): void {
    this.checkEpoch();
    this.side = 'secondary';
    this.sn.node!.whenDecided(() => {
      const engine = this.sn.engine;
      if (engine === null) return;
      const send = (frame: Uint8Array): void => this.remind(Buffer.from(frame.subarray(ETH_HLEN)));
      for (let base = remindSome(engine, -1, send); base >= 0; ) base = remindSome(engine, base, send);
    });
  }

  private remind(buf: Buffer): void {
    const family = buf[0]! >> 4 === 6 ? 6 : 4;
    const packet = new SimPacket(buf, family, PROTO_TCP);
    packet.origin = Origin.SVM;
    packet.madeUs = this.nowUs;
    const segment = new Segment();
    if (!readSegment(segment, buf, family) || segment.payloadBytes > 0)
      this.broken('faithful rewrite', 'a reminder is no bare ACK');
    const given = this.svm.acknowledged(family, segment.srcPort, segment.dstPort);
    if (given >= 0 && seqAfter(segment.ack, given))
      this.broken('ack commit', `a reminder acknowledges ${segment.ack}, the SVM has given ${given}`);
    this.clientDown.send(packet);
  }

  /** A controller arrives or returns: the next checkpoint makes the SVM a copy. */
  protect(): void {
    if (!this.pn.node || !this.sn.node) {
      this.after(10_000, () => this.protect());
      return;
    }
    this.note(Note.CONTROL, 7, 0, () => 'controller: PROXY_INIT');
    this.pn.protect();
    this.sn.node.attach(true);
    this.forgetPace();
    this.isProtected = true;
    // From now on the SVM's packets count, although it is no copy yet.
    this.ledger.newSecondary();
    this.ledger.judging = true;
    this.svmIsCopy = false;
    this.controller.begin();
    this.controller.want();
  }

  /** The primary passes everything. */
  unprotect(): void {
    this.note(Note.CONTROL, 8, 0, () => 'PN: unprotected');
    this.isProtected = false;
    this.ledger.judging = false;
    if (this.pn.node) this.pn.unprotect();
  }

  /**
   * The primary's node releases everything held, unverified. It may do so by command, or by its policy while the PVM
   * lives.
   */
  private letsGo(): void {
    if (!this.isProtected) return;
    if (!this.controller.gone || this.scenario.controller.onLoss !== 'release' || !this.pvm.alive) {
      this.broken('output commit', 'the node releases held packets unverified without being told to');
    }
    this.isProtected = false;
    this.ledger.judging = false;
  }

  // The end.

  /** Without a failover, SN may count a checkpoint as missed only when the PVM's death has aborted it. */
  private checkEpoch(): void {
    if (this.side === 'secondary' || this.controller.missed) return;
    if ((this.sn.totals().checkpoints_missed ?? 0) > 0)
      this.broken('right epoch', 'SN takes a completed checkpoint for missed');
  }

  private checkWaiting(): void {
    this.checkEpoch();
    const { counts } = this.client;
    if (counts.badPackets > 0) this.broken('faithful rewrite', 'the client received a damaged packet');
    if (counts.pawsAcrossFailover > MAX_OLD_SEGMENTS)
      this.broken('time goes forward', "the client dropped a segment of the SVM as older than the PVM's");
    for (const { counts: c } of [this.pvm, this.svm]) {
      if (this.ledger.judging && this.svmIsCopy && c.unsentAcks + c.unsentSacks > 0) {
        this.broken(
          'right numbers',
          `a guest saw ${c.unsentAcks} ACKs and ${c.unsentSacks} SACK blocks of bytes that it never sent`,
        );
      }
    }
    if (this.pvm.counts.badPackets + this.svm.counts.badPackets > 0)
      this.broken('faithful rewrite', 'a guest received a damaged packet');
    if (this.nowUs > this.scenario.calmUs + HOLD_LIMIT_US && this.pn.oldestHeldUs() > HOLD_LIMIT_US) {
      this.broken('liveness', `a packet has been held for ${this.pn.oldestHeldUs() / 1e6} s`);
    }
  }

  private unfinished(): string {
    return `${this.clients.unfinished}; ${this.faults.unfinished}; held ${this.pn.guestQueue.heldPackets}, side ${this.side}`;
  }

  private tell(packet: SimPacket): string {
    const flags = `${packet.syn ? 'S' : ''}${packet.fin ? 'F' : ''}${packet.rst ? 'R' : ''}`;
    const what =
      packet.key === ''
        ? `datagram of ${packet.buf.length} bytes`
        : `${packet.key} ${flags} [${packet.place}, +${packet.dataBytes}) ack ${packet.ackPlace} edge ${packet.edgePlace}`;
    return `${packet.origin === Origin.PVM ? 'PVM' : 'SVM'}: ${what}`;
  }
}
