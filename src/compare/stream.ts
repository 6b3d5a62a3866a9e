// Comparison of two byte streams by sequence range: whatever the segmentation, overlap, retransmission or order of arrival,
// a byte is verified when both sides put the same one at the same place. Bytes of the side that is ahead wait in the log;
// verified ones stay there as history, which retransmissions are checked against.
//
//        X_BASE            X_VERIFIED          X_PRIMARY_NEXT
//          |  verified       |  PVM's, pending    |
//  --------+-----------------+--------------------+------->  (or the SVM's, when it is ahead)

import type { FlowTable } from '../conntrack/flow-table';
import { equalBytes, firstDifference } from '../core/bytes';
import {
  BELOW_BASE_LIMIT,
  HISTORY_SEARCH_LIMIT,
  MAX_POSITION_SPAN,
  REPEAT_SEARCH_LIMIT,
} from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import {
  X_BASE,
  X_FLAGS,
  X_GAP,
  X_GAP_END,
  X_HISTORY,
  X_ISLAND,
  X_ISLAND_END,
  X_PRIMARY_HEAD,
  X_PRIMARY_NEXT,
  X_PRIMARY_TAIL,
  X_SECONDARY_HEAD,
  X_SECONDARY_TAIL,
  X_VERIFIED,
  XF_BASED,
  XF_DISORDER,
  XF_LEFT,
  XF_MIDSTREAM,
} from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EQUAL, EXHAUSTED, type Outcome, WAIT } from './outcome';
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

const HISTORY_EQUAL = 0;
const HISTORY_DIFFERS = 1;
const HISTORY_UNKNOWN = 2;

/** How far the base may trail, so that sequence comparisons stay unambiguous. */
const MAX_VERIFIED_SPAN = 1 << 30;

export class StreamComparator {
  /** What primary() could not verify and has to be stored: sequence, offset in its buffer, bytes. */
  restSeq = 0;
  restOffset = 0;
  restBytes = 0;
  /** Bytes that the SVM has said again and that nothing is left of to compare with. */
  secondaryUnchecked = 0;

  constructor(
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
    private readonly difference: Difference,
  ) {}

  /** Are [seq, end) verified? */
  isVerified(flow: number, seq: number, end: number): boolean {
    const w = this.flows.words;
    // Unsigned distances: what straddles the far half of the sequence space must not seem to lie within.
    const base = w[flow + X_BASE]!;
    const to = (end - base) >>> 0;
    if (to <= (w[flow + X_VERIFIED]! - base) >>> 0) return (seq - base) >>> 0 <= to;
    const island = w[flow + X_ISLAND]!;
    const islandBytes = (w[flow + X_ISLAND_END]! - island) >>> 0;
    const islandTo = (end - island) >>> 0;
    return islandBytes > 0 && islandTo <= islandBytes && (seq - island) >>> 0 <= islandTo;
  }

  /** The stream starts here (behind a SYN). */
  start(flow: number, seq: number): void {
    const w = this.flows.words;
    w[flow + X_BASE] = seq;
    w[flow + X_VERIFIED] = seq;
    w[flow + X_ISLAND] = seq;
    w[flow + X_ISLAND_END] = seq;
    w[flow + X_FLAGS] = (w[flow + X_FLAGS]! | XF_BASED) & ~(XF_MIDSTREAM | XF_LEFT);
  }

  /** The stream is seen first at seq, in its middle: what lies before may still be repeated. */
  startMidstream(flow: number, seq: number): void {
    this.start(flow, seq);
    this.flows.words[flow + X_FLAGS] = this.flows.words[flow + X_FLAGS]! | XF_MIDSTREAM;
  }

