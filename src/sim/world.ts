// One run: the topology of design and of real life around the two engines, the faults, and the rules that must hold.
//
//   client ==up==> PN tap --> PVM          PVM --> [PN guest queue] --released--> ==down==> client
//                   \ mirror                                                          ^
//                    ==forward==> [SN peer queue] --> SVM --> [SN guest queue] --+----+ after a failover
//                   [PN forward queue] <==forward back==-------------------------+ before

import { ClientSession, type SessionObserver } from './app/client';
import { askDatagram, askEcho, checkAnswer } from './app/datagram';
import type { Request } from './app/protocol';
import { serve } from './app/server';
import { Ledger } from './check/ledger';
import { keyOfPeerPacket, SimConntrack } from './conntrack';
import { Controller } from './controller';
import type { EngineMakers } from './engine-port';
import { Link } from './link';
import { Machine } from './machine';
import { type NodeSurroundings, Note, PrimaryNode, SecondaryNode } from './nodes';
import { Origin, type SimPacket } from './packet';
import { Prng } from './prng';
import { CALL_PORT, type Fault, type Scenario, SERVER_PORT, type SessionStart } from './scenario';
import { Scheduler } from './scheduler';
import type { Trace } from './trace';

/**
 * All must be over so long after the last fault: a few timeouts, each followed by a checkpoint, and slow readers; where
 * the flow table is tiny, flows must also time out before others find room.
 */
const PATIENCE_US = 400_000_000;
/** No packet may be held longer than this once nothing fails any more. */
const HOLD_LIMIT_US = 15_000_000;
/**
 * Segments of the SVM that the client may drop as old in a run: the proxy knows only the timestamps whose echo it has
 * seen, and learns of a newer one from the answer to such a segment.
 */
const MAX_OLD_SEGMENTS = 8;
/**
 * A handshake of a connection that the guest opens may be lost in a failover: the peer knows the PVM's SYN, and if its
 * SYN/ACK is lost again and again the SVM's SYN comes through, which a Linux peer answers with a reset when the two
 * numbers lie close together.
 */
const MAX_LOST_HANDSHAKES = 1;
const SWEEP_US = 1_000_000;
const MAX_EVENTS = 3_000_000;

export class BrokenRule extends Error {
  constructor(
    readonly rule: string,
    readonly what: string,
  ) {
    super(`${rule}: ${what}`);
    this.name = 'BrokenRule';
  }
}

/** Who gets what the client sends. */
type Side = 'primary' | 'nobody' | 'secondary';

export class World {
  readonly scheduler = new Scheduler();
  readonly prng: Prng;
  readonly client: Machine;
  readonly pvm: Machine;
  readonly svm: Machine;
  readonly pn: PrimaryNode;
  readonly sn: SecondaryNode;
  readonly clientUp: Link;
  readonly clientDown: Link;
  readonly forwardOut: Link;
  readonly forwardBack: Link;
  readonly controller: Controller;
  readonly ledger: Ledger;
  readonly sessions: ClientSession[] = [];
  readonly counts = {
    notified: {} as Record<string, number>,
    faults: {} as Record<string, number>,
    datagrams: 0,
    unreachable: 0,
    connectionsAtFailover: 0,
    lostHandshakes: 0,
  };
  private side: Side = 'primary';
  private started = 0;
  private readonly called = new Set<number>();
  private readonly awaitedCalls = new Set<number>();
  private openFaults: number;
  private readonly primaryConntrack = new SimConntrack();
  private readonly secondaryConntrack = new SimConntrack();
  /** What waits for a checkpoint to be under way. */
  private readonly waylaid = new Set<Fault>();
  /** The primary compares; else it lets everything pass. */
  private isProtected: boolean;
  private outage = 0;

