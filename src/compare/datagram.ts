// What is compared of a packet that belongs to no stream: UDP its payload, and where it ends by UDP's own length; ICMP
// and ICMPv6 type, code and all the rest but the checksum; every other protocol everything behind the IP header.
// Packets of a flow are compared in order.

import type { FlowTable } from '../conntrack/flow-table';
import { read16 } from '../core/big-endian';
import { equalBytes, firstDifference } from '../core/bytes';
import { ICMP_CHECKSUM_AT, ICMP_REST_AT } from '../packet/icmp-header';
import { UDP_LENGTH_AT } from '../packet/udp-header';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP, type PacketView } from '../packet/view';
import { X_SECONDARY_HEAD, X_SECONDARY_TAIL } from './flow-words';
import { CheckpointCause, DIVERGED, type Difference, EQUAL, EXHAUSTED, type Outcome, WAIT } from './outcome';
import { LOG_PENDING, LOG_SECONDARY, type PacketLog, R_AT, R_BYTES, R_COPY, R_NEXT, R_SEQ } from './packet-log';

/** A record's position, which means nothing here. */
const R_SURPLUS = R_SEQ;

/** Offset of the first compared byte of the packet in the view. */
export function comparedFrom(v: PacketView): number {
  if (v.protocol === IPPROTO_UDP) return v.payload;
  return v.l4;
}

/** Bytes behind a datagram's end, by UDP's own length (RFC 9868): a peer takes only what lies before it. */
function surplusBytes(v: PacketView): number {
  if (v.protocol !== IPPROTO_UDP) return 0;
  return v.end - v.l4 - read16(v.buf, v.l4 + UDP_LENGTH_AT);
}

/** Compares what stands behind the IP headers (for UDP: behind its header), of equal lengths. */
export function sameContent(icmp: boolean, p: Buffer, pAt: number, s: Buffer, sAt: number, bytes: number): boolean {
  if (!icmp || bytes < ICMP_REST_AT) return equalBytes(p, pAt, s, sAt, bytes);
  return (
    equalBytes(p, pAt, s, sAt, ICMP_CHECKSUM_AT) &&
    equalBytes(p, pAt + ICMP_REST_AT, s, sAt + ICMP_REST_AT, bytes - ICMP_REST_AT)
  );
}

export class DatagramComparator {
  constructor(
    private readonly flows: FlowTable,
    private readonly log: PacketLog,
    private readonly difference: Difference,
  ) {}

  /** A PVM datagram with none of its own before it, against the SVM's oldest. EQUAL takes that away. */
  primary(flow: number, v: PacketView, buf: Buffer): Outcome {
    const head = this.flows.words[flow + X_SECONDARY_HEAD]!;
    if (head === 0) return WAIT;
    const r = this.log.recordIndex(head);
    const lw = this.log.words;
    const from = comparedFrom(v);
    const outcome = this.compare(
      flow,
      v,
      lw[r + R_SURPLUS]!,
      buf,
      from,
      v.end - from,
      this.log.data,
      lw[r + R_AT]!,
      lw[r + R_BYTES]!,
    );
    if (outcome === EQUAL) this.popSecondary(flow);
    return outcome;
  }

  /**
   * An SVM datagram against the PVM's oldest held one, whose copy is log record `held` with the compared bytes marked.
   */
  secondary(flow: number, v: PacketView, buf: Buffer, held: number): Outcome {
    const r = this.log.recordIndex(held);
    const lw = this.log.words;
    const from = comparedFrom(v);
    const surplus = lw[r + R_SURPLUS]!;
    return this.compare(flow, v, surplus, this.log.data, lw[r + R_AT]!, lw[r + R_BYTES]!, buf, from, v.end - from);
  }

  /** Marks in a logged PVM packet (a copy that began with its frame's headers) what is to be compared. */
  markPrimary(record: number, v: PacketView): void {
    const r = this.log.recordIndex(record);
    const lw = this.log.words;
    const from = comparedFrom(v);
    lw[r + R_AT] = lw[r + R_COPY]! + (from - v.start + v.head);
    lw[r + R_BYTES] = v.end - from;
    lw[r + R_SURPLUS] = surplusBytes(v);
  }

  /** Keeps an SVM datagram until the PVM sends the same. */
  storeSecondary(flow: number, v: PacketView, buf: Buffer): Outcome {
    const from = comparedFrom(v);
    const bytes = v.end - from;
    if (!this.log.hasRoom(bytes)) return EXHAUSTED;
    const id = this.log.append(flow, buf, from, bytes, LOG_PENDING | LOG_SECONDARY);
    const lw = this.log.words;
    const w = this.flows.words;
    lw[this.log.recordIndex(id) + R_BYTES] = bytes;
    lw[this.log.recordIndex(id) + R_SURPLUS] = surplusBytes(v);
    const tail = w[flow + X_SECONDARY_TAIL]!;
    if (tail === 0) w[flow + X_SECONDARY_HEAD] = id;
    else lw[this.log.recordIndex(tail) + R_NEXT] = id;
    w[flow + X_SECONDARY_TAIL] = id;
    return WAIT;
  }

  private popSecondary(flow: number): void {
    const w = this.flows.words;
    const head = w[flow + X_SECONDARY_HEAD]!;
    const next = this.log.words[this.log.recordIndex(head) + R_NEXT]!;
    this.log.unneed(head, LOG_PENDING);
    w[flow + X_SECONDARY_HEAD] = next;
    if (next === 0) w[flow + X_SECONDARY_TAIL] = 0;
  }

  private compare(
    flow: number,
    v: PacketView,
    surplus: number,
    p: Buffer,
    pAt: number,
    pBytes: number,
    s: Buffer,
    sAt: number,
    sBytes: number,
  ): Outcome {
    const icmp = v.protocol === IPPROTO_ICMP || v.protocol === IPPROTO_ICMPV6;
    const sameLength = pBytes === sBytes && surplus === surplusBytes(v);
    if (sameLength) {
      if (sameContent(icmp, p, pAt, s, sAt, pBytes)) return EQUAL;
    }
    const n = Math.min(pBytes, sBytes);
    const i = firstDifference(p, pAt, s, sAt, n);
    this.difference.set(sameLength ? CheckpointCause.PAYLOAD : CheckpointCause.LENGTH, flow, i);
    this.difference.setPrimary(p, pAt + i, pBytes - i);
    this.difference.setSecondary(s, sAt + i, sBytes - i);
    return DIVERGED;
  }
}
