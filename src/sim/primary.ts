// The primary's daemon: the node that ships, with checks of every verdict, of its reported state, and of every packet
// that leaves.

import { seqDiff } from '../core/seq32';
import { type ControllerLossPolicy, PORT_WATCH_MS } from '../node/controller-loss';
import { InStep } from '../node/in-step';
import type { Clock } from '../node/ports';
import type { PrimaryNode } from '../node/primary';
import { BothSimBatches, SimBatch } from './batch';
import { copyFault, rewriteFault } from './check/rewrite';
import { type NodeSurroundings, Note, PORT_STATE_US, SILENT, SimDaemon } from './daemon';
import type { FakeQueue } from './fake-queue';
import { instead, type PrimaryFiles, type PrimaryPlan, type SimPrimaryEngine } from './makers';
import type { SimPacket } from './packet';
import { primaryEnd } from './stream/primary-end';
import { ipHeaderBytes } from './wire';

/** The node's state at the start of a primary's process. */
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
  /** With a stream link: what goes to the PVM, to be read at its port. */
  readonly portQueue: FakeQueue;
  node: PrimaryNode | null = null;
  /** Greatest numbers of packets, bytes and flows that the engine has reported. */
  readonly most = { packets: 0, bytes: 0, flows: 0 };
  /** Packets of the PVM that were read. */
  private spoken = 0;
  private given = new Set<number>();
  private armedForMs = Number.POSITIVE_INFINITY;
  /** End of the bytes that have left as copies, by held packet. */
  private readonly copied = new Map<number, number>();
  private inCheckpoint = -1;
  /** The epoch that the last DO_CHECKPOINT has ended. */
  private ending = -1;
  /** Time when the controller was lost; -1: it is there. */
  private lostMs = -1;

  constructor(
    around: NodeSurroundings,
    tickMs: number,
    private readonly plan: PrimaryPlan,
    private readonly onLoss: ControllerLossPolicy,
    private files: PrimaryFiles,
    private readonly release: (packet: SimPacket, out: Buffer) => void,
    private readonly notify: (cause: string) => void,
    /** Called when everything held is about to leave, unverified. */
    private readonly letsGo: () => void,
    /** A checkpoint releases what is held. */
    private readonly onRelease: () => void,
  ) {
    super('PN', around, tickMs);
    this.guestQueue = this.queue('guest');
    this.forwardQueue = this.queue('forward');
    this.portQueue = this.queue('port');
  }

  start(how: PrimaryStart): void {
    const { makers } = this.around;
    const clock = this.clock();
    const numbers = makers.numbers(this.files);
    const match = this.around.stream === undefined ? undefined : makers.epochMatch();
    const plan = match === undefined ? this.plan : { ...this.plan, epochs: match };
    const engine = makers.primary(plan, numbers, {
      accept: (id) => this.accept(id),
      acceptRewritten: (id, buf, off, len, partial) => this.acceptRewritten(id, buf, off, len, partial),
      drop: (id) => this.drop(id),
      emit: (id, buf, off, len) => this.emit(id, buf, off, len),
      requestCheckpoint: (cause) => {
        this.around.note(Note.NOTIFY, 0, 0, () => `PN: asks for a checkpoint (${cause})`);
        this.notify(cause);
      },
    });
    const marks =
      match &&
      primaryEnd(
        this.around,
        match,
        clock,
        engine,
        () => node,
        this.portQueue,
        () => this.spoken,
      );
    const flush = (): void => {};
    const node: PrimaryNode = makers.primaryNode(
      instead(engine, {
        releaseAll: (nowMs: number) => {
          this.letsGo();
          engine.releaseAll(nowMs);
        },
        checkpoint: (nowMs: number) => {
          this.inCheckpoint = this.ending;
          this.onRelease();
          engine.checkpoint(nowMs);
          this.inCheckpoint = -1;
          this.expectNoneHeld('a checkpoint');
        },
      }),
      {
        clock,
        guest: { drain: () => this.guestQueue.drain(), flush, pause: (paused) => this.guestQueue.pause(paused) },
        forward: { drain: () => this.forwardQueue.drain(), flush },
        ...(marks !== undefined && { marks }),
        watch: { portState: this.portState('PVM', clock) },
        log: SILENT,
        arm: (atMs) => this.arm(atMs, clock),
      },
      { guestPort: 'tap0', onControllerLoss: this.onLoss, numbersLost: !numbers.whole },
    );
    this.node = node;
    this.lostMs = -1;
    this.armedForMs = Number.POSITIVE_INFINITY;
    this.begin(engine, clock);
    const inStep = new InStep(
      this.watched(engine),
      clock.nowMs,
      () => node,
      {
        guest: {
          accept: (id) => this.accept(id),
          acceptRewritten: (id, buf, off, len, partial) => this.acceptRewritten(id, buf, off, len, partial),
          drop: (id) => this.drop(id),
        },
        forward: { drop: (id) => void this.forwardQueue.settle(id, 'dropped') },
      },
      // However few: that the way is right has nothing to do with whether it is worth it.
      1,
    );
    if (how !== 'unprotected') node.protect(how === 'resumed');
    const guest = new SimBatch(this.guestQueue);
    const forward = new SimBatch(this.forwardQueue);
    const both = new BothSimBatches(guest, forward);
    this.guestQueue.listen((batch) => {
      guest.show(batch);
      inStep.guestBatch(both);
      guest.give();
    });
    this.forwardQueue.listen((batch) => {
      forward.show(batch);
      inStep.forwardBatch(both);
      forward.give();
    });
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.forwardQueue.abandon();
    this.portQueue.abandon();
    this.around.stream?.primaryDies();
    this.given.clear();
    this.node = null;
    this.end();
  }

  /** The process's files are lost. */
  replaceFiles(files: PrimaryFiles): void {
    this.files = files;
  }

  /** DO_CHECKPOINT at the end of `epoch`. */
  checkpoint(epoch: number): void {
    this.ending = epoch;
    this.node!.checkpoint();
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

  /** Wait of the oldest held packet: nothing may wait for ever. */
  oldestHeldUs(): number {
    for (const [, packet] of this.guestQueue.unsettled()) return this.around.scheduler.nowUs - packet.madeUs;
    return 0;
  }

  protected tick(): void {
    this.node!.tick();
    this.watch(this.engine!);
    const decided = this.lostMs >= 0 && this.nowMs - this.lostMs > PORT_WATCH_MS + 2 * (PORT_STATE_US / 1000) + 100;
    if (decided && this.onLoss === 'drop' && this.engine!.awaitsCheckpoint && this.engine!.heldPackets > 0) {
      this.around.broken('a lost controller', `${this.engine!.heldPackets} held packets that nobody will release`);
    }
  }

  /** As io/deadline-timer: one timer, set once a batch. */
  private arm(atMs: number, clock: Clock): void {
    if (atMs >= this.armedForMs) return;
    this.armedForMs = atMs;
    clock.after(Math.max(0, atMs - this.nowMs) + 1, () => {
      if (this.armedForMs !== atMs) return;
      this.armedForMs = Number.POSITIVE_INFINITY;
      this.tick();
    });
  }

  /** The engine, looked after at every packet that it is given. */
  private watched(engine: SimPrimaryEngine): SimPrimaryEngine {
    const looked =
      <All extends unknown[]>(give: (...all: All) => void, ofGuest: boolean) =>
      (...all: All): void => {
        if (ofGuest) {
          this.given.add(all[0] as number);
          this.spoken++;
        }
        give(...all);
        this.watch(engine);
      };
    return instead(engine, {
      primary: looked((...all: Parameters<SimPrimaryEngine['primary']>) => engine.primary(...all), true),
      primaryOpaque: looked(
        (...all: Parameters<SimPrimaryEngine['primaryOpaque']>) => engine.primaryOpaque(...all),
        true,
      ),
      secondary: looked((...all: Parameters<SimPrimaryEngine['secondary']>) => engine.secondary(...all), false),
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
        `the engine reports ${engine.heldPackets} held packets, ${this.given.size} have no verdict`,
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
    // The rest of a packet whose beginning has left ends where the packet ends.
    probe.fin = shift > 0 && packet.fin;
    probe.partial = false;
    probe.segmentBytes = 0;
    const ackAt = ipHeaderBytes(packet.family) + 8;
    if (packet.ackPlace >= 0) probe.ackPlace += seqDiff(out.readUInt32BE(ackAt), packet.buf.readUInt32BE(ackAt));
    this.leave(id, probe, out);
  }

  private emit(id: number, buf: Buffer, off: number, len: number): boolean {
    const packet = this.guestQueue.waitingFor(id);
    if (!packet) return this.around.broken('one verdict', `a copy of packet ${id} leaves, but the packet is not held`);
    // The network refuses further packets.
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
      this.around.broken('output commit', `a copy of packet ${id} repeats bytes of an earlier copy`);
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
