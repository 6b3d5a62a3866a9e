// The verified beginning of a held TCP packet leaves as a copy, cut from the comparison log, while the packet itself
// stays held: when the PVM has put two writes into one segment and the SVM has sent the first alone, it waits (Nagle,
// RFC 9293 section 3.7.4) for an acknowledgement that the client can send only when it has the bytes that both have
// sent.
//
//        H_SEQ        X_LEFT        X_VERIFIED             H_END
//          | has left   |  the copy    |  the SVM's is missing |
//          +------------+--------------+-----------------------+   the flow's first held packet with content
//
// At the end of a batch, so that what arrives in one piece leaves in one piece; and only where the SVM seems to wait:
// it has sent PSH (RFC 9293 section 3.9.1.2: the end of a write, nothing more is queued), or was silent for a moment.
// So bulk transfers are not copied.

import * as f from '../compare/flow-words';
import { read32 } from '../core/big-endian';
import {
  MAX_PREFIX_FLOWS,
  MAX_PROBE_SOURCE_BYTES,
  PREFIX_AT_ONCE_BYTES,
  PREFIX_PACKET_BYTES,
  PREFIX_PATIENCE_MS,
} from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import { TCP_ACK_AT, TCP_FLAGS_AT, TCP_SEQ_AT } from '../packet/tcp-header';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';
import type { PrimaryContext } from './context';
import {
  C_HELD_ALREADY_LEFT,
  C_LEFT_IN_TWO,
  C_PREFIX_BYTES,
  C_PREFIX_LIST_FULL,
  C_PREFIXES_SENT,
  C_PREFIXES_UNSENT,
} from './counters';
import { H_END, H_FLAGS, H_ID, H_L4, H_SEQ, HF_HEAD_SHIFT, HF_SIGNED, HF_TCP } from './holds';
import { SegmentBuilder } from './segment-builder';

/** What has the one flag and none of the others may be cut. */
const CUTTABLE = HF_TCP | TCP_ACK;
const NEVER_CUT = TCP_SYN | TCP_RST | TCP_URG | HF_SIGNED;

export class PrefixOutlet {
  /**
   * Flows that had something to send when they were noted; the SVM's progress and the time then, and its last echo (-1:
   * none).
   */
  private readonly noted = new Uint32Array(MAX_PREFIX_FLOWS);
  private readonly progress = new Uint32Array(MAX_PREFIX_FLOWS);
  private readonly since = new Float64Array(MAX_PREFIX_FLOWS);
  private readonly echoes = new Float64Array(MAX_PREFIX_FLOWS);
  private count = 0;
  /** When send() is to be called though nothing more arrives; Infinity: at no time. */
  deadlineMs = Number.POSITIVE_INFINITY;
  private readonly cut = new SegmentBuilder();

  constructor(private readonly x: PrimaryContext) {}

  /** Something of this flow is held still. `echo` is the TSecr of the SVM's packet that is being looked at, or -1. */
  note(flow: number, echo: number, nowMs: number): void {
    const { x } = this;
    const w = x.flows.words;
    if (x.actions.emit === undefined || this.bytesToSend(flow) <= 0) return;
    if ((w[flow + f.X_FLAGS]! & f.XF_PREFIX_NOTED) !== 0) {
      if (echo >= 0) this.renewEcho(flow, echo);
      return;
    }
    if (this.count === MAX_PREFIX_FLOWS) {
      x.counters.values[C_PREFIX_LIST_FULL]!++;
      return;
    }
    w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_PREFIX_NOTED;
    const i = this.count++;
    this.noted[i] = flow;
    this.progress[i] = w[flow + f.X_VERIFIED]!;
    this.since[i] = nowMs;
    this.echoes[i] = echo;
    this.deadlineMs = Math.min(this.deadlineMs, nowMs + PREFIX_PATIENCE_MS);
  }

  /** The flow ends: its record will be another's. */
  remove(flow: number): void {
    if ((this.x.flows.words[flow + f.X_FLAGS]! & f.XF_PREFIX_NOTED) === 0) return;
    this.forget(flow);
    const { noted, progress, since, echoes } = this;
    const at = noted.subarray(0, this.count).indexOf(flow);
    if (at < 0) return;
    const last = --this.count;
    for (const list of [noted, progress, since, echoes]) list[at] = list[last]!;
  }