  constructor(
    readonly scenario: Scenario,
    private readonly makers: EngineMakers,
    readonly trace: Trace,
  ) {
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
    const around: NodeSurroundings = {
      scheduler,
      prng: root.fork('nodes'),
      makers,
      queueLimit: s.queueLimit,
      queueLatencyUs: s.queueLatencyUs,
      baseMs: s.baseMs,
      broken: (rule, what) => this.broken(rule, what),
      note: (code, x, y, text) => this.note(code, x, y, text),
    };
    this.pn = new PrimaryNode(
      around,
      s.tickMs,
      s.primary,
      makers.primaryFiles(),
      (packet, out) => this.released(packet, out),
      (cause) => this.notified(cause),
    );
    this.sn = new SecondaryNode(
      around,
      s.tickMs,
      makers.secondaryFiles(),
      (packet) => this.svm.deliver(packet),
      (packet) => this.leftSecondary(packet),
    );
    const link = (name: string, plan: Scenario['forward'], deliver: (packet: SimPacket) => void) =>
      new Link(name, plan, root.fork(name), scheduler, deliver);
    this.clientUp = link('client up', s.clientUp, (packet) => this.reachedHost(packet));
    this.clientDown = link('client down', s.clientDown, (packet) => this.client.deliver(packet));
    this.forwardOut = link('forward', s.forward, (packet) => this.sn.peerQueue.enqueue(packet));
    this.forwardBack = link('forward back', s.forwardBack, (packet) => this.pn.forwardQueue.enqueue(packet));
    this.controller = new Controller(this, s.controller);
    this.openFaults = s.faults.length;
    this.isProtected = s.startsProtected;
    this.client.send = (packet) => this.clientUp.send(packet);
    this.pvm.send = (packet) => this.sentByGuest(packet, () => this.pn.guestQueue.enqueue(packet));
    this.svm.send = (packet) => this.sentByGuest(packet, () => this.sn.guestQueue.enqueue(packet));
  }

  get nowUs(): number {
    return this.scheduler.nowUs;
  }

  after(delayUs: number, task: () => void): void {
    this.scheduler.after(delayUs, task);
  }

  note(code: number, x: number, y: number, text: () => string): void {
    this.trace.mark(this.nowUs, code, x, y);
    if (this.trace.recording) this.trace.line(this.nowUs, text());
  }

  broken(rule: string, what: string): never {
    if (this.trace.recording) this.trace.line(this.nowUs, `BROKEN ${rule}: ${what}`);
    throw new BrokenRule(rule, what);
  }

  /** Runs to the end; throws BrokenRule when a rule does not hold. */
  run(): void {
    this.begin();
    const deadlineUs = this.scenario.calmUs + PATIENCE_US;
    let events = 0;
    while (!this.over()) {
      if (!this.scheduler.step()) this.broken('liveness', `nothing happens any more, ${this.unfinished()}`);
      if (this.nowUs > deadlineUs)
        this.broken('liveness', `not over after ${deadlineUs / 1e6} s: ${this.unfinished()}`);
      if (++events > MAX_EVENTS) this.broken('liveness', `${MAX_EVENTS} events: ${this.unfinished()}`);
      if ((events & 1023) === 0) this.checkWaiting();
    }
    this.checkEnd();
  }

  private begin(): void {
    const s = this.scenario;
    this.pvm.listeners.set(SERVER_PORT, serve);
    this.svm.listeners.set(SERVER_PORT, serve);
    this.client.listeners.set(CALL_PORT, () => this.calledBack());
    this.client.onDatagram = (packet) => this.answered(packet);
    this.pn.start(s.startsProtected);
    this.sn.start();
    if (s.startsProtected) {
      this.controller.begin();
      this.controller.ready = true;
    } else {
      this.ledger.judging = false;
      this.svm.stop();
      this.after(this.prng.range(50_000, 800_000), () => this.protect());
    }
    for (const start of s.sessions) this.scheduler.at(start.atUs, () => this.startSession(start));
    for (const d of s.datagrams) {
      this.scheduler.at(d.atUs, () => {
        if (d.kind === 'udp') askDatagram(this.client, d.question);
        else askEcho(this.client, d.family, d.id, d.sequence, d.size);
      });
    }
    this.after(SWEEP_US, () => this.sweepConntrack());
    for (const fault of s.faults) this.scheduler.at(fault.atUs, () => this.fault(fault));
    this.scheduler.at(s.calmUs, () => {
      for (const link of [this.clientUp, this.clientDown, this.forwardOut, this.forwardBack]) link.calm();
    });
  }

  // The client.

