// The colo extension of a flow on the secondary (nf_conn_colo_tcp.s of the original), as words of the flow's record
// behind those of the flow table. Positions are 32-bit sequence numbers: "guest's" = as the SVM numbers, "peer's" = as
// the peer sees them.

import { FLOW_USER } from '../conntrack/flow-table';

/** Slot of the flow's record in the offset table. Every flow has one. */
export const S_SLOT = FLOW_USER;
/**
 * Epoch to which the words below belong; with an older one the offsets are void (the SVM has the PVM's numbers now).
 */
export const S_EPOCH = FLOW_USER + 1;
/** A phase, and flags. */
export const S_STATE = FLOW_USER + 2;
/** Guest's + off = peer's, for what the guest numbers. */
export const S_OFF = FLOW_USER + 3;
export const S_TS_OFF = FLOW_USER + 4;
/** TSval of the guest's first SYN or SYN/ACK. Valid with SF_SYN_TS. */
export const S_SYN_TS = FLOW_USER + 5;
/** Acknowledgement on the guest's SYN/ACK: where the peer's stream starts. */
export const S_SYN_ACK = FLOW_USER + 6;
/** Greatest acknowledgement of the guest, and right edge of its window. Valid with SF_WINDOW. */
export const S_GUEST_ACK = FLOW_USER + 7;
export const S_GUEST_EDGE = FLOW_USER + 8;

/**
 * Behind the last byte that the guest has sent. This and the next four are valid with SF_SAID; with SF_ACKED alone this
 * one is of an older epoch.
 */
export const S_NEXT = FLOW_USER + 9;
/** Window of the guest's greatest acknowledgement, as in the header: not scaled. */
export const S_WINDOW = FLOW_USER + 10;
/** Newest timestamp of the guest, and the last echo. Valid with SF_TIMED. */
export const S_TS_VAL = FLOW_USER + 11;
export const S_TS_ECR = FLOW_USER + 12;
/** MAC address of the guest's frames: four bytes, then two; 0 where unknown. */
export const S_GUEST_MAC = FLOW_USER + 13;
/** Greatest acknowledgement of the peer, peer's. Valid with SF_PEER_ACK. */
export const S_PEER_ACK = FLOW_USER + 15;
/** MAC address that the peer's frames came from, likewise. */
export const S_PEER_MAC = FLOW_USER + 16;
/** VLAN tags of the guest's frames, outermost first: TPID << 16 | TCI, 0 = none. Two words. */
export const S_TAGS = FLOW_USER + 18;
/** What S_NEXT was when the guest first spoke in this epoch. Valid with SF_OLD_NEXT. */
export const S_OLD_NEXT = FLOW_USER + 20;

/** Words of a secondary flow record: three cache lines. */
export const SECONDARY_RECORD_WORDS = 48;

/**
 * How far the offsets of a connection are known.
 *
 *               guest's SYN          peer's SYN/ACK
 *   Settled ------------> SynSent ------------------> Learned
 *      |                     | guest's SYN/ACK           ^
 *      |   guest's SYN/ACK   v     peer's ACK            |
 *      +--------------> SynAnswered ---------------------+
 *
 * Any of them: a checkpoint -> Settled (and back, when it proves to have come to nothing: numbering.ts); a signature or
 * an ISN that cannot be derived -> GivenUp.
 */
export const Phase = {
  /** Both VMs number alike (opened before the last checkpoint), or nothing is known. */
  Settled: 0,
  SynSent: 1,
  SynAnswered: 2,
  Learned: 3,
  GivenUp: 4,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

export const PHASE_MASK = 0x7;
export const SF_SYN_TS = 1 << 3;
/** S_GUEST_ACK and S_GUEST_EDGE are valid. */
export const SF_WINDOW = 1 << 4;
/** The guest has sent something since the offset was learned: the connection is real. */
export const SF_CONFIRMED = 1 << 5;
/** The connection has ended: its record may give way. */
export const SF_FINISHED = 1 << 6;
/** The guest's window scale stands in bits 8-11. */
export const SF_SCALE = 1 << 7;
export const SF_SCALE_SHIFT = 8;
/** The guest has sent something with ACK: S_NEXT and the words behind it are valid. */
export const SF_SAID = 1 << 12;
/** Its last segment bore a timestamp. */
export const SF_TIMED = 1 << 13;
/** S_PEER_ACK is valid. */
export const SF_PEER_ACK = 1 << 14;
/** S_GUEST_ACK is about where the guest is, be it of an older epoch. */
export const SF_ACKED = 1 << 15;
/** Flags that belong to a connection rather than to an epoch. */
/** The guest had sent something before this epoch: S_OLD_NEXT is valid. */
export const SF_OLD_NEXT = 1 << 16;
/**
 * The flow began in this epoch, as far as is known: the ISN of its handshake is the SVM's own. Without it the SVM may
 * have got the handshake with the PVM's state, and the ISN is the PVM's.
 */
export const SF_OWN_ISN = 1 << 17;
export const SF_LASTING = SF_SCALE | (0xf << SF_SCALE_SHIFT) | SF_FINISHED | SF_TIMED | SF_PEER_ACK | SF_ACKED;
