// The two hosts' daemons around the engines: queues in front, an arena that is overwritten after every call (as the real
// one is reused), restart by kill -9, and files that outlive it.

import { seqDiff } from '../core/seq32';
import { copyFault, rewriteFault } from './check/rewrite';
import {
  ACCEPT,
  ACCEPT_REWRITTEN,
  type EngineMakers,
  type PrimaryFiles,
  type PrimaryPlan,
  type PrimaryPort,
  type SecondaryFiles,
  type SecondaryPort,
  WAIT,
} from './engine-port';
import { FakeQueue } from './fake-queue';
import { complete } from './link';
import { SimPacket } from './packet';
import type { Prng } from './prng';
import type { Scheduler } from './scheduler';
import { checksumHolds, ipHeaderBytes, PROTO_TCP } from './wire';

const ARENA_BYTES = 1 << 17;
const SCRIBBLE_BYTES = 256;

export interface NodeSurroundings {
  readonly scheduler: Scheduler;
  readonly prng: Prng;
  readonly makers: EngineMakers;
  readonly queueLimit: number;
  readonly queueLatencyUs: number;
  /** Engine time at virtual time 0, in ms. */
  readonly baseMs: number;
  broken(rule: string, what: string): never;
  note(code: number, x: number, y: number, text: () => string): void;
}

export const Note = { VERDICT: 1, NOTIFY: 2, DAEMON: 3, CONTROL: 4, SENT: 5, FAULT: 6, CLIENT: 7 } as const;

abstract class DaemonNode<Port extends { report(): Record<string, number> }> {
  engine: Port | null = null;
  starts = 0;
  /** The engines' counters, of those that were killed. */
  private readonly counted: Record<string, number> = {};
  protected readonly arena = Buffer.alloc(ARENA_BYTES);
  private tickGeneration = 0;

  constructor(
    readonly name: string,
    protected readonly around: NodeSurroundings,
    private readonly tickMs: number,
  ) {}

  get nowMs(): number {
    return this.around.baseMs + Math.floor(this.around.scheduler.nowUs / 1000);
  }

  protected begin(engine: Port): void {
    this.engine = engine;
    this.starts++;
    const generation = ++this.tickGeneration;
    const tick = () => {
      if (generation !== this.tickGeneration || !this.engine) return;
      this.tick();
      this.around.scheduler.after(this.tickMs * 1000, tick);
    };
    this.around.scheduler.after(this.tickMs * 1000, tick);
    this.around.note(Note.DAEMON, this.starts, 1, () => `${this.name}: daemon starts`);
  }

  /** The counters of all engines that this daemon has had. */
  totals(): Record<string, number> {
    const sum = { ...this.counted };
    for (const [name, n] of Object.entries(this.engine?.report() ?? {})) sum[name] = (sum[name] ?? 0) + n;
    return sum;
  }

  protected end(): void {
    Object.assign(this.counted, this.totals());
    this.engine = null;
    this.tickGeneration++;
    this.around.note(Note.DAEMON, this.starts, 0, () => `${this.name}: daemon killed`);
  }

  protected abstract tick(): void;

  /** Puts the packet somewhere in the arena; returns its offset. */
  protected place(packet: SimPacket): number {
    const off = this.around.prng.below(64);
    packet.buf.copy(this.arena, off);
    return off;
  }

  protected scribble(off: number, len: number): void {
    this.arena.fill(0xa5, off, off + Math.min(len, SCRIBBLE_BYTES));
    if (len > SCRIBBLE_BYTES) this.arena.fill(0xa5, off + len - 32, off + len);
  }
}

export class PrimaryNode extends DaemonNode<PrimaryPort> {
  readonly guestQueue: FakeQueue;
  readonly forwardQueue: FakeQueue;
  /** Greatest number of packets, bytes and flows that the engine admitted to. */
  readonly most = { packets: 0, bytes: 0, flows: 0 };
  private given = new Set<number>();
  private armedForMs = Number.POSITIVE_INFINITY;
  /** Places up to which copies of a held packet's bytes have left. */
  private readonly copied = new Map<number, number>();
  private inCheckpoint = -1;

