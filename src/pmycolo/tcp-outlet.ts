// Which TCP packets are held, and what releases them. The fields of a released packet are tcp-release's, its
// content the comparison's; here is the order, and what becomes of those that the peer needs no more.

import * as f from '../compare/flow-words';
import { DIVERGED } from '../compare/outcome';
import { R_BYTES } from '../compare/packet-log';
import { read16, read32 } from '../core/big-endian';
import { RELEASE_SCAN_LIMIT } from '../core/limits';
import { seqAdd, seqDiff } from '../core/seq32';
import { TCP_ACK_AT, TCP_WINDOW_AT } from '../packet/tcp-header';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_ACK_REPEATED, C_HELD_ALREADY_LEFT } from './counters';
import {
  H_END,
  H_FLAGS,
  H_FLOW,
  H_FLOW_NEXT,
  H_ID,
  H_L4,
  H_RECORD,
  H_SEQ,
  H_TIME,
  HF_ACK_ONLY,
  HF_DIRTY,
  HF_PARTIAL,
  HF_SIGNED,
  HF_TCP_FLAGS,
} from './holds';
import { noteHeldLeft } from './keepalive';

/** There is no packet of the SVM's to take an echo from. */
export const NO_ECHO = -1;

export class TcpOutlet {
  constructor(private readonly x: PrimaryContext) {}

  /** Enters a packet among the held. Returns its record's id, or 0: no room, and it was dropped. */
  keep(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): number {
    const end = seqAdd(v.seq, v.payloadBytes + ((v.flags & TCP_SYN) !== 0 ? 1 : 0));
    const x = this.x;
    const tail = (hold & HF_ACK_ONLY) !== 0 ? 0 : x.flows.words[flow + f.X_HELD_TAIL]!;
    if (tail !== 0 && seqDiff(v.seq, x.holds.words[x.holds.index(tail) + H_END]!) < 0) {
      x.flows.words[flow + f.X_FLAGS] = x.flows.words[flow + f.X_FLAGS]! | f.XF_DISORDER;
    }
    return x.hold(id, flow, v, buf, v.seq, end, hold, nowMs);
  }

  /** It cannot leave before a checkpoint, which is to be asked for. */
  holdDiverged(id: number, flow: number, v: PacketView, buf: Buffer, hold: number, nowMs: number): typeof DIVERGED {
    this.keep(id, flow, v, buf, hold, nowMs);
    return DIVERGED;
  }

  /** Lets the packet in the view out now. */
  leaveNow(id: number, flow: number, v: PacketView, buf: Buffer, hold: number): void {
    this.leave(id, flow, buf, v.start, v.limit - v.start, v.l4, hold);
  }

  /** Does this position lie before the end of what is held last? New data, the rule, never does. */
  isBehindHeld(flow: number, seq: number): boolean {
    const { flows, holds } = this.x;
    const tail = flows.words[flow + f.X_HELD_TAIL]!;
    return tail !== 0 && seqDiff(seq, holds.words[holds.index(tail) + H_END]!) < 0;
  }

  /** Whether the last waiting pure acknowledgement is the same. */
  repeatsHeldAck(flow: number, ack: number): boolean {
    const { holds } = this.x;
    const last = this.x.flows.words[flow + f.X_ACKS_TAIL]!;
    return last !== 0 && this.ackAt(holds.headerAt(holds.index(last))) === ack;
  }

