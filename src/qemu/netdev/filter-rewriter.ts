// filter-rewriter, on a secondary: gives the guest's TCP connections the numbers that the primary's have, by the
// secondary's node. From the first handshake on, not only after a failover: the comparison at the other end expects it.
//
// Safe outcome: a full table costs the oldest connection that has ended, stands still half open or lost its offset to a
// checkpoint, never a live one's offset; when all are live, a new connection goes untranslated and is counted
// (`flow_table_full`): it then differs from the primary's, which asks for a checkpoint. Frames of the guest that cannot
// be understood as the IP packet they claim to be are dropped (`guest_malformed`); frames for the guest and all that is
// not IP pass.

import type { Log } from '../../core/log';
import { FramePackets } from '../../node/frame-packets';
import { FrameVerdicts } from '../../node/frame-verdicts';
import { type Clock, queuedPacket } from '../../node/ports';
import { SecondaryNode } from '../../node/secondary';
import type { SecondaryEngine } from '../../seccolo/engine';
import { Direction, type Filter, type Queue, Verdict } from './filter-chain';

export interface RewriterSurroundings {
  /** What it calls comes in a batch of its own. */
  clock: Clock;
  log: Log;
  /** Size of the virtio-net header at the guest's port. */
  vnetBytes: number;
  /** Brings a frame to the guest past all filters; `vnetBytes` of it are a virtio-net header. */
  toGuest(buf: Buffer, off: number, len: number, vnetBytes: number): void;
  /** Reads what the guest has said. */
  drainGuest(): void;
  /** A checkpoint was obeyed. */
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
      // Whoever controls a netdev says what he wants, or nothing.
      watch: { portState: (told) => told('up') },
      log: around.log,
      toGuest: (ask) =>
        ask((frame) => {
          const bytes = Buffer.alloc(around.vnetBytes + frame.length);
          bytes.set(frame, around.vnetBytes);
          around.toGuest(bytes, 0, bytes.length, around.vnetBytes);
        }),
      checkpointed: () => around.checkpointed(),
      // The netdev sees to it, when all its rewriters have.
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