  constructor(
    around: NodeSurroundings,
    tickMs: number,
    private readonly plan: PrimaryPlan,
    private readonly files: PrimaryFiles,
    private readonly release: (packet: SimPacket, out: Buffer) => void,
    private readonly notify: (cause: string) => void,
  ) {
    super('PN', around, tickMs);
    const queue = (name: string) =>
      new FakeQueue(name, around.queueLimit, around.queueLatencyUs, around.prng, around.scheduler, (rule, what) =>
        around.broken(rule, what),
      );
    this.guestQueue = queue('PN guest queue');
    this.forwardQueue = queue('PN forward queue');
  }

  start(isProtected: boolean): void {
    const engine = this.around.makers.primary(this.plan, this.files, {
      accept: (id) => this.accept(id),
      acceptRewritten: (id, buf, off, len, partial) => this.acceptRewritten(id, buf, off, len, partial),
      drop: (id) => this.drop(id),
      emit: (id, buf, off, len) => this.emit(id, buf, off, len),
      requestCheckpoint: (cause) => {
        this.around.note(Note.NOTIFY, 0, 0, () => `PN: asks for a checkpoint (${cause})`);
        this.notify(cause);
      },
    });
    engine.setProtected(isProtected);
    this.begin(engine);
    const endBatch = () => this.endBatch(engine);
    this.guestQueue.listen((id, packet) => {
      const off = this.place(packet);
      this.given.add(id);
      engine.primary(id, this.arena, off, packet.buf.length, packet.partial, this.nowMs);
      this.scribble(off, packet.buf.length);
      this.watch(engine);
    }, endBatch);
    this.forwardQueue.listen((id, packet) => {
      const off = this.place(packet);
      engine.secondary(this.arena, off, packet.buf.length, this.nowMs);
      this.scribble(off, packet.buf.length);
      this.forwardQueue.settle(id, 'dropped');
      this.watch(engine);
    }, endBatch);
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.forwardQueue.abandon();
    this.given.clear();
    this.end();
  }

  /** DO_CHECKPOINT at the end of `epoch`. What the kernel has queued was sent before the guests stopped: it is read first. */
  checkpoint(epoch: number): void {
    this.guestQueue.drain();
    this.forwardQueue.drain();
    this.inCheckpoint = epoch;
    this.engine!.checkpoint(this.nowMs);
    this.inCheckpoint = -1;
    this.expectNoneHeld('a checkpoint');
  }

  releaseAll(): void {
    this.guestQueue.drain();
    this.engine!.releaseAll(this.nowMs);
    this.expectNoneHeld('release');
  }

  dropAll(): void {
    this.engine!.dropAll(this.nowMs);
    this.expectNoneHeld('drop');
  }

  /** The peer has reset a connection: after all that the PVM had sent before. */
  peerReset(key: Uint32Array, seq: number): void {
    if (!this.engine) return;
    this.guestQueue.drain();
    this.engine.peerReset(key, seq, this.nowMs);
  }

  /** How long the oldest held packet has waited: nothing may wait for ever. */
  oldestHeldUs(): number {
    for (const [, packet] of this.guestQueue.unsettled()) return this.around.scheduler.nowUs - packet.madeUs;
    return 0;
  }

  protected tick(): void {
    this.engine!.tick(this.nowMs);
    this.watch(this.engine!);
    this.endBatch(this.engine!);
  }

  /** As io/deadline-timer: one timer, looked after once a batch. */
  private arm(engine: PrimaryPort): void {
    const at = engine.nextDeadlineMs;
    if (at >= this.armedForMs) return;
    this.armedForMs = at;
    this.around.scheduler.after(Math.max(0, at - this.nowMs) * 1000 + 1000, () => {
      if (this.armedForMs !== at) return;
      this.armedForMs = Number.POSITIVE_INFINITY;
      if (this.engine === engine) this.tick();
      else if (this.engine) this.arm(this.engine);
    });
  }

