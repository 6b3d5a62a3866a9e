// Numbers that the C core and this side must agree on (native/core/nfq.h). addon.ts compares them with the C side's own
// when the addon is loaded, so a drift ends the program at once; they stand here as constants for the optimiser's sake.

/** Words of a packet's descriptor in `NfQueue.table`; all host order. */
export const NFQ_D_ID = 0;
/** Of the IP header, from the start of `NfQueue.arena`. */
export const NFQ_D_OFFSET = 1;
/** Captured bytes. */
export const NFQ_D_LENGTH = 2;
/** Bytes of the packet; more than NFQ_D_LENGTH when the copy range cut it. */
export const NFQ_D_ORIGINAL_LENGTH = 3;
/** Ethertype. */
export const NFQ_D_HW_PROTOCOL = 4;
/** NF_INET_*. */
export const NFQ_D_HOOK = 5;
export const NFQ_D_MARK = 6;
/** Interface indexes; 0 = none. */
export const NFQ_D_INDEV = 7;
export const NFQ_D_OUTDEV = 8;
export const NFQ_D_PHYSINDEV = 9;
export const NFQ_D_PHYSOUTDEV = 10;
/** NFQA_SKB_* bits. */
export const NFQ_D_SKB_INFO = 11;
/** Source link-layer address: the first four bytes and the next four, big end first, and how many there are. */
export const NFQ_D_HWADDR_HIGH = 12;
export const NFQ_D_HWADDR_LOW = 13;
export const NFQ_D_HWADDR_LENGTH = 14;
/** When the packet came, if the kernel took the time (else both 0); seconds modulo 2^32. */
export const NFQ_D_TIMESTAMP_SEC = 15;
export const NFQ_D_TIMESTAMP_USEC = 16;
/** enum ip_conntrack_info, or NFQ_NO_CT. */
export const NFQ_D_CT_INFO = 17;
/** IPS_* bits. */
export const NFQ_D_CT_STATUS = 18;
export const NFQ_D_CT_ID = 19;
export const NFQ_D_CT_MARK = 20;
export const NFQ_D_CT_ZONE = 21;
export const NFQ_D_PRIORITY = 22;
/** Words per descriptor. */
export const NFQ_D_WORDS = 24;
export const NFQ_NO_CT = 0xffffffff;

/** The packet's transport checksum is not computed yet: its field holds the pseudo-header's sum. */
export const NFQA_SKB_CSUMNOTREADY = 1; // NFQA_SKB_CSUMNOTREADY
/** A packet of more than one segment. */
export const NFQA_SKB_GSO = 2; // NFQA_SKB_GSO
export const NFQA_SKB_CSUM_NOTVERIFIED = 4; // NFQA_SKB_CSUM_NOTVERIFIED

/** Words of a verdict command. */
export const NFQ_C_ACTION = 0;
export const NFQ_C_ID = 1;
export const NFQ_C_MARK = 2;
export const NFQ_C_OFFSET = 3;
export const NFQ_C_LENGTH = 4;
export const NFQ_C_WORDS = 5;
export const NFQ_DROP = 0;
export const NFQ_ACCEPT = 1;
export const NFQ_WITH_MARK = 0x10;
export const NFQ_WITH_PAYLOAD = 0x20;
export const NFQ_WITH_CHECKSUM = 0x40;

/** Bytes of a verdict's record in the send arena before its payload. */
export const NFQ_RECORD_HEAD = 32;
export const NFQ_RECORD_MARK = 8;
export const NFQ_RECORD_PAYLOAD = 4;

/** The longest copy of a packet that the kernel gives, and the longest payload that it takes. */
export const NFQ_MAX_COPY = 65531;
