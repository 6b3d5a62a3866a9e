// The life of a TCP connection in the primary's record, as far as it is said which of its words still hold.
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
// What becomes of the flags, and of what they vouch for ("kept" as it is, "PVM's": the SVM's side takes the PVM's
// value):
//
//                    the PVM's side   the SVM's side         lists it is in   beginning, scale, time   released
//   resetPrimary     cleared          its SYN, if it waits   kept             cleared                  cleared
//   resetSecondary   kept             cleared                kept             kept                     kept
//   align            kept             PVM's                  emptied          kept                     PVM's

import type { FlowTable } from '../conntrack/flow-table';
import { seqAdd } from '../core/seq32';
import * as f from './flow-words';
import type { StreamComparator } from './stream';

const PRIMARY_SIDE = f.XF_PRIMARY_ISN | f.XF_PRIMARY_FIN | f.XF_PRIMARY_RST | f.XF_PRIMARY_REFUSED;
const SCALE_BITS = 15 << f.XF_SCALE_SHIFT;

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
    // In lists, whatever becomes of the connection.
    let kept = f.XF_AHEAD | f.XF_PREFIX_NOTED;
    if ((flags & f.XF_SECONDARY_SYN) !== 0) kept |= f.XF_SECONDARY_SYN | f.XF_SECONDARY_ISN | f.XF_SECONDARY_ACK;
    else this.stream.dropSecondary(flow);
    w[flow + f.X_FLAGS] = flags & kept;
  }

  /** The SVM's side starts anew: nothing that it said before belongs to what follows. */
  resetSecondary(flow: number): void {
    const w = this.flows.words;
    this.stream.dropSecondary(flow);
    w[flow + f.X_FLAGS] =
      w[flow + f.X_FLAGS]! &
      ~(
        f.XF_MATCHED |
        f.XF_SECONDARY_ACK |
        f.XF_SECONDARY_FIN |
        f.XF_SECONDARY_RST |
        f.XF_SECONDARY_REFUSED |
        f.XF_SECONDARY_ISN |
        f.XF_SECONDARY_SYN
      );
    f.setOdd(w, flow, w[flow + f.X_ODD]! & f.XO_PRIMARY_URGENT);
  }

  /**
   * First touch of a flow after a checkpoint: the SVM has become a copy of the PVM, so all that the PVM had said is
   * covered, and every counter of the SVM's side takes the PVM's value, the window too.
   */
  align(flow: number): void {
    const w = this.flows.words;
    const old = w[flow + f.X_FLAGS]!;
    let flags =
      (old & (f.XF_BASED | f.XF_MIDSTREAM | PRIMARY_SIDE | f.XF_SCALE | f.XF_TSVAL | SCALE_BITS)) | f.XF_MATCHED;
    if ((old & f.XF_PRIMARY_ISN) !== 0) {
      flags |= f.XF_SECONDARY_ISN;
      w[flow + f.X_SECONDARY_ISN] = w[flow + f.X_PRIMARY_ISN]!;
      if ((old & f.XF_BASED) === 0) {
        this.stream.range.start(flow, seqAdd(w[flow + f.X_PRIMARY_ISN]!, 1));
        flags |= f.XF_BASED;
      }
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
    w[flow + f.X_SECONDARY_URGENT] = w[flow + f.X_PRIMARY_URGENT]!;
    w[flow + f.X_SECONDARY_SYN_OPTIONS] = w[flow + f.X_PRIMARY_SYN_OPTIONS]!;
    if ((old & f.XF_PRIMARY_FIN) !== 0) flags |= f.XF_SECONDARY_FIN;
    w[flow + f.X_SECONDARY_FIN] = w[flow + f.X_PRIMARY_FIN]!;
    if ((old & f.XF_PRIMARY_RST) !== 0) flags |= f.XF_SECONDARY_RST;
    if ((old & f.XF_PRIMARY_REFUSED) !== 0) flags |= f.XF_SECONDARY_REFUSED;
    w[flow + f.X_SECONDARY_RST] = w[flow + f.X_PRIMARY_RST]!;
    w[flow + f.X_SECONDARY_SYN_WINDOW] = w[flow + f.X_PRIMARY_SYN_WINDOW]!;
    w[flow + f.X_FLAGS] = flags;
    f.setOdd(
      w,
      flow,
      (w[flow + f.X_ODD]! & f.XO_PRIMARY_URGENT) !== 0 ? f.XO_PRIMARY_URGENT | f.XO_SECONDARY_URGENT : 0,
    );
    this.stream.alignPrimary(flow, w[flow + f.X_PRIMARY_NEXT]!);
  }
}
