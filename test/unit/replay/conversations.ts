// Makes capture files of a guest's side of a conversation, for tests of `colo compare`.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodePcap, type PacketToWrite } from '../../../src/io/pcap/pcap';
import { buildTcp, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';

export const GUEST = [10, 0, 0, 1];
export const CLIENT = [10, 0, 0, 2];

export interface Connection {
  /** Initial sequence number of the guest. */
  isn: number;
  /** What the guest says, a segment each; it is repeated where `again` says so. */
  segments: readonly string[];
  port?: number;
  fin?: boolean;
  mss?: number;
  /** Sequence numbers of everything but the SYN, as if translated from this ISN. */
  translatedFrom?: number;
}

const CLIENT_ISN = 5000;

/** The guest's packets of one connection that a client opened. */
export function served(c: Connection, fields: TcpFields = {}): Buffer[] {
  const base = { dport: c.port ?? 40000, ack: CLIENT_ISN + 1, ...fields };
  const options = MSS_WSCALE_SACK_TS(c.isn >>> 3);
  if (c.mss !== undefined) {
    options[2] = c.mss >> 8;
    options[3] = c.mss & 0xff;
  }
  const packets = [buildTcp({ ...base, seq: c.isn, flags: 'SA', options })];
  let seq = (c.translatedFrom ?? c.isn) + 1;
  packets.push(buildTcp({ ...base, seq, ack: CLIENT_ISN + 101, flags: 'A' }));
  for (const payload of c.segments) {
    packets.push(buildTcp({ ...base, seq, ack: CLIENT_ISN + 101, flags: 'PA', payload }));
    seq += payload.length;
  }
  if (c.fin !== false) packets.push(buildTcp({ ...base, seq, ack: CLIENT_ISN + 101, flags: 'FA' }));
  return packets;
}

/** What the client says in it: the same in both captures. */
export function asked(port = 40000): Buffer[] {
  const fields = { src: CLIENT, dst: GUEST, sport: port, dport: 80 };
  return [
    buildTcp({ ...fields, seq: CLIENT_ISN, flags: 'S', options: MSS_WSCALE_SACK_TS(1) }),
    buildTcp({ ...fields, seq: CLIENT_ISN + 1, ack: 1, flags: 'PA', payload: 'x'.repeat(100) }),
  ];
}

/** Writes raw IP packets, a millisecond apart from `startMs` on, and returns the path. */
export function capture(dir: string, name: string, packets: readonly Buffer[], startMs = 1_700_000_000_000): string {
  return write(
    dir,
    name,
    packets.map((data, i) => ({ data, timeNs: BigInt(startMs + i) * 1_000_000n })),
  );
}

export function write(dir: string, name: string, packets: readonly PacketToWrite[], linkType = 101): string {
  const path = join(dir, name);
  writeFileSync(path, encodePcap(packets, { linkType }));
  return path;
}

/** The text in pieces of so many bytes. */
export function inPieces(text: string, bytes: number): string[] {
  return text.match(new RegExp(`[^]{1,${bytes}}`, 'g')) ?? [];
}
