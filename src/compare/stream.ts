// Comparison of two byte streams by sequence range: whatever the segmentation, overlap, retransmission or order of
// arrival, a byte is verified when both sides put the same one at the same place. Bytes of the side that is ahead wait
// in the log (stream-lists); verified ones stay there as history, which retransmissions are checked against (history).

import type { FlowTable } from '../conntrack/flow-table';
import { equalBytes } from '../core/bytes';
import { broken } from '../core/errors';
import { seqAdd, seqDiff } from '../core/seq32';
import * as f from './flow-words';
import { HISTORY_DIFFERS, HISTORY_UNKNOWN, History } from './history';
import { CheckpointCause, DIVERGED, type Difference, type Outcome, WAIT } from './outcome';
import { LOG_SOLE, type PacketLog, R_AT, R_BYTES, R_FLAGS, R_SEQ } from './packet-log';
import { OF_PRIMARY, OF_SECONDARY, StreamLists } from './stream-lists';
import { isFar, VerifiedRange } from './verified-range';

/** Of primary(): the PVM's bytes are not the SVM's, or not those that it has sent before; `difference` has them. */
export const DIFFERS = -1;

export class StreamComparator {
  readonly range: VerifiedRange;
  /** Bytes that the SVM has retransmitted and that the history no longer has. */
  secondaryUnchecked = 0;
  private readonly lists: StreamLists;
  private readonly history: History;

  constructor(
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
    private readonly difference: Difference,
  ) {
    this.range = new VerifiedRange(flows);
    this.lists = new StreamLists(flows, log, difference);
    this.history = new History(flows, log, this.lists, difference);
  }

