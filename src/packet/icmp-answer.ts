// ICMP messages that a guest sends because a peer has sent something: replies, and errors (RFC 792, RFC 4443). How many
// it gives is bounded by its own rate limits (RFC 1812 4.3.2.8, RFC 4443 2.4 f), so two equal guests need not answer
// the same ones.

import { read32 } from '../core/big-endian';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, type PacketView } from './view';

const ICMP_ECHO_REPLY = 0; // ICMP_ECHOREPLY
const ICMP_UNREACHABLE = 3; // ICMP_DEST_UNREACH
const ICMP_TIME_EXCEEDED = 11; // ICMP_TIME_EXCEEDED
const ICMP_PARAMETER_PROBLEM = 12; // ICMP_PARAMETERPROB
const ICMP_TIMESTAMP_REPLY = 14; // ICMP_TIMESTAMPREPLY
const ICMPV6_UNREACHABLE = 1; // ICMPV6_DEST_UNREACH
const ICMPV6_PARAMETER_PROBLEM = 4; // ICMPV6_PARAMPROB
const ICMPV6_ECHO_REPLY = 129; // ICMPV6_ECHO_REPLY

export function isIcmpAnswer(v: PacketView): boolean {
  return isReply(v) || isError(v);
}

function isReply(v: PacketView): boolean {
  const t = v.icmpType;
  if (v.protocol === IPPROTO_ICMP) return v.family === 4 && (t === ICMP_ECHO_REPLY || t === ICMP_TIMESTAMP_REPLY);
  return v.protocol === IPPROTO_ICMPV6 && v.family === 6 && t === ICMPV6_ECHO_REPLY;
}

function isError(v: PacketView): boolean {
  const t = v.icmpType;
  if (v.protocol === IPPROTO_ICMP) {
    return v.family === 4 && (t === ICMP_UNREACHABLE || t === ICMP_TIME_EXCEEDED || t === ICMP_PARAMETER_PROBLEM);
  }
  return v.protocol === IPPROTO_ICMPV6 && v.family === 6 && t >= ICMPV6_UNREACHABLE && t <= ICMPV6_PARAMETER_PROBLEM;
}

/**
 * Of the quote: an IP header without options or extensions, and the first eight bytes behind, of which an error must
 * quote all.
 */
const QUOTE_BYTES_4 = 28;
const QUOTE_BYTES_6 = 48;

/** Zone, family and protocol; kind and length; addresses; what is answered. */
export const ANSWER_KEY_WORDS = 2 + 8 + QUOTE_BYTES_6 / 4;

/**
 * Which packet is answered: for a reply its identifier and sequence number, for an error the packet that it
 * quotes.
 */
export function answerKey(key: Uint32Array, v: PacketView): void {
  const reply = isReply(v);
  const from = v.l4 + (reply ? 4 : 8);
  const most = reply ? 4 : v.family === 4 ? QUOTE_BYTES_4 : QUOTE_BYTES_6;
  const bytes = Math.max(0, Math.min(most, v.end - from));
  key[0] = ((v.zone << 16) | (v.family << 8) | v.protocol) >>> 0;
  // Errors of any type and code answer the same packet.
  key[1] = ((reply ? v.icmpType + 1 : 0) << 16) | bytes;
  key[2] = v.src0;
  key[3] = v.src1;
  key[4] = v.src2;
  key[5] = v.src3;
  key[6] = v.dst0;
  key[7] = v.dst1;
  key[8] = v.dst2;
  key[9] = v.dst3;
  key.fill(0, 10);
  for (let i = 0; i < bytes; i++) {
    if (bytes - i >= 4 && (i & 3) === 0) {
      key[10 + (i >>> 2)] = read32(v.buf, from + i);
      i += 3;
    } else key[10 + (i >>> 2)]! |= v.buf[from + i]! << (24 - ((i & 3) << 3));
  }
}
