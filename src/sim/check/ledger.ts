// The truth about everything that both guests have sent, kept apart from the engines and compared with every packet
// that leaves. Places are counted from each guest's own SYN, so the same byte has the same place without any
// translation:
//
//   PVM:  ....covered....|------ sent since ------>        a byte may leave when a completed checkpoint covers it,
//   SVM:                 |--- produced since --->          or when the SVM has produced the same byte since

import { seqDiff } from '../../core/seq32';
import { timestampOffset } from '../../packet/tcp-options';
import { ORIGIN_NAMES, Origin, type SimPacket } from '../packet';
import { ACK } from '../tcp/segment';
import { ipHeaderBytes, PROTO_TCP } from '../wire';

class TrueFlow {
  /** Bytes of the SVM in this epoch: places [low, high). */
  low = 0;
  high = 0;
  bytes = Buffer.allocUnsafe(0);
  /** The connection was open on the SVM when its packets began to count. */
  middle = false;
  secondarySyn = false;
  secondaryFin = -1;
  secondaryAck = 0;
  secondaryEdge = 0;
  /** Sent by the PVM, in all epochs. */
  primaryEnd = 0;
  primaryAck = 0;
  primaryEdge = 0;
  /** Covered by the last completed checkpoint. */
  coveredEnd = 0;
  coveredAck = 0;
  coveredEdge = 0;
  /** Greatest TSval sent by the PVM, and greatest that has left; -1: none. */
  primaryTime = -1;
  releasedTime = -1;
  secondaryEcho = -1;
}

export type Broken = (rule: string, what: string) => void;

export class Ledger {
  /** Checkpoints completed. */
  epoch = 0;
  /** False while the primary is unprotected: packets that leave are not judged. */
  judging = true;
  readonly counts = { judged: 0, judgedBytes: 0, coveredPackets: 0 };
  private readonly flows = new Map<string, TrueFlow>();
  private readonly contents = new Set<number>();
  /** Resets of the SVM in this epoch; of the PVM, and those of them that the last checkpoint covers. */
  private readonly resets = new Set<string>();
  private readonly primaryResets = new Set<string>();
  private readonly coveredResets = new Set<string>();

  constructor(private readonly broken: Broken) {}

  /** A guest has handed a packet to its tap. */
  sent(packet: SimPacket): void {
    const secondary = packet.origin === Origin.SVM;
    if (packet.protocol !== PROTO_TCP) {
      if (secondary) this.contents.add(packet.contents);
      return;
    }
    if (packet.rst) {
      (secondary ? this.resets : this.primaryResets).add(resetIdentity(packet));
      if (!secondary) return;
      // A reset of a connection acknowledges, too; its window has no meaning.
      if (packet.ackPlace >= 0) {
        const flow = this.flow(packet.key);
        flow.secondaryAck = Math.max(flow.secondaryAck, packet.ackPlace);
      }
      return;
    }
    const flow = this.flow(packet.key);
    const end = packet.place + packet.dataBytes + (packet.syn ? 1 : 0) + (packet.fin ? 1 : 0);
    if (!secondary) {
      flow.primaryEnd = Math.max(flow.primaryEnd, end);
      flow.primaryAck = Math.max(flow.primaryAck, packet.ackPlace);
      flow.primaryEdge = Math.max(flow.primaryEdge, packet.edgePlace);
      const time = timeOf(packet, packet.buf);
      if (time >= 0 && isLater(time, flow.primaryTime)) flow.primaryTime = time;
      return;
    }
    if (packet.syn) flow.secondarySyn = true;
    if (packet.fin) flow.secondaryFin = packet.place + packet.dataBytes;
    flow.secondaryAck = Math.max(flow.secondaryAck, packet.ackPlace);
    flow.secondaryEdge = Math.max(flow.secondaryEdge, packet.edgePlace);
    const echo = echoOf(packet, packet.buf);
    if (echo >= 0 && isLater(echo, flow.secondaryEcho)) flow.secondaryEcho = echo;
    if (packet.dataBytes > 0) this.produced(flow, packet);
  }

