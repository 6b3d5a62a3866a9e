// What the secondary's engine counts. One slot a name; the packet path only adds.

import { Counters } from '../core/counters';

export const SECONDARY_COUNTER_NAMES = [
  'peer_packets',
  'guest_packets',
  /** Packets that were changed in place. */
  'peer_rewritten',
  'guest_rewritten',
  /** Passed as they are: the guest's stack judges them. */
  'peer_malformed',
  /** Dropped. */
  'guest_malformed',
  /**
   * TCP options that lead nowhere: from the peer the rest of the packet is translated, from the guest it is dropped.
   */
  'malformed_options',
  'peer_fragments',
  'guest_fragments',
  /** Offsets learned, by who opened the connection. */
  'learned_client_opened',
  'learned_guest_opened',
  /** A tuple was used again by a new connection. */
  'reopened',
  /** Connections whose ISN cannot be derived (data before the handshake's end): never translated. */
  'ambiguous',
  /** Connections signed by TCP-MD5 or TCP-AO: never rewritten. */
  'signed',
  /** SYNs with a Fast Open option. */
  'fast_open',
  /** MPTCP options taken off SYNs. */
  'mptcp_removed',
  /** Packets of the guest on connections that found the table full of live ones: not translated. */
  'flow_table_full',
  /** Flows that gave way to new ones. */
  'flows_evicted',
  'flows_expired',
  /** FINs and RSTs of the peer outside the guest's window: passed on, not believed. */
  'stray_ends',
  /** Timestamp echoes on segments outside the guest's window: not noted. */
  'stray_echoes',
  /** RSTs that refuse a connection of the guest. */
  'refusals',
  /**
   * RSTs of the guest that were dropped after a failover, because they would have ended a handshake begun before it.
   */
  'handshake_resets',
  /** SYNs of such handshakes that were held back for a moment, for the same reason. */
  'handshake_syns',
  /** Times that a timestamp offset was raised after a failover. */
  'timestamps_raised',
  /**
   * Segments made at a failover that give a peer the guest's acknowledgement, or ask it for its
   * own.
   */
  'reminders',
  'icmp_translated',
  /** ICMP errors about TCP whose quotation is too short or too unusual to be matched. */
  'icmp_unreadable',
  'checkpoints_done',
  /**
   * After a checkpoint the guest has shown the new numbers; or the old ones: it never came about, and the old offsets
   * are back.
   */
  'checkpoints_confirmed',
  'checkpoints_missed',
  /** Segments of peers that had to wait after a failover until that was known. */
  'peer_waited',
  /** Segments of the guest that were dropped after a failover because it was not known yet. */
  'guest_undecided',
  'failovers_done',
] as const;
export type SecondaryCounterName = (typeof SECONDARY_COUNTER_NAMES)[number];

export class SecondaryCounters extends Counters<SecondaryCounterName> {
  constructor() {
    super(SECONDARY_COUNTER_NAMES);
  }
}

const at = (name: SecondaryCounterName): number => SECONDARY_COUNTER_NAMES.indexOf(name);

export const C_PEER_PACKETS = at('peer_packets');
export const C_GUEST_PACKETS = at('guest_packets');
export const C_PEER_REWRITTEN = at('peer_rewritten');
export const C_GUEST_REWRITTEN = at('guest_rewritten');
export const C_PEER_MALFORMED = at('peer_malformed');
export const C_GUEST_MALFORMED = at('guest_malformed');
export const C_MALFORMED_OPTIONS = at('malformed_options');
export const C_PEER_FRAGMENTS = at('peer_fragments');
export const C_GUEST_FRAGMENTS = at('guest_fragments');
export const C_LEARNED_CLIENT_OPENED = at('learned_client_opened');
export const C_LEARNED_GUEST_OPENED = at('learned_guest_opened');
export const C_REOPENED = at('reopened');
export const C_AMBIGUOUS = at('ambiguous');
export const C_SIGNED = at('signed');
export const C_FAST_OPEN = at('fast_open');
export const C_MPTCP_REMOVED = at('mptcp_removed');
export const C_FLOW_TABLE_FULL = at('flow_table_full');
export const C_FLOWS_EVICTED = at('flows_evicted');
export const C_FLOWS_EXPIRED = at('flows_expired');
export const C_STRAY_ENDS = at('stray_ends');
export const C_STRAY_ECHOES = at('stray_echoes');
export const C_REFUSALS = at('refusals');
export const C_HANDSHAKE_RESETS = at('handshake_resets');
export const C_HANDSHAKE_SYNS = at('handshake_syns');
export const C_TIMESTAMPS_RAISED = at('timestamps_raised');
export const C_REMINDERS = at('reminders');
export const C_ICMP_TRANSLATED = at('icmp_translated');
export const C_ICMP_UNREADABLE = at('icmp_unreadable');
export const C_CHECKPOINTS = at('checkpoints_done');
export const C_CHECKPOINTS_CONFIRMED = at('checkpoints_confirmed');
export const C_CHECKPOINTS_MISSED = at('checkpoints_missed');
export const C_PEER_WAITED = at('peer_waited');
export const C_GUEST_UNDECIDED = at('guest_undecided');
export const C_FAILOVERS = at('failovers_done');
