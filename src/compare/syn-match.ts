// The SYNs of a connection, by which the two guests' numbers are known to belong together, and what they offer (MSS,
// window scale and the like: tcp-syn). A side may retransmit its SYN with other options, or begin another connection by
// the same addresses and ports.

import type { FlowTable } from '../conntrack/flow-table';
import { seqAdd, seqDiff } from '../core/seq32';
import { type PacketView, TCP_ACK } from '../packet/view';
import * as f from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EQUAL, type Outcome, WAIT } from './outcome';
import type { StreamComparator } from './stream';
import { sameSynOffer, synHasAck, synWindowScale } from './tcp-syn';

const OFFERS = f.XO_PRIMARY_OFFER | f.XO_SECONDARY_OFFER;
/** What a flow may bear of a connection whose SYN was never seen. */
const WITHOUT_SYN = f.XF_BASED | f.XF_MATCHED | f.XF_RELEASED | f.XF_PRIMARY_ACK | f.XF_PRIMARY_RST | f.XF_UNKNOWN;

export class SynMatch {
  constructor(
    private readonly flows: FlowTable,
    private readonly stream: StreamComparator,
    private readonly difference: Difference,
    /** Somebody on the way translates the SVM's numbers into the PVM's, but for those of its SYNs. */
    private readonly translated: boolean,
  ) {}

  /**
   * True when this SYN has another ISN than the connection that the flow knows: the caller settles the old one first.
   */
  primaryReopens(flow: number, isn: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    return (flags & f.XF_PRIMARY_ISN) === 0 ? (flags & WITHOUT_SYN) !== 0 : w[flow + f.X_PRIMARY_ISN] !== isn;
  }

  secondaryReopens(flow: number, isn: number): boolean {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    if ((flags & f.XF_SECONDARY_ISN) === 0) return (flags & f.XF_MATCHED) !== 0;
    // A SYN that is retransmitted when its number has become known is translated, too.
    if (this.translated && (flags & f.XF_MATCHED) !== 0 && w[flow + f.X_PRIMARY_ISN] === isn) return false;
    return w[flow + f.X_SECONDARY_ISN] !== isn;
  }

  /**
   * Has one side retransmitted its SYN with options that the other has not offered yet? Nothing may leave on them, not
   * even in part.
   */
  offersDiffer(flow: number): boolean {
    return (this.flows.words[flow + f.X_ODD]! & OFFERS) !== 0;
  }

  /** SYN of the PVM, new or retransmitted. EQUAL: matched; WAIT: the SVM's is missing. */
  primarySyn(flow: number, v: PacketView, options: number): Outcome {
    const w = this.flows.words;
    let flags = w[flow + f.X_FLAGS]!;
    if ((flags & f.XF_PRIMARY_ISN) === 0) {
      w[flow + f.X_PRIMARY_ISN] = v.seq;
      this.stream.range.primaryBegins(flow, seqAdd(v.seq, 1));
      flags |= f.XF_PRIMARY_ISN | f.XF_PRIMARY_SYN;
      flags &= ~f.XF_MATCHED;
    } else if ((flags & f.XF_ODD) !== 0 || !sameSynOffer(options, w[flow + f.X_PRIMARY_SYN_OPTIONS]!)) {
      const outcome = this.primaryOffer(flow, v, options);
      if (outcome !== EQUAL) return outcome;
      flags = w[flow + f.X_FLAGS]!;
    }
    w[flow + f.X_PRIMARY_SYN_OPTIONS] = options;
    w[flow + f.X_PRIMARY_SYN_ACK] = v.ack;
    w[flow + f.X_PRIMARY_SYN_WINDOW] = v.window;
    // A SYN/ACK that is retransmitted late takes nothing back.
    if ((flags & f.XF_PRIMARY_ACK) === 0) {
      w[flow + f.X_PRIMARY_WINDOW] = this.scaledSynWindow(v.window, options);
      if ((v.flags & TCP_ACK) !== 0) {
        w[flow + f.X_PRIMARY_ACK] = v.ack;
        flags |= f.XF_PRIMARY_ACK;
      }
    }
    w[flow + f.X_FLAGS] = flags;
    return this.matchSyns(flow);
  }

  /**
   * A SYN is retransmitted, and at least one side has changed its options (Windows offers fewer in its third). A
   * changed offer waits for the other side to make the same; one that both have made before may be retransmitted.
   */
  private primaryOffer(flow: number, v: PacketView, options: number): Outcome {
    const w = this.flows.words;
    const odd = w[flow + f.X_ODD]!;
    const same = sameSynOffer(options, w[flow + f.X_PRIMARY_SYN_OPTIONS]!);
    if (same) return (odd & f.XO_PRIMARY_OFFER) !== 0 ? WAIT : EQUAL;
    if ((odd & f.XO_SECONDARY_OFFER) !== 0 && sameSynOffer(options, w[flow + f.X_SECONDARY_SYN_OPTIONS]!)) {
      f.setOdd(w, flow, odd & ~OFFERS);
      return EQUAL;
    }
    w[flow + f.X_PRIMARY_SYN_OPTIONS] = options;
    // A third offer, or one before the first was matched: what waits would leave on another's word.
    if ((w[flow + f.X_FLAGS]! & f.XF_MATCHED) === 0 || (odd & OFFERS) !== 0) {
      return this.diverge(CheckpointCause.SYN_OPTIONS, flow, v.seq);
    }
    f.setOdd(w, flow, odd | f.XO_PRIMARY_OFFER);
    return WAIT;
  }

