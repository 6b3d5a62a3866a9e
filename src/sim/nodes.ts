// The two hosts' daemons: the nodes that ship, between queues that check them, with an arena that is overwritten after
// every call (as the real one is reused), restart by kill -9, and files that outlive it.

import { seqDiff } from '../core/seq32';
import { type ControllerLossPolicy, PORT_WATCH_MS } from '../node/controller-loss';
import { type Clock, type PacketSink, type PortState, type QueuedPacket, queuedPacket } from '../node/ports';
import type { PrimaryNode } from '../node/primary';
import { ForwardIntake, GuestIntake } from '../node/primary-intake';
import type { SecondaryNode } from '../node/secondary';
import { ETH_HLEN } from '../packet/ethernet';
import { copyFault, rewriteFault } from './check/rewrite';
import { FakeQueue } from './fake-queue';
import { complete } from './link';
import {
  instead,
  type Makers,
  type PrimaryFiles,
  type PrimaryPlan,
  type SecondaryFiles,
  type SimPrimaryEngine,
  type SimSecondaryEngine,
} from './makers';
import { SimPacket } from './packet';
import type { Prng } from './prng';
import type { Scheduler } from './scheduler';
import { checksumHolds, ipHeaderBytes, PROTO_TCP } from './wire';

const ARENA_BYTES = 1 << 17;
const SCRIBBLE_BYTES = 256;
/** What SN's queue shows of the SVM's packets before a failover. */
const HEADER_BYTES = 512;
/** How long `ip link` takes at most. */
const PORT_STATE_US = 20_000;

export interface NodeSurroundings {
  readonly scheduler: Scheduler;
  readonly prng: Prng;
  readonly makers: Makers;
  readonly queueLimit: number;
  readonly queueLatencyUs: number;
  /** Engine time at virtual time 0, in ms. */
  readonly baseMs: number;
  /** Of each guest's port, as its host sees it. */
  portState(guest: 'PVM' | 'SVM'): PortState;
  broken(rule: string, what: string): never;
  note(code: number, x: number, y: number, text: () => string): void;
}

export const Note = { VERDICT: 1, NOTIFY: 2, DAEMON: 3, CONTROL: 4, SENT: 5, FAULT: 6, CLIENT: 7 } as const;

const SILENT = { info: () => {}, warn: () => {}, error: () => {} };

abstract class SimDaemon<Engine extends { readonly counters: { snapshot(): Record<string, number> } }> {
  engine: Engine | null = null;
  starts = 0;
  /** The engines' counters, of those that were killed. */
  private readonly counted: Record<string, number> = {};
  protected readonly arena = Buffer.alloc(ARENA_BYTES);
  private readonly shown: QueuedPacket = { ...queuedPacket(), macHigh: 1 };
  /** Of the process: what a killed one had planned never happens. */
  private generation = 0;

  constructor(
    readonly name: string,
    protected readonly around: NodeSurroundings,
    private readonly tickMs: number,
  ) {}

  get nowMs(): number {
    return this.around.baseMs + Math.floor(this.around.scheduler.nowUs / 1000);
  }

  /** A clock for the process that starts now. */
  protected clock(): Clock {
    const { scheduler } = this.around;
    const generation = ++this.generation;
    return {
      nowMs: () => this.nowMs,
      after: (ms, task) => {
        let cancelled = false;
        scheduler.after(Math.round(ms * 1000), () => {
          if (!cancelled && generation === this.generation) task();
        });
        return {
          cancel: () => {
            cancelled = true;
          },
        };
      },
    };
  }

  protected begin(engine: Engine, clock: Clock): void {
    this.engine = engine;
    this.starts++;
    const tick = () => {
      this.tick();
      clock.after(this.tickMs, tick);
    };
    clock.after(this.tickMs, tick);
    this.around.note(Note.DAEMON, this.starts, 1, () => `${this.name}: daemon starts`);
  }