  /** The SVM will go on from the stopped PVM's state. */
  cover(): void {
    this.epoch++;
    this.contents.clear();
    this.resets.clear();
    // A connection that is reset on the PVM is reset on its copy, too: both will answer with a reset again.
    for (const reset of this.primaryResets) this.coveredResets.add(reset);
    for (const flow of this.flows.values()) {
      flow.coveredEnd = flow.primaryEnd;
      flow.coveredAck = flow.primaryAck;
      flow.coveredEdge = flow.primaryEdge;
      flow.low = Math.max(1, flow.coveredEnd);
      flow.high = flow.low;
      flow.middle = false;
      flow.secondarySyn = false;
      flow.secondaryFin = -1;
      flow.secondaryAck = 0;
      flow.secondaryEdge = 0;
    }
  }

  /** Another SVM replaces the old one, whose packets no longer count. */
  newSecondary(): void {
    this.contents.clear();
    this.resets.clear();
    for (const flow of this.flows.values()) {
      flow.low = Math.max(1, flow.coveredEnd);
      flow.high = flow.low;
      flow.middle = true;
      flow.secondarySyn = false;
      flow.secondaryFin = -1;
      flow.secondaryAck = 0;
      flow.secondaryEdge = 0;
    }
  }

  /** Judges a packet of the PVM that leaves for the client: `out` are the bytes that leave. */
  released(packet: SimPacket, out: Buffer): void {
    if (!this.judging) return;
    this.counts.judged++;
    if (packet.protocol === PROTO_TCP && !packet.rst) this.judgeTime(this.flow(packet.key), packet, out);
    if (packet.epoch < this.epoch) {
      this.counts.coveredPackets++;
      return;
    }
    if (packet.protocol !== PROTO_TCP) {
      if (!this.contents.has(packet.contents))
        this.broken('output commit', `a datagram that the SVM has not sent leaves: ${describe(packet)}`);
      return;
    }
    if (packet.rst) {
      const identity = resetIdentity(packet);
      if (!this.resets.has(identity) && !this.coveredResets.has(identity))
        this.broken('output commit', `a reset that the SVM has not sent leaves: ${describe(packet)}`);
      return;
    }
    const flow = this.flow(packet.key);
    this.judgeOutput(flow, packet, out);
    this.judgeAck(flow, packet, out);
  }

  /**
   * The peer discards segments with older timestamps than its last (PAWS): time must not run backwards, nor ahead of
   * the PVM's.
   */
  private judgeTime(flow: TrueFlow, packet: SimPacket, out: Buffer): void {
    const time = timeOf(packet, out);
    if (time < 0) return;
    if (flow.releasedTime >= 0 && seqDiff(time, flow.releasedTime) < 0) {
      this.broken('time order', `TSval ${time} leaves after ${flow.releasedTime}: ${describe(packet)}`);
    } else if (seqDiff(time, flow.primaryTime) > 0) {
      this.broken('time order', `TSval ${time} leaves, the PVM's last is ${flow.primaryTime}: ${describe(packet)}`);
    }
    if (isLater(time, flow.releasedTime)) flow.releasedTime = time;
    const echo = echoOf(packet, out);
    const own = echoOf(packet, packet.buf);
    if (echo !== own && (flow.secondaryEcho < 0 || isLater(own, echo) || isLater(echo, flow.secondaryEcho))) {
      this.broken(
        'time order',
        `TSecr ${echo} leaves, the PVM's is ${own}, the SVM's last ${flow.secondaryEcho}: ${describe(packet)}`,
      );
    }
  }

  private judgeOutput(flow: TrueFlow, packet: SimPacket, out: Buffer): void {
    if (packet.syn && flow.coveredEnd === 0 && !flow.secondarySyn) {
      this.broken('output commit', `a SYN that the SVM has not sent leaves: ${describe(packet)}`);
    }
    const fin = packet.place + packet.dataBytes;
    if (packet.fin && fin >= flow.coveredEnd && flow.secondaryFin !== fin) {
      this.broken('output commit', `a FIN at ${fin} leaves, the SVM's is at ${flow.secondaryFin}: ${describe(packet)}`);
    }
    const from = Math.max(packet.place, flow.coveredEnd);
    const n = packet.place + packet.dataBytes - from;
    if (n <= 0) return;
    this.counts.judgedBytes += n;
    if (from < flow.low || from + n > flow.high) {
      this.broken(
        'output commit',
        `bytes ${from}..${from + n} leave, the SVM has produced ${flow.low}..${flow.high}: ${describe(packet)}`,
      );
      return;
    }
    const at = out.length - packet.dataBytes + (from - packet.place);
    const mine = from - flow.low;
    if (out.compare(flow.bytes, mine, mine + n, at, at + n) !== 0) {
      this.broken('output commit', `bytes ${from}..${from + n} leave that differ from the SVM's: ${describe(packet)}`);
    }
  }

