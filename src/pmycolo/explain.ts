// What the engine knows of a flow, for logs and reports: what differs, what is verified, what is held or ahead and why.
// Nobody else reads the words of a flow's record for that. Never called per packet.

import * as f from '../compare/flow-words';
import { R_AT, R_BYTES, R_COPY, R_COPY_BYTES, R_SEQ } from '../compare/packet-log';
import { formatSynOptions } from '../compare/tcp-syn';
import { seqDiff } from '../core/seq32';
import { formatAddress, formatMac } from '../packet/address';
import { parseIp } from '../packet/parse';
import { FLOW_GUEST, FLOW_META, FLOW_PEER, FLOW_PORTS, metaFamily, metaProtocol, metaZone } from '../packet/tuple';
import { FAMILY_LINK, IPPROTO_TCP, PacketView } from '../packet/view';
import type { PrimaryEngine } from './engine';
import { H_RECORD } from './holds';

/** Of the guests' data in a log line. */
const LOGGED_BYTES = 16;

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
  const out: Record<string, unknown> = {
    flow: describeFlow(engine.context.flows.words, d.flow, zoneText),
    streamOffset: streamOffset(engine, d.flow, d.position) ?? d.position,
  };
  if (d.primary !== undefined) out.primary = hex(d.primary, d.primaryOffset, d.primaryBytes);
  if (d.secondary !== undefined) out.secondary = hex(d.secondary, d.secondaryOffset, d.secondaryBytes);
  return out;
}

export function isTcp(engine: PrimaryEngine, flow: number): boolean {
  return metaProtocol(engine.context.flows.words[flow + FLOW_META]!) === IPPROTO_TCP;
}

/** Bytes of the PVM's stream before a position in its numbers; undefined: where it begins is not known. */
export function streamOffset({ context }: PrimaryEngine, flow: number, position: number): number | undefined {
  const w = context.flows.words;
  const known = (w[flow + f.X_FLAGS]! & f.XF_PRIMARY_ISN) !== 0;
  return known ? (position - w[flow + f.X_PRIMARY_ISN]! - 1) >>> 0 : undefined;
}

/** The verified range [base, verified) of the connection that the PVM began with isn; undefined: it has none yet. */
export function verifiedRange(
  { context }: PrimaryEngine,
  flow: number,
): { isn: number; base: number; verified: number } | undefined {
  const w = context.flows.words;
  if ((w[flow + f.X_FLAGS]! & f.XF_BASED) === 0) return undefined;
  return { isn: w[flow + f.X_PRIMARY_ISN]!, base: w[flow + f.X_BASE]!, verified: w[flow + f.X_VERIFIED]! };
}

/** Bytes that wait: [at, at+bytes) of buf; `position` is that of the first in its stream, 0 without one. */
export interface WaitingBytes {
  position: number;
  buf: Buffer;
  at: number;
  bytes: number;
}

/** The first bytes of one side that the other has not sent, from the verified range on; undefined: none are kept. */
export function firstPending(engine: PrimaryEngine, flow: number, ofPrimary: boolean): WaitingBytes | undefined {
  const { flows, log } = engine.context;
  const w = flows.words;
  const head = w[flow + (ofPrimary ? f.X_PRIMARY_HEAD : f.X_SECONDARY_HEAD)]!;
  if (head === 0) return undefined;
  const r = log.recordIndex(head);
  const at = log.words[r + R_AT]!;
  const bytes = log.words[r + R_BYTES]!;
  if (!isTcp(engine, flow)) return { position: 0, buf: log.data, at, bytes };
  const seq = log.words[r + R_SEQ]!;
  const based = (w[flow + f.X_FLAGS]! & f.XF_BASED) !== 0;
  const skip = based ? Math.min(bytes, Math.max(0, seqDiff(w[flow + f.X_VERIFIED]!, seq))) : 0;
  return { position: (seq + skip) >>> 0, buf: log.data, at: at + skip, bytes: bytes - skip };
}

export interface HeldContent extends WaitingBytes {
  /** TCP: its flags, where the packet waits for something else than for its bytes. */
  flags?: number;
}

