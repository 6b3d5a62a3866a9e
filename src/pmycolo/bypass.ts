// Bypass rules: traffic that the operator takes out of the comparison, because it never agrees and need not survive.

import { FAMILY_LINK, IPPROTO_TCP, IPPROTO_UDP, type PacketView } from '../packet/view';

/** Which end's port (and address) a rule speaks of. */
export type BypassEnd = 'guest' | 'peer' | 'either';

export interface BypassRule {
  /** Protocol number; undefined = any. */
  protocol?: number;
  family?: 4 | 6;
  /** Address words (an IPv4 address in the first) and prefix length; undefined = any. */
  address?: readonly [number, number, number, number];
  prefixBits?: number;
  /** Inclusive range of TCP or UDP ports; undefined = any, also where there are none. */
  firstPort?: number;
  lastPort?: number;
  end: BypassEnd;
}

/** At most so many rules: each packet is held against all of them. */
export const MAX_BYPASS_RULES = 256;

/** Does one of the rules take this packet (sent by the guest) out of the comparison? */
export function bypasses(rules: readonly BypassRule[], v: PacketView): boolean {
  if (v.family === FAMILY_LINK) return false;
  // What stands in the view's ports for others (an echo's id, or 0) is no port that an operator means.
  const hasPorts = !v.fragment && (v.protocol === IPPROTO_TCP || v.protocol === IPPROTO_UDP);
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!;
    if (rule.protocol !== undefined && rule.protocol !== v.protocol) continue;
    if (rule.firstPort !== undefined && !hasPorts) continue;
    if (rule.family !== undefined && rule.family !== v.family) continue;
    if (rule.end !== 'peer' && matchesEnd(rule, v.family, v.src0, v.src1, v.src2, v.src3, v.srcPort)) return true;
    if (rule.end !== 'guest' && matchesEnd(rule, v.family, v.dst0, v.dst1, v.dst2, v.dst3, v.dstPort)) return true;
  }
  return false;
}

function matchesEnd(
  rule: BypassRule,
  family: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  port: number,
): boolean {
  if (rule.firstPort !== undefined && (port < rule.firstPort || port > (rule.lastPort ?? rule.firstPort))) return false;
  const address = rule.address;
  if (address === undefined) return true;
  const bits = rule.prefixBits ?? (family === 4 ? 32 : 128);
  return (
    matchesWord(a0, address[0], bits) &&
    matchesWord(a1, address[1], bits - 32) &&
    matchesWord(a2, address[2], bits - 64) &&
    matchesWord(a3, address[3], bits - 96)
  );
}

function matchesWord(word: number, wanted: number, bits: number): boolean {
  if (bits <= 0) return true;
  if (bits >= 32) return word === wanted;
  return word >>> (32 - bits) === wanted >>> (32 - bits);
}
