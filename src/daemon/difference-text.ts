// What differed, in words and hex, for the log: never more than a line's worth of the guests' data.

import { X_PRIMARY_ISN, X_FLAGS, XF_PRIMARY_ISN } from '../conntrack/colo-extension';
import { FLOW_GUEST, FLOW_META, FLOW_PEER, FLOW_PORTS } from '../conntrack/flow-table';
import { formatAddress } from '../packet/address';
import type { PrimaryEngine } from '../pmycolo/engine';

const SHOWN_BYTES = 16;

export function describeFlow(words: Uint32Array, flow: number): string {
  const meta = words[flow + FLOW_META]!;
  const family = meta >>> 8 === 4 ? 4 : 6;
  const ports = words[flow + FLOW_PORTS]!;
  const guest = formatAddress(family, words, flow + FLOW_GUEST);
  const peer = formatAddress(family, words, flow + FLOW_PEER);
  const end = (address: string, port: number): string => (family === 4 ? `${address}:${port}` : `[${address}]:${port}`);
  return `${PROTOCOLS[meta & 0xff] ?? `proto ${meta & 0xff}`} ${end(guest, ports >>> 16)} > ${end(peer, ports & 0xffff)}`;
}

const PROTOCOLS: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

/** Flow, offset in the stream, and both sides' bytes from the first differing one on. Empty when nothing differed. */
export function describeDifference(engine: PrimaryEngine): Record<string, unknown> {
  const d = engine.difference;
  if (d.flow < 0) return {};
  const words = engine.context.flows.words;
  const known = (words[d.flow + X_FLAGS]! & XF_PRIMARY_ISN) !== 0;
  const out: Record<string, unknown> = {
    flow: describeFlow(words, d.flow),
    streamOffset: known ? (d.position - words[d.flow + X_PRIMARY_ISN]! - 1) >>> 0 : d.position,
  };
  if (d.primary !== undefined) out.primary = hex(d.primary, d.primaryOffset, d.primaryBytes);
  if (d.secondary !== undefined) out.secondary = hex(d.secondary, d.secondaryOffset, d.secondaryBytes);
  return out;
}

function hex(buf: Buffer, off: number, bytes: number): string {
  return buf.toString('hex', off, off + Math.min(bytes, SHOWN_BYTES));
}