  /**
   * Payload of a PVM segment: compares what can be compared now. EQUAL: all of it is verified. WAIT: the caller logs the
   * packet and hands the rest (rest*) to storePrimary(). DIVERGED: `difference` tells.
   */
  primary(flow: number, seq: number, buf: Buffer, off: number, bytes: number): Outcome {
    const w = this.flows.words;
    if ((w[flow + X_FLAGS]! & XF_BASED) === 0) {
      this.startMidstream(flow, seq);
    }
    if (this.isFar(seq, w[flow + X_VERIFIED]!)) return this.tooFar(flow, seq);
    while (bytes > 0) {
      const verified = w[flow + X_VERIFIED]!;
      const d = seqDiff(seq, verified);
      if (d > 0) break;
      if (d < 0) {
        // What lies before the base is a range of its own: the part behind it is verified and stays so.
        const below = seqDiff(w[flow + X_BASE]!, seq);
        const n = Math.min(bytes, below > 0 ? below : -d);
        const found = below > 0 ? HISTORY_UNKNOWN : this.checkHistory(flow, seq, buf, off, n);
        if (found === HISTORY_DIFFERS) return DIVERGED;
        if (found === HISTORY_UNKNOWN) {
          // That a checkpoint covers what the PVM had said there does not tell what that was.
          this.lowerVerified(flow, seq, n);
          // Had the history reached further back, it could have told.
          if (below <= 0) this.log.grow();
          continue;
        }
        seq = seqAdd(seq, n);
        off += n;
        bytes -= n;
        continue;
      }
      const own = w[flow + X_PRIMARY_HEAD]!;
      if (own !== 0 && seqDiff(this.log.words[this.log.recordIndex(own) + R_SEQ]!, seq) <= 0) {
        // What the PVM said there before goes first; as far as the SVM has said it too, this is a repetition.
        if (this.advance(flow) === DIVERGED) return DIVERGED;
        if (w[flow + X_VERIFIED] === verified) break;
        continue;
      }
      const other = this.secondaryAt(flow, verified);
      if (other === 0) break;
      const r = this.log.recordIndex(other);
      const lw = this.log.words;
      const skip = seqDiff(verified, lw[r + R_SEQ]!);
      let n = Math.min(bytes, lw[r + R_BYTES]! - skip);
      // What the PVM said there before is held: the two are compared with each other below, not passed by.
      if (own !== 0) n = Math.min(n, seqDiff(lw[this.log.recordIndex(own) + R_SEQ]!, seq));
      if (!equalBytes(buf, off, this.log.data, lw[r + R_AT]! + skip, n)) {
        return this.differ(flow, seq, buf, off, this.log.data, lw[r + R_AT]! + skip, n, CheckpointCause.PAYLOAD);
      }
      // The packet may leave without being logged: then these are the only copy of what was verified.
      lw[r + R_FLAGS] = lw[r + R_FLAGS]! | LOG_SOLE;
      this.setVerified(flow, seqAdd(verified, n));
      this.popSecondary(flow);
      seq = seqAdd(seq, n);
      off += n;
      bytes -= n;
    }
    this.restSeq = seq;
    this.restOffset = off;
    this.restBytes = bytes;
    if (bytes !== 0) return this.checkIsland(flow, seq, buf, off, bytes) ? WAIT : DIVERGED;
    // Closing a gap may have brought two waiting heads together.
    return w[flow + X_PRIMARY_HEAD] !== 0 && this.advance(flow) === DIVERGED ? DIVERGED : EQUAL;
  }

  /**
   * Keeps the rest of the last primary() call, whose packet was logged as record id (a copy that starts at packetOffset of
   * buf). Returns WAIT, DIVERGED (the PVM contradicts itself or the SVM) or EXHAUSTED.
   */
  storePrimary(flow: number, id: number, buf: Buffer, packetOffset: number): Outcome {
    const w = this.flows.words;
    const tail = w[flow + X_PRIMARY_TAIL]!;
    const lw = this.log.words;
    const t = this.log.recordIndex(tail);
    if (tail === 0 || seqDiff(this.restSeq, seqAdd(lw[t + R_SEQ]!, lw[t + R_BYTES]!)) >= 0) {
      this.usePacket(flow, id, packetOffset, this.restSeq, this.restOffset, this.restBytes, tail);
    } else {
      if (this.isFarFromList(flow, X_PRIMARY_HEAD, this.restSeq)) return this.tooFar(flow, this.restSeq);
      const outcome = this.insert(flow, false, this.restSeq, buf, this.restOffset, this.restBytes, id, packetOffset);
      if (outcome !== WAIT) return outcome;
    }
    return this.advance(flow);
  }

