// Words of a flow on the primary (nf_conn_colo_tcp.p of the original): what the comparison and the release
// have to remember, as words of the flow's record behind those of the flow table. Positions are 32-bit sequence numbers
// in the PVM's numbering. "Verified" means: both sides produced it, or a completed checkpoint covers it.

import { FLOW_USER } from '../conntrack/flow-table';

export const X_FLAGS = FLOW_USER;
/**
 * Epoch to which the words below belong (low 32 bits); an older one is aligned on the first touch after the checkpoint.
 */
export const X_EPOCH = FLOW_USER + 1;
/** Verified stream bytes: [X_BASE, X_VERIFIED). */
export const X_BASE = FLOW_USER + 2;
export const X_VERIFIED = FLOW_USER + 3; // compared_seq
/** A second verified range above X_VERIFIED (after the base had to be lowered), empty when equal. */
export const X_ISLAND = FLOW_USER + 4;
export const X_ISLAND_END = FLOW_USER + 5;
/** End of what the PVM sent. */
export const X_PRIMARY_NEXT = FLOW_USER + 6; // mrcv_nxt
/** Window of the SVM's SYN as it stands there: a SYN's window is never scaled. */
export const X_SECONDARY_SYN_WINDOW = FLOW_USER + 7;
/**
 * [X_GAP, X_GAP_END) reaches over every place that the PVM may have passed by since its stream began; empty when equal.
 * A checkpoint covers bytes that the PVM had sent, so none of these.
 */
export const X_GAP = FLOW_USER + 8;
export const X_GAP_END = FLOW_USER + 42;
/** Lists of log records with bytes that await the other side, in stream order. */
export const X_PRIMARY_HEAD = FLOW_USER + 9;
export const X_PRIMARY_TAIL = FLOW_USER + 10;
export const X_SECONDARY_HEAD = FLOW_USER + 11;
export const X_SECONDARY_TAIL = FLOW_USER + 12;
/** Newest verified record; older ones follow by R_PREV. */
export const X_HISTORY = FLOW_USER + 13;
/** Greatest acknowledgement that each side sent. */
export const X_PRIMARY_ACK = FLOW_USER + 14; // mack
export const X_SECONDARY_ACK = FLOW_USER + 15; // sack
/** Latest window field of each side, unscaled (both sides have the same scale, or it was a divergence). */
export const X_PRIMARY_WINDOW = FLOW_USER + 16; // mwin
export const X_SECONDARY_WINDOW = FLOW_USER + 17; // swin
/** Greatest acknowledgement that was let out, and the greatest right edge (ack + scaled window). */
export const X_RELEASED_ACK = FLOW_USER + 18;
export const X_RELEASED_EDGE = FLOW_USER + 19;
export const X_PRIMARY_ISN = FLOW_USER + 20;
export const X_SECONDARY_ISN = FLOW_USER + 21;
/** ISN(PVM) - ISN(SVM): added to what the SVM numbers. */
export const X_DELTA = FLOW_USER + 22;
/** Acknowledgement on each side's SYN/ACK: distinguishes incarnations of a reused tuple. */
export const X_PRIMARY_SYN_ACK = FLOW_USER + 23;
export const X_SECONDARY_SYN_ACK = FLOW_USER + 24;
/** Options of each side's SYN, packed by compare/tcp-syn. */
export const X_PRIMARY_SYN_OPTIONS = FLOW_USER + 25;
export const X_SECONDARY_SYN_OPTIONS = FLOW_USER + 26;
/** Stream position of FIN and RST of each side. */
export const X_PRIMARY_FIN = FLOW_USER + 27;
export const X_SECONDARY_FIN = FLOW_USER + 28;
export const X_PRIMARY_RST = FLOW_USER + 29;
export const X_SECONDARY_RST = FLOW_USER + 30;
/** Held packets (slot + 1, 0 = none): those with stream content, and pure acknowledgements. */
export const X_HELD_HEAD = FLOW_USER + 31;
export const X_HELD_TAIL = FLOW_USER + 32;
export const X_ACKS_HEAD = FLOW_USER + 33;
export const X_ACKS_TAIL = FLOW_USER + 34;
/** Flows in which the SVM is ahead; words as below. */
export const X_AHEAD = FLOW_USER + 35;

/** Greatest TSval (RFC 7323) that was let out. Valid with XF_TSVAL. */
export const X_RELEASED_TSVAL = FLOW_USER + 40;

/** Window of the PVM's last SYN as it stands there. */
export const X_PRIMARY_SYN_WINDOW = FLOW_USER + 41;

/** What seldom is, as XO_* bits. Valid with XF_ODD. */
export const X_ODD = FLOW_USER + 48;

/**
 * Copies of a held packet's bytes have left up to here. Speaks of the held packet within which it lies, of none
 * otherwise. Valid with XF_LEFT.
 */
export const X_LEFT = FLOW_USER + 43;

/** Behind the byte that each side marked as urgent last, in the PVM's numbers. */
export const X_PRIMARY_URGENT = FLOW_USER + 44;
export const X_SECONDARY_URGENT = FLOW_USER + 45;

