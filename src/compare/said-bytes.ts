// What the PVM has said of a stream, out of the log: bytes that wait for the SVM, and behind them the history. For
// whoever has something else of the SVM's than its bytes to compare with.

import type { FlowTable } from '../conntrack/flow-table';
import { copyBytes } from '../core/bytes';
import { HISTORY_SEARCH_LIMIT } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import * as f from './flow-words';
import { type PacketLog, R_AT, R_BYTES, R_NEXT, R_PREV, R_SEQ } from './packet-log';
import { isFar } from './verified-range';

export class SaidBytes {
  constructor(
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
  ) {}

  /** Copies what the log has of [seq, seq+bytes), from its beginning on, to `to` at `at`. How many bytes that is. */
  copy(flow: number, seq: number, bytes: number, to: Buffer, at: number): number {
    const w = this.flows.words;
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) === 0 || isFar(seq, w[flow + f.X_VERIFIED]!)) return 0;
    const lw = this.log.words;
    let id = w[flow + f.X_PRIMARY_HEAD]!;
    let known = 0;
    while (known < bytes) {
      const here = seqAdd(seq, known);
      while (id !== 0 && seqDiff(here, this.endOf(id)) >= 0) id = lw[this.log.recordIndex(id) + R_NEXT]!;
      const r = this.log.recordIndex(id);
      const ahead = id === 0 ? bytes - known : seqDiff(lw[r + R_SEQ]!, here);
      if (ahead > 0) {
        const n = Math.min(bytes - known, ahead, this.verifiedFrom(flow, here));
        if (n <= 0 || !this.copyHistory(flow, here, n, to, at + known)) break;
        known += n;
      } else {
        const n = Math.min(bytes - known, lw[r + R_BYTES]! + ahead);
        copyBytes(this.log.data, lw[r + R_AT]! - ahead, to, at + known, n);
        known += n;
      }
    }
    return known;
  }

  /** Has the PVM said something behind this place? */
  hasPassed(flow: number, seq: number): boolean {
    const w = this.flows.words;
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) === 0) return false;
    return seqDiff(w[flow + f.X_PRIMARY_NEXT]!, seq) > 0 || isFar(seq, w[flow + f.X_VERIFIED]!);
  }

  /** Has the PVM ended its stream before this place? */
  endsBefore(flow: number, seq: number): boolean {
    const w = this.flows.words;
    return (w[flow + f.X_FLAGS]! & f.XF_PRIMARY_FIN) !== 0 && seqDiff(seq, w[flow + f.X_PRIMARY_FIN]!) > 0;
  }

  private endOf(id: number): number {
    const r = this.log.recordIndex(id);
    return seqAdd(this.log.words[r + R_SEQ]!, this.log.words[r + R_BYTES]!);
  }

  /** Bytes from here on that are verified in one piece; 0 or less: none. */
  private verifiedFrom(flow: number, here: number): number {
    const w = this.flows.words;
    const below = seqDiff(w[flow + f.X_VERIFIED]!, here);
    if (below > 0 || seqDiff(here, w[flow + f.X_ISLAND]!) < 0) return below;
    return seqDiff(w[flow + f.X_ISLAND_END]!, here);
  }

  /** From the end backwards, as the history goes. False: not all of it is there. */
  private copyHistory(flow: number, seq: number, bytes: number, to: Buffer, at: number): boolean {
    const { log } = this;
    const lw = log.words;
    let left = bytes;
    let id = this.flows.words[flow + f.X_HISTORY]!;
    for (let n = 0; n < HISTORY_SEARCH_LIMIT && log.alive(id, flow); n++) {
      const r = log.recordIndex(id);
      const skip = seqDiff(seq, lw[r + R_SEQ]!);
      // The record's bytes are those from -skip on of what is wanted.
      if (-skip < left && lw[r + R_BYTES]! - skip >= left) {
        const from = Math.max(0, -skip);
        copyBytes(log.data, lw[r + R_AT]! + skip + from, to, at + from, left - from);
        left = from;
        if (left === 0) return true;
      }
      id = lw[r + R_PREV]!;
    }
    return false;
  }
}
