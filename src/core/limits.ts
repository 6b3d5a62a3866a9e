// Every bound of the engines, with its reason. Going over one is a named outcome with a counter, never silence.

export interface EngineLimits {
  /**
   * Flows tracked at once; a new one beyond it makes another give way, or is dropped where all are needed
   * (`flow_table_full`). A record is about 250 bytes, touched on first use.
   */
  maxFlows: number;
  /** PVM packets held at once. The kernel's queue must be at least this long, or it drops first. */
  maxHeldPackets: number;
  /**
   * Bytes of PVM packets held and of either side's bytes awaiting comparison; at most half the log, so that cleaning
   * always makes room.
   */
  maxHeldBytes: number;
  /**
   * Size of the comparison log: unverified bytes, and as much verified history as fits (retransmissions are checked
   * against it).
   */
  logBytes: number;
  /** Packets in the log; small packets run out of records before they run out of bytes. A power of two. */
  logRecords: number;
}

export const DEFAULT_LIMITS: Readonly<EngineLimits> = {
  maxFlows: 1 << 20,
  maxHeldPackets: 16384,
  maxHeldBytes: 32 << 20,
  logBytes: 64 << 20,
  logRecords: 1 << 17,
};

/**
 * Connections whose offsets outlive the daemon, 128 bytes each, reserved in memory (the state directory is a tmpfs). On
 * the secondary these are all that are translated at a time; one more finds the table full (`flow_table_full`) or makes
 * an ended one give way.
 */
export const DEFAULT_KEPT_CONNECTIONS = 1 << 16;

/**
 * Of the connections whose numbers PN keeps, this part may be half-open: anybody can begin one, and 16,384 take 13 s of
 * 1,200 SYN/s. The rest is for those whose handshake both guests have ended.
 */
export const HALF_OPEN_PART = 1 / 4;

/**
 * Half-open connections of which it is asked whether they are open after all, before one is forgotten: a question is
 * two system calls.
 */
export const MAX_HALF_OPEN_QUESTIONS = 8;

/** A PVM packet may span this much of the log: a GSO packet is at most 64 KiB with its headers. */
export const MAX_PACKET_BYTES = 0xffff;

/** Records that a history search may visit before it gives up and treats the bytes as unverifiable. */
export const HISTORY_SEARCH_LIMIT = 4096;

/** The SVM's records from before a connection's late start that are kept in case the PVM retransmits the same bytes. */
export const BELOW_BASE_LIMIT = 64;

/**
 * A window is at most 2^30 bytes, and none in use comes near this: a segment further on follows on something unseen.
 */
export const MAX_SEGMENT_AHEAD = 1 << 27;

/** Positions of one stream that are considered together lie at most so far apart, so that they have an order. */
export const MAX_POSITION_SPAN = 1 << 29;

/** Flows that are looked at to find the one that gives way in a full table: some microseconds. */
export const EVICTION_SCAN_LIMIT = 32;

/** Held packets that a release may step over, so that one event costs a bounded time. */
export const RELEASE_SCAN_LIMIT = 32;

/** Pending records that are searched for an earlier copy of a PVM packet. */
export const REPEAT_SEARCH_LIMIT = 64;

/**
 * Flows of which the verified beginning of a held packet waits to be sent: as many as some batches have packets. One
 * more waits for its next packet (`prefix_list_full`).
 */
export const MAX_PREFIX_FLOWS = 1024;

/**
 * Bytes of an IP packet that is cut from a held one, at most. A held packet may be one that hardware segments, and its
 * segments' size is not known: this is what every link with IPv6 takes (RFC 8200 section 5), and in practice every
 * path.
 */
export const PREFIX_PACKET_BYTES = 1280;

/**
 * Connections whose Ethernet headers are known, 92 bytes each: as many as have their offsets kept. One more makes an
 * unused one give way.
 */
export const MAX_LINK_HEADS = 1 << 16;

/** Those in use that are passed in the search for one that is not, so that one SYN costs a bounded time. */
export const LINK_HEAD_SEARCH_LIMIT = 64;

/**
 * A packet with more content is a bulk transfer's, PSH or not: more of the SVM's is on its way, and acknowledgements of
 * what has left.
 */
export const PREFIX_AT_ONCE_BYTES = 8192;

