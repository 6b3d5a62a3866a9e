// Birth and death of flows: idle timeouts by the timer wheel, and the peers' resets.

import * as f from '../compare/flow-words';
import { FLOW_DEADLINE } from '../conntrack/flow-table';
import { idleTimeoutMs, TCP_TIMEOUTS } from '../conntrack/timeouts';
import type { PrimaryContext } from './context';
import { C_FLOWS_EXPIRED, C_RESET_BY_PEER } from './counters';
import type { Silence } from './silence';

/** Flows looked at in one call, so that a tick stays short. */
const MAX_VISITS = 4096;
/** A flow in which one guest waits for the other is kept and looked at again so much later. */
const BUSY_RETRY_MS = 10_000;

export class Expiry {
  private nowMs = 0;

  constructor(
    private readonly x: PrimaryContext,
    private readonly silence: Silence,
  ) {}

  /** A packet of a flow that is not TCP: its idle time starts again. `fresh`: the record was made for it. */
  touch(flow: number, protocol: number, fresh: boolean, nowMs: number): void {
    const { flows, wheel } = this.x;
    flows.words[flow + FLOW_DEADLINE] = nowMs + idleTimeoutMs(protocol, !fresh);
    if (fresh) wheel.arm(flow);
  }

  tick(nowMs: number): void {
    this.nowMs = nowMs;
    this.x.wheel.expire(nowMs, this.onExpire, MAX_VISITS);
  }

  /**
   * The peer has reset this connection: what is held of it is wanted by nobody, and the two sides need not say the same
   * any more. A reset from outside of the window is a stranger's, or of the tuple's last connection. We believe more
   * resets than a guest does, which wants one at the very edge of its window (RFC 5961): if it goes on, it repeats what
   * was dropped, and its numbers are still known. A reset of the guest's own is a packet that is held and compared.
   */
  resetByPeer(key: Uint32Array, seq: number, nowMs: number): void {
    const { flows, stream, tcp } = this.x;
    const flow = flows.findKey(key);
    if (flow < 0 || !tcp.isInPrimaryWindow(flow, seq)) return;
    const w = flows.words;
    if ((w[flow + f.X_FLAGS]! & (f.XF_PRIMARY_RST | f.XF_SECONDARY_RST | f.XF_PRIMARY_SYN | f.XF_SECONDARY_SYN)) !== 0)
      return;
    if (!this.x.isStale(flow)) {
      this.x.deltas.left(w, flow);
      w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_HALF_OPEN;
      f.setOdd(w, flow, w[flow + f.X_ODD]! | f.XO_PEER_RESET);
      this.x.dropHeld(flow);
      this.silence.remove(flow);
      stream.dropPending(flow);
      stream.range.retract(flow);
    }
    // Looked at soon, unless the guest speaks again. The connection lives until then.
    if (((w[flow + FLOW_DEADLINE]! - nowMs) | 0) > TCP_TIMEOUTS.closedMs) {
      w[flow + FLOW_DEADLINE] = nowMs + TCP_TIMEOUTS.closedMs;
      this.x.wheel.arm(flow);
    }
    this.x.counters.values[C_RESET_BY_PEER]!++;
  }

  /** False while a packet of the flow is held. */
  remove(flow: number): boolean {
    const { flows, stream, wheel } = this.x;
    const w = flows.words;
    if (w[flow + f.X_HELD_HEAD] !== 0 || w[flow + f.X_ACKS_HEAD] !== 0) return false;
    this.x.handlers.ofFlow(flow).forget(flow);
    if (this.x.isStale(flow)) {
      // The log forgot the needs of an older epoch with it, and the list of waiting flows was emptied.
      w[flow + f.X_EPOCH] = this.x.epoch;
    } else {
      this.silence.remove(flow);
      stream.dropAll(flow);
    }
    this.x.prefixes.remove(flow);
    wheel.disarm(flow);
    flows.remove(flow);
    return true;
  }

  /**
   * The SVM has begun what the PVM will send, such as the tuple's next connection: forgotten, it would have to be sent
   * again.
   */
  private isAhead(flow: number): boolean {
    return (this.x.flows.words[flow + f.X_FLAGS]! & f.XF_AHEAD) !== 0 && !this.x.isStale(flow);
  }

  private readonly onExpire = (flow: number): boolean => {
    if (!this.isAhead(flow) && this.remove(flow)) {
      this.x.counters.values[C_FLOWS_EXPIRED]!++;
      return true;
    }
    this.x.flows.words[flow + FLOW_DEADLINE] = this.nowMs + BUSY_RETRY_MS;
    return false;
  };
}
