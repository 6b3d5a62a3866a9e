// Urgent data (RFC 9293 section 3.8.5, RFC 6093). A receiver may take the byte before the urgent pointer out of the
// stream, so the two guests must mark the same bytes. Which segments bear a mark depends on when they were sent: each
// side's latest mark is compared by its place in the stream, when the byte before it is sent.
//
// A side that marks again before the other has given its mark is a difference, too: telnet and its like mark seldom.

import type { FlowTable } from '../conntrack/flow-table';
import { read16 } from '../core/big-endian';
import { seqAdd, seqDiff } from '../core/seq32';
import { TCP_URGENT_AT } from '../packet/tcp-header';
import { type PacketView, TCP_URG } from '../packet/view';
import * as f from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EQUAL, type Outcome } from './outcome';
import type { StreamComparator } from './stream';

const XO_URGENT = f.XO_PRIMARY_URGENT | f.XO_SECONDARY_URGENT;

export class UrgentMarks {
  constructor(
    private readonly flows: FlowTable,
    private readonly stream: StreamComparator,
    private readonly difference: Difference,
  ) {}

  /** A segment of the PVM, from seq to end; wanted only where one of the two has marked something. */
  primary(flow: number, v: PacketView, end: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    const theirs = w[flow + f.X_SECONDARY_URGENT]!;
    if ((v.flags & TCP_URG) === 0) {
      const open = (w[flow + f.X_ODD]! & f.XO_SECONDARY_URGENT) !== 0 && !this.agree(flow);
      return open && bears(v.seq, end, theirs) ? this.differ(flow, theirs) : EQUAL;
    }
    const at = seqAdd(v.seq, read16(v.buf, v.l4 + TCP_URGENT_AT));
    const another = w[flow + f.X_PRIMARY_URGENT] !== at && this.waits(flow);
    w[flow + f.X_PRIMARY_URGENT] = at;
    w[flow + f.X_FLAGS] = flags | f.XF_ODD;
    w[flow + f.X_ODD] = w[flow + f.X_ODD]! | f.XO_PRIMARY_URGENT;
    if (another) return this.differ(flow, at);
    if (this.agree(flow) || (flags & f.XF_BASED) === 0) return EQUAL;
    return seqDiff(this.stream.secondaryEnd(flow), at) >= 0 ? this.differ(flow, at) : EQUAL;
  }

  /** The same for the SVM; seq and end are in the PVM's numbers. */
  secondary(flow: number, v: PacketView, seq: number, end: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    const theirs = w[flow + f.X_PRIMARY_URGENT]!;
    if ((v.flags & TCP_URG) === 0) {
      const open = (w[flow + f.X_ODD]! & f.XO_PRIMARY_URGENT) !== 0 && !this.agree(flow);
      return open && bears(seq, end, theirs) ? this.differ(flow, theirs) : EQUAL;
    }
    const at = seqAdd(seq, read16(v.buf, v.l4 + TCP_URGENT_AT));
    w[flow + f.X_SECONDARY_URGENT] = at;
    w[flow + f.X_FLAGS] = flags | f.XF_ODD;
    w[flow + f.X_ODD] = w[flow + f.X_ODD]! | f.XO_SECONDARY_URGENT;
    if (this.agree(flow) || (flags & f.XF_BASED) === 0) return EQUAL;
    return seqDiff(w[flow + f.X_PRIMARY_NEXT]!, at) >= 0 ? this.differ(flow, at) : EQUAL;
  }

  /** Have both marked the same place last? Only then may a marked segment leave. */
  agree(flow: number): boolean {
    const w = this.flows.words;
    return (
      (w[flow + f.X_ODD]! & XO_URGENT) === XO_URGENT && w[flow + f.X_PRIMARY_URGENT] === w[flow + f.X_SECONDARY_URGENT]
    );
  }

  /**
   * Has the PVM marked a byte that the SVM has not sent? Had it sent it without the mark, that was a difference.
   */
  private waits(flow: number): boolean {
    const w = this.flows.words;
    if ((w[flow + f.X_ODD]! & f.XO_PRIMARY_URGENT) === 0 || this.agree(flow)) return false;
    return seqDiff(w[flow + f.X_VERIFIED]!, w[flow + f.X_PRIMARY_URGENT]!) < 0;
  }

  private differ(flow: number, at: number): Outcome {
    this.difference.set(CheckpointCause.URGENT, flow, at);
    return DIVERGED;
  }
}

/** Does [seq, end) hold the byte before the mark? */
function bears(seq: number, end: number, mark: number): boolean {
  return seqDiff(mark, seq) > 0 && seqDiff(mark, end) <= 0;
}