  private startSession(start: SessionStart): void {
    const name = `session ${this.scenario.sessions.indexOf(start)} (port ${start.localPort})`;
    const session = new ClientSession(name, start.plan, null, this.observer);
    session.mayAskAgain = start.usesPortAgain;
    if (!this.client.connect(start.family, start.localPort, start.peerPort, '', session)) {
      // The port's earlier connection is not over yet.
      this.after(100_000, () => this.startSession(start));
      return;
    }
    this.note(Note.CLIENT, start.localPort, 0, () => `client: ${name} opens`);
    this.sessions.push(session);
    this.started++;
  }

  private readonly observer: SessionObserver = {
    fail: (what) => this.broken('the client is served', what),
    called: (seed) => this.awaitedCalls.add(seed),
    refused: (session) => {
      const i = this.sessions.indexOf(session);
      this.sessions.splice(i, 1);
      this.started--;
      const start = this.scenario.sessions.find((one) => one.plan === session.plan)!;
      this.after(300_000, () => this.startSession(start));
    },
    handshakeLost: (what) => {
      this.counts.lostHandshakes++;
      if (this.side !== 'secondary' || this.counts.lostHandshakes > MAX_LOST_HANDSHAKES) {
        this.broken('the client is served', what);
      }
    },
  };

  /** A connection that the guest opens; its HELLO says which call it answers. */
  private calledBack(): ClientSession {
    const findPlan = (hello: Request) => {
      const plan = this.scenario.calls.get(hello.seed);
      if (!plan || this.called.has(hello.seed))
        this.broken('the client is served', `a call that nobody asked for: ${hello.seed}`);
      this.called.add(hello.seed);
      this.sessions.push(session);
      return plan;
    };
    const session = new ClientSession(
      'call',
      { steps: [], ending: 'client-closes', slowReader: false },
      findPlan,
      this.observer,
    );
    return session;
  }

  private answered(packet: SimPacket): void {
    const answer = checkAnswer(packet);
    if (answer === 'bad') this.broken('the client is served', 'a datagram with wrong content');
    if (answer === 'good') this.counts.datagrams++;
    else this.counts.unreachable++;
  }

  // The packets' ways.

  private reachedHost(packet: SimPacket): void {
    if (this.side === 'primary') {
      this.pvm.deliver(packet);
      if (packet.rst && packet.key === '') this.peerResets(packet);
      // Without a pair there are no mirror rules.
      if (this.isProtected) this.forwardOut.send(packet);
    } else if (this.side === 'secondary') this.sn.peerQueue.enqueue(packet);
  }

  private peerResets(packet: SimPacket): void {
    const key = keyOfPeerPacket(packet);
    this.after(this.prng.below(this.scenario.tickMs * 1000), () => this.pn.conntrackReset(key));
  }

  private sentByGuest(packet: SimPacket, enqueue: () => void): void {
    this.note(Note.SENT, packet.origin, packet.buf.length, () => this.tell(packet));
    if (this.side === 'primary') this.ledger.sent(packet);
    const conntrack = packet.origin === Origin.PVM ? this.primaryConntrack : this.secondaryConntrack;
    conntrack.guestPacket(packet, this.nowUs);
    enqueue();
  }

  private sweepConntrack(): void {
    const isOpen = (family: 4 | 6, guestPort: number, peerPort: number): boolean =>
      this.client.hasOpen(family, peerPort, guestPort);
    this.primaryConntrack.sweep(this.nowUs, isOpen, (key) => this.pn.engine?.conntrackDestroyed(key));
    this.secondaryConntrack.sweep(this.nowUs, isOpen, (key) => this.sn.engine?.conntrackDestroyed(key));
    this.after(SWEEP_US, () => this.sweepConntrack());
  }

  private released(packet: SimPacket, out: Buffer): void {
    this.ledger.released(packet, out);
    this.clientDown.send(out === packet.buf ? packet : packet.withBytes(out));
  }

  private leftSecondary(packet: SimPacket): void {
    if (this.side === 'secondary') this.clientDown.send(packet);
    else if (this.side === 'primary') this.forwardBack.send(packet);
  }

  private notified(cause: string): void {
    this.counts.notified[cause] = (this.counts.notified[cause] ?? 0) + 1;
    this.controller.notified();
  }

  // What the controller does.

  /** Early order: from here on the state that stands still counts as the SVM's. */
  promise(): void {
    this.ledger.cover();
  }

