// What the engine asks of a protocol. Who adds one writes a comparator (compare/), a handler that feeds it, and a line
// in the table of the engine's constructor.

import type { Outcome } from '../compare/outcome';
import type { FlowTable } from '../conntrack/flow-table';
import { FLOW_META, metaProtocol } from '../packet/tuple';
import type { PacketView } from '../packet/view';

/** Of admit(): the packet was counted and is to be dropped. */
export const REFUSED = -1;
/** Of flowOf(): the table is full. */
export const NO_ROOM = -1;
/** Of flowOf(): such packets are of no flow. */
export const FLOWLESS = -2;

/** What it costs to forget a flow, the least first. */
export const Cost = {
  /** A row of packets of which none waits: the next makes the same record again. */
  Nothing: 0,
  /** A connection that nobody has completed, or that has ended: its next packet begins it anew. */
  Handshake: 1,
  /** The SVM has sent something that the PVM will send: it would have to send it again. */
  Ahead: 2,
  /** An open connection: its numbers are kept, but its retransmissions have to be sent by both again. */
  Open: 3,
  /** A packet of it is held. */
  Never: 4,
} as const;
export type Cost = (typeof Cost)[keyof typeof Cost];

export interface FlowHandler {
  /** Flags for a PVM packet's hold (HF_*), which may have been changed in its buffer; or REFUSED. */
  admit(v: PacketView, partial: boolean, comparing: boolean): number;
  /** May this packet of the SVM be looked at? If not, it was counted. */
  admitSecondary(v: PacketView): boolean;
  /** The packet's flow, a new one where there is none, in the present epoch; NO_ROOM or FLOWLESS. */
  flowOf(v: PacketView, nowMs: number): number;
  /**
   * A PVM packet that was admitted: it leaves, is held or dropped. While a checkpoint is awaited (not `comparing`) it
   * is only noted and held.
   */
  primary(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    hold: number,
    comparing: boolean,
    nowMs: number,
  ): Outcome;
  /** Such a packet of the SVM, while comparing. */
  secondary(flow: number, v: PacketView, buf: Buffer, nowMs: number): Outcome;

  /** Has the SVM sent something there that the PVM has not? */
  isAhead(flow: number): boolean;
  /** Where it has: what changes when the PVM has got on, and at no other time. */
  aheadMark(flow: number): number;
  /** Slot of the first held packet with content that the SVM has not sent, or 0. */
  firstUnverified(flow: number): number;
  /** A record of the log got a new id. */
  onMove(flow: number, oldId: number, newId: number): void;
  /** A held packet leaves uncompared, by a checkpoint or by the operator's word. True: its bytes were changed. */
  leavesUncompared(slot: number): boolean;
  /**
   * Before held packets go without a checkpoint: what the PVM has sent counts either as sent by both (`released`), or
   * as never sent.
   */
  settleHeld(flow: number, released: boolean): void;
  /** Nothing or Handshake or Open. */
  costToForget(flow: number): Cost;
  /** The flow goes away. */
  forget(flow: number): void;
}

/** Handlers by protocol number. */
export class FlowHandlers {
  private readonly table: FlowHandler[];

  constructor(
    private readonly flows: FlowTable,
    others: FlowHandler,
    own: readonly (readonly [protocol: number, handler: FlowHandler])[],
  ) {
    this.table = Array.from({ length: 256 }, () => others);
    for (const [protocol, handler] of own) this.table[protocol] = handler;
  }

  ofProtocol(protocol: number): FlowHandler {
    return this.table[protocol]!;
  }

  ofFlow(flow: number): FlowHandler {
    return this.table[metaProtocol(this.flows.words[flow + FLOW_META]!)]!;
  }
}
