// The secondary's daemon: the node that ships, with checks of every verdict.

import type { CuttingQueue, PacketSink } from '../node/ports';
import type { SecondaryNode } from '../node/secondary';
import type { SecondaryLink } from '../node/secondary-link';
import { ETH_HLEN } from '../packet/ethernet';
import { type NodeSurroundings, Note, SILENT, SimDaemon } from './daemon';
import type { FakeQueue, ShownPacket } from './fake-queue';
import { complete } from './link';
import type { SecondaryFiles, SimSecondaryEngine } from './makers';
import { SimPacket } from './packet';
import { frameOf } from './stream/frames';
import { type SvmPort, secondaryEnd } from './stream/secondary-end';
import { checksumHolds, PROTO_TCP } from './wire';

/** Bytes of the SVM's packets that SN's queue shows before a failover. */
const HEADER_BYTES = 512;

export class SimSecondary extends SimDaemon<SimSecondaryEngine> {
  readonly guestQueue: FakeQueue;
  readonly peerQueue: FakeQueue;
  node: SecondaryNode | null = null;
  /** With a stream link, until a failover. */
  private link: SecondaryLink | undefined;

  constructor(
    around: NodeSurroundings,
    tickMs: number,
    private files: SecondaryFiles,
    private readonly port: SvmPort,
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
    });
    const guest = {
      ...verdicts(this.guestQueue, this.fromGuest),
      drain: () => this.guestQueue.drain(),
      showWhole: (on: boolean) => {
        this.guestQueue.showBytes = on ? Number.POSITIVE_INFINITY : HEADER_BYTES;
      },
    };
    const framesOf = ({ verdicts: { guest: given } }: SecondaryLink): CuttingQueue => ({
      accept: (id) => given.accept(id),
      acceptRewritten: (id, buf, off, len) => given.acceptRewritten(id, buf, off, len),
      drop: (id) => given.drop(id),
      drain: () => this.guestQueue.drain(),
      // Frames come whole.
      showWhole: () => {},
    });
    const forward = verdicts(this.peerQueue, (packet) => void this.port.deliver(packet));
    const node = makers.secondaryNode(engine, {
      clock,
      guest: () => (this.link === undefined ? guest : framesOf(this.link)),
      forward: () => this.link?.verdicts.forward ?? forward,
      watch: { portState: this.portState('SVM', clock) },
      log: SILENT,
      toGuest: (ask) =>
        ask((frame) => {
          const buf = Buffer.from(frame.subarray(ETH_HLEN));
          const packet = new SimPacket(buf, buf[0]! >> 4 === 6 ? 6 : 4, PROTO_TCP);
          packet.madeUs = scheduler.nowUs;
          this.port.deliver(packet);
        }),
      checkpointed: () => this.link?.checkpoint(),
      tookOver: () => this.closeLink(),
      forgotten: () => {
        open();
        this.link?.newPair();
      },
    });
    const open = (): void => {
      if (this.around.stream === undefined || engine.failedOver || this.link !== undefined) return;
      this.link = secondaryEnd(this.around, this.files, clock, node, this.port);
      this.guestQueue.showBytes = Number.POSITIVE_INFINITY;
    };
    guest.showWhole(engine.failedOver);
    this.node = node;
    this.begin(engine, clock);
    this.peerQueue.listen((batch) => this.showAll(node.fromPeers, batch));
    this.guestQueue.listen((batch) => {
      const { link } = this;
      if (link === undefined) return this.showAll(node.fromGuest, batch);
      for (const { id } of batch) this.sentByGuest(link, this.guestQueue.settle(id, 'accepted')!);
      link.endGuestBatch();
    });
    open();
    node.begin();
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.peerQueue.abandon();
    this.around.stream?.secondaryDies();
    this.link = undefined;
    this.node = null;
    this.end();
  }

  /** A new host replaces this one: its files are lost. */
  replaceFiles(files: SecondaryFiles): void {
    this.files = files;
  }

  protected tick(): void {
    this.node!.tick();
    this.link?.tick();
  }

  private sentByGuest(link: SecondaryLink, packet: SimPacket): void {
    const frame = frameOf(packet);
    link.guestFrame(frame, 0, frame.length);
    frame.fill(0xa5);
  }

  /** What the guest's port shows and was not read is gone with it. */
  private closeLink(): void {
    if (this.link === undefined) return;
    this.link.close();
    this.link = undefined;
    this.guestQueue.forget();
  }

  private showAll(sink: PacketSink, batch: readonly ShownPacket[]): void {
    for (const { id, packet, shown } of batch) this.show(sink, id, packet, shown);
    sink.endBatch();
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
      // The adapter finishes a partial checksum: the kernel no longer does it for a packet with a new payload.
      if (out.partial) out = complete(out);
    }
    pass(out);
  }
}
