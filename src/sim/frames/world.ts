// One run of a pair behind sockets: guests, clients and links around the comparison that ships, on simulated sockets.
//
//   client ==up==> PVM --frames--> [primary_in]  comparison  [outdev] --frames--> ==down==> client
//              \                                      [secondary_in]
//               ==forward==> [rewriter] --> SVM --> [rewriter] ==forward back==> frames --^

import { OffsetTable } from '../../conntrack/offset-table';
import { Chardev, parseEndpoint } from '../../io/stream/chardev';
import type { CompareDevice } from '../../qemu/compare/compare-device';
import type { Surroundings } from '../../qemu/compare/surroundings';
import { SecondaryEngine, SecondaryVerdict } from '../../seccolo/engine';
import { serve } from '../app/server';
import { Ledger } from '../check/ledger';
import { Clients } from '../clients';
import { Note } from '../daemon';
import { Link } from '../link';
import { Machine } from '../machine';
import { Origin, type SimPacket } from '../packet';
import { Prng } from '../prng';
import { SERVER_PORT } from '../scenario';
import { Stage } from '../stage';
import type { Trace } from '../trace';
import { FramesController } from './controller';
import { FramesFaults } from './faults';
import { FrameTaker, toFrame } from './frame';
import { SimLoop } from './loop';
import { Outlet } from './outlet';
import type { FramesScenario } from './scenario';
import { SimPeers, SimSocket } from './socket';

const PATIENCE_US = 400_000_000;
const MAX_EVENTS = 3_000_000;
const AGAIN_US = 1000;
const REWRITER_TICK_US = 100_000;
/** Connections whose offsets the rewriter keeps. */
const CAPACITY = 64;

/** Makes the comparison; planted mistakes replace it. */
export type MakeDevice = (...args: ConstructorParameters<typeof CompareDevice>) => CompareDevice;

export class FramesWorld extends Stage {
  readonly prng: Prng;
  readonly client: Machine;
  readonly pvm: Machine;
  readonly svm: Machine;
  readonly clientUp: Link;
  readonly clientDown: Link;
  readonly forwardOut: Link;
  readonly forwardBack: Link;
  readonly ledger: Ledger;
  readonly outlet: Outlet;
  readonly clients: Clients;
  readonly loop: SimLoop;
  readonly controller: FramesController;
  readonly faults: FramesFaults;
  readonly device: CompareDevice;
  readonly rewriter: SecondaryEngine;
  readonly peers: Record<'primaryIn' | 'secondaryIn' | 'outdev' | 'notifyDev', SimPeers>;
  side: 'primary' | 'nobody' | 'secondary' = 'primary';
  private primary: SimSocket | undefined;
  private secondary: SimSocket | undefined;
  private readonly taker: FrameTaker;

  constructor(
    readonly scenario: FramesScenario,
    make: MakeDevice,
    trace: Trace,
  ) {
    super(trace);
    const s = scenario;
    const { base } = s;
    const root = new Prng(base.seed);
    const { scheduler } = this;
    this.prng = root.fork('frames world');
    const broken = (rule: string, what: string): never => this.broken(rule, what);
    this.ledger = new Ledger(broken);
    this.outlet = new Outlet(this.ledger, broken);
    this.taker = new FrameTaker(s.frame, (what) => broken('a stream of frames', what));
    const machine = (origin: Origin, name: string, image: typeof base.guestImage, habits: typeof base.clientHabits) =>
      new Machine(origin, image, habits, root.fork(name), scheduler);
    this.client = machine(Origin.CLIENT, 'client', base.clientImage, base.clientHabits);
    this.pvm = machine(Origin.PVM, 'PVM', base.guestImage, base.primaryHabits);
    this.svm = machine(Origin.SVM, 'SVM', base.guestImage, base.secondaryHabits);
    this.loop = new SimLoop(scheduler, root.fork('loop'), s.loop, base.baseMs);
    const link = (name: string, plan: typeof base.forward, deliver: (packet: SimPacket) => void) =>
      new Link(name, plan, root.fork(name), scheduler, deliver);
    this.clientUp = link('client up', base.clientUp, (packet) => this.reachedHost(packet));
    this.clientDown = link('client down', base.clientDown, (packet) => this.client.deliver(packet));
    this.forwardOut = link('forward', base.forward, (packet) => this.toSecondary(packet));
    this.forwardBack = link('forward back', base.forwardBack, (packet) =>
      this.secondary?.says(toFrame(packet, s.frame)),
    );
    this.rewriter = new SecondaryEngine({
      mode: 'always',
      offsets: new ArrayBuffer(OffsetTable.bytesFor(CAPACITY)),
      seed: [1, 2],
      nowMs: this.loop.clock.nowMs(),
    });
    const sockets: SimSocket[] = [];
    const sockPrng = root.fork('sockets');
    const peers = (): SimPeers => new SimPeers(() => new SimSocket(sockets, this.loop, sockPrng, s.socket));
    this.peers = { primaryIn: peers(), secondaryIn: peers(), outdev: peers(), notifyDev: peers() };
    this.controller = new FramesController(this);
    this.device = this.makeDevice(make);
    this.clients = new Clients(this);
    this.faults = new FramesFaults(this);
    this.client.send = (packet) => this.clientUp.send(packet);
    this.pvm.send = (packet) => this.saidByPrimary(packet);
    this.svm.send = (packet) => this.saidBySecondary(packet);
  }

