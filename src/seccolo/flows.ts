// The secondary's connections: found by tuple, timed, and kept in the offset table, one record there for each flow.
// Only packets of the guest make a flow, so nobody outside can fill the table with packets that the guest does not
// answer.

import { FLOW_DEADLINE, FLOW_GUEST_ISN, FlowTable } from '../conntrack/flow-table';
import { type OffsetTable, Rank } from '../conntrack/offset-table';
import { TcpState, TcpTracker } from '../conntrack/tcp-track';
import { TCP_TIMEOUTS } from '../conntrack/timeouts';
import { TimerWheel } from '../core/timer-wheel';
import { FLOW_KEY_WORDS } from '../packet/tuple';
import type { PacketView } from '../packet/view';
import { C_FLOW_TABLE_FULL, C_FLOWS_EVICTED, C_FLOWS_EXPIRED, type SecondaryCounters } from './counters';
import {
  PHASE_MASK,
  Phase,
  S_EPOCH,
  S_OFF,
  S_SLOT,
  S_STATE,
  S_SYN_ACK,
  S_SYN_TS,
  S_TS_OFF,
  SECONDARY_RECORD_WORDS,
  SF_CONFIRMED,
  SF_FINISHED,
  SF_LASTING,
  SF_OWN_ISN,
  SF_SYN_TS,
} from './flow-words';

/**
 * A half-closed connection may be silent while one side computes, and to forget its offset is to break it. Here both
 * directions are seen, so the state is left when the connection ends, and the long time costs little.
 */
const TIMEOUTS = { ...TCP_TIMEOUTS, halfClosedMs: 3_600_000 };

/** Timers looked at per call of expire(): about a millisecond. */
const EXPIRE_VISITS = 4096;

/** What is kept of a flow's state in the offset table. */
const KEPT = PHASE_MASK | SF_SYN_TS | SF_CONFIRMED | SF_FINISHED | SF_OWN_ISN;

/** A flow's numbers in the epoch before the present one; of what its phase lets it have. */
export interface OldNumbers {
  phase: Phase;
  off: number;
  tsOff: number;
  isn: number;
  synAck: number;
  /** The ISN is the SVM's own, as far as is known (SF_OWN_ISN). */
  ownIsn: boolean;
  /** The flow's words still are those of then. */
  present: boolean;
}

export class SecondaryFlows {
  readonly old: OldNumbers = {
    phase: Phase.Settled,
    off: 0,
    tsOff: 0,
    isn: 0,
    synAck: 0,
    ownIsn: false,
    present: false,
  };
  readonly table: FlowTable;
  readonly tracker: TcpTracker;
  readonly words: Uint32Array;
  private readonly wheel: TimerWheel;
  private readonly onExpire: (base: number) => boolean;

  constructor(
    readonly offsets: OffsetTable,
    private readonly counters: SecondaryCounters,
    seed: readonly [number, number],
  ) {
    this.table = new FlowTable(offsets.capacity, SECONDARY_RECORD_WORDS, seed[0], seed[1]);
    this.words = this.table.words;
    this.wheel = new TimerWheel(this.words, SECONDARY_RECORD_WORDS, FLOW_DEADLINE);
    this.tracker = new TcpTracker(this.table, this.wheel, TIMEOUTS);
    this.onExpire = (base) => {
      this.counters.values[C_FLOWS_EXPIRED]!++;
      this.remove(base);
      return true;
    };
  }

  /** Base of the packet's flow, its words aligned with the present epoch; -1 when there is none. */
  find(v: PacketView, fromPeer: boolean): number {
    return this.aligned(this.table.find(v, fromPeer));
  }

  findKey(key: Uint32Array): number {
    return this.aligned(this.table.findKey(key));
  }

  /** A flow for a packet of the guest that has none; -1 when the table is full of live ones. */
  create(v: PacketView): number {
    const { words, offsets } = this;
    if (this.table.size === this.table.maxFlows) {
      const victim = offsets.victim();
      if (victim < 0) {
        this.counters.values[C_FLOW_TABLE_FULL]!++;
        return -1;
      }
      this.counters.values[C_FLOWS_EVICTED]!++;
      this.remove(offsets.holder(victim));
    }
    const base = this.table.insert(v, false);
    const slot = offsets.insert(words, base, Rank.Settled, Phase.Settled, 0, 0, 0);
    offsets.setHolder(slot, base);
    words[base + S_SLOT] = slot;
    words[base + S_EPOCH] = offsets.epoch;
    words[base + S_STATE] = Phase.Settled | SF_OWN_ISN;
    return base;
  }

  remove(base: number): void {
    this.wheel.disarm(base);
    this.offsets.remove(this.words[base + S_SLOT]!);
    this.table.remove(base);
  }

  /** The tuple has a new connection: nothing of the old one holds. */
  restart(base: number): void {
    const { words } = this;
    words[base + S_STATE] = Phase.Settled | SF_OWN_ISN;
    words[base + S_OFF] = 0;
    words[base + S_TS_OFF] = 0;
    this.offsets.forgetEcho(words[base + S_SLOT]!);
    this.publish(base);
  }

  phase(base: number): Phase {
    return (this.words[base + S_STATE]! & PHASE_MASK) as Phase;
  }

  setPhase(base: number, phase: Phase): void {
    this.words[base + S_STATE] = (this.words[base + S_STATE]! & ~PHASE_MASK) | phase;
  }

