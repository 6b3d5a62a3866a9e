// The life of a TCP connection in the primary's record, and which of its words hold in which state.
//
//                 first seen without SYN: adopt                      another SYN of the PVM: resetPrimary
//        +-----+ --- delta known ---------> +---------+ -------------------------------------------> +-----------+
//        | new |                            | matched |                                              | unmatched |
//        +-----+ --- not known --> unknown  +---------+ <-- both SYNs: SynMatch -------------------- +-----------+
//           |                         |        ^  |  \______________________________________________________^
//           |  a SYN                  |        |  |        another SYN of the SVM: resetSecondary
//           +------> unmatched        +--------+  v
//                                   a checkpoint: align (from any state; at the flow's first packet in the new epoch)
//
//   unmatched   XF_MATCHED is not set: a side's SYN is known (XF_*_SYN) or none. Nothing of the SVM's is compared.
//   matched     XF_MATCHED, X_DELTA. XF_HALF_OPEN until the peer has answered. XF_MIDSTREAM: its beginning was not seen (verified-range).
//   unknown     XF_UNKNOWN: how the SVM numbers it was forgotten; only a checkpoint helps.
//   far         XF_FAR_ACK: the PVM has acknowledged what its peer cannot have sent. After a checkpoint the SVM has to say where it stands.
//
// What becomes of each flag is a row of FLAG_LIFE, what the SVM's words become at a checkpoint one of ALIGNED_WORDS.

import type { FlowTable } from '../conntrack/flow-table';
import { seqAdd } from '../core/seq32';
import * as f from './flow-words';
import type { StreamComparator } from './stream';

const KEEP = 1;
const CLEAR = 0;
/** Stays if the SVM's SYN waits for the PVM's. */
const WAITS = 2;
const SCALE_BITS = 15 << f.XF_SCALE_SHIFT;

/** A flag, what becomes of it by resetPrimary, resetSecondary and align, and which flag align() takes it from. */
type FlagLife = readonly [flag: number, resetPrimary: number, resetSecondary: number, align: number, from?: number];

export const FLAG_LIFE: readonly FlagLife[] = [
  // The stream's beginning, scale and time.
  [f.XF_BASED, CLEAR, KEEP, KEEP],
  [f.XF_MIDSTREAM, CLEAR, KEEP, KEEP],
  [f.XF_SCALE | SCALE_BITS, CLEAR, KEEP, KEEP],
  [f.XF_TSVAL, CLEAR, KEEP, KEEP],
  // The PVM's side, and the same of the SVM's.
  [f.XF_PRIMARY_SYN, CLEAR, KEEP, CLEAR],
  [f.XF_PRIMARY_ISN, CLEAR, KEEP, KEEP],
  [f.XF_PRIMARY_ACK, CLEAR, KEEP, CLEAR], // align() sets it where it is not far
  [f.XF_PRIMARY_FIN, CLEAR, KEEP, KEEP],
  [f.XF_PRIMARY_RST, CLEAR, KEEP, KEEP],
  [f.XF_PRIMARY_REFUSED, CLEAR, KEEP, KEEP],
  [f.XF_SECONDARY_SYN, WAITS, CLEAR, CLEAR],
  [f.XF_SECONDARY_ISN, WAITS, CLEAR, CLEAR, f.XF_PRIMARY_ISN],
  [f.XF_SECONDARY_ACK, WAITS, CLEAR, CLEAR], // as XF_PRIMARY_ACK
  [f.XF_SECONDARY_FIN, CLEAR, CLEAR, CLEAR, f.XF_PRIMARY_FIN],
  [f.XF_SECONDARY_RST, CLEAR, CLEAR, CLEAR, f.XF_PRIMARY_RST],
  [f.XF_SECONDARY_REFUSED, CLEAR, CLEAR, CLEAR, f.XF_PRIMARY_REFUSED],
  [f.XF_SECONDARY_PUSHED, CLEAR, KEEP, CLEAR],
  // How far the two belong together.
  [f.XF_MATCHED, CLEAR, CLEAR, CLEAR], // align() sets it
  [f.XF_HALF_OPEN, CLEAR, KEEP, CLEAR],
  [f.XF_UNKNOWN, CLEAR, KEEP, CLEAR],
  [f.XF_FAR_ACK, CLEAR, KEEP, CLEAR],
  // What was released: align() sets it where the PVM has acknowledged.
  [f.XF_RELEASED, CLEAR, KEEP, CLEAR],
  [f.XF_LEFT, CLEAR, KEEP, CLEAR],
  // Lists that the flow is in, and the order of what it holds.
  [f.XF_AHEAD, KEEP, KEEP, CLEAR],
  [f.XF_PREFIX_NOTED, KEEP, KEEP, CLEAR],
  [f.XF_DISORDER, CLEAR, KEEP, CLEAR],
  [f.XF_ODD, CLEAR, KEEP, CLEAR], // setOdd() keeps it in step with X_ODD
];