  /**
   * Lets out what became verified: pure acknowledgements in order, content in order but for what still waits. `echo` is
   * the TSecr of the SVM's packet that is being looked at, or NO_ECHO.
   */
  releaseReady(flow: number, echo: number, nowMs: number): void {
    const x = this.x;
    const fw = x.flows.words;
    const hw = x.holds.words;
    for (let slot = fw[flow + f.X_ACKS_HEAD]!; slot !== 0; ) {
      const h = x.holds.index(slot);
      const next = hw[h + H_FLOW_NEXT]!;
      const at = x.holds.headerAt(h);
      const ack = this.ackAt(at);
      const window = read16(x.log.data, at + TCP_WINDOW_AT);
      if (!x.release.ackMayLeave(flow, ack, window)) {
        // All but the last may tell, lowered, what the SVM has given meanwhile: a peer that lacks it sends again what
        // both have.
        if (next !== 0 && x.release.ackBringsNews(flow, window)) this.leaveHeld(slot, echo, nowMs);
        break;
      }
      this.leaveHeld(slot, echo, nowMs);
      slot = next;
    }
    // In a list in stream order nothing behind the first that waits can be verified.
    const disorder = (fw[flow + f.X_FLAGS]! & f.XF_DISORDER) !== 0;
    let passed = 0;
    let left = 0;
    let leftFrom = 0;
    let leftTo = 0;
    for (let slot = fw[flow + f.X_HELD_HEAD]!; slot !== 0 && passed < RELEASE_SCAN_LIMIT; ) {
      const h = x.holds.index(slot);
      const next = hw[h + H_FLOW_NEXT]!;
      const flags = hw[h + H_FLAGS]! & HF_TCP_FLAGS;
      if (
        x.tcp.isVerified(flow, hw[h + H_SEQ]!, hw[h + H_END]!, flags) &&
        x.release.contentMayLeave(flow, flags) &&
        ((flags & TCP_FIN) === 0 || x.release.endMayLeave(flow, flags, this.ackAt(x.holds.headerAt(h))))
      ) {
        const seq = hw[h + H_SEQ]!;
        const end = hw[h + H_END]!;
        if (
          left !== 0 &&
          seqDiff(seq, leftFrom) >= 0 &&
          seqDiff(end, leftTo) <= 0 &&
          this.saysNoMore(flow, slot, left)
        ) {
          this.dropHeld(slot);
        } else {
          if (left === 0 || seqDiff(seq, leftTo) > 0) leftFrom = seq;
          leftTo = end;
          left |= flags;
          this.leaveHeld(slot, echo, nowMs);
        }
      } else {
        if (!disorder) break;
        passed++;
      }
      slot = next;
    }
    if (fw[flow + f.X_HELD_HEAD] !== 0) x.prefixes.note(flow, echo, nowMs);
    else if (disorder) fw[flow + f.X_FLAGS] = fw[flow + f.X_FLAGS]! & ~f.XF_DISORDER;
  }

  /**
   * The SVM misses something that the PVM has: the peer has to hear the SVM's duplicate acknowledgements, or only its
   * timer tells it, one segment at a time. Any but the last of those that wait can tell it.
   */
  repeatAck(flow: number, echo: number, nowMs: number): void {
    const { holds, flows, release, log } = this.x;
    const slot = flows.words[flow + f.X_ACKS_HEAD]!;
    if (slot === 0 || holds.words[holds.index(slot) + H_FLOW_NEXT] === 0) return;
    const at = holds.headerAt(holds.index(slot));
    if (!release.staysOpen(flow, flows.words[flow + f.X_RELEASED_ACK]!, read16(log.data, at + TCP_WINDOW_AT))) return;
    this.x.counters.values[C_ACK_REPEATED]!++;
    this.leaveHeld(slot, echo, nowMs);
  }

  /** Slot of the first held packet with content that the SVM has not sent, or 0. */
  firstUnverified(flow: number): number {
    const { flows, holds, tcp } = this.x;
    const hw = holds.words;
    let slot = flows.words[flow + f.X_HELD_HEAD]!;
    while (slot !== 0) {
      const h = holds.index(slot);
      if (!tcp.isVerified(flow, hw[h + H_SEQ]!, hw[h + H_END]!, hw[h + H_FLAGS]! & HF_TCP_FLAGS)) break;
      slot = hw[h + H_FLOW_NEXT]!;
    }
    return slot;
  }

  /**
   * A held packet leaves without having been compared: should the PVM retransmit it, there is its copy to compare with.
   * True: its bytes were changed, as the peer must not see time run backwards.
   */
  leavesUncompared(slot: number): boolean {
    const { holds, log, stream, release } = this.x;
    const h = holds.index(slot);
    const hw = holds.words;
    const flow = hw[h + H_FLOW]!;
    const l4 = holds.headerAt(h);
    const raised = release.raiseTimestamp(flow, log.data, l4, (hw[h + H_FLAGS]! & HF_PARTIAL) !== 0);
    const record = hw[h + H_RECORD]!;
    const bytes = holds.contentBytes(h);
    // Else it is in the list or the history already.
    if (bytes > 0 && log.words[log.recordIndex(record) + R_BYTES] === 0) {
      stream.remember(flow, record, holds.contentSeq(h), holds.contentAt(l4), bytes);
    }
    noteHeldLeft(this.x, h, l4);
    return raised;
  }

