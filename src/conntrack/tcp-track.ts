// Where a TCP connection is in its life (RFC 9293 section 3.3.2, seen from outside), as a table. It works when both
// directions are seen and also when only the guest's packets are: every step that the peer's packet would make, the
// guest's next one makes too.
//
//             SYN              SYN/ACK            ACK (guest's; the peer's after SYN/ACK)
//   None ----------> SynSent ----------> SynReceived ----------> Established ---- FIN ----> FinGuest | FinPeer
//                                                                    ^                            | FIN of the other side
//                        an ACK of the guest: the RST did not count  |                            v
//                                                                  Closed <---- RST (any) ---- LastAck -- ACK --> TimeWait
//
// The guest is believed, the peer is not: anybody can forge a SYN or a RST. So a SYN of the peer on a known tuple
// changes nothing until the guest answers it with a SYN/ACK of its own, and a RST only hastens forgetting until the
// guest speaks again.

import type { TimerWheel } from '../core/timer-wheel';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/view';
import { FLOW_DEADLINE, FLOW_GUEST_ISN, FLOW_PEER_ISN, FLOW_TCP_STATE, type FlowTable } from './flow-table';
import { TCP_TIMEOUTS, type TcpTimeouts } from './timeouts';

export const TcpState = {
  None: 0,
  SynSent: 1,
  SynReceived: 2,
  Established: 3,
  FinGuest: 4,
  FinPeer: 5,
  LastAck: 6,
  TimeWait: 7,
  Closed: 8,
} as const;
export type TcpState = (typeof TcpState)[keyof typeof TcpState];

export type TcpPhase = 'new' | 'established' | 'closing' | 'closed';
const PHASES: Record<TcpState, TcpPhase> = {
  0: 'new',
  1: 'new',
  2: 'new',
  3: 'established',
  4: 'closing',
  5: 'closing',
  6: 'closing',
  7: 'closed',
  8: 'closed',
};

/** What a packet meant for its flow. */
export const Track = {
  /** Nothing that the caller must act on. */
  Same: 0,
  /** The first packet of this record, whatever it is. */
  New: 1,
  /**
   * The tuple is used again: a SYN or SYN/ACK of the guest with another ISN. All the caller knew of the flow is void.
   */
  Reopen: 2,
  /** The connection has ended (TimeWait or Closed): its record may give way. */
  Finished: 3,
  /** It had not ended after all. */
  Revived: 4,
  /** A SYN of the peer that does not belong to this connection: a new one if the guest answers it, else nothing. */
  StraySyn: 5,
} as const;
export type Track = (typeof Track)[keyof typeof Track];

const STATE_MASK = 0xff;
const GUEST_ISN_KNOWN = 1 << 8;
const PEER_ISN_KNOWN = 1 << 9;

const N = TcpState.None;
const S = TcpState.SynSent;
const R = TcpState.SynReceived;
const E = TcpState.Established;
const G = TcpState.FinGuest;
const P = TcpState.FinPeer;
const L = TcpState.LastAck;
const W = TcpState.TimeWait;
const C = TcpState.Closed;

const EVENTS = 5;
/** Next state by state, and by event: the guest's SYN, SYN/ACK, ACK, FIN, RST, then the peer's. */
const TRANSITIONS: Record<TcpState, readonly TcpState[]> = {
  //   guest:             peer:
  //   SYN SA ACK FIN RST SYN SA ACK FIN RST
  [N]: [S, R, E, G, C, S, R, E, P, C],
  [S]: [S, R, E, G, C, S, R, S, S, C],
  [R]: [R, R, E, G, C, R, R, E, P, C],
  [E]: [E, E, E, G, C, E, E, E, P, C],
  [G]: [G, G, G, G, C, G, G, G, L, C],
  [P]: [P, P, P, L, C, P, P, P, P, C],
  [L]: [L, L, W, L, C, L, L, W, L, C],
  [W]: [W, W, W, W, C, W, W, W, W, C],
  [C]: [C, C, E, G, C, C, C, C, C, C],
};
const NEXT = Uint8Array.from(Object.values(TRANSITIONS).flat());

export class TcpTracker {
  private readonly timeoutMs: Float64Array;

