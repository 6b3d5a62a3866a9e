// What the primary's engine counts. One slot a name; the packet path only adds.

import { CHECKPOINT_CAUSES } from '../compare/outcome';
import { Counters } from '../core/counters';

export const PRIMARY_COUNTER_NAMES = [
  'primary_packets',
  'primary_bytes',
  'secondary_packets',
  'secondary_bytes',
  'released_packets',
  'released_bytes',
  'rewritten_packets',
  'dropped_packets',
  'held_total',
  'compared_packets',
  'packets_in_step',
  'probes_sent',
  'prefixes_sent',
  'prefix_bytes',
  'prefixes_unsent',
  'left_in_two',
  'prefix_list_full',
  'held_already_left',
  /** The PVM's first reset behind both ends, of a connection that it has forgotten and the SVM has not. */
  'late_reset_dropped',
  'ack_lowered',
  'window_lowered',
  'timestamp_raised',
  'ack_repeated',
  'echo_raised',
  'sack_removed',
  'mptcp_removed',
  'options_removed',
  'fields_cleared',
  'ip_cleared',
  'keepalive_restored',
  'signature_seen',
  'signed_dropped',
  'primary_unprotected',
  'primary_infrastructure',
  'secondary_infrastructure',
  'primary_bypassed',
  'secondary_bypassed',
  'primary_malformed',
  'secondary_malformed',
  'primary_fragments',
  'secondary_fragments',
  'primary_opaque',
  'secondary_opaque',
  'primary_answers_dropped',
  'secondary_answers_dropped',
  'primary_reopened',
  'secondary_reopened',
  'secondary_unmatched',
  'numbers_unknown',
  'secondary_paused',
  'secondary_settling',
  'primary_flow_table_full',
  'secondary_flow_table_full',
  'primary_held_full',
  'primary_log_full',
  'secondary_log_full',
  'flows_expired',
  'flows_evicted',
  'flows_reset_by_peer',
  'checkpoints_done',
  'requests_delayed',
  'address_questions_full',
  'time_classes_evicted',
  'divergences',
] as const;
export type PrimaryCounterName = (typeof PRIMARY_COUNTER_NAMES)[number];

const at = (name: PrimaryCounterName): number => PRIMARY_COUNTER_NAMES.indexOf(name);

