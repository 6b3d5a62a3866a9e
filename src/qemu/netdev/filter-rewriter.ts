// filter-rewriter, on a secondary: gives the guest's TCP connections the numbers that the primary's have, by the engine
// of src/seccolo. From the first handshake on, not only after a failover: the comparison at the other end expects it.
//
// Safe outcome: a full table costs the oldest connection that has ended, stands still half open or lost its offset to a
// checkpoint, never a live one's offset; when all are live, a new connection goes untranslated and is counted
// (`flow_table_full`): it then differs from the primary's, which asks for a checkpoint. Frames of the guest that cannot
// be understood as the IP packet they claim to be are dropped (`guest_malformed`); frames for the guest and all that is
// not IP pass.

import type { Batch } from '../../chardev/batch';
import { isPartial } from '../../chardev/vnet-offload';
import { NO_ZONE, Zones } from '../../chardev/zones';
import { read16, read32 } from '../../core/big-endian';
import { ETH_ALEN, ETH_P_IP, ETH_P_IPV6, FRAME_OK, FrameView, parseFrame } from '../../packet/ethernet';
import { askGuest } from '../../seccolo/ask-guest';
import type { SecondaryEngine } from '../../seccolo/engine';
import { SecondaryVerdict } from '../../seccolo/engine';
import { MAX_KEPT_TAGS } from '../../seccolo/frame-head';
import { Direction, type Filter, type Queue, Verdict } from './filter-chain';

/** The batch in which a frame is handed in: its time. What comes of timers is a batch of its own. */
export type RewriterBatch = Pick<Batch, 'nowMs' | 'begin' | 'end'>;

const TAG_BYTES = 4;
/** Frames that wait for a decision of the engine; more are dropped, and repeated by their senders. */
const MAX_WAITING = 256;
const ASK_MS = 20;
/** A guest that runs answers in a millisecond. */
const ASK_TIMES = 15;

export class RewriterFilter implements Filter {
  readonly type = 'rewriter';
  private waiting: { bytes: Buffer; vnetBytes: number }[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly view = new FrameView();
  private readonly zones = new Zones();

  constructor(
    readonly id: string,
    readonly queue: Queue,
    readonly engine: SecondaryEngine,
    private readonly batch: RewriterBatch,
    /** Brings a frame to the guest past all filters; `vnetBytes` of it are a virtio-net header. */
    private readonly toGuest: (buf: Buffer, off: number, len: number, vnetBytes: number) => void,
  ) {}

  /**
   * After a failover: asks the guest for its numbers, where they are not known. `missed`: what is believed of the last
   * checkpoint when it does not answer.
   */
  decide(vnetBytes: number, missed: boolean, behind = -1, times = 0): void {
    clearTimeout(this.timer);
    const { engine } = this;
    if (times === ASK_TIMES) engine.decide(missed);
    if (!engine.undecided) {
      this.batch.begin();
      this.settle();
      this.batch.end();
      return;
    }
    this.batch.begin();
    const next = askGuest(engine, behind, (frame) => {
      const bytes = Buffer.alloc(vnetBytes + frame.length);
      bytes.set(frame, vnetBytes);
      this.toGuest(bytes, 0, bytes.length, vnetBytes);
    });
    this.batch.end();
    this.timer = setTimeout(() => this.decide(vnetBytes, missed, next, times + 1), ASK_MS);
  }

  close(): void {
    clearTimeout(this.timer);
  }

  frame(direction: Direction, buf: Buffer, off: number, len: number, vnetBytes: number): Verdict {
    const { view, engine } = this;
    if (parseFrame(view, buf, off + vnetBytes, len - vnetBytes) !== FRAME_OK) return Verdict.Pass;
    if (view.type !== ETH_P_IP && view.type !== ETH_P_IPV6) return Verdict.Pass;
    const zone = this.zones.of(view.tags, view.outerVlan, view.innerVlan);
    if (zone === NO_ZONE) return Verdict.Pass;
    const bytes = off + len - view.network;
    const partial = isPartial(buf, off, vnetBytes);
    const { nowMs } = this.batch;
    engine.link.macHigh = read32(buf, view.source);
    engine.link.macLow = read16(buf, view.source + 4);
    const { tags } = view;
    const kept = tags <= MAX_KEPT_TAGS;
    engine.link.outerTag = kept && tags > 0 ? read32(buf, view.source + ETH_ALEN) : 0;
    engine.link.innerTag = kept && tags > 1 ? read32(buf, view.source + ETH_ALEN + TAG_BYTES) : 0;
    const verdict =
      direction === Direction.Tx
        ? engine.fromPeer(buf, view.network, bytes, partial, nowMs, zone)
        : engine.fromGuest(buf, view.network, bytes, partial, nowMs, zone);
    if (verdict === SecondaryVerdict.Wait) {
      if (this.waiting.length < MAX_WAITING)
        this.waiting.push({ bytes: Buffer.from(buf.subarray(off, off + len)), vnetBytes });
      return Verdict.Consumed;
    }
    if (direction === Direction.Rx && this.waiting.length > 0) this.settle();
    return verdict === SecondaryVerdict.Drop ? Verdict.Consumed : Verdict.Pass;
  }

  /** What waited goes on when the engine knows the guest's numbers. */
  private settle(): void {
    if (this.engine.undecided) return;
    for (const { bytes, vnetBytes } of this.waiting.splice(0)) {
      const verdict = this.frame(Direction.Tx, bytes, 0, bytes.length, vnetBytes);
      if (verdict === Verdict.Pass) this.toGuest(bytes, 0, bytes.length, vnetBytes);
    }
  }

  report(): Record<string, unknown> {
    return { ...this.engine.status(), ...this.engine.counters.snapshot() };
  }
}