/** The byte of the PVM's stream furthest on that has left, with LAST_KNOWN, and the position behind it. */
export const X_LAST_BYTE = FLOW_USER + 46;
export const X_LAST_END = FLOW_USER + 47;
export const LAST_KNOWN = 0x100;

/** Flows that have packets held; words as below. Only where the times are learned. */
export const X_WAIT = FLOW_USER + 49;

/** Words of a flow in a list of pmycolo/flow-waits: which list and class, 0 = none. */
export const W_LIST = 0;
/** What stood for the other side's progress when the flow was entered. */
export const W_MARK = 1;
/** Since when (ms, low 32 bits). */
export const W_SINCE = 2;
/** Neighbours in the list, flow + 1, 0 = none. */
export const W_NEXT = 3;
export const W_PREV = 4;

/** Words of a primary flow record, even so that a record keeps its place in cache lines. */
export const PRIMARY_RECORD_WORDS = FLOW_USER + 54;

/** X_BASE, X_VERIFIED, X_PRIMARY_NEXT mean something. */
export const XF_BASED = 1 << 0;
/** The connection was first seen without its SYN: its base may have to be lowered. */
export const XF_MIDSTREAM = 1 << 1;
/** A SYN of this side came with an ISN that was not matched with the other side's yet. */
export const XF_PRIMARY_SYN = 1 << 2;
export const XF_SECONDARY_SYN = 1 << 3; // SYN_RECVD
/** The two sides' numbers are known to belong together. */
export const XF_MATCHED = 1 << 4;
/** An acknowledgement of this side was seen. */
export const XF_PRIMARY_ACK = 1 << 5;
export const XF_SECONDARY_ACK = 1 << 6;
export const XF_PRIMARY_FIN = 1 << 7;
export const XF_SECONDARY_FIN = 1 << 8;
export const XF_PRIMARY_RST = 1 << 9;
export const XF_SECONDARY_RST = 1 << 10;
/** X_RELEASED_ACK and X_RELEASED_EDGE mean something. */
export const XF_RELEASED = 1 << 11;
/**
 * First seen in its middle, and how the SVM numbers it is not known: nothing of it can be compared before a checkpoint.
 */
export const XF_UNKNOWN = 1 << 12;
/** X_*_ISN is known. */
export const XF_PRIMARY_ISN = 1 << 13;
export const XF_SECONDARY_ISN = 1 << 14;
/** In the list of flows whose SVM is ahead. */
export const XF_AHEAD = 1 << 15;
/** The window scale of the connection is known: bits 24-27 hold it. */
export const XF_SCALE = 1 << 16;
/** Among the held packets one stands behind others that it does not follow in the stream (a retransmission). */
export const XF_DISORDER = 1 << 17;
/**
 * The SYNs of this epoch have matched, and nothing has shown yet that the peer has answered: anybody may have sent its
 * SYN.
 */
export const XF_HALF_OPEN = 1 << 18;
/** X_RELEASED_TSVAL means something. */
export const XF_TSVAL = 1 << 19;
/**
 * The PVM has acknowledged more than any window allows: its last acknowledgement proves nothing about lower numbers.
 */
export const XF_FAR_ACK = 1 << 20;
/** X_*_RST is what a RST without a number of its own acknowledges: a number of the peer's. */
export const XF_PRIMARY_REFUSED = 1 << 21;
export const XF_SECONDARY_REFUSED = 1 << 22;
/** Its first held packet may have a beginning to send. */
export const XF_PREFIX_NOTED = 1 << 23;
/** The SVM's last content bore PSH or FIN: nothing more of it is on the way. */
export const XF_SECONDARY_PUSHED = 1 << 28;
/** X_LEFT means something. */
export const XF_LEFT = 1 << 29;
/** X_ODD is not 0. */
export const XF_ODD = 1 << 30;

/** Flags of a connection that begins or ends on either side. */
export const BEGINS_OR_ENDS =
  XF_PRIMARY_SYN | XF_SECONDARY_SYN | XF_PRIMARY_FIN | XF_SECONDARY_FIN | XF_PRIMARY_RST | XF_SECONDARY_RST;
export const XF_SCALE_SHIFT = 24;

/** This side has retransmitted its SYN with options that the other side has not offered yet. */
export const XO_PRIMARY_OFFER = 1 << 0;
export const XO_SECONDARY_OFFER = 1 << 1;
/** X_*_URGENT means something. */
export const XO_PRIMARY_URGENT = 1 << 2;
export const XO_SECONDARY_URGENT = 1 << 3;
/**
 * The peer has reset the connection, and the PVM has not spoken since: the SVM may hear of it later, and nobody waits
 * for what it has said meanwhile.
 */
export const XO_PEER_RESET = 1 << 4;

/** What seldom is, all of it, in the flow at `flow` of words w. */
export function setOdd(w: Uint32Array, flow: number, odd: number): void {
  w[flow + X_ODD] = odd;
  w[flow + X_FLAGS] = odd === 0 ? w[flow + X_FLAGS]! & ~XF_ODD : w[flow + X_FLAGS]! | XF_ODD;
}
