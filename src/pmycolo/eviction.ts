// Who gives way when the flow table is full. Anybody can begin flows, so what costs nothing goes first, and what both
// guests have an open connection in goes last; a flow in which a packet is held stays. The work is bounded: a hand goes
// round the table, and the best of the few flows that it passes by is taken (of equals the one that has been idle
// longest).

import { X_ACKS_HEAD, X_FLAGS, X_HELD_HEAD, XF_AHEAD } from '../compare/flow-words';
import { FLOW_DEADLINE } from '../conntrack/flow-table';
import { EVICTION_SCAN_LIMIT } from '../core/limits';
import { seqDiff } from '../core/seq32';
import type { PrimaryContext } from './context';
import { C_FLOWS_EVICTED } from './counters';
import type { Expiry } from './expiry';
import { Cost } from './flow-handler';

export class Eviction {
  private hand = -1;

  constructor(
    private readonly x: PrimaryContext,
    private readonly expiry: Expiry,
  ) {}

  /** Forgets one flow. False: all that were looked at are needed. */
  makeRoom(): boolean {
    const { flows, counters } = this.x;
    const w = flows.words;
    let victim = -1;
    let least: number = Cost.Never;
    for (let n = 0; n < EVICTION_SCAN_LIMIT && n < flows.size; n++) {
      let flow = flows.next(this.hand);
      if (flow < 0) flow = flows.next(-1);
      this.hand = flow;
      const cost = this.costOf(flow);
      if (cost > least || cost === Cost.Never) continue;
      if (cost === least && seqDiff(w[flow + FLOW_DEADLINE]!, w[victim + FLOW_DEADLINE]!) >= 0) continue;
      victim = flow;
      least = cost;
    }
    if (victim < 0 || !this.expiry.remove(victim)) return false;
    counters.values[C_FLOWS_EVICTED]!++;
    return true;
  }

  private costOf(flow: number): Cost {
    const w = this.x.flows.words;
    if (w[flow + X_HELD_HEAD] !== 0 || w[flow + X_ACKS_HEAD] !== 0) return Cost.Never;
    const own = this.x.handlers.ofFlow(flow).costToForget(flow);
    const ahead = (w[flow + X_FLAGS]! & XF_AHEAD) !== 0 && !this.x.isStale(flow);
    return ahead && own < Cost.Ahead ? Cost.Ahead : own;
  }
}
