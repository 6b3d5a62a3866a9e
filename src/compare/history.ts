// What was verified stays in the log until the ring comes round to it. A retransmission is compared with this history,
// so that what leaves a second time is what had left the first.

import type { FlowTable } from '../conntrack/flow-table';
import { equalBytes } from '../core/bytes';
import { HISTORY_SEARCH_LIMIT } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import * as f from './flow-words';
import { CheckpointCause, type Difference } from './outcome';
import { type PacketLog, R_AT, R_BYTES, R_PREV, R_SEQ } from './packet-log';
import type { StreamLists } from './stream-lists';

export const HISTORY_EQUAL = 0;
export const HISTORY_DIFFERS = 1;
/** Not all of it is there any more. */
export const HISTORY_UNKNOWN = 2;
export type HistoryResult = typeof HISTORY_EQUAL | typeof HISTORY_DIFFERS | typeof HISTORY_UNKNOWN;

export class History {
  constructor(
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
    private readonly lists: StreamLists,
    private readonly difference: Difference,
  ) {}

  /**
   * Compares [seq, seq+bytes), all of it verified, with what was verified there, from its end backwards as the history
   * goes. `secondary`: the bytes are the SVM's, for the report of a difference.
   */
  check(flow: number, seq: number, buf: Buffer, off: number, bytes: number, secondary: boolean): HistoryResult {
    const w = this.flows.words;
    const lw = this.log.words;
    let end = seqAdd(seq, bytes);
    // A partly verified head is not history yet. It is the SVM's where the PVM's lies behind a gap.
    for (let side = 0; side < 2; side++) {
      const head = side === 0 ? w[flow + f.X_PRIMARY_HEAD]! : this.lists.secondaryAt(flow, w[flow + f.X_VERIFIED]!);
      if (head === 0) continue;
      const part = this.checkRecord(flow, head, seq, end, buf, off, secondary);
      if (part === HISTORY_DIFFERS) return HISTORY_DIFFERS;
      if (part === HISTORY_EQUAL) end = lw[this.log.recordIndex(head) + R_SEQ]!;
      if (seqDiff(end, seq) <= 0) return HISTORY_EQUAL;
    }
    let id = w[flow + f.X_HISTORY]!;
    for (let n = 0; n < HISTORY_SEARCH_LIMIT && this.log.alive(id, flow); n++) {
      const r = this.log.recordIndex(id);
      const part = this.checkRecord(flow, id, seq, end, buf, off, secondary);
      if (part === HISTORY_DIFFERS) return HISTORY_DIFFERS;
      if (part === HISTORY_EQUAL) end = lw[r + R_SEQ]!;
      if (seqDiff(end, seq) <= 0) return HISTORY_EQUAL;
      id = lw[r + R_PREV]!;
    }
    return HISTORY_UNKNOWN;
  }

  /** Compares the part of [seq, end) that the record has, if it reaches up to end. UNKNOWN: it does not. */
  private checkRecord(
    flow: number,
    id: number,
    seq: number,
    end: number,
    buf: Buffer,
    off: number,
    secondary: boolean,
  ): HistoryResult {
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    const from = lw[r + R_SEQ]!;
    if (seqDiff(end, from) <= 0 || seqDiff(seqAdd(from, lw[r + R_BYTES]!), end) < 0) return HISTORY_UNKNOWN;
    const start = seqDiff(seq, from) > 0 ? seq : from;
    const n = seqDiff(end, start);
    const at = lw[r + R_AT]! + seqDiff(start, from);
    const bufAt = off + seqDiff(start, seq);
    if (equalBytes(buf, bufAt, this.log.data, at, n)) return HISTORY_EQUAL;
    if (secondary) {
      this.difference.show(CheckpointCause.RETRANSMISSION, flow, start, this.log.data, at, buf, bufAt, n);
    } else this.difference.show(CheckpointCause.RETRANSMISSION, flow, start, buf, bufAt, this.log.data, at, n);
    return HISTORY_DIFFERS;
  }
}
