// filter-rewriter, on a secondary: gives the guest's TCP connections the primary's sequence numbers, by the secondary's
// node. From the first handshake on, not only after a failover: the comparison at the other end expects it.
//
// Safe outcome: a full table costs the oldest connection that has ended, is idle half-open or has lost its offset to a
// checkpoint, never a live one's offset; when all are live, a new connection is not translated, and counted
// (`flow_table_full`): it then differs from the primary's, which asks for a checkpoint. Malformed IP packets of the
// guest are dropped (`guest_malformed`); frames for the guest and frames other than IP pass.

import type { Log } from '../../core/log';
import { FramePackets } from '../../node/frame-packets';
import { FrameVerdicts } from '../../node/frame-verdicts';
import { type Clock, queuedPacket } from '../../node/ports';
import { SecondaryNode } from '../../node/secondary';
import type { SecondaryEngine } from '../../seccolo/engine';
import { Direction, type Filter, type Queue, Verdict } from './filter-chain';

export interface RewriterSurroundings {
  /** Its callbacks run in batches of their own. */
  clock: Clock;
  log: Log;
  /** Size of the virtio-net header at the guest's port. */
  vnetBytes: number;
  /** Sends a frame to the guest past all filters; its first `vnetBytes` are a virtio-net header. */
  toGuest(buf: Buffer, off: number, len: number, vnetBytes: number): void;
  /** Reads the guest's port empty. */
  drainGuest(): void;
  /** A checkpoint was carried out. */
  checkpointed(): void;
}

export class RewriterFilter implements Filter {
  readonly type = 'rewriter';
  readonly staysOn = true;
  readonly node: SecondaryNode;
  private readonly packets = new FramePackets(true);
  private readonly packet = queuedPacket();
  private readonly peers: FrameVerdicts;
  private readonly guest: FrameVerdicts;

  constructor(
    readonly id: string,
    readonly queue: Queue,
    readonly engine: SecondaryEngine,
    around: RewriterSurroundings,
  ) {
    this.peers = new FrameVerdicts((frame, vnetBytes) => around.toGuest(frame, 0, frame.length, vnetBytes));
    // A guest's packet never waits for its verdict.
    const guest = new FrameVerdicts(() => {});
    this.guest = guest;
    const fromGuest = {
      accept: (id: number) => guest.accept(id),
      acceptRewritten: (id: number, buf: Buffer, off: number, len: number) => guest.acceptRewritten(id, buf, off, len),
      drop: (id: number) => guest.drop(id),
      drain: () => around.drainGuest(),
      // Frames always come whole.
      showWhole: () => {},
    };
    this.node = new SecondaryNode(engine, {
      clock: around.clock,
      guest: () => fromGuest,
      forward: () => this.peers,
      // A netdev's controller gets no requests.
      watch: { portState: (told) => told('up') },
      log: around.log,
      toGuest: (ask) =>
        ask((frame) => {
          const bytes = Buffer.alloc(around.vnetBytes + frame.length);
          bytes.set(frame, around.vnetBytes);
          around.toGuest(bytes, 0, bytes.length, around.vnetBytes);
        }),
      checkpointed: () => around.checkpointed(),
      // Done by the netdev after all its rewriters.
      tookOver: () => {},
      forgotten: () => {},
    });
  }

  frame(direction: Direction, buf: Buffer, off: number, len: number, vnetBytes: number): Verdict {
    const { packet: p } = this;
    const network = this.packets.fill(p, buf, off, len, vnetBytes);
    if (network < 0) return Verdict.Pass;
    const toGuest = direction === Direction.Tx;
    const verdicts = toGuest ? this.peers : this.guest;
    const sink = toGuest ? this.node.fromPeers : this.node.fromGuest;
    p.id = verdicts.next();
    sink.packet(p);
    const passes = verdicts.given(buf, off, len, vnetBytes, network - off);
    sink.endBatch();
    return passes ? Verdict.Pass : Verdict.Consumed;
  }

  report(): Record<string, unknown> {
    return { ...this.engine.status(), ...this.engine.counters.snapshot() };
  }
}
