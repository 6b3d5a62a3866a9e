// Who gives way when the flow table is full. Anybody can begin flows, so what costs nothing goes first, and what both guests have
// an open connection in goes last; a flow in which a packet is held stays. The work is bounded: a hand goes round the table, and the best of
// the few flows that it passes by is taken (of equals the one that has been idle longest).

import { X_ACKS_HEAD, X_FLAGS, X_HELD_HEAD, XF_AHEAD, XF_HALF_OPEN } from '../compare/flow-words';
import { FLOW_DEADLINE, FLOW_META } from '../conntrack/flow-table';
import { EVICTION_SCAN_LIMIT } from '../core/limits';
import { seqDiff } from '../core/seq32';
import { IPPROTO_TCP } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_FLOWS_EVICTED } from './counters';
import type { Expiry } from './expiry';

/** What it costs to forget a flow. */
const Cost = {
  /** A row of packets of which none waits: the next makes the same record again. */
  Nothing: 0,
  /** A connection that nobody has completed, or that has ended: its next packet begins it anew. */
  Handshake: 1,
  /** The SVM has said something that the PVM will say: it would have to say it again. */
  Ahead: 2,
  /** An open connection: its numbers are kept, but what it repeats has to be compared anew. */
  Open: 3,
  /** A packet of it is held. */
  Never: 4,
} as const;

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

  private costOf(flow: number): number {
    const { flows, tracker } = this.x;
    const w = flows.words;
    if (w[flow + X_HELD_HEAD] !== 0 || w[flow + X_ACKS_HEAD] !== 0) return Cost.Never;
    const present = !this.x.isStale(flow);
    const flags = w[flow + X_FLAGS]!;
    const tcp = (w[flow + FLOW_META]! & 0xff) === IPPROTO_TCP;
    if (tcp && tracker.phase(flow) === 'established' && (!present || (flags & XF_HALF_OPEN) === 0)) return Cost.Open;
    if (present && (flags & XF_AHEAD) !== 0) return Cost.Ahead;
    return tcp ? Cost.Handshake : Cost.Nothing;
  }
}