  private judgeAck(flow: TrueFlow, packet: SimPacket, out: Buffer): void {
    if (packet.ackPlace < 0) return;
    const l4 = ipHeaderBytes(packet.family);
    const ack = packet.ackPlace + seqDiff(out.readUInt32BE(l4 + 8), packet.buf.readUInt32BE(l4 + 8));
    const edge = ack + out.readUInt16BE(l4 + 14) * 2 ** packet.windowScale;
    const granted = Math.max(flow.secondaryAck, flow.coveredAck);
    if (ack > granted) {
      this.broken('ack commit', `ack ${ack} leaves, granted is ${granted}: ${describe(packet)}`);
    }
    const grantedEdge = Math.max(flow.secondaryEdge, flow.coveredEdge);
    if (edge > grantedEdge) {
      this.broken('ack commit', `window edge ${edge} leaves, granted is ${grantedEdge}: ${describe(packet)}`);
    }
    for (let i = l4 + 20; i < out.length - packet.dataBytes; ) {
      const kind = out[i]!;
      if (kind === 0) break;
      if (kind === 5) this.broken('ack commit', `a SACK block of the PVM leaves: ${describe(packet)}`);
      if (kind === 30) this.broken('output commit', `an MPTCP key of the PVM leaves: ${describe(packet)}`);
      i += kind === 1 ? 1 : Math.max(2, out[i + 1]!);
    }
  }

  private produced(flow: TrueFlow, packet: SimPacket): void {
    if (flow.high === 0) {
      flow.low = Math.max(1, flow.coveredEnd);
      flow.high = flow.low;
    }
    const end = packet.place + packet.dataBytes;
    if (end <= flow.high) return;
    const from = Math.max(packet.place, flow.high);
    if (from > flow.high && flow.middle) {
      flow.low = from;
      flow.high = from;
    }
    if (from > flow.high) throw new Error(`the SVM's stream has a gap: ${flow.high}..${from}`);
    const at = from - flow.low;
    const n = end - from;
    if (flow.bytes.length < at + n) {
      const grown = Buffer.allocUnsafe(Math.max(2 * flow.bytes.length, at + n, 4096));
      flow.bytes.copy(grown, 0, 0, at);
      flow.bytes = grown;
    }
    const payload = packet.buf.length - packet.dataBytes + (from - packet.place);
    packet.buf.copy(flow.bytes, at, payload, payload + n);
    flow.high = end;
  }

  private flow(key: string): TrueFlow {
    let flow = this.flows.get(key);
    if (!flow) {
      flow = new TrueFlow();
      this.flows.set(key, flow);
    }
    return flow;
  }
}

/** TSval of a packet of this family, or -1. */
function timeOf(packet: SimPacket, bytes: Buffer): number {
  const at = timestampOffset(bytes, ipHeaderBytes(packet.family));
  return at < 0 ? -1 : bytes.readUInt32BE(at);
}

function echoOf(packet: SimPacket, bytes: Buffer): number {
  const at = timestampOffset(bytes, ipHeaderBytes(packet.family));
  return at < 0 ? -1 : bytes.readUInt32BE(at + 4);
}

function isLater(time: number, than: number): boolean {
  return than < 0 || seqDiff(time, than) > 0;
}

/** A refusal is identified by the SYN that it acknowledges, any other reset by its connection. */
function resetIdentity(packet: SimPacket): string {
  const l4 = ipHeaderBytes(packet.family);
  const refusal = packet.key[0] === 's' && (packet.buf[l4 + 13]! & ACK) !== 0;
  const refused = refusal ? packet.buf.readUInt32BE(l4 + 8) : '';
  return `${packet.family}:${packet.buf.readUInt32BE(l4)}:${refused}`;
}

export function describe(packet: SimPacket): string {
  const who = `${ORIGIN_NAMES[packet.origin]} epoch ${packet.epoch}`;
  if (packet.protocol !== PROTO_TCP) return `${who} protocol ${packet.protocol}, ${packet.buf.length} bytes`;
  const flags = `${packet.syn ? 'S' : ''}${packet.fin ? 'F' : ''}${packet.rst ? 'R' : ''}`;
  return `${who} ${packet.key} ${flags} [${packet.place}, +${packet.dataBytes}) ack ${packet.ackPlace} edge ${packet.edgePlace}`;
}
