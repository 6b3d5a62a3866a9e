// A connection's output: SYNs, data in packets of varying size, pure ACKs, resets.

import type { Connection } from './connection';
import { NEVER, State } from './host-port';
import { ACK, FIN, PSH, RST, SYN } from './segment';

/** The SYN, or the SYN/ACK when the peer's SYN is known. */
export function sendSyn(c: Connection): void {
  const s = c.host.out;
  const image = c.host.image;
  const answer = c.state === State.SYN_RECEIVED;
  s.clearOptions();
  s.flags = answer ? SYN | ACK : SYN;
  s.mss = image.mss;
  s.windowScale = answer && c.ownScale === 0 ? -1 : image.windowScale;
  s.sackPermitted = c.sackOn;
  s.timestamps = c.timestampsOn;
  s.mptcpKey = image.mptcp ? c.host.prng.u32() : -1;
  c.lastSynTs = c.timestampNow();
  if (c.max === 0) c.firstSynTs = c.lastSynTs;
  fillHeader(c, 0, Math.min(0xffff, image.receiveBytes), false);
  c.receiveEdge = 1 + s.window;
  c.host.transmit(c, 0, 0);
  c.nxt = 1;
  c.max = 1;
  if (c.iss > 0xfff00000) c.host.counts.wraps++;
  c.armRetransmit();
}

/** Sends as much as the windows, the application and this machine's habits allow. */
export function pushStream(c: Connection): void {
  if (c.state < State.ESTABLISHED || c.state === State.TIME_WAIT) return;
  const mss = c.peerMss;
  for (;;) {
    if (c.nxt > c.send.end) break; // The FIN is out.
    const limit = Math.min(c.sendEdge, c.una + Math.max(mss, c.congestionBytes));
    const ready = c.send.end - c.nxt;
    let n = Math.min(ready, limit - c.nxt);
    const habit = Math.max(1, c.host.prng.below(c.host.habits.burstSegments) + 1) * mss;
    n = Math.min(n, habit, Math.max(mss, c.host.image.gsoBytes));
    if (n > mss && n < ready) n -= n % mss;
    // No small segment when the window will soon allow a whole one (sender's side of silly window avoidance).
    if (n > 0 && n < mss && n < ready && c.nxt > c.una) break;
    const fin = c.finQueued && n === ready && c.nxt + n <= limit;
    if (n <= 0 && !fin) break;
    sendSegment(c, c.nxt, Math.max(0, n));
  }
  if (c.retransmitAtUs === NEVER && c.una < c.max) c.armRetransmit();
  const waiting = c.send.end - c.nxt > 0 || (c.finQueued && c.nxt === c.send.end);
  if (waiting && c.una === c.max && c.persistAtUs === NEVER) {
    c.host.counts.zeroWindows++;
    c.persistAtUs = c.host.clockUs() + Math.min(c.rtoUs * 2 ** c.backoff, 4_000_000);
  } else if (!waiting) c.persistAtUs = NEVER;
}

/** Sends bytes [place, place + n), with the FIN when they reach the stream's closed end. */
export function sendSegment(c: Connection, place: number, n: number): void {
  const s = c.host.out;
  const end = place + n;
  const fin = c.finQueued && end === c.send.end;
  if (n === 0 && !fin) return;
  if (place < c.max) c.host.counts.retransmissions++;
  s.clearOptions();
  s.flags = fin ? ACK | FIN : ACK;
  if (n > 0 && end === c.send.end) s.flags |= PSH;
  if (c.rttPlace < 0 && place >= c.max) {
    c.rttPlace = end + (fin ? 1 : 0);
    c.rttStartUs = c.host.clockUs();
  }
  if ((c.iss + place) >>> 0 > (c.iss + end) >>> 0) c.host.counts.wraps++;
  acknowledge(c, place);
  s.payloadBytes = n;
  c.host.transmit(c, place, n);
  const sent = end + (fin ? 1 : 0);
  if (sent > c.nxt) c.nxt = sent;
  if (sent > c.max) c.max = sent;
  if (c.retransmitAtUs === NEVER) c.armRetransmit();
}

/** A pure ACK; `place` other than the next one is a window probe. */
export function sendAck(c: Connection, place = c.max): void {
  const s = c.host.out;
  s.clearOptions();
  s.flags = ACK;
  acknowledge(c, place);
  c.host.transmit(c, place, 0);
}

export function sendReset(c: Connection): void {
  if (c.state === State.CLOSED || c.state === State.SYN_SENT || c.state === State.TIME_WAIT) return;
  const s = c.host.out;
  c.host.counts.resetsSent++;
  s.clearOptions();
  s.flags = RST | ACK;
  fillHeader(c, c.max, 0, true);
  c.host.transmit(c, c.max, 0);
}

/** Acknowledgement, window, timestamps and SACK blocks of any segment after the SYN. */
function acknowledge(c: Connection, place: number): void {
  const s = c.host.out;
  const next = c.receive.next + (c.finTaken ? 1 : 0);
  const scale = 2 ** c.ownScale;
  const free = c.freeEdge();
  const step = Math.min(c.host.image.mss, c.host.image.receiveBytes >> 1);
  // The edge never moves back, and forward only in useful steps (RFC 9293 section 3.8.6.2.2).
  const edge = free >= c.receiveEdge + step || c.receiveEdge <= next ? Math.max(free, c.receiveEdge) : c.receiveEdge;
  const window = Math.min(0xffff, Math.ceil((edge - next) / scale));
  c.receiveEdge = Math.max(c.receiveEdge, next + window * scale);
  if (c.receive.outOfOrder && c.sackOn) {
    for (const edge of c.receive.sackBlocks()) s.sack.push((c.irs + edge) >>> 0);
  }
  s.timestamps = c.timestampsOn;
  fillHeader(c, place, window, true);
  c.lastAckSent = next;
  c.ackBytes = 0;
  c.ackNow = false;
  c.ackAtUs = NEVER;
}

function fillHeader(c: Connection, place: number, window: number, acked: boolean): void {
  const s = c.host.out;
  s.srcPort = c.localPort;
  s.dstPort = c.peerPort;
  s.seq = (c.iss + place) >>> 0;
  const next = c.receive.next + (c.finTaken ? 1 : 0);
  s.ack = acked || (s.flags & ACK) !== 0 ? (c.irs + next) >>> 0 : 0;
  s.window = window;
  s.payloadBytes = 0;
  if (s.timestamps) {
    s.tsVal = c.timestampNow();
    s.tsEcr = (s.flags & ACK) !== 0 ? c.tsRecent : 0;
  }
}