  /** Runs to the end; rejects with BrokenRule when a rule does not hold. */
  async run(): Promise<void> {
    await this.device.open();
    this.begin();
    const deadlineUs = this.scenario.base.calmUs + PATIENCE_US;
    for (let events = 0; !this.clients.done || !this.faults.over; events++) {
      if (!this.scheduler.step()) this.broken('liveness', `no event is left, ${this.unfinished()}`);
      if (this.nowUs > deadlineUs || events > MAX_EVENTS) this.broken('liveness', this.unfinished());
      if ((events & 255) === 0) this.checkMachines();
    }
    this.checkMachines();
    this.device.close();
  }

  private begin(): void {
    this.pvm.listeners.set(SERVER_PORT, serve);
    this.svm.listeners.set(SERVER_PORT, serve);
    this.primary = this.peers.primaryIn.connect();
    this.secondary = this.peers.secondaryIn.connect();
    this.connectOutdev();
    this.controller.begin();
    this.clients.begin();
    this.faults.begin();
    const tick = (): void => {
      this.rewriter.tick(this.loop.clock.nowMs());
      this.after(REWRITER_TICK_US, tick);
    };
    tick();
    this.scheduler.at(this.scenario.base.calmUs, () => {
      for (const link of [this.clientUp, this.clientDown]) link.calm();
    });
  }

  private makeDevice(make: MakeDevice): CompareDevice {
    const s = this.scenario;
    const { primary } = s.base;
    const { peers, loop } = this;
    const at = (name: string) => parseEndpoint(`unix:/${name},server`);
    const settings = {
      id: 'frames',
      primaryIn: at('primaryIn'),
      secondaryIn: at('secondaryIn'),
      outdev: at('outdev'),
      ...(s.way === 'qmp' ? { qmp: at('qmp') } : { notifyDev: at('notifyDev') }),
      compareTimeoutMs: primary.compareTimeoutMs,
      maxCompareTimeoutMs: primary.maxCompareTimeoutMs,
      minCheckpointIntervalMs: primary.minCheckpointIntervalMs,
      expiredScanCycleMs: s.expiredScanCycleMs,
      maxQueueSize: s.maxQueueSize,
      vnetHeaders: s.frame.vnetWord,
      limits: primary.limits,
    };
    const around: Surroundings = {
      clock: loop.clock,
      preciseMs: () => loop.preciseMs(),
      soon: (task) => loop.soon(task),
      every: (ms, task) => loop.every(ms, task),
      deadline: (onDue) => loop.deadline(onDue),
      openSocket: (endpoint, events, options) =>
        new Chardev(endpoint, events, { ...options, peers: peers[endpoint.path.slice(1) as keyof typeof peers].bring }),
      connect: () => this.controller.qemu.connect,
      seed: () => [0x12345678, 0x9abcdef0],
    };
    const say = (fields: object, text: string): void =>
      this.note(Note.DAEMON, text.length, 0, () => `comparison: ${text} ${JSON.stringify(fields)}`);
    return make(settings, { info: say, warn: say, error: say }, () => {}, around);
  }

  // The packets' ways

  private reachedHost(packet: SimPacket): void {
    if (this.side === 'primary') {
      this.pvm.deliver(packet);
      if (this.secondary !== undefined) this.forwardOut.send(packet);
    } else if (this.side === 'secondary') this.toSecondary(packet);
  }

  private saidByPrimary(packet: SimPacket): void {
    this.tellSent('PVM', packet);
    this.ledger.sent(packet);
    this.outlet.note(packet);
    this.primary?.says(toFrame(packet, this.scenario.frame));
  }