  constructor(
    private readonly flows: FlowTable,
    private readonly wheel: TimerWheel,
    timeouts: Readonly<TcpTimeouts> = TCP_TIMEOUTS,
  ) {
    const t = timeouts;
    const halfClosed = t.halfClosedMs;
    this.timeoutMs = Float64Array.of(
      ...[t.synSentMs, t.synSentMs, t.synReceivedMs, t.establishedMs, halfClosed, halfClosed],
      ...[t.lastAckMs, t.timeWaitMs, t.closedMs],
    );
  }

  /** Takes a segment into account: state, ISNs, deadline. `flags` and `seq` are those of the segment. */
  packet(base: number, fromPeer: boolean, flags: number, seq: number, nowMs: number): Track {
    const { words } = this.flows;
    let word = words[base + FLOW_TCP_STATE]!;
    let state = word & STATE_MASK;
    if (state === E && (flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) === TCP_ACK) {
      // Nearly every segment: the table leads from here to here.
      words[base + FLOW_DEADLINE] = nowMs + this.timeoutMs[E]!;
      return Track.Same;
    }
    let result: Track = state === N ? Track.New : Track.Same;
    let event: number;
    if ((flags & TCP_RST) !== 0) {
      event = 4;
    } else if ((flags & TCP_SYN) !== 0) {
      event = (flags & TCP_ACK) !== 0 ? 1 : 0;
      if (!fromPeer) {
        const known = (word & GUEST_ISN_KNOWN) !== 0;
        if (known ? words[base + FLOW_GUEST_ISN] !== seq : state >= E) {
          result = Track.Reopen;
          state = N;
          word = 0;
        }
        words[base + FLOW_GUEST_ISN] = seq;
        word |= GUEST_ISN_KNOWN;
      } else if (event === 0 && state >= E) {
        return (word & PEER_ISN_KNOWN) !== 0 && words[base + FLOW_PEER_ISN] === seq ? Track.Same : Track.StraySyn;
      } else if (event === 0 || (word & PEER_ISN_KNOWN) === 0) {
        words[base + FLOW_PEER_ISN] = seq;
        word |= PEER_ISN_KNOWN;
      }
    } else if ((flags & TCP_FIN) !== 0) {
      event = 3;
    } else if ((flags & TCP_ACK) !== 0) {
      event = 2;
    } else {
      return Track.Same; // no flags: nothing that a TCP would send
    }
    const next = NEXT[state * (2 * EVENTS) + (fromPeer ? EVENTS : 0) + event]!;
    words[base + FLOW_TCP_STATE] = (word & ~STATE_MASK) | next;
    words[base + FLOW_DEADLINE] = nowMs + this.timeoutMs[next]!;
    if (state === N || this.timeoutMs[next]! < this.timeoutMs[state]!) this.wheel.arm(base);
    if (result === Track.Same && next >= W !== state >= W) return next >= W ? Track.Finished : Track.Revived;
    return result;
  }

  state(base: number): TcpState {
    return (this.flows.words[base + FLOW_TCP_STATE]! & STATE_MASK) as TcpState;
  }

  phase(base: number): TcpPhase {
    return PHASES[this.state(base)];
  }

  /** The guest's ISN is not what it was, as after a checkpoint: any SYN of the guest opens a new connection. */
  forgetGuestIsn(base: number): void {
    this.flows.words[base + FLOW_TCP_STATE]! &= ~GUEST_ISN_KNOWN;
  }

  /** The opposite: it is known again. */
  learnGuestIsn(base: number, isn: number): void {
    this.flows.words[base + FLOW_GUEST_ISN] = isn;
    this.flows.words[base + FLOW_TCP_STATE]! |= GUEST_ISN_KNOWN;
  }

  /** For a flow that was known before a restart: where it was, and the guest's ISN if that is known (else -1). */
  restore(base: number, state: TcpState, guestIsn: number, nowMs: number): void {
    const { words } = this.flows;
    words[base + FLOW_TCP_STATE] = state | (guestIsn >= 0 ? GUEST_ISN_KNOWN : 0);
    if (guestIsn >= 0) words[base + FLOW_GUEST_ISN] = guestIsn;
    words[base + FLOW_DEADLINE] = nowMs + this.timeoutMs[state]!;
    this.wheel.arm(base);
  }
}
