// Flows in which one guest waits for the other: the PVM's packets are held, or the SVM is ahead. They stand in a list
// for each class of waits (learned-times), in the order of their last progress, so its head is the one that has waited
// longest, and the first whose limit passes. A flow that gets on goes to the tail; more words of the side that waits
// are no progress.

import { W_LIST, W_MARK, W_NEXT, W_PREV, W_SINCE, X_FLAGS, type XF_AHEAD } from '../compare/flow-words';
import type { FlowTable } from '../conntrack/flow-table';
import { invariant } from '../core/errors';
import { FLOW_META, FLOW_PEER, FLOW_PORTS, metaProtocol } from '../packet/tuple';
import { IPPROTO_TCP, IPPROTO_UDP } from '../packet/view';
import type { LearnedTimes, WaitKind } from './learned-times';

/** A class in the word that tells the list. */
const CLASS_BITS = 11;
const CLASS_MASK = (1 << CLASS_BITS) - 1;
const NEVER = Number.POSITIVE_INFINITY;

export class FlowWaits {
  /** When check() wants to be called beside its regular times, by the clock of nowMs. */
  wakeMs = NEVER;
  /** Of the flow that check() found: how long it has waited, in ms. */
  waitedMs = 0;
  /** First and last flow + 1 of each class, 0 = none. */
  private readonly heads: Uint32Array;
  private readonly tails: Uint32Array;
  private readonly bit: number;
  /** Tells lists of before clear() from those of after it. */
  private list = 1 << CLASS_BITS;

  /** `at`: where its words stand in a flow's record. Without `times` there is one class, whose limit is `limitMs`. */
  constructor(
    private readonly flows: FlowTable,
    private readonly at: number,
    private readonly limitMs: number,
    private readonly times: LearnedTimes | undefined,
    private readonly flag: 0 | typeof XF_AHEAD,
  ) {
    this.bit = flag === 0 ? 1 : 2;
    invariant((times?.classes ?? 1) <= 1 << CLASS_BITS, 'a class must fit into its bits');
    this.heads = new Uint32Array(times?.classes ?? 1);
    this.tails = new Uint32Array(times?.classes ?? 1);
  }

  /**
   * After a packet of the flow: does it wait now, and for what (-1: for nothing)? `mark` is something of the flow that
   * changes when the other side has got on, and at no other time while it waits.
   */
  note(flow: number, kind: WaitKind | -1, mark: number, nowMs: number): void {
    const w = this.flows.words;
    const at = flow + this.at;
    let cls = -1;
    if (this.has(flow)) {
      const progressed = w[at + W_MARK] !== mark;
      const before = w[at + W_LIST]! & CLASS_MASK;
      const same = kind !== -1 && (this.times === undefined || this.times.kindOf(before) === kind);
      if (!progressed && same) return;
      if (progressed || kind === -1) this.times?.ended(before, (nowMs - w[at + W_SINCE]!) | 0, nowMs);
      if (same) cls = before;
      this.unlink(flow);
    }
    if (kind === -1) return;
    if (cls < 0) cls = this.classOf(flow, kind);
    w[at + W_MARK] = mark;
    this.append(flow, cls, nowMs);
  }

  /** What the flow waits for is of no interest any more. */
  remove(flow: number): void {
    if (this.has(flow)) this.unlink(flow);
  }

  /** No flow waits. */
  clear(): void {
    for (let cls = 0; cls < this.heads.length; cls++) if (this.heads[cls] !== 0) this.times?.unuse(cls, this.bit);
    this.heads.fill(0);
    this.tails.fill(0);
    this.list = (this.list + (1 << CLASS_BITS)) >>> 0 || 1 << CLASS_BITS;
    this.wakeMs = NEVER;
  }

  /**
   * The flow that has waited for longer than it may, or -1. `otherMs`: when anything was last heard of the other side
   * (low 32 bits). Of one of which nothing has come at all since a wait began, at least `silentMs` are awaited.
   */
  check(nowMs: number, otherMs: number, silentMs: number): number {
    const w = this.flows.words;
    this.wakeMs = NEVER;
    let found = -1;
    for (let cls = 0; cls < this.heads.length; cls++) {
      const head = this.heads[cls]!;
      if (head === 0) continue;
      const since = w[head - 1 + this.at + W_SINCE]!;
      const waited = (nowMs - since) | 0;
      let limit = this.limitOf(cls);
      if (this.times !== undefined && ((otherMs - since) | 0) < 0 && limit < silentMs) limit = silentMs;
      if (waited < limit) {
        this.wakeMs = Math.min(this.wakeMs, nowMs + limit - waited);
      } else if (found < 0) {
        found = head - 1;
        this.waitedMs = waited;
      }
    }
    return found;
  }

  /** The wait that check() found is cut short. */
  stalled(flow: number): void {
    this.times?.stalled(this.flows.words[flow + this.at + W_LIST]! & CLASS_MASK);
  }

  private has(flow: number): boolean {
    return (this.flows.words[flow + this.at + W_LIST]! & ~CLASS_MASK) >>> 0 === this.list;
  }

  private limitOf(cls: number): number {
    return this.times === undefined ? this.limitMs : this.times.limitMs(cls);
  }

  /** The service's port is the lower one, whoever is the client. What has no ports is of one class for a host. */
  private classOf(flow: number, kind: WaitKind): number {
    if (this.times === undefined) return 0;
    const w = this.flows.words;
    const protocol = metaProtocol(w[flow + FLOW_META]!);
    const ports = w[flow + FLOW_PORTS]!;
    const hasPorts = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
    const port = hasPorts ? Math.min(ports >>> 16, ports & 0xffff) : 0;
    return this.times.classOf(kind, protocol, port, w, flow + FLOW_PEER);
  }

  private append(flow: number, cls: number, nowMs: number): void {
    const w = this.flows.words;
    const at = flow + this.at;
    w[at + W_LIST] = (this.list | cls) >>> 0;
    w[at + W_SINCE] = nowMs;
    w[at + W_NEXT] = 0;
    w[at + W_PREV] = this.tails[cls]!;
    if (this.tails[cls] === 0) {
      this.heads[cls] = flow + 1;
      this.times?.use(cls, this.bit);
      this.wakeMs = Math.min(this.wakeMs, nowMs + this.limitOf(cls));
    } else w[this.tails[cls]! - 1 + this.at + W_NEXT] = flow + 1;
    this.tails[cls] = flow + 1;
    if (this.flag !== 0) w[flow + X_FLAGS] = w[flow + X_FLAGS]! | this.flag;
  }

  private unlink(flow: number): void {
    const w = this.flows.words;
    const at = flow + this.at;
    const cls = w[at + W_LIST]! & CLASS_MASK;
    const next = w[at + W_NEXT]!;
    const prev = w[at + W_PREV]!;
    if (prev === 0) this.heads[cls] = next;
    else w[prev - 1 + this.at + W_NEXT] = next;
    if (next === 0) this.tails[cls] = prev;
    else w[next - 1 + this.at + W_PREV] = prev;
    w[at + W_LIST] = 0;
    if (this.heads[cls] === 0) this.times?.unuse(cls, this.bit);
    if (this.flag !== 0) w[flow + X_FLAGS] = w[flow + X_FLAGS]! & ~this.flag;
  }
}