export const C_PRIMARY_PACKETS = at('primary_packets');
export const C_PRIMARY_BYTES = at('primary_bytes');
export const C_SECONDARY_PACKETS = at('secondary_packets');
export const C_SECONDARY_BYTES = at('secondary_bytes');
export const C_RELEASED_PACKETS = at('released_packets');
export const C_RELEASED_BYTES = at('released_bytes');
export const C_REWRITTEN = at('rewritten_packets');
export const C_DROPPED = at('dropped_packets');
export const C_HELD_TOTAL = at('held_total');
export const C_COMPARED = at('compared_packets');
/** Of the PVM, released at once with the SVM's like them: neither was held. */
export const C_IN_STEP = at('packets_in_step');
export const C_PROBES = at('probes_sent');
export const C_PREFIXES_SENT = at('prefixes_sent');
export const C_PREFIX_BYTES = at('prefix_bytes');
export const C_PREFIXES_UNSENT = at('prefixes_unsent');
/** Content with a lowered acknowledgement, as two segments, so that the peer does not put its own off. */
export const C_LEFT_IN_TWO = at('left_in_two');
export const C_PREFIX_LIST_FULL = at('prefix_list_full');
export const C_HELD_ALREADY_LEFT = at('held_already_left');
export const C_LATE_RESET_DROPPED = at('late_reset_dropped');
export const C_ACK_LOWERED = at('ack_lowered');
export const C_WINDOW_LOWERED = at('window_lowered');
export const C_TIMESTAMP_RAISED = at('timestamp_raised');
export const C_ACK_REPEATED = at('ack_repeated');
export const C_ECHO_RAISED = at('echo_raised');
export const C_SACK_REMOVED = at('sack_removed');
export const C_MPTCP_REMOVED = at('mptcp_removed');
/** Other TCP options that nobody compares. */
export const C_OPTIONS_REMOVED = at('options_removed');
/** Fields of TCP headers that mean nothing, cleared. */
export const C_FIELDS_CLEARED = at('fields_cleared');
/** Packets whose IPv4 options, reserved bits or bytes behind the packet were taken off. */
export const C_IP_CLEARED = at('ip_cleared');
/** Keepalives whose garbage byte was replaced by what stands there in the stream. */
export const C_KEEPALIVE_RESTORED = at('keepalive_restored');
export const C_SIGNATURE = at('signature_seen');
export const C_SIGNED_DROPPED = at('signed_dropped');
export const C_UNPROTECTED = at('primary_unprotected');
export const C_PRIMARY_INFRASTRUCTURE = at('primary_infrastructure');
export const C_SECONDARY_INFRASTRUCTURE = at('secondary_infrastructure');
export const C_PRIMARY_BYPASSED = at('primary_bypassed');
export const C_SECONDARY_BYPASSED = at('secondary_bypassed');
export const C_PRIMARY_MALFORMED = at('primary_malformed');
export const C_SECONDARY_MALFORMED = at('secondary_malformed');
export const C_PRIMARY_FRAGMENTS = at('primary_fragments');
export const C_SECONDARY_FRAGMENTS = at('secondary_fragments');
export const C_PRIMARY_OPAQUE = at('primary_opaque');
export const C_SECONDARY_OPAQUE = at('secondary_opaque');
/** ICMP answers that only one guest gave. */
export const C_PRIMARY_ANSWERS = at('primary_answers_dropped');
export const C_SECONDARY_ANSWERS = at('secondary_answers_dropped');
export const C_PRIMARY_REOPENED = at('primary_reopened');
export const C_SECONDARY_REOPENED = at('secondary_reopened');
export const C_SECONDARY_UNMATCHED = at('secondary_unmatched');
export const C_NUMBERS_UNKNOWN = at('numbers_unknown');
export const C_SECONDARY_PAUSED = at('secondary_paused');
export const C_SECONDARY_SETTLING = at('secondary_settling');
export const C_PRIMARY_FLOWS_FULL = at('primary_flow_table_full');
export const C_SECONDARY_FLOWS_FULL = at('secondary_flow_table_full');
export const C_HELD_FULL = at('primary_held_full');
export const C_PRIMARY_LOG_FULL = at('primary_log_full');
export const C_SECONDARY_LOG_FULL = at('secondary_log_full');
export const C_FLOWS_EXPIRED = at('flows_expired');
export const C_FLOWS_EVICTED = at('flows_evicted');
export const C_RESET_BY_PEER = at('flows_reset_by_peer');
export const C_CHECKPOINTS = at('checkpoints_done');
export const C_QUESTIONS_FULL = at('address_questions_full');
export const C_CLASSES_EVICTED = at('time_classes_evicted');
export const C_REQUESTS_DELAYED = at('requests_delayed');
export const C_DIVERGENCES = at('divergences');

/** Upper bounds of the hold-time histogram's buckets, in ms; one more bucket takes the rest. */
export const HOLD_BUCKETS_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

export class PrimaryCounters extends Counters<PrimaryCounterName> {
  /** Checkpoint requests by cause, in the order of CHECKPOINT_CAUSES. */
  readonly requests = new Float64Array(CHECKPOINT_CAUSES.length);
  readonly holdBuckets = new Float64Array(HOLD_BUCKETS_MS.length + 1);
  holdMsSum = 0;

  constructor() {
    super(PRIMARY_COUNTER_NAMES);
  }

  noteHold(ms: number): void {
    this.holdMsSum += ms;
    let i = 0;
    while (i < HOLD_BUCKETS_MS.length && ms > HOLD_BUCKETS_MS[i]!) i++;
    this.holdBuckets[i]!++;
  }

  requestsByCause(): Record<string, number> {
    const out: Record<string, number> = {};
    for (let i = 0; i < CHECKPOINT_CAUSES.length; i++) out[CHECKPOINT_CAUSES[i]!] = this.requests[i]!;
    return out;
  }
}
