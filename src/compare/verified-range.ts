// Which bytes of the PVM's stream count as sent by both: [base, verified), and sometimes a second range further on, the
// island. And which the PVM has sent at all: up to `next`, but perhaps not those of the gap, which it has skipped.
// All are 32-bit sequence numbers, as words of the flow's record; whose bytes they were is the lists' and the log's to
// know.
//
//       X_BASE      X_VERIFIED      X_ISLAND     X_ISLAND_END     X_PRIMARY_NEXT
//         | verified  | to be repeated | verified    | the PVM's, pending |
//  -------+-----------+----------------+-------------+--------------------+------->
//
// The island is the rest of the range above when a part within it has to be sent again: where a retransmission
// cannot be compared because the history has forgotten its bytes, nothing vouches for them any more.

import type { FlowTable } from '../conntrack/flow-table';
import { broken } from '../core/errors';
import { MAX_POSITION_SPAN, MAX_SEGMENT_AHEAD } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import * as f from './flow-words';

/** How far the base may trail, so that sequence comparisons stay unambiguous. */
const MAX_VERIFIED_SPAN = 1 << 30;

/** Are the two so far apart that they have no order? */
export function isFar(seq: number, from: number): boolean {
  return (seq - from + MAX_POSITION_SPAN) >>> 0 > 2 * MAX_POSITION_SPAN;
}

export class VerifiedRange {
  constructor(private readonly flows: FlowTable) {}

  /** Are [seq, end) verified? An empty range is where its place lies within or at the end of what is. */
  holds(flow: number, seq: number, end: number): boolean {
    const w = this.flows.words;
    // Unsigned distances: what straddles the far half of the sequence space must not seem to lie within.
    const base = w[flow + f.X_BASE]!;
    const to = (end - base) >>> 0;
    if (to <= (w[flow + f.X_VERIFIED]! - base) >>> 0) return (seq - base) >>> 0 <= to;
    const island = w[flow + f.X_ISLAND]!;
    const islandBytes = (w[flow + f.X_ISLAND_END]! - island) >>> 0;
    const islandTo = (end - island) >>> 0;
    return islandBytes > 0 && islandTo <= islandBytes && (seq - island) >>> 0 <= islandTo;
  }

  /** The stream starts here (behind a SYN). */
  start(flow: number, seq: number): void {
    const w = this.flows.words;
    w[flow + f.X_BASE] = seq;
    w[flow + f.X_VERIFIED] = seq;
    w[flow + f.X_ISLAND] = seq;
    w[flow + f.X_ISLAND_END] = seq;
    w[flow + f.X_FLAGS] = (w[flow + f.X_FLAGS]! | f.XF_BASED) & ~(f.XF_MIDSTREAM | f.XF_LEFT);
  }

  /** The stream is seen first at seq, in its middle: earlier bytes may still be retransmitted. */
  startMidstream(flow: number, seq: number): void {
    this.start(flow, seq);
    this.flows.words[flow + f.X_FLAGS] = this.flows.words[flow + f.X_FLAGS]! | f.XF_MIDSTREAM;
  }

  /**
   * Up to `to` all is verified. True when that has reached the island, whose end is now the range's: more may be wholly
   * verified than was said.
   */
  raise(flow: number, to: number): boolean {
    const w = this.flows.words;
    if (seqDiff(to, w[flow + f.X_VERIFIED]!) < 0) broken('what is verified does not grow backwards');
    const island = w[flow + f.X_ISLAND]!;
    const islandEnd = w[flow + f.X_ISLAND_END]!;
    let joined = false;
    if (island !== islandEnd && seqDiff(to, island) >= 0) {
      if (seqDiff(islandEnd, to) > 0) to = islandEnd;
      w[flow + f.X_ISLAND] = to;
      w[flow + f.X_ISLAND_END] = to;
      joined = true;
    }
    w[flow + f.X_VERIFIED] = to;
    if ((to - w[flow + f.X_BASE]!) >>> 0 > MAX_VERIFIED_SPAN) this.limitSpan(flow, to);
    return joined;
  }

  /**
   * [seq, seq+bytes), which begins below X_VERIFIED, has to be sent again by the SVM. Bytes behind stay verified,
   * as the island.
   */
  lower(flow: number, seq: number, bytes: number): void {
    const w = this.flows.words;
    const verified = w[flow + f.X_VERIFIED]!;
    const base = w[flow + f.X_BASE]!;
    if (w[flow + f.X_ISLAND] === w[flow + f.X_ISLAND_END]) {
      const unknownEnd = seqAdd(seq, bytes);
      w[flow + f.X_ISLAND] = seqDiff(base, unknownEnd) > 0 ? base : unknownEnd;
      w[flow + f.X_ISLAND_END] = verified;
    }
    if (seqDiff(seq, base) < 0) w[flow + f.X_BASE] = seq;
    w[flow + f.X_VERIFIED] = seq;
    // Behind a held packet of the range that is open again, others may be verified.
    w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_DISORDER;
  }