  /** At the end of a batch, and at deadlineMs. Not while a checkpoint is awaited. */
  send(nowMs: number): void {
    const { x, noted, progress, since, echoes } = this;
    const w = x.flows.words;
    let kept = 0;
    let soonest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.count; i++) {
      const flow = noted[i]!;
      const bytes = x.isStale(flow) ? 0 : this.bytesToSend(flow);
      if (bytes <= 0) {
        this.forget(flow);
        continue;
      }
      const verified = w[flow + f.X_VERIFIED]!;
      if (verified !== progress[i]) {
        progress[i] = verified;
        since[i] = nowMs;
      }
      const waits =
        (w[flow + f.X_FLAGS]! & f.XF_SECONDARY_PUSHED) !== 0 && this.heldBytes(flow) <= PREFIX_AT_ONCE_BYTES;
      if (waits || nowMs - since[i]! >= PREFIX_PATIENCE_MS) {
        this.sendOf(flow, echoes[i]!);
        this.forget(flow);
        continue;
      }
      noted[kept] = flow;
      progress[kept] = progress[i]!;
      since[kept] = since[i]!;
      echoes[kept] = echoes[i]!;
      soonest = Math.min(soonest, since[kept]!);
      kept++;
    }
    this.count = kept;
    this.deadlineMs = soonest + PREFIX_PATIENCE_MS;
  }

  /** All that is held is settled. */
  clear(): void {
    for (let i = 0; i < this.count; i++) this.forget(this.noted[i]!);
    this.count = 0;
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }

  private forget(flow: number): void {
    const w = this.x.flows.words;
    w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! & ~f.XF_PREFIX_NOTED;
  }

  private renewEcho(flow: number, echo: number): void {
    for (let i = this.count - 1; i >= 0; i--) {
      if (this.noted[i] === flow) {
        this.echoes[i] = echo;
        return;
      }
    }
  }

  /** Where what has not left of a held packet begins. What was noted long ago may mean anything. */
  private unsentFrom(flow: number, h: number): number {
    const { flows, holds } = this.x;
    const left = flows.words[flow + f.X_LEFT]!;
    const seq = holds.words[h + H_SEQ]!;
    if ((flows.words[flow + f.X_FLAGS]! & f.XF_LEFT) === 0) return seq;
    return (left - seq) >>> 0 <= (holds.words[h + H_END]! - seq) >>> 0 ? left : seq;
  }

  /** Verified bytes of the flow's first held packet that have not left; 0 where it may not be cut. */
  private bytesToSend(flow: number): number {
    const { flows, holds, release, stream, tcp } = this.x;
    const w = flows.words;
    const slot = w[flow + f.X_HELD_HEAD]!;
    if (slot === 0 || (w[flow + f.X_FLAGS]! & f.XF_MATCHED) === 0 || tcp.syns.offersDiffer(flow)) return 0;
    const h = holds.index(slot);
    const flags = holds.words[h + H_FLAGS]!;
    if ((flags & CUTTABLE) !== CUTTABLE || (flags & NEVER_CUT) !== 0 || !release.contentMayLeave(flow, flags)) return 0;
    const from = this.unsentFrom(flow, h);
    const to = this.verifiedTo(flow, h);
    const bytes = seqDiff(to, from);
    return bytes > 0 && stream.range.holds(flow, from, to) ? bytes : 0;
  }

  /** Of the flow's first held packet, which has content. */
  private heldBytes(flow: number): number {
    const { flows, holds } = this.x;
    const h = holds.index(flows.words[flow + f.X_HELD_HEAD]!);
    return seqDiff(holds.words[h + H_END]!, holds.words[h + H_SEQ]!);
  }

  private verifiedTo(flow: number, h: number): number {
    const { flows, holds } = this.x;
    const verified = flows.words[flow + f.X_VERIFIED]!;
    const end = holds.words[h + H_END]!;
    return seqDiff(verified, end) < 0 ? verified : end;
  }

  /**
   * A held packet of which copies have left is verified now: what has not left goes, with the packet's own flags, and
   * in two segments. False: it has to leave whole. Its hold is the caller's.
   */
  leaveRest(flow: number, slot: number): boolean {
    const { x, cut } = this;
    const h = x.holds.index(slot);
    const hw = x.holds.words;
    const flags = hw[h + H_FLAGS]!;
    const from = this.unsentFrom(flow, h);
    if (from === hw[h + H_SEQ] || (flags & CUTTABLE) !== CUTTABLE || (flags & NEVER_CUT) !== 0) return false;
    if (x.holds.copyBytes(h) > MAX_PROBE_SOURCE_BYTES || !this.load(h)) return false;
    const end = hw[h + H_END]!;
    const bytes = seqDiff(end, from);
    if (
      bytes === 0 &&
      (flags & TCP_FIN) === 0 &&
      x.release.wasToldAtLeast(flow, read32(cut.packet, cut.l4 + TCP_ACK_AT))
    ) {
      x.counters.values[C_HELD_ALREADY_LEFT]!++;
      x.drop(hw[h + H_ID]!);
      return true;
    }
    if (bytes > 1) this.sendRange(flow, h, from, seqAdd(from, 1), -1, true);
    this.load(h);
    const seq = this.unsentFrom(flow, h);
    const own = cut.packet[cut.l4 + TCP_FLAGS_AT]!;
    this.place(h, seq, seqDiff(end, seq));
    x.release.lower(flow, cut.packet, cut.l4, own, true);
    cut.finish(seq);
    x.acceptRewritten(hw[h + H_ID]!, cut.packet, cut.start, cut.end - cut.start, false);
    return true;
  }

  /**
   * Content that leaves with less than the PVM's acknowledgement, len bytes at off of buf: its peer may hold back what
   * it has to say until the rest is acknowledged (Nagle), and its own acknowledgement, for which the SVM may wait,
   * because it has nothing to say. So it leaves in two segments. False: it has to leave as it is.
   */
  leaveInTwo(id: number, flow: number, buf: Buffer, off: number, len: number, l4: number, hold: number): boolean {
    const { x, cut } = this;
    const { release } = x;
    if (x.actions.emit === undefined || (hold & (CUTTABLE | NEVER_CUT | TCP_FIN)) !== CUTTABLE) return false;
    if (len > MAX_PROBE_SOURCE_BYTES || !release.lowersAck(flow, read32(buf, l4 + TCP_ACK_AT))) return false;
    const head = (hold >>> HF_HEAD_SHIFT) & 0xff;
    const copy = off - head;
    if (!cut.load(buf, copy, head, l4 - copy)) return false;
    const data = copy + cut.payloadOffset;
    const bytes = cut.payloadBytes();
    if (bytes < 2) return false;
    const seq = read32(buf, l4 + TCP_SEQ_AT);
    cut.place(buf, data, 1);
    this.acknowledge(flow, -1, true);
    cut.finish(seq);
    if (!x.actions.emit(id, cut.packet, cut.start, cut.end - cut.start)) {
      x.counters.values[C_PREFIXES_UNSENT]!++;
      return false;
    }
    x.counters.values[C_LEFT_IN_TWO]!++;
    cut.load(buf, copy, head, l4 - copy);
    cut.place(buf, data + 1, bytes - 1);
    release.lower(flow, cut.packet, cut.l4, hold & 0xff, true);
    cut.finish(seqAdd(seq, 1));
    x.acceptRewritten(id, cut.packet, cut.start, cut.end - cut.start, false);
    return true;
  }

  /**
   * In two segments: a receiver that would put off its acknowledgement of one gives it for two (RFC 9293 section
   * 3.8.6.3), and it is what both guests wait for. The first is one byte and brings no new acknowledgement, so that it
   * gives the receiver no reason to speak in between.
   */
  private sendOf(flow: number, echo: number): void {
    const { x } = this;
    const h = x.holds.index(x.flows.words[flow + f.X_HELD_HEAD]!);
    if (!this.load(h)) return;
    const from = this.unsentFrom(flow, h);
    const to = this.verifiedTo(flow, h);
    const first = seqAdd(from, 1);
    if (first !== to && !this.sendRange(flow, h, from, first, echo, true)) return;
    this.sendRange(flow, h, first === to ? from : first, to, echo, false);
  }

  /**
   * Sends [from, to) of the held packet, and acknowledges what was acknowledged before or all that is granted. False:
   * it could not.
   */
  private sendRange(flow: number, h: number, from: number, to: number, echo: number, asTold: boolean): boolean {
    const { x, cut } = this;
    this.load(h);
    const w = x.flows.words;
    const c = x.counters.values;
    this.acknowledge(flow, echo, asTold);
    for (let seq = from; seq !== to; ) {
      const bytes = Math.min(cut.room(PREFIX_PACKET_BYTES), seqDiff(to, seq));
      this.place(h, seq, bytes);
      cut.finish(seq);
      if (!x.actions.emit!(x.holds.words[h + H_ID]!, cut.packet, cut.start, cut.end - cut.start)) {
        c[C_PREFIXES_UNSENT]!++;
        return false;
      }
      // Now the acknowledgement is released.
      x.release.lower(flow, cut.packet, cut.l4, TCP_ACK, true);
      seq = seqAdd(seq, bytes);
      w[flow + f.X_LEFT] = seq;
      w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_LEFT;
      c[C_PREFIXES_SENT]!++;
      c[C_PREFIX_BYTES]! += bytes;
    }
    return true;
  }

  /**
   * The segment that was loaded is a beginning: it acknowledges what is granted, or no more than the peer was told, and
   * nothing is noted yet.
   */
  private acknowledge(flow: number, echo: number, asTold: boolean): void {
    const { cut } = this;
    const { release } = this.x;
    cut.packet[cut.l4 + TCP_FLAGS_AT] = TCP_ACK;
    release.lower(flow, cut.packet, cut.l4, TCP_ACK, true, false);
    if (asTold) release.lowerToTold(flow, cut.packet, cut.l4);
    if (echo >= 0) release.raiseEcho(cut.packet, cut.l4, echo, true);
  }

  /** The headers of a held packet. False: it may not be cut. */
  private load(h: number): boolean {
    const { holds, log } = this.x;
    return this.cut.load(log.data, holds.copyAt(h), holds.headBytes(h), holds.words[h + H_L4]!);
  }

  /** So many of the held packet's bytes behind them. */
  private place(h: number, seq: number, bytes: number): void {
    const { holds, log } = this.x;
    const { cut } = this;
    cut.place(log.data, holds.copyAt(h) + cut.payloadOffset + seqDiff(seq, holds.words[h + H_SEQ]!), bytes);
  }
}