  private saidBySecondary(packet: SimPacket): void {
    this.tellSent('SVM', packet);
    if (this.side === 'primary') this.ledger.sent(packet);
    const out = this.rewritten(packet, false);
    if (out === undefined) return;
    if (this.side === 'primary') this.forwardBack.send(out);
    else if (this.side === 'secondary') this.clientDown.send(out);
  }

  private toSecondary(packet: SimPacket): void {
    const out = this.rewritten(packet, true);
    if (out !== undefined) this.svm.deliver(out);
  }

  private rewritten(packet: SimPacket, toGuest: boolean): SimPacket | undefined {
    const buf = Buffer.from(packet.buf);
    const nowMs = this.loop.clock.nowMs();
    const { rewriter } = this;
    const verdict = toGuest
      ? rewriter.fromPeer(buf, 0, buf.length, packet.partial, nowMs)
      : rewriter.fromGuest(buf, 0, buf.length, packet.partial, nowMs);
    if (verdict === SecondaryVerdict.Accept) return packet;
    return verdict === SecondaryVerdict.AcceptRewritten ? packet.withBytes(buf) : undefined;
  }

  /** The peer of outdev connects; it reads some time after something was sent. */
  connectOutdev(): void {
    const socket = this.peers.outdev.connect();
    if (socket === undefined) {
      // The device has not noticed yet that its last peer is gone.
      if (!this.loop.ended) this.after(AGAIN_US, () => this.connectOutdev());
      return;
    }
    this.taker.clear();
    let planned = false;
    socket.onSent = () => {
      if (planned) return;
      planned = true;
      this.after(this.prng.logRange(2, this.scenario.outdevUs), () => {
        planned = false;
        if (!socket.closed) this.left(socket.take());
      });
    };
  }

  private left(bytes: Buffer): void {
    for (const frame of this.taker.take(bytes)) {
      const packet = this.outlet.left(frame);
      this.note(Note.VERDICT, packet.buf.length, packet.place, () => `leaves: ${tell(packet)}`);
      this.clientDown.send(packet);
    }
  }

  // What the controller and the faults do

  copyState(): void {
    this.ledger.cover();
    this.svm.copyFrom(this.pvm);
    this.svm.loseInbox();
    this.rewriter.checkpoint(this.loop.clock.nowMs());
    this.pvm.epoch = this.ledger.epoch;
    this.svm.epoch = this.ledger.epoch;
    this.note(
      Note.CONTROL,
      3,
      this.ledger.epoch,
      () => `controller: the SVM has the PVM's state, epoch ${this.ledger.epoch}`,
    );
  }

  /** The PVM is dead: its socket ends, or its whole host. */
  primaryDies(host: boolean): void {
    this.controller.end();
    this.pvm.kill();
    this.side = 'nobody';
    if (host) {
      this.loop.ended = true;
      this.peers.outdev.present?.take();
    } else this.primary?.ends();
    this.svm.resume();
  }

  takeOver(): void {
    this.note(Note.CONTROL, 6, 0, () => 'controller: the SVM takes over');
    this.rewriter.failover(this.loop.clock.nowMs());
    // The last checkpoint is complete: no guest dies in the middle of one here.
    if (this.rewriter.undecided) this.rewriter.decide(false);
    this.side = 'secondary';
  }

  secondaryDies(): void {
    this.controller.end();
    this.svm.kill();
    this.secondary?.ends();
    this.secondary = undefined;
    this.pvm.resume();
    if (this.scenario.way === 'qmp') this.controller.qemu.loseOther();
  }

  /** The PVM goes on alone. */
  goAlone(): void {
    this.ledger.judging = false;
    this.controller.qemu.goAlone();
  }

  private checkMachines(): void {
    if (this.client.counts.badPackets > 0) this.broken('faithful rewrite', 'the client received a damaged packet');
    if (this.pvm.counts.badPackets + this.svm.counts.badPackets > 0)
      this.broken('faithful rewrite', 'a guest received a damaged packet');
  }

  private tellSent(who: string, packet: SimPacket): void {
    this.note(Note.SENT, packet.origin, packet.buf.length, () => `${who}: ${tell(packet)}`);
  }

  private unfinished(): string {
    const { comparison } = this.device;
    return `${this.clients.unfinished}; ${this.faults.unfinished}; held ${comparison.engine.heldPackets}, side ${this.side}`;
  }
}

function tell(packet: SimPacket): string {
  if (packet.key === '') return `datagram of ${packet.buf.length} bytes`;
  const flags = `${packet.syn ? 'S' : ''}${packet.fin ? 'F' : ''}${packet.rst ? 'R' : ''}`;
  return `${packet.key} ${flags} [${packet.place}, +${packet.dataBytes}) ack ${packet.ackPlace}`;
}