  /** The same for the SVM, which has matched before. */
  private secondaryOffer(flow: number, options: number): Outcome {
    const w = this.flows.words;
    const odd = w[flow + f.X_ODD]!;
    if (sameSynOffer(options, w[flow + f.X_SECONDARY_SYN_OPTIONS]!)) return EQUAL;
    if ((odd & f.XO_PRIMARY_OFFER) !== 0 && sameSynOffer(options, w[flow + f.X_PRIMARY_SYN_OPTIONS]!)) {
      f.setOdd(w, flow, odd & ~OFFERS);
      w[flow + f.X_SECONDARY_SYN_OPTIONS] = options;
      return EQUAL;
    }
    w[flow + f.X_SECONDARY_SYN_OPTIONS] = options;
    if ((odd & OFFERS) !== 0) return this.diverge(CheckpointCause.SYN_OPTIONS, flow, w[flow + f.X_PRIMARY_ISN]!);
    f.setOdd(w, flow, odd | f.XO_SECONDARY_OFFER);
    return EQUAL;
  }

  /** SYN of the SVM, new or retransmitted. */
  secondarySyn(flow: number, v: PacketView, options: number): Outcome {
    const w = this.flows.words;
    let flags = w[flow + f.X_FLAGS]!;
    if ((flags & f.XF_MATCHED) !== 0) {
      const outcome = this.secondaryOffer(flow, options);
      if (outcome !== EQUAL) return outcome;
      flags = w[flow + f.X_FLAGS]!;
    }
    if ((flags & f.XF_SECONDARY_ISN) === 0) {
      w[flow + f.X_SECONDARY_ISN] = v.seq;
      flags |= f.XF_SECONDARY_ISN | f.XF_SECONDARY_SYN;
    }
    w[flow + f.X_SECONDARY_SYN_OPTIONS] = options;
    w[flow + f.X_SECONDARY_SYN_ACK] = v.ack;
    if ((flags & f.XF_SECONDARY_SYN) !== 0) {
      w[flow + f.X_SECONDARY_SYN_WINDOW] = v.window;
      w[flow + f.X_SECONDARY_WINDOW] = this.scaledSynWindow(v.window, options);
      if ((v.flags & TCP_ACK) !== 0) {
        w[flow + f.X_SECONDARY_ACK] = v.ack;
        flags |= f.XF_SECONDARY_ACK;
      }
    }
    w[flow + f.X_FLAGS] = flags;
    return this.matchSyns(flow);
  }

  private scaledSynWindow(window: number, options: number): number {
    // A SYN's own window is never scaled, every later one is: keep it in the later ones' unit.
    const scale = synWindowScale(options);
    return scale > 0 ? window >>> scale : window;
  }

  private matchSyns(flow: number): Outcome {
    const w = this.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    if ((flags & f.XF_MATCHED) !== 0) return EQUAL;
    const both = f.XF_PRIMARY_SYN | f.XF_SECONDARY_SYN;
    if ((flags & both) !== both) return WAIT;
    const primary = w[flow + f.X_PRIMARY_SYN_OPTIONS]!;
    const secondary = w[flow + f.X_SECONDARY_SYN_OPTIONS]!;
    // Answers to different SYNs of the peer: one of them is old, the newer pair is still to come.
    if (
      synHasAck(primary) &&
      synHasAck(secondary) &&
      w[flow + f.X_PRIMARY_SYN_ACK] !== w[flow + f.X_SECONDARY_SYN_ACK]
    ) {
      return WAIT;
    }
    if (primary !== secondary) return this.diverge(CheckpointCause.SYN_OPTIONS, flow, w[flow + f.X_PRIMARY_ISN]!);
    const delta = seqDiff(w[flow + f.X_PRIMARY_ISN]!, w[flow + f.X_SECONDARY_ISN]!) >>> 0;
    w[flow + f.X_DELTA] = this.translated ? 0 : delta;
    w[flow + f.X_FLAGS] = (flags & ~both) | f.XF_MATCHED | f.XF_HALF_OPEN;
    this.stream.range.start(flow, seqAdd(w[flow + f.X_PRIMARY_ISN]!, 1));
    this.stream.renumberSecondary(flow, delta);
    const scale = synWindowScale(primary);
    // Only a SYN/ACK shows that both ends scale; on a SYN the peer may still decline.
    if (synHasAck(primary)) {
      w[flow + f.X_FLAGS] = w[flow + f.X_FLAGS]! | f.XF_SCALE | (Math.max(scale, 0) << f.XF_SCALE_SHIFT);
    }
    return EQUAL;
  }

  private diverge(cause: CheckpointCause, flow: number, position: number): Outcome {
    this.difference.set(cause, flow, position);
    return DIVERGED;
  }
}
