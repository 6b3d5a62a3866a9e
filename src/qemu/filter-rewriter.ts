// filter-rewriter, on a secondary: gives the guest's TCP connections the numbers that the primary's have, by the engine of
// src/seccolo. From the first handshake on, not only after a failover: the comparison at the other end expects it.
//
// Safe outcome: a full table costs the oldest connection that has ended, stands still half open or lost its offset to a checkpoint,
// never a live one's offset; when all are live, a new connection goes untranslated and is counted (`flow_table_full`): it then
// differs from the primary's, which asks for a checkpoint. Frames of the guest that cannot be understood as the IP packet they
// claim to be are dropped (`guest_malformed`); frames for the guest and all that is not IP pass.

import { ETH_P_IP, ETH_P_IPV6, FRAME_OK, FrameView, parseFrame } from '../packet/ethernet';
import type { SecondaryEngine } from '../seccolo/engine';
import { SecondaryVerdict } from '../seccolo/engine';
import { Direction, type Filter, type Queue, Verdict } from './filter-chain';
import { isPartial } from './vnet-offload';
import { NO_ZONE, Zones } from './zones';

/** The time of the present batch. */
export interface BatchClock {
  readonly nowMs: number;
}

export class RewriterFilter implements Filter {
  readonly type = 'rewriter';
  private readonly view = new FrameView();
  private readonly zones = new Zones();

  constructor(
    readonly id: string,
    readonly queue: Queue,
    readonly engine: SecondaryEngine,
    private readonly clock: BatchClock,
  ) {}

  frame(direction: Direction, buf: Buffer, off: number, len: number, vnetBytes: number): Verdict {
    const { view, engine } = this;
    if (parseFrame(view, buf, off + vnetBytes, len - vnetBytes) !== FRAME_OK) return Verdict.Pass;
    if (view.type !== ETH_P_IP && view.type !== ETH_P_IPV6) return Verdict.Pass;
    const zone = this.zones.of(view.tags, view.outerVlan, view.innerVlan);
    if (zone === NO_ZONE) return Verdict.Pass;
    const bytes = off + len - view.network;
    const partial = isPartial(buf, off, vnetBytes);
    const { nowMs } = this.clock;
    const verdict =
      direction === Direction.Tx
        ? engine.fromPeer(buf, view.network, bytes, partial, nowMs, zone)
        : engine.fromGuest(buf, view.network, bytes, partial, nowMs, zone);
    return verdict === SecondaryVerdict.Drop ? Verdict.Consumed : Verdict.Pass;
  }

  report(): Record<string, unknown> {
    return { ...this.engine.status(), ...this.engine.counters.snapshot() };
  }
}