  /** The counters of all engines that this daemon has had. */
  totals(): Record<string, number> {
    const sum = { ...this.counted };
    for (const [name, n] of Object.entries(this.engine?.counters.snapshot() ?? {})) sum[name] = (sum[name] ?? 0) + n;
    return sum;
  }

  protected end(): void {
    Object.assign(this.counted, this.totals());
    this.engine = null;
    this.generation++;
    this.around.note(Note.DAEMON, this.starts, 0, () => `${this.name}: daemon killed`);
  }

  protected abstract tick(): void;

  protected queue(name: string): FakeQueue {
    const { around } = this;
    return new FakeQueue(
      `${this.name} ${name} queue`,
      around.queueLimit,
      around.queueLatencyUs,
      around.prng,
      around.scheduler,
      (rule, what) => around.broken(rule, what),
    );
  }

  /** Asks for the state of the guest's port, as a program is run for it. */
  protected portState(guest: 'PVM' | 'SVM', clock: Clock): (told: (state: PortState) => void) => void {
    return (told) => {
      // Mostly at once.
      const ms = this.around.prng.logRange(10, PORT_STATE_US) / 1000;
      clock.after(ms, () => told(this.around.portState(guest)));
    };
  }

  /**
   * Shows the sink a packet, or `shown` bytes of it, somewhere in the arena; what stood there is gone after the call.
   */
  protected show(sink: PacketSink, id: number, packet: SimPacket, shown: number): void {
    const { arena } = this;
    const off = this.around.prng.below(64);
    const n = packet.buf.length;
    packet.buf.copy(arena, off, 0, shown);
    this.scribble(off + shown, n - shown);
    const p = this.shown;
    p.id = id;
    p.buf = arena;
    p.off = off;
    p.len = shown;
    p.originalLen = n;
    p.partialChecksum = packet.partial;
    p.segmented = packet.segmentBytes !== 0 && packet.dataBytes > packet.segmentBytes;
    sink.packet(p);
    this.scribble(off, n);
  }

  private scribble(off: number, len: number): void {
    this.arena.fill(0xa5, off, off + Math.min(len, SCRIBBLE_BYTES));
    if (len > SCRIBBLE_BYTES) this.arena.fill(0xa5, off + len - 32, off + len);
  }
}

/** How a primary's process finds its node. */
export type PrimaryStart =
  /** No controller has come yet. */
  | 'unprotected'
  /** The first controller of all comes at once. */
  | 'fresh'
  /** An earlier process had a controller. */
  | 'resumed';

export class SimPrimary extends SimDaemon<SimPrimaryEngine> {
  readonly guestQueue: FakeQueue;
  readonly forwardQueue: FakeQueue;
  node: PrimaryNode | null = null;
  /** Greatest number of packets, bytes and flows that the engine admitted to. */
  readonly most = { packets: 0, bytes: 0, flows: 0 };
  private given = new Set<number>();
  private armedForMs = Number.POSITIVE_INFINITY;
  /** Places up to which copies of a held packet's bytes have left. */
  private readonly copied = new Map<number, number>();
  private inCheckpoint = -1;
  /** When the controller was lost; -1: it is there. */
  private lostMs = -1;

  constructor(
    around: NodeSurroundings,
    tickMs: number,
    private readonly plan: PrimaryPlan,
    private readonly onLoss: ControllerLossPolicy,
    private files: PrimaryFiles,
    private readonly release: (packet: SimPacket, out: Buffer) => void,
    private readonly notify: (cause: string) => void,
    /** All that is held is let out now, unverified. */
    private readonly letsGo: () => void,
  ) {
    super('PN', around, tickMs);
    this.guestQueue = this.queue('guest');
    this.forwardQueue = this.queue('forward');
  }

