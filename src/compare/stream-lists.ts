// A flow's two lists of log records: bytes that the PVM has sent and the SVM has not, and the other way round. Both are
// in stream order, and their records do not overlap. Behind the PVM's head its list goes on by R_PREV into the history,
// newest first:
//
//    X_HISTORY <- R_PREV - X_PRIMARY_HEAD <-> ... <-> X_PRIMARY_TAIL          X_SECONDARY_HEAD <-> ... <-> X_SECONDARY_TAIL
//
// A list is named by the word that holds its head; its tail is the next word. What lies between the records is not
// here: one side has not sent it.

import type { FlowTable } from '../conntrack/flow-table';
import { equalBytes } from '../core/bytes';
import { broken } from '../core/errors';
import { BELOW_BASE_LIMIT, REPEAT_SEARCH_LIMIT } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import * as f from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EXHAUSTED, WAIT } from './outcome';
import {
  LOG_PENDING,
  LOG_SECONDARY,
  LOG_SOLE,
  type PacketLog,
  R_AT,
  R_BYTES,
  R_COPY,
  R_FLAGS,
  R_NEXT,
  R_PREV,
  R_SEQ,
} from './packet-log';
import { isFar } from './verified-range';

/** Names of the two lists. */
export const OF_PRIMARY = f.X_PRIMARY_HEAD;
export const OF_SECONDARY = f.X_SECONDARY_HEAD;
export type List = typeof OF_PRIMARY | typeof OF_SECONDARY;

/** The words of a flow that hold record ids. */
const ID_WORDS = [f.X_PRIMARY_HEAD, f.X_PRIMARY_TAIL, f.X_SECONDARY_HEAD, f.X_SECONDARY_TAIL, f.X_HISTORY];

/** What putting bytes into a list comes to: they are there, contradict what is, or find no room. */
export type InsertOutcome = typeof WAIT | typeof DIVERGED | typeof EXHAUSTED;

export class StreamLists {
  constructor(
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
    private readonly difference: Difference,
  ) {}

  /** Is seq so far from the list's ends that it has no place in its order? */
  isFar(flow: number, list: List, seq: number): boolean {
    const w = this.flows.words;
    const lw = this.log.words;
    const head = w[flow + list]!;
    if (head === 0) return false;
    if (isFar(seq, lw[this.log.recordIndex(head) + R_SEQ]!)) return true;
    return isFar(seq, lw[this.log.recordIndex(w[flow + list + 1]!) + R_SEQ]!);
  }

  /** Position behind the last record of a list that is not empty. */
  end(flow: number, list: List): number {
    const r = this.log.recordIndex(this.flows.words[flow + list + 1]!);
    return seqAdd(this.log.words[r + R_SEQ]!, this.log.words[r + R_BYTES]!);
  }

  /**
   * The SVM's record that contains this position, or 0. Those that end before it stay, but for so many that nobody will
   * ask for them.
   */
  secondaryAt(flow: number, position: number): number {
    const lw = this.log.words;
    let passed = 0;
    for (let id = this.flows.words[flow + f.X_SECONDARY_HEAD]!; id !== 0; ) {
      const r = this.log.recordIndex(id);
      const seq = lw[r + R_SEQ]!;
      if (seqDiff(seq, position) > 0) return 0;
      if (seqDiff(seqAdd(seq, lw[r + R_BYTES]!), position) > 0) return id;
      id = lw[r + R_NEXT]!;
      // The oldest are the least likely to be retransmitted, and each of them is passed by again and again.
      if (++passed > BELOW_BASE_LIMIT) this.unlink(flow, this.flows.words[flow + f.X_SECONDARY_HEAD]!, OF_SECONDARY);
    }
    return 0;
  }

  /**
   * Does [seq, seq+bytes) equal, byte for byte, what the PVM has pending? Looks at a bounded part of the list.
   */
  repeatsPrimary(flow: number, seq: number, buf: Buffer, off: number, bytes: number): boolean {
    const lw = this.log.words;
    let id = this.flows.words[flow + f.X_PRIMARY_HEAD]!;
    for (let n = 0; id !== 0 && n < REPEAT_SEARCH_LIMIT; n++) {
      const r = this.log.recordIndex(id);
      const skip = seqDiff(seq, lw[r + R_SEQ]!);
      if (skip < 0) return false;
      const common = Math.min(bytes, lw[r + R_BYTES]! - skip);
      if (common > 0) {
        if (!equalBytes(buf, off, this.log.data, lw[r + R_AT]! + skip, common)) return false;
        seq = seqAdd(seq, common);
        off += common;
        bytes -= common;
        if (bytes === 0) return true;
      }
      id = lw[r + R_NEXT]!;
    }
    return false;
  }