  private watch(engine: PrimaryPort): void {
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

  private endBatch(engine: PrimaryPort): void {
    engine.endBatch(this.nowMs);
    this.arm(engine);
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

/** How often the SVM is asked for its numbers, and how often in all before it is believed what the controller said. */
const ASK_US = 20_000;
const ASK_TIMES = 15;

export class SecondaryNode extends DaemonNode<SecondaryPort> {
  readonly guestQueue: FakeQueue;
  readonly peerQueue: FakeQueue;
  /** What waits until the SVM has shown its numbers. */
  private waiting: { id: number; packet: SimPacket }[] = [];
  private onDecided: (() => void)[] = [];

  constructor(
    around: NodeSurroundings,
    tickMs: number,
    private files: SecondaryFiles,
    private readonly toGuest: (packet: SimPacket) => void,
    private readonly fromGuest: (packet: SimPacket) => void,
  ) {
    super('SN', around, tickMs);
    const queue = (name: string) =>
      new FakeQueue(name, around.queueLimit, around.queueLatencyUs, around.prng, around.scheduler, (rule, what) =>
        around.broken(rule, what),
      );
    this.guestQueue = queue('SN guest queue');
    this.peerQueue = queue('SN peer queue');
  }

  start(): void {
    const engine = this.around.makers.secondary(this.files, this.nowMs);
    this.begin(engine);
    this.peerQueue.listen((id, packet) => this.pass(id, packet, this.peerQueue, engine, true));
    this.guestQueue.listen((id, packet) => {
      this.pass(id, packet, this.guestQueue, engine, false);
      this.settle(engine);
    });
    this.ask(engine, 0);
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.peerQueue.abandon();
    this.waiting = [];
    this.end();
  }

  /** A new host takes the place of this one: nothing is left of its files. */
  replaceFiles(files: SecondaryFiles): void {
    this.files = files;
  }

  checkpoint(): void {
    this.guestQueue.drain();
    this.engine!.checkpoint(this.nowMs);
  }

  failover(): void {
    this.engine!.failover(this.nowMs);
    this.ask(this.engine!, 0);
  }

  /** Calls back when it is known which numbers the SVM lives in: mostly at once. */
  whenDecided(task: () => void): void {
    this.onDecided.push(task);
    if (this.engine) this.settle(this.engine);
  }

  private ask(engine: SecondaryPort, times: number): void {
    if (engine !== this.engine) return;
    if (times === ASK_TIMES) engine.decide(false);
    this.settle(engine);
    if (!engine.undecided) return;
    for (const buf of engine.questions()) {
      const packet = new SimPacket(buf, buf[0]! >> 4 === 6 ? 6 : 4, PROTO_TCP);
      packet.madeUs = this.around.scheduler.nowUs;
      this.toGuest(packet);
    }
    this.around.scheduler.after(ASK_US, () => this.ask(engine, times + 1));
  }

  private settle(engine: SecondaryPort): void {
    if (engine.undecided) return;
    for (const task of this.onDecided.splice(0)) task();
    for (const { id, packet } of this.waiting.splice(0)) this.pass(id, packet, this.peerQueue, engine, true);
  }

  protected tick(): void {
    this.engine!.tick(this.nowMs);
  }

  private pass(id: number, packet: SimPacket, queue: FakeQueue, engine: SecondaryPort, fromPeer: boolean): void {
    const n = packet.buf.length;
    const off = this.place(packet);
    const verdict = fromPeer
      ? engine.fromPeer(this.arena, off, n, packet.partial, this.nowMs)
      : engine.fromGuest(this.arena, off, n, packet.partial, this.nowMs);
    if (verdict === WAIT) {
      if (!engine.undecided) this.around.broken('one verdict', 'SN: a packet waits for a decision that was made');
      this.scribble(off, n);
      this.waiting.push({ id, packet });
      return;
    }
    let out = packet;
    if (verdict === ACCEPT_REWRITTEN) {
      out = packet.withBytes(Buffer.from(this.arena.subarray(off, off + n)));
      if (!checksumHolds(out.buf, out.family, out.protocol, out.partial)) {
        this.around.broken('faithful rewrite', 'SN: the checksum of a translated packet is wrong');
      }
      // The adapter finishes a partial checksum: a packet with a new payload has lost the kernel's promise to do so.
      if (out.partial) out = complete(out);
    }
    this.scribble(off, n);
    if (verdict !== ACCEPT && verdict !== ACCEPT_REWRITTEN) {
      queue.settle(id, 'dropped');
      this.around.note(Note.VERDICT, id, verdict, () => `SN: drops packet ${id} ${fromPeer ? 'to' : 'of'} the SVM`);
      return;
    }
    if (!queue.settle(id, verdict === ACCEPT ? 'accepted' : 'rewritten')) return;
    if (fromPeer) this.toGuest(out);
    else this.fromGuest(out);
  }
}