  /** Payload of an SVM segment, already in the PVM's numbers. Never EQUAL or WAIT apart: WAIT means fine. */
  secondary(flow: number, seq: number, buf: Buffer, off: number, bytes: number): Outcome {
    const w = this.flows.words;
    // Such a segment matches nothing, and a list that spans half the sequence space has no order.
    if (this.isFarFromList(flow, X_SECONDARY_HEAD, seq)) return WAIT;
    if ((w[flow + X_FLAGS]! & XF_BASED) !== 0) {
      if (this.isFar(seq, w[flow + X_VERIFIED]!)) return WAIT;
      while (bytes > 0) {
        const verified = w[flow + X_VERIFIED]!;
        const d = seqDiff(seq, verified);
        if (d > 0) break;
        if (d < 0) {
          // Behind a late start the PVM may still repeat what lies before its first segment: keep the SVM's copy of that.
          const below = (w[flow + X_FLAGS]! & XF_MIDSTREAM) !== 0 ? seqDiff(w[flow + X_BASE]!, seq) : 0;
          const n = Math.min(bytes, below > 0 ? below : -d);
          if (below > 0) {
            const outcome = this.insert(flow, true, seq, buf, off, n, 0, 0);
            if (outcome !== WAIT) return outcome;
          } else if (this.contradictsItself(flow, seq, buf, off, n)) {
            return DIVERGED;
          }
          seq = seqAdd(seq, n);
          off += n;
          bytes -= n;
          continue;
        }
        const other = w[flow + X_PRIMARY_HEAD]!;
        if (other === 0 || this.secondaryAt(flow, verified) !== 0) break;
        const r = this.log.recordIndex(other);
        const lw = this.log.words;
        const skip = seqDiff(verified, lw[r + R_SEQ]!);
        if (skip < 0) break;
        const n = Math.min(bytes, lw[r + R_BYTES]! - skip);
        if (!equalBytes(this.log.data, lw[r + R_AT]! + skip, buf, off, n)) {
          return this.differ(flow, seq, this.log.data, lw[r + R_AT]! + skip, buf, off, n, CheckpointCause.PAYLOAD);
        }
        this.setVerified(flow, seqAdd(verified, n));
        this.popPrimary(flow);
        seq = seqAdd(seq, n);
        off += n;
        bytes -= n;
      }
    }
    if (bytes !== 0) {
      const outcome = this.insert(flow, true, seq, buf, off, bytes, 0, 0);
      if (outcome !== WAIT) return outcome;
    }
    return w[flow + X_SECONDARY_HEAD] !== 0 ? this.advance(flow) : WAIT;
  }

  /** Does nothing of either side wait, and would a segment of both at seq be simply the next? */
  isEven(flow: number, seq: number): boolean {
    const w = this.flows.words;
    return (
      (w[flow + X_FLAGS]! & (XF_BASED | XF_DISORDER)) === XF_BASED &&
      w[flow + X_VERIFIED] === seq &&
      w[flow + X_PRIMARY_HEAD] === 0 &&
      w[flow + X_SECONDARY_HEAD] === 0 &&
      w[flow + X_ISLAND] === w[flow + X_ISLAND_END]
    );
  }

  /** Both sides have said the same at seq, where the stream is even; the bytes will stand at `at` of the log, in its open run. */
  agreed(flow: number, seq: number, at: number, bytes: number): void {
    this.pushHistory(flow, this.log.runRecord(flow, at, bytes, seq));
    this.setVerified(flow, seqAdd(seq, bytes));
  }

