// What QEMU's own colo-compare does with a flow, as observed from outside: which packet leaves by which rule, and why a
// checkpoint is asked for. The test holds it against the installed QEMU in every flow, so that the table of differences
// speaks of what QEMU really does. It works on the frames' bytes alone.

import type { Flow, Packet, Side } from './flow';

/** By which rule a packet of the primary leaves. */
export type StockRule =
  | 'uncompared' // no IPv4, a VLAN tag, or too short
  | 'no payload' // as soon as any packet of the secondary waits
  | 'repetition' // ends at or below what was compared last, whatever it says
  | 'equal' // same place, same bytes
  | 'part of secondary' // equal to the beginning of what is left of the secondary's packet
  | 'rest of primary' // its last part was equal to the secondary's packet
  | 'datagram'
  | 'checkpoint';

export type StockReason =
  | 'bytes differ' // same position, different bytes
  | 'places differ' // the two oldest are not at the same position at all
  | 'acknowledges more' // equal, but the primary's acknowledgement is ahead of the lower of both sides' last
  | 'no equal datagram';

export interface StockStep {
  out: { n: number; rule: StockRule }[];
  asked: { n: number; reason: StockReason }[];
}

interface Queued {
  packet: Packet;
  seq: number;
  ack: number;
  payload: Buffer;
  offset: number;
  end: number;
}

interface Connection {
  tcp: boolean;
  primary: Queued[];
  secondary: Queued[];
  /** End of what was compared last; 0 at first, and never set back. */
  comparedTo: number;
  primaryAck: number;
  secondaryAck: number;
}

const TCP = 6;
const UDP = 17;
const ICMP = 1;
/** Protocols whose first four bytes count as ports. */
const WITH_PORTS = [TCP, UDP, 33, 50, 132, 136];

const diff = (a: number, b: number): number => (a - b) | 0;

/**
 * Where the IPv4 header is: behind no tag, or behind an 802.1ad tag and perhaps another. undefined: not looked into,
 * which is so for a frame with an 802.1Q tag alone, for IPv6 and for very short frames.
 */
function networkOffset(frame: Buffer): number | undefined {
  if (frame.length < 18) return undefined;
  let at = 12;
  if (frame.readUInt16BE(at) === 0x88a8) {
    at += 4;
    if (frame.readUInt16BE(at) === 0x8100) at += 4;
  }
  return frame.readUInt16BE(at) === 0x0800 ? at + 2 : undefined;
}

export class StockModel {
  private readonly connections = new Map<string, Connection>();
  private step: StockStep = { out: [], asked: [] };

  run(flow: Flow): StockStep[] {
    return flow.steps.map((step) => {
      this.step = { out: [], asked: [] };
      if (step.side === 'checkpoint') this.checkpoint();
      else for (const packet of step.packets) this.take(step.side, packet);
      return this.step;
    });
  }

  private take(side: Side, packet: Packet): void {
    const { frame } = packet;
    const at = networkOffset(frame);
    if (at === undefined) {
      if (side === 'p') this.release(packet, 'uncompared');
      return;
    }
    const l4 = at + (frame[at]! & 15) * 4;
    const protocol = frame[at + 9]!;
    let ports = '';
    if (WITH_PORTS.includes(protocol)) ports = frame.toString('hex', l4, l4 + 4);
    else if (protocol === 51) ports = frame.toString('hex', l4 + 4, l4 + 8);
    const key = `${protocol} ${frame.toString('hex', at + 12, at + 20)} ${ports}`;
    let c = this.connections.get(key);
    if (c === undefined) {
      c = { tcp: protocol === TCP, primary: [], secondary: [], comparedTo: 0, primaryAck: 0, secondaryAck: 0 };
      this.connections.set(key, c);
    }
    const queue = side === 'p' ? c.primary : c.secondary;
    if (protocol === TCP) {
      const q = parseTcp(packet, l4);
      let i = queue.length;
      while (i > 0 && diff(queue[i - 1]!.seq, q.seq) > 0) i--;
      queue.splice(i, 0, q);
      if (side === 'p') c.primaryAck = q.ack;
      else c.secondaryAck = q.ack;
      this.compareTcp(c, packet.n);
      return;
    }
    // The tags are not reckoned with here, so behind them the comparison begins within the IP header.
    const from = protocol === UDP || protocol === ICMP ? l4 - at + 14 : 0;
    queue.push({ packet, seq: 0, ack: 0, payload: frame.subarray(from), offset: 0, end: 0 });
    this.compareDatagrams(c, packet.n);
  }

