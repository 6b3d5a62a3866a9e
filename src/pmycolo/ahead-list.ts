// Flows in which the SVM has said something that the PVM has not, in the order of their last progress: the head is the one
// that has waited longest. A flow that gets on goes to the tail; more words of the SVM alone are no progress.

import {
  X_AHEAD_MARK,
  X_AHEAD_NEXT,
  X_AHEAD_PREV,
  X_AHEAD_SINCE,
  X_FLAGS,
  XF_AHEAD,
} from '../conntrack/colo-extension';
import type { FlowTable } from '../conntrack/flow-table';

export class AheadList {
  private head = 0;
  private tail = 0;

  constructor(private readonly flows: FlowTable) {}

  /** Ms since the longest waiting flow got on, or -1 when none waits. */
  oldestAge(nowMs: number): number {
    return this.head === 0 ? -1 : (nowMs - this.flows.words[this.head - 1 + X_AHEAD_SINCE]!) | 0;
  }

  oldest(): number {
    return this.head - 1;
  }

  /** `mark` is something of the flow that changes when and only when the PVM has followed. */
  note(flow: number, ahead: boolean, mark: number, nowMs: number): void {
    const w = this.flows.words;
    const listed = (w[flow + X_FLAGS]! & XF_AHEAD) !== 0;
    const progressed = w[flow + X_AHEAD_MARK] !== mark;
    w[flow + X_AHEAD_MARK] = mark;
    if (listed && (!ahead || progressed)) this.remove(flow);
    if (ahead && (!listed || progressed)) this.append(flow, nowMs);
  }

  remove(flow: number): void {
    const w = this.flows.words;
    if ((w[flow + X_FLAGS]! & XF_AHEAD) === 0) return;
    const next = w[flow + X_AHEAD_NEXT]!;
    const prev = w[flow + X_AHEAD_PREV]!;
    if (prev === 0) this.head = next;
    else w[prev - 1 + X_AHEAD_NEXT] = next;
    if (next === 0) this.tail = prev;
    else w[next - 1 + X_AHEAD_PREV] = prev;
    w[flow + X_FLAGS] = w[flow + X_FLAGS]! & ~XF_AHEAD;
  }

  /** After a checkpoint: the flows' own marks are cleared when they are aligned. */
  clear(): void {
    this.head = 0;
    this.tail = 0;
  }

  private append(flow: number, nowMs: number): void {
    const w = this.flows.words;
    w[flow + X_AHEAD_SINCE] = nowMs;
    w[flow + X_AHEAD_NEXT] = 0;
    w[flow + X_AHEAD_PREV] = this.tail;
    if (this.tail === 0) this.head = flow + 1;
    else w[this.tail - 1 + X_AHEAD_NEXT] = flow + 1;
    this.tail = flow + 1;
    w[flow + X_FLAGS] = w[flow + X_FLAGS]! | XF_AHEAD;
  }
}