  /** Brings the flow's record in the offset table, and its rank there, up to date with its words. */
  publish(base: number): void {
    const { words, offsets } = this;
    const slot = words[base + S_SLOT]!;
    const state = words[base + S_STATE]!;
    const phase = state & PHASE_MASK;
    const learning = phase === Phase.SynSent || phase === Phase.SynAnswered;
    if (learning)
      offsets.write(slot, state, words[base + FLOW_GUEST_ISN]!, words[base + S_SYN_TS]!, words[base + S_SYN_ACK]!);
    else offsets.write(slot, state, words[base + S_OFF]!, words[base + S_TS_OFF]!, words[base + FLOW_GUEST_ISN]!);
    let rank: Rank = Rank.Settled;
    if ((state & SF_FINISHED) !== 0) rank = Rank.Finished;
    else if (learning) rank = Rank.Embryonic;
    else if (phase === Phase.Learned) rank = (state & SF_CONFIRMED) !== 0 ? Rank.Live : Rank.Embryonic;
    if (offsets.rank(slot) !== rank) offsets.setRank(slot, rank);
  }

  /** Takes over the records that an earlier process left. */
  restore(nowMs: number): void {
    const { words, offsets } = this;
    const key = new Uint32Array(FLOW_KEY_WORDS);
    for (let slot = offsets.next(-1); slot >= 0; slot = offsets.next(slot)) {
      offsets.copyKey(slot, key);
      const base = this.table.findKey(key) < 0 ? this.table.insertKey(key) : -1;
      if (base < 0) {
        offsets.remove(slot);
        continue;
      }
      offsets.setHolder(slot, base);
      words[base + S_SLOT] = slot;
      words[base + S_EPOCH] = offsets.epoch;
      const current = offsets.isCurrent(slot);
      const state = offsets.flags(slot) & (current ? KEPT : SF_FINISHED);
      words[base + S_STATE] = state;
      const isn = current ? this.load(base, slot) : -1;
      const phase = state & PHASE_MASK;
      let tcp: TcpState = TcpState.Established;
      if (phase === Phase.SynSent) tcp = TcpState.SynSent;
      if (phase === Phase.SynAnswered) tcp = TcpState.SynReceived;
      if ((state & SF_FINISHED) !== 0) tcp = TcpState.TimeWait;
      this.tracker.restore(base, tcp, isn, nowMs);
      if (current) this.publish(base);
    }
    if (!offsets.returning) return;
    this.returnToPrevious();
    offsets.endDoubt();
  }

  /**
   * Fills `old` for a flow as it stands in the table of flows, not aligned; false when it had no offset in the previous
   * epoch.
   */
  previousOf(base: number): boolean {
    const { words, offsets, old } = this;
    const slot = words[base + S_SLOT]!;
    const copy = offsets.previous(slot);
    if (copy < 0) return false;
    old.present = words[base + S_EPOCH] === offsets.previousEpoch;
    const flags = offsets.flags(slot, copy);
    old.phase = (flags & PHASE_MASK) as Phase;
    old.ownIsn = (flags & SF_OWN_ISN) !== 0;
    const learning = old.phase === Phase.SynSent || old.phase === Phase.SynAnswered;
    if (!learning && old.phase !== Phase.Learned) return false;
    old.isn = learning ? offsets.off(slot, copy) : offsets.extra(slot, copy);
    old.synAck = learning ? offsets.extra(slot, copy) : 0;
    old.off = learning ? 0 : offsets.off(slot, copy);
    old.tsOff = learning ? 0 : offsets.tsOff(slot, copy);
    return true;
  }

  /** The words of the previous epoch are valid again, for every flow. May be stopped anywhere and repeated. */
  returnToPrevious(): void {
    const { words, offsets, table } = this;
    offsets.beginReturn();
    for (let base = table.next(-1); base >= 0; base = table.next(base)) {
      const slot = words[base + S_SLOT]!;
      if (words[base + S_EPOCH] === offsets.previousEpoch) {
        words[base + S_EPOCH] = offsets.epoch;
        this.publish(base);
        continue;
      }
      const copy = words[base + S_EPOCH] === offsets.epoch ? offsets.previous(slot) : -1;
      if (copy < 0) continue;
      words[base + S_STATE] = (words[base + S_STATE]! & SF_LASTING) | (offsets.flags(slot, copy) & KEPT);
      const isn = this.load(base, slot, copy);
      if (isn >= 0) this.tracker.learnGuestIsn(base, isn);
      this.publish(base);
    }
  }

  /**
   * Takes a flow's numbers from a copy of its record, as its phase has them; returns the guest's ISN, -1 = not known.
   */
  private load(base: number, slot: number, copy?: number): number {
    const { words, offsets } = this;
    const phase = this.phase(base);
    const off = offsets.off(slot, copy);
    const tsOff = offsets.tsOff(slot, copy);
    const extra = offsets.extra(slot, copy);
    if (phase === Phase.SynSent || phase === Phase.SynAnswered) {
      words[base + S_SYN_TS] = tsOff;
      words[base + S_SYN_ACK] = extra;
      return off;
    }
    words[base + S_OFF] = off;
    words[base + S_TS_OFF] = tsOff;
    return phase === Phase.Learned ? extra : -1;
  }

  expire(nowMs: number): void {
    this.wheel.expire(nowMs, this.onExpire, EXPIRE_VISITS);
  }

  clear(): void {
    this.wheel.clear();
    this.table.clear();
    this.offsets.clear();
  }

  /**
   * The flow, its words those of the present epoch: after a checkpoint the SVM numbers as the PVM does, what was
   * learned before is void.
   */
  aligned(base: number): number {
    const { words } = this;
    if (base >= 0 && words[base + S_EPOCH] !== this.offsets.epoch) {
      words[base + S_EPOCH] = this.offsets.epoch;
      words[base + S_STATE] = (words[base + S_STATE]! & SF_LASTING) | Phase.Settled;
      words[base + S_OFF] = 0;
      words[base + S_TS_OFF] = 0;
      this.tracker.forgetGuestIsn(base);
    }
    return base;
  }
}
