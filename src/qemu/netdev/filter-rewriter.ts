// filter-rewriter, on a secondary: gives the guest's TCP connections the primary's sequence numbers, by the secondary's
// node. From the first handshake on, not only after a failover: the comparison at the other end expects it.
//
// Safe outcome: a full table costs the oldest connection that has ended, is idle half-open or has lost its offset to a
// checkpoint, never a live one's offset; when all are live, a new connection is not translated, and counted
// (`flow_table_full`): it then differs from the primary's, which asks for a checkpoint. Malformed IP packets of the
// guest are dropped (`guest_malformed`); frames for the guest and frames other than IP pass.

import { isPartial } from '../../chardev/vnet-offload';
import { NO_ZONE, Zones } from '../../chardev/zones';
import type { Log } from '../../core/log';
import { type Clock, queuedPacket } from '../../node/ports';
import { SecondaryNode } from '../../node/secondary';
import { ETH_P_IP, ETH_P_IPV6, FRAME_OK, FrameView, macHigh, macLow, parseFrame, tagWord } from '../../packet/ethernet';
import type { SecondaryEngine } from '../../seccolo/engine';
import { MAX_KEPT_TAGS } from '../../seccolo/frame-head';
import { Direction, type Filter, type Queue, Verdict } from './filter-chain';
import { FrameVerdicts } from './frame-verdicts';

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
  private readonly view = new FrameView();
  private readonly zones = new Zones();
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
    const { view, packet: p } = this;
    if (parseFrame(view, buf, off + vnetBytes, len - vnetBytes) !== FRAME_OK) return Verdict.Pass;
    if (view.type !== ETH_P_IP && view.type !== ETH_P_IPV6) return Verdict.Pass;
    const zone = this.zones.of(view.tags, view.outerVlan, view.innerVlan);
    if (zone === NO_ZONE) return Verdict.Pass;
    p.buf = buf;
    p.off = view.network;
    p.len = off + len - view.network;
    p.originalLen = p.len;
    p.partialChecksum = isPartial(buf, off, vnetBytes);
    p.macHigh = macHigh(buf, view.source);
    p.macLow = macLow(buf, view.source);
    const { tags } = view;
    const kept = tags <= MAX_KEPT_TAGS;
    p.outerTag = kept && tags > 0 ? tagWord(buf, view.destination, 0) : 0;
    p.innerTag = kept && tags > 1 ? tagWord(buf, view.destination, 1) : 0;
    p.zone = zone;
    const toGuest = direction === Direction.Tx;
    const verdicts = toGuest ? this.peers : this.guest;
    const sink = toGuest ? this.node.fromPeers : this.node.fromGuest;
    p.id = verdicts.next();
    sink.packet(p);
    const passes = verdicts.given(buf, off, len, vnetBytes, view.network - off);
    sink.endBatch();
    return passes ? Verdict.Pass : Verdict.Consumed;
  }

  report(): Record<string, unknown> {
    return { ...this.engine.status(), ...this.engine.counters.snapshot() };
  }
}