  start(how: PrimaryStart): void {
    const { makers } = this.around;
    const clock = this.clock();
    const engine = makers.primary(this.plan, this.files, {
      accept: (id) => this.accept(id),
      acceptRewritten: (id, buf, off, len, partial) => this.acceptRewritten(id, buf, off, len, partial),
      drop: (id) => this.drop(id),
      emit: (id, buf, off, len) => this.emit(id, buf, off, len),
      requestCheckpoint: (cause) => {
        this.around.note(Note.NOTIFY, 0, 0, () => `PN: asks for a checkpoint (${cause})`);
        this.notify(cause);
      },
    });
    const flush = (): void => {};
    const node = makers.primaryNode(
      instead(engine, {
        releaseAll: (nowMs: number) => {
          this.letsGo();
          engine.releaseAll(nowMs);
        },
      }),
      {
        clock,
        guest: { drain: () => this.guestQueue.drain(), flush },
        forward: { drain: () => this.forwardQueue.drain(), flush },
        watch: { portState: this.portState('PVM', clock) },
        log: SILENT,
        arm: (atMs) => this.arm(atMs, clock),
      },
      { guestPort: 'tap0', onControllerLoss: this.onLoss, numbersLost: false },
    );
    this.node = node;
    this.lostMs = -1;
    this.armedForMs = Number.POSITIVE_INFINITY;
    this.begin(engine, clock);
    const fromGuest = new GuestIntake(engine, clock.nowMs, () => node);
    const fromForward = new ForwardIntake(
      engine,
      clock.nowMs,
      () => node,
      () => ({
        drop: (id) => void this.forwardQueue.settle(id, 'dropped'),
      }),
    );
    if (how !== 'unprotected') node.protect(how === 'resumed');
    this.guestQueue.listen(
      (id, packet, shown) => {
        this.given.add(id);
        this.show(fromGuest, id, packet, shown);
        this.watch(engine);
      },
      () => fromGuest.endBatch(),
    );
    this.forwardQueue.listen(
      (id, packet, shown) => {
        this.show(fromForward, id, packet, shown);
        this.watch(engine);
      },
      () => fromForward.endBatch(),
    );
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.forwardQueue.abandon();
    this.given.clear();
    this.node = null;
    this.end();
  }

  /** Nothing is left of the process's files. */
  replaceFiles(files: PrimaryFiles): void {
    this.files = files;
  }

  /** DO_CHECKPOINT at the end of `epoch`. */
  checkpoint(epoch: number): void {
    this.inCheckpoint = epoch;
    this.node!.checkpoint();
    this.inCheckpoint = -1;
    this.expectNoneHeld('a checkpoint');
  }

  protect(): void {
    this.node!.protect(false);
    this.lostMs = -1;
    this.expectNoneHeld('a new pair');
  }

  unprotect(): void {
    this.node!.unprotect();
    this.expectNoneHeld('release');
  }

  controllerLost(): void {
    if (!this.node) return;
    this.lostMs = this.nowMs;
    this.node.controllerLost();
  }

  /** How long the oldest held packet has waited: nothing may wait for ever. */
  oldestHeldUs(): number {
    for (const [, packet] of this.guestQueue.unsettled()) return this.around.scheduler.nowUs - packet.madeUs;
    return 0;
  }

  protected tick(): void {
    this.node!.tick();
    this.watch(this.engine!);
    const decided = this.lostMs >= 0 && this.nowMs - this.lostMs > PORT_WATCH_MS + 2 * (PORT_STATE_US / 1000) + 100;
    if (decided && this.onLoss === 'drop' && this.engine!.awaitsCheckpoint && this.engine!.heldPackets > 0) {
      this.around.broken('a lost controller', `${this.engine!.heldPackets} packets are held that nobody will release`);
    }
  }

  /** As io/deadline-timer: one timer, looked after once a batch. */
  private arm(atMs: number, clock: Clock): void {
    if (atMs >= this.armedForMs) return;
    this.armedForMs = atMs;
    clock.after(Math.max(0, atMs - this.nowMs) + 1, () => {
      if (this.armedForMs !== atMs) return;
      this.armedForMs = Number.POSITIVE_INFINITY;
      this.tick();
    });
  }

