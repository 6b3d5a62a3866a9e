// What differed, in words and hex, for the log: never more than a line's worth of the guests' data.

import { X_FLAGS, X_PRIMARY_ISN, XF_PRIMARY_ISN } from '../compare/flow-words';
import { formatAddress, formatMac } from '../packet/address';
import { FLOW_GUEST, FLOW_META, FLOW_PEER, FLOW_PORTS, metaFamily, metaProtocol, metaZone } from '../packet/tuple';
import { FAMILY_LINK } from '../packet/view';
import type { PrimaryEngine } from './engine';

const SHOWN_BYTES = 16;

/** What a zone is called: ` vlan 5`, or nothing. */
export type ZoneText = (zone: number) => string;

/**
 * `tcp 10.0.0.1:80 > 10.0.0.2:40000`, `ethertype 0x88cc 52:54:00:00:00:01 > 01:80:c2:00:00:0e`; behind it what zoneText
 * has.
 */
export function describeFlow(words: Uint32Array, flow: number, zoneText: ZoneText): string {
  const meta = words[flow + FLOW_META]!;
  const zone = zoneText(metaZone(meta));
  const ports = words[flow + FLOW_PORTS]!;
  if (metaFamily(meta) === FAMILY_LINK) {
    const type = (ports >>> 16).toString(16).padStart(4, '0');
    return `ethertype 0x${type} ${macAt(words, flow + FLOW_GUEST)} > ${macAt(words, flow + FLOW_PEER)}${zone}`;
  }
  const family = metaFamily(meta) === 4 ? 4 : 6;
  const protocol = metaProtocol(meta);
  const guest = formatAddress(family, words, flow + FLOW_GUEST);
  const peer = formatAddress(family, words, flow + FLOW_PEER);
  const end = (address: string, port: number): string => (family === 4 ? `${address}:${port}` : `[${address}]:${port}`);
  return `${PROTOCOLS[protocol] ?? `proto ${protocol}`} ${end(guest, ports >>> 16)} > ${end(peer, ports & 0xffff)}${zone}`;
}

const PROTOCOLS: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

/** Flow, offset in the stream, and both sides' bytes from the first differing one on. Empty when nothing differed. */
export function describeDifference(engine: PrimaryEngine, zoneText: ZoneText = () => ''): Record<string, unknown> {
  const d = engine.difference;
  if (d.flow < 0) return {};
  const words = engine.context.flows.words;
  const known = (words[d.flow + X_FLAGS]! & XF_PRIMARY_ISN) !== 0;
  const out: Record<string, unknown> = {
    flow: describeFlow(words, d.flow, zoneText),
    streamOffset: known ? (d.position - words[d.flow + X_PRIMARY_ISN]! - 1) >>> 0 : d.position,
  };
  if (d.primary !== undefined) out.primary = hex(d.primary, d.primaryOffset, d.primaryBytes);
  if (d.secondary !== undefined) out.secondary = hex(d.secondary, d.secondaryOffset, d.secondaryBytes);
  return out;
}

/** A MAC address stands in the first word and the lower half of the second. */
function macAt(words: Uint32Array, at: number): string {
  const mac = Buffer.alloc(6);
  mac.writeUInt32BE(words[at]!, 0);
  mac.writeUInt16BE(words[at + 1]!, 4);
  return formatMac(mac);
}

function hex(buf: Buffer, off: number, bytes: number): string {
  return buf.toString('hex', off, off + Math.min(bytes, SHOWN_BYTES));
}