  copyState(): void {
    if (!this.controller.promised) this.ledger.cover();
    this.svm.copyFrom(this.pvm);
    if (!this.ledger.judging) {
      // An SVM that was no copy may have heard of anything.
      this.svm.counts.unsentAcks = 0;
      this.svm.counts.unsentSacks = 0;
    }
    this.pvm.epoch = this.ledger.epoch;
    this.svm.epoch = this.ledger.epoch;
    this.ledger.judging = this.isProtected;
  }

  checkpointPrimary(): void {
    this.pn.checkpoint(this.ledger.epoch - 1);
  }

  /**
   * What waits in the stopped SVM's tap bears the numbers of the old epoch, and no proxy can call it back: the tap's queue has
   * to be emptied with the checkpoint. (An acknowledgement moved by a small old offset could confirm bytes that nobody has.)
   */
  checkpointSecondary(): void {
    this.sn.checkpoint();
    this.svm.loseInbox();
  }

  /** No packet of the SVM is in a queue between it and the comparison. */
  queuesAreIdle(): boolean {
    return this.sn.guestQueue.heldPackets === 0 && this.pn.forwardQueue.heldPackets === 0;
  }

  takeOver(): void {
    this.side = 'secondary';
  }

  /** A controller comes (back): the next checkpoint makes the SVM a copy. */
  private protect(): void {
    if (!this.pn.engine) {
      this.after(10_000, () => this.protect());
      return;
    }
    this.note(Note.CONTROL, 7, 0, () => 'controller: PROXY_INIT');
    if (!this.isProtected) {
      this.pn.engine.forgetPair();
      this.pn.engine.setProtected(true);
    }
    this.isProtected = true;
    this.controller.begin();
    this.controller.want();
  }

  private unprotect(): void {
    this.note(Note.CONTROL, 8, 0, () => 'PN: unprotected');
    this.isProtected = false;
    this.ledger.judging = false;
    if (!this.pn.engine) return;
    this.pn.releaseAll();
    this.pn.engine.setProtected(false);
  }

  // Faults.

  /** Called between two steps of a checkpoint: what lies in wait for one strikes there. */
  ambush(): void {
    for (const fault of [...this.waylaid]) {
      if (!this.prng.chance(0.4) || !this.mayHappen(fault)) continue;
      this.waylaid.delete(fault);
      this.strike(fault);
    }
  }

  private fault(fault: Fault): void {
    if (fault.inCheckpoint && this.side === 'primary' && this.nowUs < this.scenario.calmUs) {
      this.waylaid.add(fault);
      this.scheduler.at(this.scenario.calmUs, () => {
        if (this.waylaid.delete(fault)) this.fault(fault);
      });
      return;
    }
    if (!this.mayHappen(fault)) {
      this.after(3_000, () => this.fault(fault));
      return;
    }
    this.strike(fault);
  }

  private strike(fault: Fault): void {
    this.openFaults--;
    if (this.cannotHappen(fault)) return;
    const within = this.controller.checkpointing ? ' in a checkpoint' : '';
    this.note(Note.FAULT, fault.forUs, fault.atUs, () => `FAULT ${fault.kind}${within}, ${fault.forUs / 1000} ms`);
    const name = `${fault.kind}${within}`;
    this.counts.faults[name] = (this.counts.faults[name] ?? 0) + 1;
    switch (fault.kind) {
      case 'failover':
      case 'guest-death':
        this.killPrimary(fault);
        break;
      case 'primary-daemon':
        this.pn.kill();
        this.restart(fault.forUs, () => {
          if (this.side === 'primary' && !this.pn.engine) this.pn.start(this.isProtected);
        });
        break;
      case 'secondary-daemon':
        this.sn.kill();
        this.restart(fault.forUs, () => {
          if (this.svm.alive && !this.sn.engine) this.sn.start();
        });
        break;
      case 'controller-loss':
        this.loseController(fault.forUs);
        break;
      case 'secondary-death':
        this.killSecondary(fault.forUs);
        break;
      case 'forward-down':
        this.forwardOut.up = false;
        this.forwardBack.up = false;
        this.restart(fault.forUs, () => {
          this.forwardOut.up = true;
          this.forwardBack.up = true;
        });
        break;
      default:
        this.pn.engine?.secondaryAddressRequest();
    }
  }

