// How long a flow may be idle before it is forgotten. The values are those of Linux's conntrack
// (Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_*_timeout), in milliseconds.

import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '../packet/view';

export interface TcpTimeouts {
  synSentMs: number;
  synReceivedMs: number;
  establishedMs: number;
  /** One side has sent its FIN, the other has not. */
  halfClosedMs: number;
  lastAckMs: number;
  timeWaitMs: number;
  /** A RST was seen. */
  closedMs: number;
}

export const TCP_TIMEOUTS: Readonly<TcpTimeouts> = {
  synSentMs: 120_000, // nf_conntrack_tcp_timeout_syn_sent
  synReceivedMs: 60_000, // nf_conntrack_tcp_timeout_syn_recv
  establishedMs: 432_000_000, // nf_conntrack_tcp_timeout_established: five days
  halfClosedMs: 120_000, // nf_conntrack_tcp_timeout_fin_wait; close_wait would be 60 s, the longer one is kept for both
  lastAckMs: 30_000, // nf_conntrack_tcp_timeout_last_ack
  timeWaitMs: 120_000, // nf_conntrack_tcp_timeout_time_wait
  closedMs: 10_000, // nf_conntrack_tcp_timeout_close
};

export const UDP_TIMEOUT_MS = 30_000; // nf_conntrack_udp_timeout
/** A UDP flow that has lasted: more than an exchange of two packets. */
export const UDP_STREAM_TIMEOUT_MS = 120_000; // nf_conntrack_udp_timeout_stream
export const ICMP_TIMEOUT_MS = 30_000; // nf_conntrack_icmp_timeout, nf_conntrack_icmpv6_timeout
export const GENERIC_TIMEOUT_MS = 600_000; // nf_conntrack_generic_timeout

/** The greatest deadline that a flow may have; the timer wheel's arithmetic allows for 24 days. */
export const GREATEST_TIMEOUT_MS = 20 * 86_400_000;

/** Idle timeout of a flow that is not TCP. `lasting`: packets were seen over more than two seconds. */
export function idleTimeoutMs(protocol: number, lasting: boolean): number {
  switch (protocol) {
    case IPPROTO_UDP:
      return lasting ? UDP_STREAM_TIMEOUT_MS : UDP_TIMEOUT_MS;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return ICMP_TIMEOUT_MS;
    case IPPROTO_TCP:
      return TCP_TIMEOUTS.establishedMs;
    default:
      return GENERIC_TIMEOUT_MS;
  }
}