  /** The island's beginning, up to `to`, has to be sent again. */
  shortenIsland(flow: number, to: number): void {
    this.flows.words[flow + f.X_ISLAND] = to;
  }

  /** A checkpoint: up to `next` everything is verified, from behind the last place that the PVM may have passed by. */
  cover(flow: number, next: number): void {
    const w = this.flows.words;
    w[flow + f.X_VERIFIED] = next;
    w[flow + f.X_ISLAND] = next;
    w[flow + f.X_ISLAND_END] = next;
    if (w[flow + f.X_GAP] !== w[flow + f.X_GAP_END]) {
      const gapEnd = w[flow + f.X_GAP_END]!;
      w[flow + f.X_BASE] = seqDiff(gapEnd, next) > 0 ? next : gapEnd;
      w[flow + f.X_GAP] = gapEnd;
      w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_MIDSTREAM;
    }
    this.limitSpan(flow, next);
  }

  /** The PVM's SYN: it goes on at `next`, and has passed nothing by. */
  primaryBegins(flow: number, next: number): void {
    const w = this.flows.words;
    w[flow + f.X_PRIMARY_NEXT] = next;
    w[flow + f.X_GAP_END] = w[flow + f.X_GAP]!;
  }

  /** The PVM sends [seq, end). `flags` are the flow's. */
  primarySays(flow: number, flags: number, seq: number, end: number): void {
    const w = this.flows.words;
    if ((flags & (f.XF_BASED | f.XF_PRIMARY_ISN)) !== 0 && seq !== w[flow + f.X_PRIMARY_NEXT]) {
      this.notePlace(flow, flags, seq, end);
    } else w[flow + f.X_PRIMARY_NEXT] = end;
  }

  /** It sends what simply follows, up to `end`. */
  primaryGoesOn(flow: number, end: number): void {
    this.flows.words[flow + f.X_PRIMARY_NEXT] = end;
  }

  /** The PVM's bytes beyond the verified range count as never sent. */
  retract(flow: number): void {
    const w = this.flows.words;
    const verified = w[flow + f.X_VERIFIED]!;
    w[flow + f.X_PRIMARY_NEXT] = verified;
    if (seqDiff(w[flow + f.X_GAP_END]!, verified) <= 0) return;
    if (seqDiff(w[flow + f.X_GAP]!, verified) < 0) w[flow + f.X_GAP_END] = verified;
    else w[flow + f.X_GAP] = w[flow + f.X_GAP_END]!;
  }

  /**
   * A segment of the PVM that is not simply the next: which places may it have passed by, and which has it come back
   * to?
   */
  private notePlace(flow: number, flags: number, seq: number, end: number): void {
    const w = this.flows.words;
    const next = w[flow + f.X_PRIMARY_NEXT]!;
    const beyond = seqDiff(end, next);
    let gap = w[flow + f.X_GAP]!;
    let gapEnd = w[flow + f.X_GAP_END]!;
    const whole = gap === gapEnd;
    if (beyond > MAX_SEGMENT_AHEAD || beyond < -MAX_POSITION_SPAN) {
      // Further away than any window allows: of what lies before it nothing is known.
      gap = seqAdd(seq, -1);
      gapEnd = seq;
      w[flow + f.X_PRIMARY_NEXT] = end;
    } else if (seqDiff(seq, next) > 0) {
      if (whole) gap = next;
      gapEnd = seq;
      w[flow + f.X_PRIMARY_NEXT] = end;
    } else {
      if ((flags & f.XF_BASED) !== 0 && seqDiff(end, w[flow + f.X_BASE]!) < 0) {
        gap = end;
        if (whole) gapEnd = w[flow + f.X_BASE]!;
      } else if (!whole && seqDiff(end, gapEnd) >= 0) {
        if (seqDiff(seq, gapEnd) < 0) gapEnd = seqDiff(seq, gap) > 0 ? seq : gap;
      } else if (!whole && seqDiff(seq, gap) <= 0 && seqDiff(end, gap) > 0) gap = end;
      if (beyond > 0) w[flow + f.X_PRIMARY_NEXT] = end;
    }
    w[flow + f.X_GAP] = gap;
    w[flow + f.X_GAP_END] = gapEnd;
  }

  /** The base must not fall behind so far that it seems to lie ahead. */
  private limitSpan(flow: number, to: number): void {
    const w = this.flows.words;
    if ((to - w[flow + f.X_BASE]!) >>> 0 <= MAX_VERIFIED_SPAN) return;
    w[flow + f.X_BASE] = seqAdd(to, -MAX_VERIFIED_SPAN);
  }
}