  /** A fault that would only show the controller's own weakness waits until it shows the proxy's. */
  private mayHappen(fault: Fault): boolean {
    const c = this.controller;
    if (this.side !== 'primary') return true;
    switch (fault.kind) {
      case 'failover':
      case 'guest-death':
        return c.ready && !c.promised;
      case 'controller-loss':
        return !c.checkpointing && c.ready;
      case 'secondary-death':
        return c.ready;
      default:
        return true;
    }
  }

  private cannotHappen(fault: Fault): boolean {
    if (fault.kind === 'secondary-daemon') return !this.sn.engine;
    if (fault.kind === 'primary-daemon') return this.side !== 'primary' || !this.pn.engine;
    return this.side !== 'primary' || !this.svm.alive;
  }

  private restart(afterUs: number, task: () => void): void {
    this.outage++;
    this.after(afterUs, () => {
      this.outage--;
      task();
    });
  }

  private killPrimary(fault: Fault): void {
    this.counts.connectionsAtFailover += this.client.open;
    this.pvm.kill();
    if (fault.kind === 'guest-death') {
      // The daemon lives and sees that the tap is gone: a dead guest's output must not appear.
      if (this.pn.engine) this.pn.dropAll();
    }
    this.pn.kill();
    this.side = 'nobody';
    this.forwardOut.cut();
    this.forwardBack.cut();
    this.controller.failover(fault.forUs);
  }

  private loseController(forUs: number): void {
    const { onLoss } = this.scenario.controller;
    this.controller.lose();
    this.restart(Math.floor(forUs / 4), () => {
      if (!this.pn.engine) return;
      if (onLoss === 'release') this.unprotect();
      else if (onLoss === 'drop') this.pn.dropAll();
    });
    this.restart(forUs, () => this.protect());
  }

  private killSecondary(forUs: number): void {
    this.svm.kill();
    // Nobody is left who could take over: until there is a new copy, no word of the PVM can be contradicted.
    this.ledger.judging = false;
    this.sn.kill();
    this.controller.lose();
    this.controller.giveUp();
    this.restart(Math.floor(forUs / 2), () => this.unprotect());
    this.restart(forUs, () => {
      // Another host takes its place.
      this.svm.alive = true;
      this.sn.replaceFiles(this.makers.secondaryFiles());
      this.sn.start();
      this.protect();
    });
  }

  // The end.

  private over(): boolean {
    if (this.started < this.scenario.sessions.length || this.openFaults > 0 || this.outage > 0) return false;
    for (const session of this.sessions) if (!session.done) return false;
    let missing = 0;
    for (const seed of this.awaitedCalls) if (!this.called.has(seed)) missing++;
    return missing <= this.counts.lostHandshakes;
  }

  private checkWaiting(): void {
    const { counts } = this.client;
    if (counts.badPackets > 0) this.broken('faithful rewrite', 'the client received a damaged packet');
    if (counts.pawsAcrossFailover > MAX_OLD_SEGMENTS)
      this.broken('time goes forward', "the client dropped a segment of the SVM as older than the PVM's");
    for (const { counts: c } of [this.pvm, this.svm]) {
      if (this.ledger.judging && c.unsentAcks + c.unsentSacks > 0) {
        this.broken(
          'right numbers',
          `a guest saw ${c.unsentAcks} ACKs and ${c.unsentSacks} SACK blocks of what it never sent`,
        );
      }
    }
    if (this.pvm.counts.badPackets + this.svm.counts.badPackets > 0)
      this.broken('faithful rewrite', 'a guest received a damaged packet');
    if (this.nowUs > this.scenario.calmUs + HOLD_LIMIT_US && this.pn.oldestHeldUs() > HOLD_LIMIT_US) {
      this.broken('liveness', `a packet is held for ${this.pn.oldestHeldUs() / 1e6} s`);
    }
  }

  private checkEnd(): void {
    this.checkWaiting();
  }

  private unfinished(): string {
    const left = this.sessions.filter((session) => !session.done).map((session) => session.progress);
    for (const seed of this.awaitedCalls) if (!this.called.has(seed)) left.push(`call ${seed} did not come`);
    const late = this.scenario.sessions.length - this.started;
    return `${left.join('; ')}${late > 0 ? `; ${late} not started` : ''}; faults left ${this.openFaults}, held ${this.pn.guestQueue.heldPackets}, side ${this.side}`;
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