/**
 * An SVM that has sent neither PSH nor more data for this long is waiting; at one gigabit, 250 kB more would
 * have arrived.
 */
export const PREFIX_PATIENCE_MS = 2;

/**
 * ICMP answers of either guest that wait for the other's; a power of two. The oldest gives way: a stranger chooses how
 * many there are.
 */
export const MAX_ANSWERS = 1024;

/** And their bytes: room for 16 of the largest. */
export const MAX_ANSWER_BYTES = 1 << 20;

/** Answers of the same hash bucket that are looked at; there are as many buckets as answers. */
export const ANSWER_SEARCH_LIMIT = 32;

/**
 * An answer waits so long for the other guest's, if the compare timeout is no shorter: long for a guest, and peers give
 * up then, too.
 */
export const ANSWER_GRACE_MS = 2000;

/** A larger datagram has come in fragments, on links of the usual MTU. */
export const LARGEST_UNDIVIDED_BYTES = 1500;

/** What a checkpoint may have divided waits so long for the SVM: many times what a guest lags after it resumes. */
export const DIVIDED_GRACE_MS = 500;

/** Datagrams in one frame for a host to cut; Linux makes at most 128 (UDP_MAX_SEGMENTS). */
export const MAX_DATAGRAMS_PER_SEND = 1024;

/**
 * A retransmission up to this size (one MTU) was not segmented by the sender's hardware, so its payload may be cut
 * off.
 */
export const MAX_PROBE_SOURCE_BYTES = 1500;

/**
 * Neighbours that either guest asks for at a time: more than a guest has next to it; what does not fit is asked for
 * again by the guest.
 */
export const ADDRESS_QUESTIONS = 256;

/**
 * Classes of waits whose usual length is known, 80 bytes each: service and host, and each service alone. A class that
 * is used seldom gives way to one that is used, among those of its set; while flows of a class wait it stays.
 */
export const TIME_CLASSES = 1024;
export const TIME_CLASSES_PER_SET = 4;

/** A longer message of QEMU's ends the connection; the longest that is asked for here has some kilobytes. */
export const MAX_QMP_MESSAGE_BYTES = 256 << 10;

/**
 * Commands without an answer. While eight wait for its main loop QEMU reads nothing, not even what is out of band
 * (tried with 7.2).
 */
export const MAX_QMP_IN_BAND = 7;
export const MAX_QMP_OUT_OF_BAND = 8;

/**
 * Less TCP payload than this crosses the link between the hosts itself: digests of it would save little, and a small
 * answer would wait for the other guest's and perhaps for a question more.
 */
export const MIN_DIGESTED_BYTES = 512;

/** So much has one digest where the frame does not tell how it is to be cut: a segment with timestamps on Ethernet. */
export const UNSEGMENTED_CHUNK_BYTES = 1448;

/** Frames whose bytes can still be asked for; a power of two. At the least payload they are 8 MiB. */
export const DIGEST_RING_RECORDS = 1 << 14;

/** Bytes of the same: a window of 4 MiB (the most that Linux sends by default) of four connections. */
export const DIGEST_RING_BYTES = 16 << 20;

/**
 * What waits on the primary for the PVM's bytes: records of 200 to 600 bytes, and such as stand behind them. More is
 * not known (`digests_overflowed`), and a checkpoint mends it.
 */
export const MAX_WAITING_RECORDS = 8192;
export const MAX_WAITING_RECORDS_OF_FLOW = 2048;
/** Bytes of these and of what was fetched for them, as a power of two: 8 MiB. */
export const WAITING_BYTES_LOG2 = 23;
/** Flows that have such. */
export const MAX_WAITING_FLOWS = 4096;

/**
 * At the end of a batch the PVM may have said a part of what a digest speaks of. The rest of a small answer is fetched
 * at once, as both guests may wait for it; more of a large one is on its way, and is awaited for so long (ms).
 */
export const DIGEST_AT_ONCE_BYTES = 8192;
export const DIGEST_PATIENCE_MS = 2;

/** What the SVM has said and the PVM has not for so long is fetched: how long is too long the comparison knows. */
export const DIGEST_AHEAD_MS = 100;

/** A fetch is two ways through the link and a look into a ring. After so long (ms) it is not answered any more. */
export const FETCH_ANSWER_MS = 5000;
