// The secondary's daemon: the node that ships, with checks of every verdict.

import type { PacketSink } from '../node/ports';
import type { SecondaryNode } from '../node/secondary';
import { ETH_HLEN } from '../packet/ethernet';
import { type NodeSurroundings, Note, SILENT, SimDaemon } from './daemon';
import type { FakeQueue, ShownPacket } from './fake-queue';
import { complete } from './link';
import type { SecondaryFiles, SimSecondaryEngine } from './makers';
import { SimPacket } from './packet';
import { checksumHolds, PROTO_TCP } from './wire';

/** Bytes of the SVM's packets that SN's queue shows before a failover. */
const HEADER_BYTES = 512;

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
    });
    const guest = {
      ...verdicts(this.guestQueue, this.fromGuest),
      drain: () => this.guestQueue.drain(),
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
    this.peerQueue.listen((batch) => this.showAll(node.fromPeers, batch));
    this.guestQueue.listen((batch) => this.showAll(node.fromGuest, batch));
    node.begin();
  }

  kill(): void {
    if (!this.engine) return;
    this.guestQueue.abandon();
    this.peerQueue.abandon();
    this.node = null;
    this.end();
  }

  /** A new host replaces this one: its files are lost. */
  replaceFiles(files: SecondaryFiles): void {
    this.files = files;
  }

  protected tick(): void {
    this.node!.tick();
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
