// What the parts of the primary's engine share: tables, log, holds, counters, and the way out.

import { PRIMARY_RECORD_WORDS, X_ACKS_HEAD, X_EPOCH, X_HELD_HEAD } from '../compare/flow-words';
import { type CheckpointCause, Difference } from '../compare/outcome';
import { LOG_HELD, PacketLog } from '../compare/packet-log';
import { StreamComparator } from '../compare/stream';
import { TcpComparator } from '../compare/tcp';
import { FLOW_DEADLINE, FlowTable } from '../conntrack/flow-table';
import { TcpTracker } from '../conntrack/tcp-track';
import { broken } from '../core/errors';
import type { EngineLimits } from '../core/limits';
import { TimerWheel } from '../core/timer-wheel';
import type { PacketView } from '../packet/view';
import {
  C_DROPPED,
  C_HELD_FULL,
  C_HELD_TOTAL,
  C_PRIMARY_LOG_FULL,
  C_RELEASED_BYTES,
  C_RELEASED_PACKETS,
  C_REWRITTEN,
  PrimaryCounters,
} from './counters';
import type { FlowHandlers } from './flow-handler';
import { H_FLAGS, H_FLOW, H_ID, H_TIME, HF_DIRTY, HF_PARTIAL, Holds, NO_FLOW } from './holds';
import { PrefixOutlet } from './prefix-outlet';
import { TcpRelease } from './tcp-release';

/** What the engine asks of its surroundings. Each PVM packet gets exactly one of the three verdicts. */
export interface PrimaryActions {
  /**
   * The packet leaves as it came. Its bytes are buf[off, off+len), from the IP header to the frame's end, and the
   * frame's own headers lie directly before off; valid only during the call. Who has kept the packet (the kernel) needs
   * none of them.
   */
  accept(id: number, buf: Buffer, off: number, len: number): void;
  /**
   * These bytes leave instead, with the frame's headers before them as above. A partial checksum is to be completed.
   */
  acceptRewritten(id: number, buf: Buffer, off: number, len: number, partialChecksum: boolean): void;
  drop(id: number): void;
  /**
   * One more packet leaves: the verified beginning of the packet `id`, which stays held. Bytes and headers as above,
   * the checksums are whole. False: it cannot be sent. Nothing may be asked of the engine meanwhile. Without it no
   * beginnings leave.
   */
  emit?(id: number, buf: Buffer, off: number, len: number): boolean;
  /** At most once an epoch. */
  requestCheckpoint(cause: CheckpointCause): void;
}

/** Remembers ISN(PVM) - ISN(SVM) of connections beyond the life of the process. */
export interface DeltaTable {
  /**
   * Delta of the packet's connection, which is not of this epoch if there is none (0); NUMBERS_UNKNOWN when it may be,
   * all the same.
   */
  find(v: PacketView): number;
  /** Of a connection whose SYNs have matched. */
  store(v: PacketView, delta: number): void;
  /** The connection whose key stands at base of words is open: its peer has answered. */
  completed(words: Uint32Array, base: number): void;
  /** It seems to have ended. */
  left(words: Uint32Array, base: number): void;
  /** Both guests have reset it. */
  remove(words: Uint32Array, base: number): void;
  /** There are connections of this epoch whose delta was never known here. */
  incomplete(): void;
  /** A checkpoint: the SVM numbers like the PVM now. */
  clear(): void;
}

export const NUMBERS_UNKNOWN = -1;

const nothing = (): void => {};
export const NO_DELTAS: DeltaTable = {
  find: () => 0,
  store: nothing,
  completed: nothing,
  left: nothing,
  remove: nothing,
  incomplete: nothing,
  clear: nothing,
};

export class PrimaryContext {
  readonly flows: FlowTable;
  readonly log: PacketLog;
  readonly holds: Holds;
  readonly counters = new PrimaryCounters();
  readonly difference = new Difference();
  readonly stream: StreamComparator;
  readonly tcp: TcpComparator;
  readonly release: TcpRelease;
  readonly prefixes: PrefixOutlet;
  readonly wheel: TimerWheel;
  readonly tracker: TcpTracker;
  epoch = 0;
  /** For a test that compares the two: without it all of TCP goes the general way. */
  plainWay = true;
  /** Forgets a flow that is needed less than a new one; false where there is none. */
  makeRoom: () => boolean = () => false;
  /** Told of each packet of the PVM that was compared. Nothing may be asked of the engine meanwhile. */
  onSaid: ((flow: number) => void) | undefined;
  /** By protocol: set once, by the engine. */
  handlers!: FlowHandlers;

  constructor(
    limits: EngineLimits,
    readonly actions: PrimaryActions,
    readonly deltas: DeltaTable,
    seed: readonly [number, number],
    translated: boolean,
  ) {
    this.flows = new FlowTable(limits.maxFlows, PRIMARY_RECORD_WORDS, seed[0], seed[1]);
    this.log = new PacketLog(limits.logBytes, limits.logRecords, limits.maxHeldBytes);
    this.holds = new Holds(limits.maxHeldPackets, this.flows, this.log);
    this.stream = new StreamComparator(this.flows, this.log, this.difference);
    this.tcp = new TcpComparator(this.flows, this.stream, this.difference, translated);
    this.release = new TcpRelease(this.flows, this.counters);
    this.prefixes = new PrefixOutlet(this);
    this.wheel = new TimerWheel(this.flows.words, PRIMARY_RECORD_WORDS, FLOW_DEADLINE);
    this.tracker = new TcpTracker(this.flows, this.wheel);
    this.log.owner = this;
  }