  private watch(engine: SimPrimaryEngine): void {
    const { limits } = this.plan;
    this.most.packets = Math.max(this.most.packets, engine.heldPackets);
    this.most.bytes = Math.max(this.most.bytes, engine.heldBytes);
    this.most.flows = Math.max(this.most.flows, engine.flowCount);
    if (engine.heldPackets > limits.maxHeldPackets) this.around.broken('bounds', `${engine.heldPackets} packets held`);
    if (engine.heldBytes > limits.maxHeldBytes) this.around.broken('bounds', `${engine.heldBytes} bytes held`);
    if (engine.flowCount > limits.maxFlows) this.around.broken('bounds', `${engine.flowCount} flows`);
    if (engine.heldPackets !== this.given.size) {
      this.around.broken(
        'one verdict',
        `the engine admits to ${engine.heldPackets} held packets, ${this.given.size} lack a verdict`,
      );
    }
  }

  private expectNoneHeld(after: string): void {
    if (this.given.size > 0)
      this.around.broken('one verdict', `${this.given.size} packets without a verdict after ${after}`);
  }

  private accept(id: number): void {
    this.given.delete(id);
    const packet = this.guestQueue.settle(id, 'accepted');
    if (packet) this.leave(id, packet, packet.buf);
  }

  private acceptRewritten(id: number, buf: Buffer, off: number, len: number, partial: boolean): void {
    this.given.delete(id);
    const packet = this.guestQueue.settle(id, 'rewritten');
    if (!packet) return;
    const out = Buffer.from(buf.subarray(off, off + len));
    const fault = rewriteFault(packet, out, partial);
    if (fault) this.around.broken('faithful rewrite', fault);
    if (out.length === packet.buf.length) {
      this.leave(id, packet, out);
      return;
    }
    const probe = packet.withBytes(out);
    probe.dataBytes = packet.dataBytes - (packet.buf.length - out.length);
    const seqAt = ipHeaderBytes(packet.family) + 4;
    const shift = seqDiff(out.readUInt32BE(seqAt), packet.buf.readUInt32BE(seqAt));
    probe.place = packet.place + shift;
    // The rest of a packet whose beginning has left ends as it does.
    probe.fin = shift > 0 && packet.fin;
    probe.partial = false;
    probe.segmentBytes = 0;
    const ackAt = ipHeaderBytes(packet.family) + 8;
    if (packet.ackPlace >= 0) probe.ackPlace += seqDiff(out.readUInt32BE(ackAt), packet.buf.readUInt32BE(ackAt));
    this.leave(id, probe, out);
  }

  private emit(id: number, buf: Buffer, off: number, len: number): boolean {
    const packet = this.guestQueue.waitingFor(id);
    if (!packet) return this.around.broken('one verdict', `a copy of packet ${id} leaves, which is not held`);
    // The network takes no more.
    if (this.around.prng.below(16) === 0) return false;
    const out = Buffer.from(buf.subarray(off, off + len));
    const fault = copyFault(packet, out);
    if (fault) this.around.broken('faithful rewrite', fault);
    const copy = packet.withBytes(packet.buf);
    const l4 = ipHeaderBytes(packet.family);
    copy.place += seqDiff(out.readUInt32BE(l4 + 4), packet.buf.readUInt32BE(l4 + 4));
    copy.dataBytes = out.length - (packet.buf.length - packet.dataBytes);
    copy.fin = false;
    copy.partial = false;
    copy.segmentBytes = 0;
    if (copy.place < (this.copied.get(id) ?? 0))
      this.around.broken('output commit', `a copy of packet ${id} says again what one has said`);
    this.copied.set(id, copy.place + copy.dataBytes);
    this.leave(id, copy, out);
    return true;
  }

  private drop(id: number): void {
    this.given.delete(id);
    const packet = this.guestQueue.settle(id, 'dropped');
    if (packet) this.around.note(Note.VERDICT, id, 0, () => `PN: drops packet ${id}`);
  }

  private leave(id: number, packet: SimPacket, out: Buffer): void {
    this.around.note(
      Note.VERDICT,
      id,
      out.length,
      () => `PN: releases packet ${id}${out === packet.buf ? '' : ' (rewritten)'}`,
    );
    if (this.inCheckpoint >= 0 && packet.epoch > this.inCheckpoint) {
      this.around.broken(
        'epochs',
        `the checkpoint that ends epoch ${this.inCheckpoint} releases a packet of epoch ${packet.epoch}`,
      );
    }
    this.release(packet, out);
  }
}