/** At a checkpoint the first takes the value of the second. */
const ALIGNED_WORDS: readonly (readonly [to: number, from: number])[] = [
  [f.X_SECONDARY_ISN, f.X_PRIMARY_ISN],
  [f.X_SECONDARY_FIN, f.X_PRIMARY_FIN],
  [f.X_SECONDARY_RST, f.X_PRIMARY_RST],
  [f.X_SECONDARY_URGENT, f.X_PRIMARY_URGENT],
  [f.X_SECONDARY_SYN_OPTIONS, f.X_PRIMARY_SYN_OPTIONS],
  [f.X_SECONDARY_SYN_WINDOW, f.X_PRIMARY_SYN_WINDOW],
];

/** The flags that column `at` of FLAG_LIFE calls `what`. */
function flagsThat(at: 1 | 2 | 3, what: number): number {
  return FLAG_LIFE.reduce((all, row) => (row[at] === what ? all | row[0] : all), 0);
}

const KEPT_BY_PRIMARY = flagsThat(1, KEEP);
const WAITING_SYN = flagsThat(1, WAITS);
const KEPT_BY_SECONDARY = flagsThat(2, KEEP);
const KEPT_BY_ALIGN = flagsThat(3, KEEP);
const MIRRORED = FLAG_LIFE.flatMap(([flag, , , , from]) => (from === undefined ? [] : [[flag, from] as const]));

export class FlowLife {
  constructor(
    private readonly flows: FlowTable,
    private readonly stream: StreamComparator,
  ) {}

  /**
   * A connection first seen without SYN: its numbers are the same on both sides, differ by a remembered delta, or are
   * not known (negative).
   */
  adopt(flow: number, delta: number): void {
    const w = this.flows.words;
    if (delta < 0) {
      w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_UNKNOWN;
      return;
    }
    w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_MATCHED;
    w[flow + f.X_DELTA] = delta;
  }

  /** The PVM's side of the flow starts anew. The SVM's SYN, if it came first, stays. */
  resetPrimary(flow: number): void {
    const w = this.flows.words;
    this.stream.dropPrimary(flow);
    w[flow + f.X_LAST_BYTE] = 0;
    w[flow + f.X_ODD] = 0;
    const flags = w[flow + f.X_FLAGS]!;
    const waits = (flags & f.XF_SECONDARY_SYN) !== 0;
    if (!waits) this.stream.dropSecondary(flow);
    w[flow + f.X_FLAGS] = flags & (waits ? KEPT_BY_PRIMARY | WAITING_SYN : KEPT_BY_PRIMARY);
  }

  /** The SVM's side starts anew: nothing that it sent before belongs to what follows. */
  resetSecondary(flow: number): void {
    const w = this.flows.words;
    this.stream.dropSecondary(flow);
    w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! & KEPT_BY_SECONDARY;
    f.setOdd(w, flow, w[flow + f.X_ODD]! & f.XO_PRIMARY_URGENT);
  }

  /**
   * First touch of a flow after a checkpoint: the SVM has become a copy of the PVM, so all that the PVM had sent is
   * covered, and every counter of the SVM's side takes the PVM's value, the window too.
   */
  align(flow: number): void {
    const w = this.flows.words;
    const old = w[flow + f.X_FLAGS]!;
    let flags = (old & KEPT_BY_ALIGN) | f.XF_MATCHED;
    for (const [to, from] of ALIGNED_WORDS) w[flow + to] = w[flow + from]!;
    for (const [flag, from] of MIRRORED) if ((old & from) !== 0) flags |= flag;
    if ((old & f.XF_PRIMARY_ISN) !== 0 && (old & f.XF_BASED) === 0) {
      this.stream.range.start(flow, seqAdd(w[flow + f.X_PRIMARY_ISN]!, 1));
      flags |= f.XF_BASED;
    }
    w[flow + f.X_DELTA] = 0;
    if ((old & f.XF_PRIMARY_ACK) !== 0 && (old & f.XF_FAR_ACK) === 0) {
      flags |= f.XF_PRIMARY_ACK | f.XF_SECONDARY_ACK;
      w[flow + f.X_SECONDARY_ACK] = w[flow + f.X_PRIMARY_ACK]!;
      w[flow + f.X_SECONDARY_WINDOW] = w[flow + f.X_PRIMARY_WINDOW]!;
      // What was held left with the PVM's own numbers.
      flags |= f.XF_RELEASED;
      const scale = (old & f.XF_SCALE) !== 0 ? (old >>> f.XF_SCALE_SHIFT) & 15 : 0;
      w[flow + f.X_RELEASED_ACK] = w[flow + f.X_PRIMARY_ACK]!;
      w[flow + f.X_RELEASED_EDGE] = seqAdd(w[flow + f.X_PRIMARY_ACK]!, w[flow + f.X_PRIMARY_WINDOW]! << scale);
    }
    w[flow + f.X_FLAGS] = flags;
    f.setOdd(
      w,
      flow,
      (w[flow + f.X_ODD]! & f.XO_PRIMARY_URGENT) !== 0 ? f.XO_PRIMARY_URGENT | f.XO_SECONDARY_URGENT : 0,
    );
    this.stream.alignPrimary(flow, w[flow + f.X_PRIMARY_NEXT]!);
  }
}
