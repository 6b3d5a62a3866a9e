// What two SYNs (or SYN/ACKs) must agree on: MSS, window scale, SACK-permitted and whether timestamps are used
// (RFC 9293, RFC 7323, RFC 2018). Packed in one word so that a comparison is one test.

import type { TcpOptions } from '../packet/tcp-options';

const NO_SCALE = 31;

export function packSynOptions(o: TcpOptions, withAck: boolean): number {
  const mss = Math.max(o.mss, 0);
  const scale = o.windowScale < 0 ? NO_SCALE : Math.min(o.windowScale, 14);
  const sack = o.sackPermitted ? 1 : 0;
  const ts = o.timestampOffset >= 0 ? 1 : 0;
  return (mss | (scale << 16) | (sack << 21) | (ts << 22) | (withAck ? 1 << 23 : 0)) >>> 0;
}

/** Window scale of packed options, or -1 when the option was absent. */
export function synWindowScale(packed: number): number {
  const scale = (packed >>> 16) & 31;
  return scale === NO_SCALE ? -1 : scale;
}

/**
 * Do two SYNs of one side and one connection offer the same? A SYN may be retransmitted as a SYN/ACK (simultaneous
 * open).
 */
export function sameSynOffer(a: number, b: number): boolean {
  return ((a ^ b) & ~(1 << 23)) === 0;
}

/** Was it a SYN/ACK? */
export function synHasAck(packed: number): boolean {
  return (packed & (1 << 23)) !== 0;
}

/** For messages: `mss 1460 wscale 7 sack ts`. */
export function formatSynOptions(packed: number): string {
  const scale = synWindowScale(packed);
  const parts = [`mss ${packed & 0xffff}`];
  if (scale >= 0) parts.push(`wscale ${scale}`);
  if (packed & (1 << 21)) parts.push('sack');
  if (packed & (1 << 22)) parts.push('ts');
  return parts.join(' ');
}
