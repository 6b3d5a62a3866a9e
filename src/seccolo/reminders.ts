// The last numbers of the guest and of its peer on each connection, and the segments made of them for the peer at a
// failover. Without them both ends would be silent until a timer ends: the guest's last acknowledgements died on the
// primary's host, and so did the peer's. So the peer gets
//
//   1. the guest's present acknowledgement and window: if it knew less it goes on sending at once;
//   2. a segment from below what it has acknowledged. It is outside the peer's window, so the peer sends its own
//      acknowledgement (RFC 9293 section 3.10.7.4), which is what moves the guest.
//
// Both carry the guest's own values, in the peer's numbers, and nothing else: no data, no SACK block.
// The timestamp is the guest's last, raised where the peer has echoed a newer one; the guest's clock does not go back,
// so nothing that follows is below it.

import { TcpState } from '../conntrack/tcp-track';
import { seqAfter } from '../core/seq32';
import { BareAck } from '../packet/bare-ack';
import type { TcpOptions } from '../packet/tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/view';
import { C_REMINDERS, type SecondaryCounters } from './counters';
import {
  Phase,
  S_GUEST_ACK,
  S_GUEST_MAC,
  S_NEXT,
  S_OFF,
  S_OLD_NEXT,
  S_PEER_ACK,
  S_PEER_MAC,
  S_STATE,
  S_TAGS,
  S_TS_ECR,
  S_TS_OFF,
  S_TS_VAL,
  S_WINDOW,
  SF_ACKED,
  SF_OLD_NEXT,
  SF_PEER_ACK,
  SF_SAID,
  SF_SCALE,
  SF_SCALE_SHIFT,
  SF_TIMED,
  SF_WINDOW,
} from './flow-words';
import type { SecondaryFlows } from './flows';
import type { LinkSource } from './frame-head';
import type { Translator } from './translator';

export class Reminders {
  private readonly ack = new BareAck();

  constructor(
    private readonly flows: SecondaryFlows,
    private readonly translator: Translator,
    private readonly counters: SecondaryCounters,
  ) {}

  /**
   * A segment of the guest, after its acknowledgement has been noted. Only a segment with ACK gives a state to send.
   */
  noteGuest(base: number, v: PacketView, o: TcpOptions, link: LinkSource): void {
    if ((v.flags & (TCP_ACK | TCP_RST)) !== TCP_ACK) return;
    const { words } = this.flows;
    let state = words[base + S_STATE]!;
    const syn = (v.flags & TCP_SYN) !== 0;
    const next = (v.seq + v.payloadBytes + (syn ? 1 : 0) + (v.flags & TCP_FIN)) >>> 0;
    if ((state & (SF_SAID | SF_ACKED)) === SF_ACKED) {
      words[base + S_OLD_NEXT] = words[base + S_NEXT]!;
      state |= SF_OLD_NEXT;
    }
    if ((state & SF_SAID) === 0 || seqAfter(next, words[base + S_NEXT]!)) words[base + S_NEXT] = next;
    // An older segment's window is no longer true. That of a SYN is not scaled.
    if (v.ack === words[base + S_GUEST_ACK]) {
      const scale = syn && (state & SF_SCALE) !== 0 ? (state >>> SF_SCALE_SHIFT) & 0xf : 0;
      words[base + S_WINDOW] = v.window >>> scale;
    }
    if (o.timestampOffset < 0) state &= ~SF_TIMED;
    else {
      const newer = (state & SF_SAID) === 0 || (state & SF_TIMED) === 0 || seqAfter(o.tsVal, words[base + S_TS_VAL]!);
      if (newer) words[base + S_TS_VAL] = o.tsVal;
      words[base + S_TS_ECR] = o.tsEcr;
      state |= SF_TIMED;
    }
    words[base + S_STATE] = state | SF_SAID | SF_ACKED;
    words[base + S_GUEST_MAC] = link.macHigh;
    words[base + S_GUEST_MAC + 1] = link.macLow;
    words[base + S_TAGS] = link.outerTag;
    words[base + S_TAGS + 1] = link.innerTag;
  }

  /** An acknowledgement of the peer inside the guest's window, as it came: in the peer's numbers. */
  notePeer(base: number, ack: number, link: LinkSource): void {
    const { words } = this.flows;
    const state = words[base + S_STATE]!;
    if ((state & SF_PEER_ACK) === 0 || seqAfter(ack, words[base + S_PEER_ACK]!)) {
      words[base + S_PEER_ACK] = ack;
      words[base + S_STATE] = state | SF_PEER_ACK;
    }
    words[base + S_PEER_MAC] = link.macHigh;
    words[base + S_PEER_MAC + 1] = link.macLow;
  }

  /**
   * Is there a peer that waits, and something that is known to be true? Half-open connections have their own timers.
   */
  mayRemind(base: number): boolean {
    const { words } = this.flows;
    const known = SF_SAID | SF_WINDOW | SF_PEER_ACK;
    if ((words[base + S_STATE]! & known) !== known) return false;
    const phase = this.flows.phase(base);
    if (phase !== Phase.Learned && phase !== Phase.Settled) return false;
    const state = this.flows.tracker.state(base);
    return state >= TcpState.Established && state <= TcpState.LastAck;
  }

  /**
   * Writes to `out` the IP packet for the peer: `which` is 0 for the guest's acknowledgement, 1 for the
   * question. Returns its bytes.
   */
  write(base: number, which: 0 | 1, out: Uint8Array, off: number): number {
    const { words } = this.flows;
    const { ack } = this;
    const state = words[base + S_STATE]!;
    ack.fromGuest = true;
    ack.seq = which === 0 ? words[base + S_NEXT]! + words[base + S_OFF]! : words[base + S_PEER_ACK]! - 1;
    ack.ack = words[base + S_GUEST_ACK]!;
    ack.window = words[base + S_WINDOW]!;
    ack.timed = (state & SF_TIMED) !== 0;
    if (ack.timed) {
      this.translator.raiseTimestamps(base, words[base + S_TS_VAL]!);
      ack.tsVal = words[base + S_TS_VAL]! + words[base + S_TS_OFF]!;
      ack.tsEcr = words[base + S_TS_ECR]!;
    }
    this.counters.values[C_REMINDERS]!++;
    return ack.write(words, base, out, off);
  }
}