  /**
   * Does what the last primary() call could not verify (rest*, in buf) repeat, byte for byte, what the PVM has pending already?
   * Looks at a bounded part of the list. Not the whole segment: its beginning may be verified, and then is not in the list.
   */
  repeatsPending(flow: number, buf: Buffer): boolean {
    let seq = this.restSeq;
    let off = this.restOffset;
    let bytes = this.restBytes;
    const lw = this.log.words;
    let id = this.flows.words[flow + X_PRIMARY_HEAD]!;
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

  /** Behind the last byte that the SVM has said; where nothing waits, behind what is verified. */
  secondaryEnd(flow: number): number {
    const tail = this.flows.words[flow + X_SECONDARY_TAIL]!;
    if (tail === 0) return this.flows.words[flow + X_VERIFIED]!;
    const r = this.log.recordIndex(tail);
    return seqAdd(this.log.words[r + R_SEQ]!, this.log.words[r + R_BYTES]!);
  }

  /** Is there something of the SVM that the PVM has not said? */
  secondaryAhead(flow: number): boolean {
    const tail = this.flows.words[flow + X_SECONDARY_TAIL]!;
    if (tail === 0) return false;
    const r = this.log.recordIndex(tail);
    const lw = this.log.words;
    if ((this.flows.words[flow + X_FLAGS]! & XF_BASED) === 0) return true;
    return seqDiff(seqAdd(lw[r + R_SEQ]!, lw[r + R_BYTES]!), this.flows.words[flow + X_VERIFIED]!) > 0;
  }

  /** Everything that the PVM has said up to `next` counts as verified; its pending bytes become history. */
  coverPrimary(flow: number, next: number): void {
    const w = this.flows.words;
    for (let id = w[flow + X_PRIMARY_HEAD]!; id !== 0; ) {
      const follow = this.log.words[this.log.recordIndex(id) + R_NEXT]!;
      this.log.unneed(id, LOG_PENDING);
      id = follow;
    }
    this.forgetPrimaryList(flow);
    this.cover(flow, next);
    this.popSecondary(flow);
  }

  /** The next `bytes` count as verified although a side lacks them: only for captures, which may have holes. WAIT or DIVERGED. */
  passOver(flow: number, bytes: number): Outcome {
    this.setVerified(flow, seqAdd(this.flows.words[flow + X_VERIFIED]!, bytes));
    this.popPrimary(flow);
    this.popSecondary(flow);
    return this.advance(flow);
  }

  /** As coverPrimary, for a flow whose records belong to an older epoch: the log has forgotten their needs already. */
  alignPrimary(flow: number, next: number): void {
    const w = this.flows.words;
    this.forgetPrimaryList(flow);
    w[flow + X_SECONDARY_HEAD] = 0;
    w[flow + X_SECONDARY_TAIL] = 0;
    this.cover(flow, next);
  }

  /** What the PVM has said beyond the verified range counts as never said. */
  retract(flow: number): void {
    const w = this.flows.words;
    const verified = w[flow + X_VERIFIED]!;
    w[flow + X_PRIMARY_NEXT] = verified;
    if (seqDiff(w[flow + X_GAP_END]!, verified) <= 0) return;
    if (seqDiff(w[flow + X_GAP]!, verified) < 0) w[flow + X_GAP_END] = verified;
    else w[flow + X_GAP] = w[flow + X_GAP_END]!;
  }

  /** A packet that was held beside the list, [seq, seq+bytes) of it at `at` of the log, has left: it can tell what was said there. */
  remember(flow: number, id: number, seq: number, at: number, bytes: number): void {
    const r = this.log.recordIndex(id);
    const lw = this.log.words;
    lw[r + R_SEQ] = seq;
    lw[r + R_BYTES] = bytes;
    lw[r + R_AT] = at;
    if (this.flows.words[flow + X_PRIMARY_HEAD] !== 0) this.forgetPrimaryList(flow);
    this.pushHistory(flow, id);
  }

  /** Takes both lists of a flow that goes away. */
  dropLists(flow: number): void {
    this.dropList(flow, X_PRIMARY_HEAD);
    this.dropList(flow, X_SECONDARY_HEAD);
    this.flows.words[flow + X_HISTORY] = 0;
  }

  /** Takes both lists; the history stays. */
  dropPending(flow: number): void {
    this.dropList(flow, X_PRIMARY_HEAD);
    this.dropList(flow, X_SECONDARY_HEAD);
  }

  dropPrimaryList(flow: number): void {
    this.dropList(flow, X_PRIMARY_HEAD);
  }

  dropSecondaryList(flow: number): void {
    this.dropList(flow, X_SECONDARY_HEAD);
  }

  /** A record got a new id. */
  onMove(flow: number, oldId: number, newId: number): void {
    const w = this.flows.words;
    for (const at of [X_PRIMARY_HEAD, X_PRIMARY_TAIL, X_SECONDARY_HEAD, X_SECONDARY_TAIL, X_HISTORY]) {
      if (w[flow + at] === oldId) w[flow + at] = newId;
    }
  }

  /** Shifts a stored SYN payload of the SVM once delta is known. */
  renumberSecondary(flow: number, delta: number): void {
    for (let id = this.flows.words[flow + X_SECONDARY_HEAD]!; id !== 0; ) {
      const r = this.log.recordIndex(id);
      this.log.words[r + R_SEQ] = seqAdd(this.log.words[r + R_SEQ]!, delta);
      id = this.log.words[r + R_NEXT]!;
    }
  }

  /** Compares the heads of both lists as far as both reach. */
  advance(flow: number): Outcome {
    const w = this.flows.words;
    const lw = this.log.words;
    for (;;) {
      const verified = w[flow + X_VERIFIED]!;
      const p = w[flow + X_PRIMARY_HEAD]!;
      if (p === 0) return WAIT;
      const pr = this.log.recordIndex(p);
      const pSkip = seqDiff(verified, lw[pr + R_SEQ]!);
      if (pSkip < 0) return WAIT;
      const s = this.secondaryAt(flow, verified);
      if (s === 0) return WAIT;
      const sr = this.log.recordIndex(s);
      const sSkip = seqDiff(verified, lw[sr + R_SEQ]!);
      const n = Math.min(lw[pr + R_BYTES]! - pSkip, lw[sr + R_BYTES]! - sSkip);
      const pAt = lw[pr + R_AT]! + pSkip;
      const sAt = lw[sr + R_AT]! + sSkip;
      if (!equalBytes(this.log.data, pAt, this.log.data, sAt, n)) {
        return this.differ(flow, verified, this.log.data, pAt, this.log.data, sAt, n, CheckpointCause.PAYLOAD);
      }
      this.setVerified(flow, seqAdd(verified, n));
      this.popPrimary(flow);
      this.popSecondary(flow);
    }
  }

  /** Up to `next` everything is verified, from behind the last place that the PVM may have passed by. */
  private cover(flow: number, next: number): void {
    const w = this.flows.words;
    w[flow + X_VERIFIED] = next;
    w[flow + X_ISLAND] = next;
    w[flow + X_ISLAND_END] = next;
    if (w[flow + X_GAP] !== w[flow + X_GAP_END]) {
      const gapEnd = w[flow + X_GAP_END]!;
      w[flow + X_BASE] = seqDiff(gapEnd, next) > 0 ? next : gapEnd;
      w[flow + X_GAP] = gapEnd;
      w[flow + X_FLAGS] = w[flow + X_FLAGS]! | XF_MIDSTREAM;
    }
    this.limitSpan(flow, next);
  }

  private isFar(seq: number, from: number): boolean {
    return (seq - from + MAX_POSITION_SPAN) >>> 0 > 2 * MAX_POSITION_SPAN;
  }

  private isFarFromList(flow: number, headAt: number, seq: number): boolean {
    const w = this.flows.words;
    const lw = this.log.words;
    const head = w[flow + headAt]!;
    if (head === 0) return false;
    if (this.isFar(seq, lw[this.log.recordIndex(head) + R_SEQ]!)) return true;
    return this.isFar(seq, lw[this.log.recordIndex(w[flow + headAt + 1]!) + R_SEQ]!);
  }

  /** Only a checkpoint can tell where the PVM stands now. */
  private tooFar(flow: number, seq: number): Outcome {
    this.difference.set(CheckpointCause.PAYLOAD, flow, seq);
    return DIVERGED;
  }

  private setVerified(flow: number, to: number): void {
    const w = this.flows.words;
    const island = w[flow + X_ISLAND]!;
    const islandEnd = w[flow + X_ISLAND_END]!;
    if (island !== islandEnd && seqDiff(to, island) >= 0) {
      if (seqDiff(islandEnd, to) > 0) to = islandEnd;
      w[flow + X_ISLAND] = to;
      w[flow + X_ISLAND_END] = to;
      w[flow + X_VERIFIED] = to;
      this.popPrimary(flow);
    }
    w[flow + X_VERIFIED] = to;
    if ((to - w[flow + X_BASE]!) >>> 0 > MAX_VERIFIED_SPAN) this.limitSpan(flow, to);
  }

  /** The base must not fall behind so far that it seems to lie ahead. */
  private limitSpan(flow: number, to: number): void {
    const w = this.flows.words;
    if ((to - w[flow + X_BASE]!) >>> 0 <= MAX_VERIFIED_SPAN) return;
    w[flow + X_BASE] = seqAdd(to, -MAX_VERIFIED_SPAN);
  }

  /**
   * Bytes that the PVM repeats of the verified range above X_VERIFIED must be those that were verified; where nothing is left
   * to tell by, they count as verified no longer. False: they differ.
   */
  private checkIsland(flow: number, seq: number, buf: Buffer, off: number, bytes: number): boolean {
    const w = this.flows.words;
    const island = w[flow + X_ISLAND]!;
    const islandEnd = w[flow + X_ISLAND_END]!;
    if (island === islandEnd) return true;
    const before = Math.max(0, seqDiff(island, seq));
    const n = Math.min(bytes, seqDiff(islandEnd, seq)) - before;
    if (n <= 0) return true;
    const found = this.checkHistory(flow, seqAdd(seq, before), buf, off + before, n);
    // Both sides have to say it again; what lies above stays verified.
    if (found === HISTORY_UNKNOWN) w[flow + X_ISLAND] = seqAdd(seq, before + n);
    return found !== HISTORY_DIFFERS;
  }

  /** [seq, seq+bytes) is below X_VERIFIED but cannot be checked: the SVM has to say it again. What lies behind stays verified. */
  private lowerVerified(flow: number, seq: number, bytes: number): void {
    const w = this.flows.words;
    const verified = w[flow + X_VERIFIED]!;
    const base = w[flow + X_BASE]!;
    if (w[flow + X_ISLAND] === w[flow + X_ISLAND_END]) {
      const unknownEnd = seqAdd(seq, bytes);
      w[flow + X_ISLAND] = seqDiff(base, unknownEnd) > 0 ? base : unknownEnd;
      w[flow + X_ISLAND_END] = verified;
    }
    if (seqDiff(seq, base) < 0) w[flow + X_BASE] = seq;
    w[flow + X_VERIFIED] = seq;
    // Behind a held packet of the range that is open again, others may be verified.
    w[flow + X_FLAGS] = w[flow + X_FLAGS]! | XF_DISORDER;
  }

  /** The SVM's record that contains position `verified`, or 0. Records that end before it are popped, but for those below the base. */
  private secondaryAt(flow: number, verified: number): number {
    const lw = this.log.words;
    let passed = 0;
    for (let id = this.flows.words[flow + X_SECONDARY_HEAD]!; id !== 0; ) {
      const r = this.log.recordIndex(id);
      const seq = lw[r + R_SEQ]!;
      if (seqDiff(seq, verified) > 0) return 0;
      if (seqDiff(seqAdd(seq, lw[r + R_BYTES]!), verified) > 0) return id;
      id = lw[r + R_NEXT]!;
      // The oldest are the least likely to be repeated, and each of them is passed by again and again.
      if (++passed > BELOW_BASE_LIMIT) this.unlink(flow, this.flows.words[flow + X_SECONDARY_HEAD]!, X_SECONDARY_HEAD);
    }
    return 0;
  }

  /** Takes the PVM's head records that are wholly verified into the history. */
  private popPrimary(flow: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const verified = w[flow + X_VERIFIED]!;
    let id = w[flow + X_PRIMARY_HEAD]!;
    while (id !== 0) {
      const r = this.log.recordIndex(id);
      if (seqDiff(seqAdd(lw[r + R_SEQ]!, lw[r + R_BYTES]!), verified) > 0) break;
      this.log.unneed(id, LOG_PENDING);
      w[flow + X_HISTORY] = id;
      id = lw[r + R_NEXT]!;
    }
    w[flow + X_PRIMARY_HEAD] = id;
    if (id === 0) w[flow + X_PRIMARY_TAIL] = 0;
  }

  /** Takes the SVM's records that are wholly verified off its list; into the history where they are the only copy. */
  private popSecondary(flow: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const verified = w[flow + X_VERIFIED]!;
    const base = w[flow + X_BASE]!;
    let id = w[flow + X_SECONDARY_HEAD]!;
    while (id !== 0) {
      const r = this.log.recordIndex(id);
      const next = lw[r + R_NEXT]!;
      const end = seqAdd(lw[r + R_SEQ]!, lw[r + R_BYTES]!);
      if (seqDiff(end, verified) > 0) break;
      if (seqDiff(end, base) > 0) {
        this.unlink(flow, id, X_SECONDARY_HEAD);
        if ((lw[r + R_FLAGS]! & LOG_SOLE) !== 0) this.pushHistory(flow, id);
      }
      id = next;
    }
  }

  private pushHistory(flow: number, id: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    lw[r + R_PREV] = w[flow + X_HISTORY]!;
    const head = w[flow + X_PRIMARY_HEAD]!;
    lw[r + R_NEXT] = head;
    if (head !== 0) lw[this.log.recordIndex(head) + R_PREV] = id;
    w[flow + X_HISTORY] = id;
  }

  private forgetPrimaryList(flow: number): void {
    const w = this.flows.words;
    const tail = w[flow + X_PRIMARY_TAIL]!;
    if (tail !== 0) w[flow + X_HISTORY] = tail;
    w[flow + X_PRIMARY_HEAD] = 0;
    w[flow + X_PRIMARY_TAIL] = 0;
  }

  private dropList(flow: number, headAt: number): void {
    const w = this.flows.words;
    for (let id = w[flow + headAt]!; id !== 0; ) {
      const next = this.log.words[this.log.recordIndex(id) + R_NEXT]!;
      this.log.unneed(id, LOG_PENDING);
      id = next;
    }
    w[flow + headAt] = 0;
    w[flow + headAt + 1] = 0;
  }

  /** Links a record behind `after` (0 = at the head). */
  private link(flow: number, headAt: number, id: number, after: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    const isPrimary = headAt === X_PRIMARY_HEAD;
    const next = after === 0 ? w[flow + headAt]! : lw[this.log.recordIndex(after) + R_NEXT]!;
    lw[r + R_PREV] = after !== 0 ? after : isPrimary ? w[flow + X_HISTORY]! : 0;
    lw[r + R_NEXT] = next;
    if (after === 0) w[flow + headAt] = id;
    else lw[this.log.recordIndex(after) + R_NEXT] = id;
    if (next === 0) w[flow + headAt + 1] = id;
    else lw[this.log.recordIndex(next) + R_PREV] = id;
  }

  private unlink(flow: number, id: number, headAt: number): void {
    const w = this.flows.words;
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    const next = lw[r + R_NEXT]!;
    const isHead = w[flow + headAt] === id;
    const prev = isHead ? 0 : lw[r + R_PREV]!;
    if (isHead) w[flow + headAt] = next;
    else lw[this.log.recordIndex(prev) + R_NEXT] = next;
    if (next === 0) w[flow + headAt + 1] = prev;
    else lw[this.log.recordIndex(next) + R_PREV] = prev;
    this.log.unneed(id, LOG_PENDING);
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
    this.link(flow, X_PRIMARY_HEAD, id, after);
  }

  /**
   * Puts bytes of one side into its list: overlaps with what is there must be equal, holes are filled. `packet` is the
   * PVM's logged packet (used for the first piece), 0 for the SVM.
   */
  private insert(
    flow: number,
    secondary: boolean,
    seq: number,
    buf: Buffer,
    off: number,
    bytes: number,
    packet: number,
    packetOffset: number,
  ): Outcome {
    const headAt = secondary ? X_SECONDARY_HEAD : X_PRIMARY_HEAD;
    const w = this.flows.words;
    const lw = this.log.words;
    while (bytes > 0) {
      // Where does the first byte belong? From the tail, as that is where new data goes.
      let after = w[flow + headAt + 1]!;
      let next = 0;
      while (after !== 0) {
        const r = this.log.recordIndex(after);
        if (seqDiff(seq, lw[r + R_SEQ]!) >= 0) break;
        next = after;
        after = w[flow + headAt] === after ? 0 : lw[r + R_PREV]!;
      }
      if (after !== 0) {
        const r = this.log.recordIndex(after);
        const skip = seqDiff(seq, lw[r + R_SEQ]!);
        const n = Math.min(bytes, lw[r + R_BYTES]! - skip);
        if (n > 0) {
          if (!equalBytes(buf, off, this.log.data, lw[r + R_AT]! + skip, n)) {
            return secondary
              ? this.differ(flow, seq, this.log.data, lw[r + R_AT]! + skip, buf, off, n, CheckpointCause.RETRANSMISSION)
              : this.differ(
                  flow,
                  seq,
                  buf,
                  off,
                  this.log.data,
                  lw[r + R_AT]! + skip,
                  n,
                  CheckpointCause.RETRANSMISSION,
                );
          }
          seq = seqAdd(seq, n);
          off += n;
          bytes -= n;
          continue;
        }
      }
      let n = bytes;
      if (next !== 0) n = Math.min(n, seqDiff(lw[this.log.recordIndex(next) + R_SEQ]!, seq));
      if (packet !== 0) {
        this.usePacket(flow, packet, packetOffset, seq, off, n, after);
        packet = 0;
      } else {
        if (!this.log.hasRoom(n)) return EXHAUSTED;
        const before = w[flow + headAt + 1]!;
        const flags = secondary ? LOG_PENDING | LOG_SECONDARY : LOG_PENDING;
        const id = this.log.append(flow, buf, off, n, flags);
        const r = this.log.recordIndex(id);
        lw[r + R_SEQ] = seq;
        lw[r + R_BYTES] = n;
        // Appending may have moved records: `after` is looked up again unless it was the unchanged tail.
        if (w[flow + headAt + 1] !== before || (after !== 0 && !this.log.alive(after, flow))) {
          after = this.placeOf(flow, headAt, seq);
        }
        this.link(flow, headAt, id, after);
      }
      seq = seqAdd(seq, n);
      off += n;
      bytes -= n;
    }
    return WAIT;
  }

  /** Last record of the list that starts before seq, or 0. */
  private placeOf(flow: number, headAt: number, seq: number): number {
    const w = this.flows.words;
    const lw = this.log.words;
    let id = w[flow + headAt + 1]!;
    while (id !== 0 && seqDiff(seq, lw[this.log.recordIndex(id) + R_SEQ]!) < 0) {
      id = w[flow + headAt] === id ? 0 : lw[this.log.recordIndex(id) + R_PREV]!;
    }
    return id;
  }

  /** Checks [seq, seq+bytes), all below X_VERIFIED, against what was verified. */
  private checkHistory(flow: number, seq: number, buf: Buffer, off: number, bytes: number, secondary = false): number {
    const w = this.flows.words;
    const lw = this.log.words;
    let end = seqAdd(seq, bytes);
    // A partly verified head is not history yet. It is the SVM's where the PVM's lies behind a gap.
    for (let side = 0; side < 2; side++) {
      const head = side === 0 ? w[flow + X_PRIMARY_HEAD]! : this.secondaryAt(flow, w[flow + X_VERIFIED]!);
      if (head === 0) continue;
      const part = this.checkRecord(flow, head, seq, end, buf, off, secondary);
      if (part === HISTORY_DIFFERS) return HISTORY_DIFFERS;
      if (part === HISTORY_EQUAL) end = lw[this.log.recordIndex(head) + R_SEQ]!;
      if (seqDiff(end, seq) <= 0) return HISTORY_EQUAL;
    }
    let id = w[flow + X_HISTORY]!;
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
  ): number {
    const lw = this.log.words;
    const r = this.log.recordIndex(id);
    const from = lw[r + R_SEQ]!;
    if (seqDiff(end, from) <= 0 || seqDiff(seqAdd(from, lw[r + R_BYTES]!), end) < 0) return HISTORY_UNKNOWN;
    const start = seqDiff(seq, from) > 0 ? seq : from;
    const n = seqDiff(end, start);
    const at = lw[r + R_AT]! + seqDiff(start, from);
    const bufAt = off + seqDiff(start, seq);
    if (equalBytes(buf, bufAt, this.log.data, at, n)) return HISTORY_EQUAL;
    if (secondary) this.differ(flow, start, this.log.data, at, buf, bufAt, n, CheckpointCause.RETRANSMISSION);
    else this.differ(flow, start, buf, bufAt, this.log.data, at, n, CheckpointCause.RETRANSMISSION);
    return HISTORY_DIFFERS;
  }

  /**
   * Does the SVM now say something else than it has said of a verified place? A client that has read the one would be served the
   * other after a failover. A single byte is a keepalive's (RFC 9293 section 3.8.4: it may be garbage).
   */
  private contradictsItself(flow: number, seq: number, buf: Buffer, off: number, bytes: number): boolean {
    if (bytes === 1) return false;
    const found = this.checkHistory(flow, seq, buf, off, bytes, true);
    if (found === HISTORY_UNKNOWN) this.secondaryUnchecked += bytes;
    return found === HISTORY_DIFFERS;
  }

  private differ(
    flow: number,
    seq: number,
    primary: Buffer,
    primaryOff: number,
    secondary: Buffer,
    secondaryOff: number,
    bytes: number,
    cause: CheckpointCause,
  ): Outcome {
    const i = firstDifference(primary, primaryOff, secondary, secondaryOff, bytes);
    this.difference.set(cause, flow, seqAdd(seq, i));
    this.difference.setPrimary(primary, primaryOff + i, bytes - i);
    this.difference.setSecondary(secondary, secondaryOff + i, bytes - i);
    return DIVERGED;
  }
}
