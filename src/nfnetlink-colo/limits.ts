// Every bound of the control channel, with its reason.

/** Messages taken from one datagram. Controllers send one; more than this is somebody's mistake. */
export const MAX_MESSAGES_PER_DATAGRAM = 64;

/** A datagram longer than this is answered with EINVAL unread. The longest request is a bypass rule. */
export const MAX_REQUEST_BYTES = 16384;

/** An error echoes the request up to this length, more of it helps nobody. */
export const MAX_ECHO_BYTES = 1024;

/** The text of an error; some quote the request. */
export const MAX_WHY_CHARACTERS = 500;

/**
 * JSON in one message. With its header it stays inside two pages, so a receiver's default buffer takes about twenty of
 * them.
 */
export const PART_BYTES = 7168;

/** A whole JSON reply. Hundreds of nodes stay below. */
export const MAX_REPLY_BYTES = 1 << 20;

/** What waits for one slow reader: the longest reply, and some answers. Beyond it, answers to that reader are lost. */
export const MAX_WAITING_BYTES = MAX_REPLY_BYTES + (1 << 18);

/** What waits for all slow readers together. */
export const MAX_WAITING_BYTES_ALL = 4 * MAX_WAITING_BYTES;

/** Between two looks at whether the controllers' netlink ports are still there: a loss is noticed by the next look. */
export const PROBE_PERIOD_MS = 1000;

/** After a restart of the daemon a controller on a Unix socket has this long to come back, before it counts as lost. */
export const REATTACH_MS = 2000;