  private compareTcp(c: Connection, cause: number): void {
    while (c.primary.length > 0 && c.secondary.length > 0) {
      const p = c.primary[0]!;
      const s = c.secondary[0]!;
      const covered = (q: Queued): boolean => c.comparedTo !== 0 && diff(q.end, c.comparedTo) <= 0;
      const pDone = p.payload.length === 0 || covered(p);
      const sDone = s.payload.length === 0 || covered(s);
      if (pDone) this.leave(c, p.payload.length === 0 ? 'no payload' : 'repetition');
      if (sDone) c.secondary.shift();
      if (pDone || sDone) continue;
      if (p.seq === s.seq && p.end === s.end && p.payload.equals(s.payload)) {
        this.leave(c, 'equal');
        c.secondary.shift();
        c.comparedTo = p.end;
        continue;
      }
      const pRest = p.payload.subarray(p.offset);
      const sRest = s.payload.subarray(s.offset);
      const aligned = ((p.seq + p.offset) | 0) === ((s.seq + s.offset) | 0);
      const n = Math.min(pRest.length, sRest.length);
      if (diff(p.end, s.end) <= 0) {
        if (sRest.length >= pRest.length && sRest.subarray(0, pRest.length).equals(pRest)) {
          if (diff(p.ack, Math.min(c.primaryAck, c.secondaryAck)) > 0) {
            this.ask(cause, 'acknowledges more');
            return;
          }
          this.leave(c, 'part of secondary');
          s.offset += pRest.length;
          c.comparedTo = p.end;
          continue;
        }
      } else if (pRest.length >= sRest.length && pRest.subarray(0, sRest.length).equals(sRest)) {
        c.secondary.shift();
        p.offset += n;
        c.comparedTo = s.end;
        continue;
      }
      this.ask(cause, aligned ? 'bytes differ' : 'places differ');
      return;
    }
  }

  private compareDatagrams(c: Connection, cause: number): void {
    while (c.primary.length > 0 && c.secondary.length > 0) {
      const p = c.primary[c.primary.length - 1]!;
      const i = c.secondary.findIndex(
        (s) => s.packet.frame.length === p.packet.frame.length && s.payload.equals(p.payload),
      );
      if (i < 0) {
        this.ask(cause, 'no equal datagram');
        return;
      }
      c.primary.pop();
      c.secondary.splice(i, 1);
      this.release(p.packet, 'datagram');
    }
  }

  private leave(c: Connection, rule: StockRule): void {
    this.release(c.primary.shift()!.packet, rule);
  }

  private release(packet: Packet, rule: StockRule): void {
    this.step.out.push({ n: packet.n, rule });
  }

  private ask(n: number, reason: StockReason): void {
    this.step.asked.push({ n, reason });
  }

  /** Every queue is emptied from its head (TCP) or from its newest (all else). */
  private checkpoint(): void {
    for (const c of this.connections.values()) {
      for (const q of c.tcp ? c.primary : [...c.primary].reverse()) this.release(q.packet, 'checkpoint');
      c.primary = [];
      c.secondary = [];
    }
  }
}

/** The frame's own size counts, not the IP header's: padding is payload. */
function parseTcp(packet: Packet, l4: number): Queued {
  const { frame } = packet;
  const payload = frame.subarray(l4 + (frame[l4 + 12]! >> 4) * 4);
  const seq = frame.readUInt32BE(l4 + 4);
  return { packet, seq, ack: frame.readUInt32BE(l4 + 8), payload, offset: 0, end: (seq + payload.length) >>> 0 };
}