  /**
   * Of a held packet whose bytes have just left in others, which bore the flags `left`: does the peer know what else it
   * says? It would answer a FIN that comes twice, and a guest that has forgotten the connection by then answers that
   * with a reset.
   */
  private saysNoMore(flow: number, slot: number, left: number): boolean {
    const { holds, release } = this.x;
    const h = holds.index(slot);
    const flags = holds.words[h + H_FLAGS]! & ~(left & TCP_FIN);
    if ((flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG | TCP_ACK)) !== TCP_ACK) return false;
    return release.wasToldAtLeast(flow, this.ackAt(holds.headerAt(h)));
  }

  private dropHeld(slot: number): void {
    const { holds, counters } = this.x;
    const h = holds.index(slot);
    counters.values[C_HELD_ALREADY_LEFT]!++;
    noteHeldLeft(this.x, h, holds.headerAt(h));
    this.x.drop(holds.words[h + H_ID]!);
    holds.remove(slot);
  }

  /** Lets a packet out now. buf holds it and its frame's padding at [off, off+len), its TCP header at l4. */
  private leave(id: number, flow: number, buf: Buffer, off: number, len: number, l4: number, hold: number): void {
    if (this.x.prefixes.leaveInTwo(id, flow, buf, off, len, l4, hold)) return;
    const partial = (hold & HF_PARTIAL) !== 0;
    const lowered = this.x.release.lower(flow, buf, l4, hold & 0xff, partial);
    if (lowered || (hold & HF_DIRTY) !== 0) this.x.acceptRewritten(id, buf, off, len, partial);
    else this.x.accept(id, buf, off, len);
  }

  /** Lets out the flow's first held packet with content, which is verified and of which no copies have left. */
  leaveNext(slot: number, nowMs: number): void {
    const x = this.x;
    const { holds } = x;
    const h = holds.index(slot);
    const hw = holds.words;
    const copy = holds.copyAt(h);
    const l4 = copy + hw[h + H_L4]!;
    x.counters.noteHold((nowMs - hw[h + H_TIME]!) | 0);
    noteHeldLeft(x, h, l4);
    const head = holds.headBytes(h);
    const bytes = holds.copyBytes(h) - head;
    this.leave(hw[h + H_ID]!, hw[h + H_FLOW]!, x.log.data, copy + head, bytes, l4, hw[h + H_FLAGS]!);
    holds.remove(slot);
  }

  private leaveHeld(slot: number, echo: number, nowMs: number): void {
    const x = this.x;
    const { holds } = x;
    const h = holds.index(slot);
    const hw = holds.words;
    const flow = hw[h + H_FLOW]!;
    const copy = holds.copyAt(h);
    const l4 = copy + hw[h + H_L4]!;
    let flags = hw[h + H_FLAGS]!;
    if (
      echo !== NO_ECHO &&
      (flags & (HF_ACK_ONLY | HF_SIGNED)) === HF_ACK_ONLY &&
      x.release.raiseEcho(x.log.data, l4, echo, (flags & HF_PARTIAL) !== 0)
    ) {
      flags |= HF_DIRTY;
    }
    x.counters.noteHold((nowMs - hw[h + H_TIME]!) | 0);
    noteHeldLeft(x, h, l4);
    if ((flags & HF_ACK_ONLY) !== 0 || !x.prefixes.leaveRest(flow, slot)) {
      const head = holds.headBytes(h);
      this.leave(hw[h + H_ID]!, flow, x.log.data, copy + head, holds.copyBytes(h) - head, l4, flags);
    }
    holds.remove(slot);
  }

  private ackAt(l4: number): number {
    return read32(this.x.log.data, l4 + TCP_ACK_AT);
  }
}