  /**
   * Payload of a PVM segment: compares what can be compared now. Returns how many bytes at its end await the SVM (0:
   * all of it is verified), or DIFFERS. The caller logs a packet of which some wait, and hands these to storePrimary().
   */
  primary(flow: number, seq: number, buf: Buffer, off: number, bytes: number): number {
    const w = this.flows.words;
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) === 0) this.range.startMidstream(flow, seq);
    if (isFar(seq, w[flow + f.X_VERIFIED]!)) return this.tooFar(flow, seq);
    while (bytes > 0) {
      const verified = w[flow + f.X_VERIFIED]!;
      const d = seqDiff(seq, verified);
      if (d > 0) break;
      if (d < 0) {
        const n = this.primaryRepeats(flow, seq, buf, off, bytes);
        if (n < 0) return DIFFERS;
        seq = seqAdd(seq, n);
        off += n;
        bytes -= n;
        continue;
      }
      const own = w[flow + f.X_PRIMARY_HEAD]!;
      if (own !== 0 && seqDiff(this.log.words[this.log.recordIndex(own) + R_SEQ]!, seq) <= 0) {
        // The PVM's earlier bytes there go first; as far as the SVM has sent them too, this is a retransmission.
        if (this.advance(flow) === DIVERGED) return DIFFERS;
        if (w[flow + f.X_VERIFIED] === verified) break;
        continue;
      }
      const other = w[flow + f.X_SECONDARY_HEAD] === 0 ? 0 : this.lists.secondaryAt(flow, verified);
      if (other === 0) break;
      const r = this.log.recordIndex(other);
      const lw = this.log.words;
      const skip = seqDiff(verified, lw[r + R_SEQ]!);
      let n = Math.min(bytes, lw[r + R_BYTES]! - skip);
      // The PVM's earlier bytes there are held: the two are compared with each other below, not passed by.
      if (own !== 0) n = Math.min(n, seqDiff(lw[this.log.recordIndex(own) + R_SEQ]!, seq));
      if (!equalBytes(buf, off, this.log.data, lw[r + R_AT]! + skip, n)) {
        this.difference.show(CheckpointCause.PAYLOAD, flow, seq, buf, off, this.log.data, lw[r + R_AT]! + skip, n);
        return DIFFERS;
      }
      // The packet may leave without being logged: then these are the only copy of what was verified.
      lw[r + R_FLAGS] = lw[r + R_FLAGS]! | LOG_SOLE;
      this.raise(flow, seqAdd(verified, n));
      this.lists.popSecondary(flow);
      seq = seqAdd(seq, n);
      off += n;
      bytes -= n;
    }
    if (bytes !== 0) {
      const even = w[flow + f.X_ISLAND] === w[flow + f.X_ISLAND_END];
      return even || this.checkIsland(flow, seq, buf, off, bytes) ? bytes : DIFFERS;
    }
    // Closing a gap may have brought two waiting heads together.
    return w[flow + f.X_PRIMARY_HEAD] !== 0 && this.advance(flow) === DIVERGED ? DIFFERS : 0;
  }

  /**
   * Keeps what primary() has said to wait, [seq, seq+bytes) at off of buf, whose packet was logged as record id (a copy
   * that starts at packetOffset of buf). Returns WAIT, DIVERGED (the PVM contradicts itself or the SVM) or EXHAUSTED.
   */
  storePrimary(
    flow: number,
    id: number,
    packetOffset: number,
    seq: number,
    buf: Buffer,
    off: number,
    bytes: number,
  ): Outcome {
    const { lists } = this;
    if (this.flows.words[flow + f.X_PRIMARY_HEAD] === 0 || seqDiff(seq, lists.end(flow, OF_PRIMARY)) >= 0) {
      lists.appendPacket(flow, id, packetOffset, seq, off, bytes);
    } else {
      if (lists.isFar(flow, OF_PRIMARY, seq)) {
        this.tooFar(flow, seq);
        return DIVERGED;
      }
      const outcome = lists.insert(flow, OF_PRIMARY, seq, buf, off, bytes, id, packetOffset);
      if (outcome !== WAIT) return outcome;
    }
    return this.flows.words[flow + f.X_SECONDARY_HEAD] !== 0 ? this.advance(flow) : WAIT;
  }

  /**
   * The same for the PVM's next, behind all that it has pending, where the SVM has nothing: its record is logged as
   * pending already, and the bytes stand `at` behind the beginning of its copy.
   */
  storeNext(flow: number, id: number, at: number, seq: number, bytes: number): void {
    this.lists.appendNext(flow, id, at, seq, bytes);
  }

  /** The SVM has said all that the PVM's first pending record has, up to `end`. */
  agreedHead(flow: number, end: number): void {
    this.range.raise(flow, end);
    this.lists.popPrimary(flow);
  }

  /** Payload of an SVM segment, already in the PVM's numbers. Never EQUAL: WAIT means that nothing contradicts it. */
  secondary(flow: number, seq: number, buf: Buffer, off: number, bytes: number): Outcome {
    const w = this.flows.words;
    // Such a segment matches nothing, and a list that spans half the sequence space has no order.
    if (w[flow + f.X_SECONDARY_HEAD] !== 0 && this.lists.isFar(flow, OF_SECONDARY, seq)) return WAIT;
    // A single one is a keepalive's (RFC 9293 section 3.8.4: it may be garbage).
    const isByte = bytes === 1;
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) !== 0) {
      if (isFar(seq, w[flow + f.X_VERIFIED]!)) return WAIT;
      while (bytes > 0) {
        const verified = w[flow + f.X_VERIFIED]!;
        const d = seqDiff(seq, verified);
        if (d > 0) break;
        let n: number;
        if (d < 0) {
          // Behind a late start the PVM may still retransmit bytes before its first segment: keep the SVM's copy of
          // that.
          const below = (w[flow + f.X_FLAGS]! & f.XF_MIDSTREAM) !== 0 ? seqDiff(w[flow + f.X_BASE]!, seq) : 0;
          n = Math.min(bytes, below > 0 ? below : -d);
          if (below > 0) {
            const outcome = this.lists.insert(flow, OF_SECONDARY, seq, buf, off, n, 0, 0);
            if (outcome !== WAIT) return outcome;
          } else if (!isByte && this.secondaryContradictsItself(flow, seq, buf, off, n)) return DIVERGED;
        } else {
          const other = w[flow + f.X_PRIMARY_HEAD]!;
          if (other === 0) break;
          if (w[flow + f.X_SECONDARY_HEAD] !== 0 && this.lists.secondaryAt(flow, verified) !== 0) break;
          const r = this.log.recordIndex(other);
          const lw = this.log.words;
          const skip = seqDiff(verified, lw[r + R_SEQ]!);
          if (skip < 0) break;
          n = Math.min(bytes, lw[r + R_BYTES]! - skip);
          const at = lw[r + R_AT]! + skip;
          if (!equalBytes(this.log.data, at, buf, off, n)) {
            this.difference.show(CheckpointCause.PAYLOAD, flow, seq, this.log.data, at, buf, off, n);
            return DIVERGED;
          }
          this.raise(flow, seqAdd(verified, n));
          this.lists.popPrimary(flow);
        }
        seq = seqAdd(seq, n);
        off += n;
        bytes -= n;
      }
    }
    if (bytes !== 0) {
      const outcome = this.lists.insert(flow, OF_SECONDARY, seq, buf, off, bytes, 0, 0);
      if (outcome !== WAIT) return outcome;
    }
    return w[flow + f.X_SECONDARY_HEAD] !== 0 ? this.advance(flow) : WAIT;
  }

  /** Does nothing of either side wait, and would a segment of both at seq be simply the next? */
  isEven(flow: number, seq: number): boolean {
    const w = this.flows.words;
    return (
      (w[flow + f.X_FLAGS]! & (f.XF_BASED | f.XF_DISORDER)) === f.XF_BASED &&
      w[flow + f.X_VERIFIED] === seq &&
      w[flow + f.X_PRIMARY_HEAD] === 0 &&
      w[flow + f.X_SECONDARY_HEAD] === 0 &&
      w[flow + f.X_ISLAND] === w[flow + f.X_ISLAND_END]
    );
  }

  /**
   * Both sides have sent the same at seq, where the stream is even; the bytes will stand at `at` of the log, in its
   * open run.
   */
  agreed(flow: number, seq: number, at: number, bytes: number): void {
    this.lists.pushHistory(flow, this.log.runRecord(flow, at, bytes, seq));
    this.raise(flow, seqAdd(seq, bytes));
  }

  /**
   * Does what primary() has said to wait repeat, byte for byte, what the PVM has pending already? Not the whole
   * segment: its beginning may be verified, and then is not in the list.
   */
  repeatsPending(flow: number, seq: number, buf: Buffer, off: number, bytes: number): boolean {
    return this.lists.repeatsPrimary(flow, seq, buf, off, bytes);
  }

  /** Behind the last byte that the SVM has sent; where nothing waits, behind what is verified. */
  secondaryEnd(flow: number): number {
    const w = this.flows.words;
    return w[flow + f.X_SECONDARY_HEAD] === 0 ? w[flow + f.X_VERIFIED]! : this.lists.end(flow, OF_SECONDARY);
  }

  /** Has the SVM sent something that the PVM has not? */
  secondaryAhead(flow: number): boolean {
    const w = this.flows.words;
    if (w[flow + f.X_SECONDARY_HEAD] === 0) return false;
    if ((w[flow + f.X_FLAGS]! & f.XF_BASED) === 0) return true;
    return seqDiff(this.lists.end(flow, OF_SECONDARY), w[flow + f.X_VERIFIED]!) > 0;
  }

  /** Everything that the PVM has sent up to `next` counts as verified; its pending bytes become history. */
  coverPrimary(flow: number, next: number): void {
    this.lists.settlePrimary(flow);
    this.range.cover(flow, next);
    this.lists.popSecondary(flow);
  }

  /** As coverPrimary, for a flow whose records belong to an older epoch: the log has forgotten their needs already. */
  alignPrimary(flow: number, next: number): void {
    this.lists.forgetPrimary(flow);
    this.lists.forgetSecondary(flow);
    this.range.cover(flow, next);
  }

  /**
   * The next `bytes` count as verified although a side lacks them: only for captures, which may have holes. WAIT or
   * DIVERGED.
   */
  passOver(flow: number, bytes: number): Outcome {
    this.raise(flow, seqAdd(this.flows.words[flow + f.X_VERIFIED]!, bytes));
    this.lists.popPrimary(flow);
    this.lists.popSecondary(flow);
    return this.advance(flow);
  }

  /**
   * A packet that was held beside the list, [seq, seq+bytes) of it at `at` of the log, has left: its bytes can be
   * compared with.
   */
  remember(flow: number, id: number, seq: number, at: number, bytes: number): void {
    const r = this.log.recordIndex(id);
    const lw = this.log.words;
    lw[r + R_SEQ] = seq;
    lw[r + R_BYTES] = bytes;
    lw[r + R_AT] = at;
    this.lists.forgetPrimary(flow);
    this.lists.pushHistory(flow, id);
  }

  /** Waiting bytes count as never sent; the history stays. */
  dropPending(flow: number): void {
    this.lists.drop(flow, OF_PRIMARY);
    this.lists.drop(flow, OF_SECONDARY);
  }

  /** The same for a flow that goes away. */
  dropAll(flow: number): void {
    this.dropPending(flow);
    this.lists.forgetHistory(flow);
  }

  /** The PVM's waiting bytes count as never sent. */
  dropPrimaryPending(flow: number): void {
    this.lists.drop(flow, OF_PRIMARY);
  }

  /** Another stream of the PVM's begins. */
  dropPrimary(flow: number): void {
    this.lists.drop(flow, OF_PRIMARY);
    this.lists.forgetHistory(flow);
  }

  /** Another stream of the SVM's begins. */
  dropSecondary(flow: number): void {
    this.lists.drop(flow, OF_SECONDARY);
  }

  /** A record got a new id. */
  onMove(flow: number, oldId: number, newId: number): void {
    this.lists.onMove(flow, oldId, newId);
  }

  /** How the SVM numbers is known now: shifts its bytes on or behind its SYN. */
  renumberSecondary(flow: number, delta: number): void {
    this.lists.renumberSecondary(flow, delta);
  }

  /** Compares the heads of both lists as far as both reach. */
  private advance(flow: number): Outcome {
    const w = this.flows.words;
    const lw = this.log.words;
    for (;;) {
      const verified = w[flow + f.X_VERIFIED]!;
      const p = w[flow + f.X_PRIMARY_HEAD]!;
      if (p === 0) return WAIT;
      const pr = this.log.recordIndex(p);
      const pSkip = seqDiff(verified, lw[pr + R_SEQ]!);
      if (pSkip < 0) return WAIT;
      const s = this.lists.secondaryAt(flow, verified);
      if (s === 0) return WAIT;
      const sr = this.log.recordIndex(s);
      const sSkip = seqDiff(verified, lw[sr + R_SEQ]!);
      const n = Math.min(lw[pr + R_BYTES]! - pSkip, lw[sr + R_BYTES]! - sSkip);
      if (n <= 0) broken('only what both have said is verified');
      const pAt = lw[pr + R_AT]! + pSkip;
      const sAt = lw[sr + R_AT]! + sSkip;
      const { data } = this.log;
      if (!equalBytes(data, pAt, data, sAt, n)) {
        this.difference.show(CheckpointCause.PAYLOAD, flow, verified, data, pAt, data, sAt, n);
        return DIVERGED;
      }
      this.raise(flow, seqAdd(verified, n));
      this.lists.popPrimary(flow);
      this.lists.popSecondary(flow);
    }
  }

  private raise(flow: number, to: number): void {
    if (this.range.raise(flow, to)) this.lists.popPrimary(flow);
  }

  /**
   * The PVM's segment begins below X_VERIFIED: compares its beginning with the history. Returns how many bytes are the
   * same; 0: nothing is left to tell by, so that these bytes have to be verified anew and X_VERIFIED is lower now;
   * DIFFERS.
   */
  private primaryRepeats(flow: number, seq: number, buf: Buffer, off: number, bytes: number): number {
    const w = this.flows.words;
    // What lies before the base is a range of its own: the part behind it is verified and stays so.
    const below = seqDiff(w[flow + f.X_BASE]!, seq);
    const n = Math.min(bytes, below > 0 ? below : seqDiff(w[flow + f.X_VERIFIED]!, seq));
    // That a checkpoint covers the PVM's bytes there does not give their values.
    const found = below > 0 ? HISTORY_UNKNOWN : this.history.check(flow, seq, buf, off, n, false);
    if (found === HISTORY_DIFFERS) return DIFFERS;
    if (found !== HISTORY_UNKNOWN) return n;
    this.range.lower(flow, seq, n);
    // A longer history would have had them.
    if (below <= 0) this.log.grow();
    return 0;
  }

  /**
   * Bytes that the PVM retransmits of the verified range above X_VERIFIED must be those that were verified; where
   * nothing is left to tell by, they count as verified no longer. False: they differ.
   */
  private checkIsland(flow: number, seq: number, buf: Buffer, off: number, bytes: number): boolean {
    const w = this.flows.words;
    const island = w[flow + f.X_ISLAND]!;
    const islandEnd = w[flow + f.X_ISLAND_END]!;
    const before = Math.max(0, seqDiff(island, seq));
    const n = Math.min(bytes, seqDiff(islandEnd, seq)) - before;
    if (n <= 0) return true;
    const found = this.history.check(flow, seqAdd(seq, before), buf, off + before, n, false);
    // Both sides have to send it again; bytes above stay verified.
    if (found === HISTORY_UNKNOWN) this.range.shortenIsland(flow, seqAdd(seq, before + n));
    return found !== HISTORY_DIFFERS;
  }

  /**
   * Does the SVM now send other bytes than before at a verified place? A client that has read the one would be
   * served the other after a failover.
   */
  private secondaryContradictsItself(flow: number, seq: number, buf: Buffer, off: number, bytes: number): boolean {
    const found = this.history.check(flow, seq, buf, off, bytes, true);
    if (found === HISTORY_UNKNOWN) this.secondaryUnchecked += bytes;
    return found === HISTORY_DIFFERS;
  }

  /** Only a checkpoint can settle where the PVM stands now. */
  private tooFar(flow: number, seq: number): typeof DIFFERS {
    this.difference.set(CheckpointCause.PAYLOAD, flow, seq);
    return DIFFERS;
  }
}