  /** Takes the PVM's head records that are wholly verified into the history. */
  popPrimary(flow: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const verified = w[flow + f.X_VERIFIED]!;
    let id = w[flow + f.X_PRIMARY_HEAD]!;
    while (id !== 0) {
      const r = this.log.recordIndex(id);
      if (seqDiff(seqAdd(lw[r + R_SEQ]!, lw[r + R_BYTES]!), verified) > 0) break;
      this.log.unneed(id, LOG_PENDING);
      w[flow + f.X_HISTORY] = id;
      id = lw[r + R_NEXT]!;
    }
    w[flow + f.X_PRIMARY_HEAD] = id;
    if (id === 0) w[flow + f.X_PRIMARY_TAIL] = 0;
  }

  /**
   * Takes the SVM's records that are wholly verified off its list; into the history where they are the only copy. Those
   * below the base stay.
   */
  popSecondary(flow: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const verified = w[flow + f.X_VERIFIED]!;
    const base = w[flow + f.X_BASE]!;
    let id = w[flow + f.X_SECONDARY_HEAD]!;
    while (id !== 0) {
      const r = this.log.recordIndex(id);
      const next = lw[r + R_NEXT]!;
      const end = seqAdd(lw[r + R_SEQ]!, lw[r + R_BYTES]!);
      if (seqDiff(end, verified) > 0) break;
      if (seqDiff(end, base) > 0) {
        this.unlink(flow, id, OF_SECONDARY);
        if ((lw[r + R_FLAGS]! & LOG_SOLE) !== 0) this.pushHistory(flow, id);
      }
      id = next;
    }
  }

  /** A record that is in no list becomes the newest of the history. */
  pushHistory(flow: number, id: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    lw[r + R_PREV] = w[flow + f.X_HISTORY]!;
    const head = w[flow + f.X_PRIMARY_HEAD]!;
    lw[r + R_NEXT] = head;
    if (head !== 0) lw[this.log.recordIndex(head) + R_PREV] = id;
    w[flow + f.X_HISTORY] = id;
  }

  /** All that the PVM has pending is history, and nobody needs it. */
  settlePrimary(flow: number): void {
    this.unneedAll(flow, OF_PRIMARY);
    this.forgetPrimary(flow);
  }

  /** The same where the log has forgotten the needs already. */
  forgetPrimary(flow: number): void {
    const w = this.flows.words;
    const tail = w[flow + f.X_PRIMARY_TAIL]!;
    if (tail !== 0) w[flow + f.X_HISTORY] = tail;
    w[flow + f.X_PRIMARY_HEAD] = 0;
    w[flow + f.X_PRIMARY_TAIL] = 0;
  }

  /** The SVM's list is empty; the log has forgotten its needs already. */
  forgetSecondary(flow: number): void {
    const w = this.flows.words;
    w[flow + f.X_SECONDARY_HEAD] = 0;
    w[flow + f.X_SECONDARY_TAIL] = 0;
  }

  /** The bytes in the list count as never sent. */
  drop(flow: number, list: List): void {
    const w = this.flows.words;
    this.unneedAll(flow, list);
    w[flow + list] = 0;
    w[flow + list + 1] = 0;
  }

  /** Of what was verified nothing is known any more. */
  forgetHistory(flow: number): void {
    this.flows.words[flow + f.X_HISTORY] = 0;
  }

  /** A record got a new id. */
  onMove(flow: number, oldId: number, newId: number): void {
    const w = this.flows.words;
    for (const at of ID_WORDS) if (w[flow + at] === oldId) w[flow + at] = newId;
  }

  /** Shifts the SVM's bytes by delta positions. */
  renumberSecondary(flow: number, delta: number): void {
    for (let id = this.flows.words[flow + f.X_SECONDARY_HEAD]!; id !== 0; ) {
      const r = this.log.recordIndex(id);
      this.log.words[r + R_SEQ] = seqAdd(this.log.words[r + R_SEQ]!, delta);
      id = this.log.words[r + R_NEXT]!;
    }
  }

  /**
   * Puts [seq, seq+bytes) of a logged PVM packet, record id, at the PVM's tail, behind all that is there; the packet's
   * copy starts at packetOffset of the buffer in which the bytes stand at off.
   */
  appendPacket(flow: number, id: number, packetOffset: number, seq: number, off: number, bytes: number): void {
    this.usePacket(flow, id, packetOffset, seq, off, bytes, this.flows.words[flow + f.X_PRIMARY_TAIL]!);
  }

  /** Puts such a packet, logged as pending, there; the bytes stand `at` behind the beginning of its copy. */
  appendNext(flow: number, id: number, at: number, seq: number, bytes: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    const tail = w[flow + f.X_PRIMARY_TAIL]!;
    lw[r + R_SEQ] = seq;
    lw[r + R_BYTES] = bytes;
    lw[r + R_AT] = lw[r + R_COPY]! + at;
    if (tail === 0) {
      lw[r + R_PREV] = w[flow + f.X_HISTORY]!;
      w[flow + f.X_PRIMARY_HEAD] = id;
    } else {
      lw[r + R_PREV] = tail;
      lw[this.log.recordIndex(tail) + R_NEXT] = id;
    }
    w[flow + f.X_PRIMARY_TAIL] = id;
  }