/** The first held packet whose content the SVM has not sent; undefined: none is held for that. */
export function firstHeld(engine: PrimaryEngine, flow: number): HeldContent | undefined {
  const { handlers, holds, log } = engine.context;
  const slot = handlers.ofFlow(flow).firstUnverified(flow);
  if (slot === 0) return undefined;
  const r = log.recordIndex(holds.words[holds.index(slot) + H_RECORD]!);
  if (!isTcp(engine, flow))
    return { position: 0, buf: log.data, at: log.words[r + R_AT]!, bytes: log.words[r + R_BYTES]! };
  const pending = firstPending(engine, flow, true);
  if (pending !== undefined) return pending;
  const v = new PacketView();
  parseIp(v, log.data, log.words[r + R_COPY]!, log.words[r + R_COPY_BYTES]!);
  return { position: v.seq, buf: log.data, at: v.payload, bytes: v.payloadBytes, flags: v.flags };
}

/** What the SVM alone has sent, apart from bytes that are kept (firstPending); undefined: nothing. */
export function secondaryRest(
  { context }: PrimaryEngine,
  flow: number,
): 'bytes' | 'other SYN options' | 'SYN' | 'RST' | 'FIN' | undefined {
  if (!context.handlers.ofFlow(flow).isAhead(flow)) return undefined;
  const w = context.flows.words;
  const flags = w[flow + f.X_FLAGS]!;
  if (w[flow + f.X_SECONDARY_HEAD] !== 0) return 'bytes';
  if ((w[flow + f.X_ODD]! & f.XO_SECONDARY_OFFER) !== 0) return 'other SYN options';
  if ((flags & f.XF_SECONDARY_SYN) !== 0) return 'SYN';
  return (flags & f.XF_SECONDARY_RST) !== 0 && (flags & f.XF_PRIMARY_RST) === 0 ? 'RST' : 'FIN';
}

/** The SVM's SYN came, and does not belong to the PVM's connection. */
export function isMismatched({ context }: PrimaryEngine, flow: number): boolean {
  const flags = context.flows.words[flow + f.X_FLAGS]!;
  return (flags & f.XF_MATCHED) === 0 && (flags & f.XF_SECONDARY_SYN) !== 0;
}

/** Bytes that are missing behind the verified range, before either side's next bytes or end; 0: none are known. */
export function missingBytes(engine: PrimaryEngine, flow: number): number {
  if (flow < 0) return 0;
  const both = [
    gapBefore(engine, flow, f.X_PRIMARY_HEAD, f.XF_PRIMARY_FIN, f.X_PRIMARY_FIN),
    gapBefore(engine, flow, f.X_SECONDARY_HEAD, f.XF_SECONDARY_FIN, f.X_SECONDARY_FIN),
  ].filter((bytes) => bytes > 0);
  return both.length === 0 ? 0 : Math.min(...both);
}

function gapBefore({ context }: PrimaryEngine, flow: number, headAt: number, finKnown: number, finAt: number): number {
  const { flows, log } = context;
  const w = flows.words;
  const flags = w[flow + f.X_FLAGS]!;
  if ((flags & (f.XF_BASED | f.XF_MATCHED)) !== (f.XF_BASED | f.XF_MATCHED)) return 0;
  const head = w[flow + headAt]!;
  if (head === 0 && (flags & finKnown) === 0) return 0;
  const next = head !== 0 ? log.words[log.recordIndex(head) + R_SEQ]! : w[flow + finAt]!;
  return seqDiff(next, w[flow + f.X_VERIFIED]!);
}

/** Both sides' SYN options, in words. */
export function synOffers({ context }: PrimaryEngine, flow: number): { primary: string; secondary: string } {
  const w = context.flows.words;
  return {
    primary: formatSynOptions(w[flow + f.X_PRIMARY_SYN_OPTIONS]!),
    secondary: formatSynOptions(w[flow + f.X_SECONDARY_SYN_OPTIONS]!),
  };
}

/** Positions of both sides' FINs; undefined: not sent. */
export function streamEnds(
  { context }: PrimaryEngine,
  flow: number,
): { primary: number | undefined; secondary: number | undefined } {
  const w = context.flows.words;
  const flags = w[flow + f.X_FLAGS]!;
  return {
    primary: (flags & f.XF_PRIMARY_FIN) !== 0 ? w[flow + f.X_PRIMARY_FIN]! : undefined,
    secondary: (flags & f.XF_SECONDARY_FIN) !== 0 ? w[flow + f.X_SECONDARY_FIN]! : undefined,
  };
}

/** A MAC address stands in the first word and the lower half of the second. */
function macAt(words: Uint32Array, at: number): string {
  const mac = Buffer.alloc(6);
  mac.writeUInt32BE(words[at]!, 0);
  mac.writeUInt16BE(words[at + 1]!, 4);
  return formatMac(mac);
}

function hex(buf: Buffer, off: number, bytes: number): string {
  return buf.toString('hex', off, off + Math.min(bytes, LOGGED_BYTES));
}