  /** PacketLog's owner: a record moved. */
  onMove(flow: number, oldId: number, newId: number, holdSlot: number): void {
    if (flow !== NO_FLOW) {
      this.handlers.ofFlow(flow).onMove(flow, oldId, newId);
    }
    if (holdSlot !== 0) this.holds.onMove(newId, holdSlot);
  }

  /** A new record for the packet's flow, or -1. */
  insertFlow(v: PacketView): number {
    const flow = this.flows.insert(v, false);
    return flow < 0 && this.makeRoom() ? this.flows.insert(v, false) : flow;
  }

  /** True when the flow's words belong to an older epoch: the caller aligns them. */
  isStale(flow: number): boolean {
    return this.flows.words[flow + X_EPOCH] !== this.epoch;
  }

  /** Brings a TCP flow of an older epoch into this one. */
  alignTcp(flow: number): void {
    this.tcp.life.align(flow);
    this.flows.words[flow + X_EPOCH] = this.epoch;
  }

  /** Can a packet be held of which so many bytes are logged? */
  hasRoom(bytes: number): boolean {
    return !this.holds.full && this.log.hasRoom(bytes);
  }

  /**
   * Logs a PVM packet with its frame's headers and padding, and enters it among the held. Returns the record's id, or 0
   * when a bound is exhausted (then the packet is dropped here: its sender retransmits it).
   */
  hold(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    seq: number,
    end: number,
    flags: number,
    nowMs: number,
  ): number {
    const from = v.start - v.head;
    const bytes = v.limit - from;
    const full = this.holds.full ? C_HELD_FULL : this.log.hasRoom(bytes) ? -1 : C_PRIMARY_LOG_FULL;
    if (full >= 0) {
      this.counters.values[full]!++;
      this.drop(id);
      return 0;
    }
    return this.enter(id, flow, v, buf, seq, end, flags, LOG_HELD, nowMs);
  }

  /** The same where there is room. `needs` is what the log has to keep its copy for. */
  enter(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    seq: number,
    end: number,
    flags: number,
    needs: number,
    nowMs: number,
  ): number {
    const from = v.start - v.head;
    const record = this.log.append(flow, buf, from, v.limit - from, needs);
    this.holds.add(id, flow, record, seq, end, flags, v.l4 - from, nowMs);
    this.counters.values[C_HELD_TOTAL]!++;
    return record;
  }

  /** A held packet leaves as its copy stands; `changed`: its bytes are others than those that came. */
  leaveHeld(slot: number, changed: boolean, nowMs: number): void {
    const { holds, log } = this;
    const h = holds.index(slot);
    const hw = holds.words;
    const flags = hw[h + H_FLAGS]!;
    const flow = hw[h + H_FLOW]!;
    if (flow !== NO_FLOW && this.isStale(flow)) broken('a packet is released in the epoch in which it is held');
    this.counters.noteHold((nowMs - hw[h + H_TIME]!) | 0);
    const at = holds.packetAt(h);
    const bytes = holds.packetBytes(h);
    if (changed || (flags & HF_DIRTY) !== 0) {
      this.acceptRewritten(hw[h + H_ID]!, log.data, at, bytes, (flags & HF_PARTIAL) !== 0);
    } else this.accept(hw[h + H_ID]!, log.data, at, bytes);
    holds.remove(slot);
  }

  /** The packet in the view leaves as it stands in buf. */
  leave(id: number, v: PacketView, buf: Buffer, partial: boolean): void {
    const bytes = v.limit - v.start;
    if (v.changed) this.acceptRewritten(id, buf, v.start, bytes, partial);
    else this.accept(id, buf, v.start, bytes);
  }

  accept(id: number, buf: Buffer, off: number, bytes: number): void {
    const c = this.counters.values;
    c[C_RELEASED_PACKETS]!++;
    c[C_RELEASED_BYTES]! += bytes;
    this.actions.accept(id, buf, off, bytes);
  }

  acceptRewritten(id: number, buf: Buffer, off: number, bytes: number, partial: boolean): void {
    const c = this.counters.values;
    c[C_RELEASED_PACKETS]!++;
    c[C_RELEASED_BYTES]! += bytes;
    c[C_REWRITTEN]!++;
    this.actions.acceptRewritten(id, buf, off, bytes, partial);
  }

  /** Drops all that is held of a flow. */
  dropHeld(flow: number): void {
    const fw = this.flows.words;
    for (const at of [X_HELD_HEAD, X_ACKS_HEAD]) {
      for (let slot = fw[flow + at]!; slot !== 0; slot = fw[flow + at]!) {
        this.drop(this.holds.words[this.holds.index(slot) + H_ID]!);
        this.holds.remove(slot);
      }
    }
  }

  drop(id: number): void {
    this.counters.values[C_DROPPED]!++;
    this.actions.drop(id);
  }
}