  /**
   * Puts bytes of one side into its list: overlaps with what is there must be equal, holes are filled. `packet` is the
   * PVM's logged packet as above (used for the first piece), 0 for the SVM.
   */
  insert(
    flow: number,
    list: List,
    seq: number,
    buf: Buffer,
    off: number,
    bytes: number,
    packet: number,
    packetOffset: number,
  ): InsertOutcome {
    const w = this.flows.words;
    const lw = this.log.words;
    while (bytes > 0) {
      let after = this.placeOf(flow, list, seq);
      if (after !== 0) {
        const r = this.log.recordIndex(after);
        const skip = seqDiff(seq, lw[r + R_SEQ]!);
        const n = Math.min(bytes, lw[r + R_BYTES]! - skip);
        if (n > 0) {
          const at = lw[r + R_AT]! + skip;
          if (!equalBytes(buf, off, this.log.data, at, n)) {
            if (list === OF_PRIMARY) {
              this.difference.show(CheckpointCause.RETRANSMISSION, flow, seq, buf, off, this.log.data, at, n);
            } else this.difference.show(CheckpointCause.RETRANSMISSION, flow, seq, this.log.data, at, buf, off, n);
            return DIVERGED;
          }
          seq = seqAdd(seq, n);
          off += n;
          bytes -= n;
          continue;
        }
      }
      const next = after === 0 ? w[flow + list]! : lw[this.log.recordIndex(after) + R_NEXT]!;
      const n = next === 0 ? bytes : Math.min(bytes, seqDiff(lw[this.log.recordIndex(next) + R_SEQ]!, seq));
      if (packet !== 0) {
        this.usePacket(flow, packet, packetOffset, seq, off, n, after);
        packet = 0;
      } else {
        if (!this.log.hasRoom(n)) return EXHAUSTED;
        const before = w[flow + list + 1]!;
        const id = this.log.append(flow, buf, off, n, list === OF_PRIMARY ? LOG_PENDING : LOG_PENDING | LOG_SECONDARY);
        const r = this.log.recordIndex(id);
        lw[r + R_SEQ] = seq;
        lw[r + R_BYTES] = n;
        // Appending may have moved records: `after` is looked up again unless it was the unchanged tail.
        if (w[flow + list + 1] !== before || (after !== 0 && !this.log.alive(after, flow))) {
          after = this.placeOf(flow, list, seq);
        }
        this.link(flow, list, id, after);
      }
      seq = seqAdd(seq, n);
      off += n;
      bytes -= n;
    }
    return WAIT;
  }

  /** Last record of the list that starts at seq or before, or 0. From the tail, as that is where new data goes. */
  private placeOf(flow: number, list: List, seq: number): number {
    const w = this.flows.words;
    const lw = this.log.words;
    let id = w[flow + list + 1]!;
    while (id !== 0 && seqDiff(seq, lw[this.log.recordIndex(id) + R_SEQ]!) < 0) {
      id = w[flow + list] === id ? 0 : lw[this.log.recordIndex(id) + R_PREV]!;
    }
    return id;
  }

  /** Makes part of a logged PVM packet a pending record, behind `after` (0 = at the head). */
  private usePacket(
    flow: number,
    id: number,
    packetOffset: number,
    seq: number,
    off: number,
    bytes: number,
    after: number,
  ): void {
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    lw[r + R_SEQ] = seq;
    lw[r + R_BYTES] = bytes;
    lw[r + R_AT] = lw[r + R_COPY]! + (off - packetOffset);
    this.log.need(id, LOG_PENDING);
    this.link(flow, OF_PRIMARY, id, after);
  }

  /** Links a record behind `after` (0 = at the head). */
  private link(flow: number, list: List, id: number, after: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    if ((w[flow + list] === 0) !== (w[flow + list + 1] === 0)) broken('a list has both a head and a tail, or neither');
    const next = after === 0 ? w[flow + list]! : lw[this.log.recordIndex(after) + R_NEXT]!;
    lw[r + R_PREV] = after !== 0 ? after : list === OF_PRIMARY ? w[flow + f.X_HISTORY]! : 0;
    lw[r + R_NEXT] = next;
    if (after === 0) w[flow + list] = id;
    else lw[this.log.recordIndex(after) + R_NEXT] = id;
    if (next === 0) w[flow + list + 1] = id;
    else lw[this.log.recordIndex(next) + R_PREV] = id;
  }

  private unlink(flow: number, id: number, list: List): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    const next = lw[r + R_NEXT]!;
    const isHead = w[flow + list] === id;
    const prev = isHead ? 0 : lw[r + R_PREV]!;
    if (isHead) w[flow + list] = next;
    else lw[this.log.recordIndex(prev) + R_NEXT] = next;
    if (next === 0) w[flow + list + 1] = prev;
    else lw[this.log.recordIndex(next) + R_PREV] = prev;
    this.log.unneed(id, LOG_PENDING);
  }

  private unneedAll(flow: number, list: List): void {
    for (let id = this.flows.words[flow + list]!; id !== 0; ) {
      const next = this.log.words[this.log.recordIndex(id) + R_NEXT]!;
      this.log.unneed(id, LOG_PENDING);
      id = next;
    }
  }
}