export class SimSecondary extends SimDaemon<SimSecondaryEngine> {
  readonly guestQueue: FakeQueue;
  readonly peerQueue: FakeQueue;
  node: SecondaryNode | null = null;

  constructor(
    around: NodeSurroundings,
    tickMs: number,
    private files: SecondaryFiles,
    private readonly toGuest: (packet: SimPacket) => void,
    private readonly fromGuest: (packet: SimPacket) => void,
  ) {
    super('SN', around, tickMs);
    this.guestQueue = this.queue('guest');
    this.peerQueue = this.queue('peer');
  }

  start(): void {
    const { makers, scheduler } = this.around;
    const clock = this.clock();
    const engine = makers.secondary(this.files, this.nowMs);
    const verdicts = (queue: FakeQueue, pass: (packet: SimPacket) => void) => ({
      accept: (id: number) => this.pass(queue, id, 'accepted', undefined, pass),
      acceptRewritten: (id: number, buf: Buffer, off: number, len: number) =>
        this.pass(queue, id, 'rewritten', buf.subarray(off, off + len), pass),
      drop: (id: number) => {
        queue.settle(id, 'dropped');
        this.around.note(Note.VERDICT, id, 2, () => `SN: drops packet ${id} of the ${queue.name}`);
      },
      drain: () => queue.drain(),
      flush: () => {},
    });
    const guest = {
      ...verdicts(this.guestQueue, this.fromGuest),
      showWhole: (on: boolean) => {
        this.guestQueue.showBytes = on ? Number.POSITIVE_INFINITY : HEADER_BYTES;
      },
    };
    const forward = verdicts(this.peerQueue, this.toGuest);
    const node = makers.secondaryNode(engine, {
      clock,
      guest: () => guest,
      forward: () => forward,
      watch: { portState: this.portState('SVM', clock) },
      log: SILENT,
      toGuest: (ask) =>
        ask((frame) => {
          const buf = Buffer.from(frame.subarray(ETH_HLEN));
          const packet = new SimPacket(buf, buf[0]! >> 4 === 6 ? 6 : 4, PROTO_TCP);
          packet.madeUs = scheduler.nowUs;
          this.toGuest(packet);
        }),
      checkpointed: () => {},
      tookOver: () => {},
      forgotten: () => {},
    });
    guest.showWhole(engine.failedOver);
    this.node = node;
    this.begin(engine, clock);
    this.peerQueue.listen(
      (id, packet, shown) => this.show(node.fromPeers, id, packet, shown),
      () => node.fromPeers.endBatch(),
    );
    this.guestQueue.listen(
      (id, packet, shown) => this.show(node.fromGuest, id, packet, shown),
      () => node.fromGuest.endBatch(),
    );
    node.begin();
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.peerQueue.abandon();
    this.node = null;
    this.end();
  }

  /** A new host takes the place of this one: nothing is left of its files. */
  replaceFiles(files: SecondaryFiles): void {
    this.files = files;
  }

  protected tick(): void {
    this.node!.tick();
  }

  private pass(
    queue: FakeQueue,
    id: number,
    verdict: 'accepted' | 'rewritten',
    bytes: Buffer | undefined,
    pass: (packet: SimPacket) => void,
  ): void {
    const packet = queue.settle(id, verdict);
    if (!packet) return;
    let out = packet;
    if (bytes !== undefined) {
      out = packet.withBytes(Buffer.from(bytes));
      if (!checksumHolds(out.buf, out.family, out.protocol, out.partial)) {
        this.around.broken('faithful rewrite', 'SN: the checksum of a translated packet is wrong');
      }
      // The adapter finishes a partial checksum: a packet with a new payload has lost the kernel's promise to do so.
      if (out.partial) out = complete(out);
    }
    pass(out);
  }
}
