// A connection's handling of a segment, in the order of RFC 9293 section 3.10.7 with Linux's checks of timestamps:
// PAWS, the echo in a SYN/ACK, and (on newer kernels) the echo in a handshake's last ACK.

import { seqBefore, seqDiff } from '../../core/seq32';
import { Origin } from '../packet';
import type { Connection } from './connection';
import { NEVER, State } from './host-port';
import { pushStream, sendSegment, sendSyn } from './output';
import { ACK, FIN, RST, type Segment, SYN } from './segment';
import { resetFor } from './stray';

/** At most one challenge ACK per connection in this time, as Linux's tcp_invalid_ratelimit. */
const CHALLENGE_US = 500_000;

export function receiveSegment(c: Connection, s: Segment, buf: Buffer, origin: Origin): void {
  if (c.state === State.SYN_SENT) {
    receiveInSynSent(c, s, origin);
    return;
  }
  if (c.state === State.SYN_RECEIVED && (s.flags & (SYN | ACK | RST)) === SYN && s.seq === c.irs) {
    // The SYN again: the SYN/ACK was lost, or has not been let through yet.
    if (c.host.clockUs() < c.challengeAtUs) return;
    c.challengeAtUs = c.host.clockUs() + CHALLENGE_US;
    sendSyn(c);
    return;
  }
  const expected = c.receive.next + (c.finTaken ? 1 : 0);
  const place = expected + seqDiff(s.seq, (c.irs + expected) >>> 0);
  const fin = (s.flags & FIN) !== 0;
  const end = place + s.payloadBytes + (fin ? 1 : 0);

  if (c.timestampsOn && s.timestamps && (s.flags & RST) === 0 && seqBefore(s.tsVal, c.tsRecent)) {
    c.host.counts.pawsDrops++;
    // A retransmitted SYN/ACK may arrive before the proxy can know its numbers; the answer to it shows them.
    const known = (s.flags & SYN) === 0;
    if (known && origin === Origin.SVM && c.tsRecentOrigin === Origin.PVM) c.host.counts.pawsAcrossFailover++;
    challenge(c, s.payloadBytes > 0);
    return;
  }
  if (end < c.lastAckSent || place > c.receiveEdge || (c.state === State.SYN_RECEIVED && place < 0)) {
    if ((s.flags & RST) === 0) challenge(c, s.payloadBytes > 0 || (s.flags & SYN) !== 0);
    return;
  }
  if ((s.flags & RST) !== 0) {
    if (place === expected) c.finish(true);
    else challenge(c, false);
    return;
  }
  if ((s.flags & SYN) !== 0) {
    if (c.state === State.SYN_RECEIVED) {
      // Linux (tcp_check_req): another SYN inside the window ends a handshake.
      resetFor(s, c.host.out);
      c.host.counts.resetsSent++;
      c.host.transmit(null, 0, 0);
      c.finish(true);
    } else challenge(c, false);
    return;
  }
  if ((s.flags & ACK) === 0) return;
  if (c.state === State.SYN_RECEIVED && !finishHandshake(c, s)) return;
  if (!takeAck(c, s, place)) return;
  if ((c.state as State) === State.CLOSED) return;
  if (c.timestampsOn && s.timestamps && place <= c.lastAckSent && !seqBefore(s.tsVal, c.tsRecent)) {
    c.tsRecent = s.tsVal;
    c.tsRecentOrigin = origin;
  }
  takeData(c, s, buf, place);
  if (fin) seeFin(c, place + s.payloadBytes);
  takeFin(c);
  pushStream(c);
  if ((c.state as State) >= State.ESTABLISHED && c.room > 0) c.app.writable(c);
}

function receiveInSynSent(c: Connection, s: Segment, origin: Origin): void {
  const acked = (s.flags & ACK) !== 0;
  const right = acked && s.ack === (c.iss + 1) >>> 0;
  if ((s.flags & RST) !== 0) {
    if (right) c.finish(true);
    return;
  }
  const echoBad = c.timestampsOn && s.timestamps && s.tsEcr !== 0 && outside(s.tsEcr, c.firstSynTs, c.timestampNow());
  if (acked && (!right || echoBad)) {
    // Linux resets the other side and retransmits its SYN.
    if (echoBad) c.host.counts.badEchoes++;
    resetFor(s, c.host.out);
    c.host.counts.resetsSent++;
    c.host.transmit(null, 0, 0);
    return;
  }
  if ((s.flags & SYN) === 0 || !acked) return;
  c.learnPeer(s, origin);
  c.una = 1;
  c.backoff = 0;
  c.retransmitAtUs = NEVER;
  c.state = State.ESTABLISHED;
  c.receiveEdge = 1 + Math.min(0xffff, c.host.image.receiveBytes);
  c.ackNow = true;
  c.app.opened(c);
  pushStream(c);
}

function outside(value: number, low: number, high: number): boolean {
  return seqBefore(value, low) || seqBefore(high, value);
}

function finishHandshake(c: Connection, s: Segment): boolean {
  if (s.ack !== (c.iss + 1) >>> 0) {
    resetFor(s, c.host.out);
    c.host.counts.resetsSent++;
    c.host.transmit(null, 0, 0);
    return false;
  }
  if (
    c.host.image.strictSynReceived &&
    c.timestampsOn &&
    s.timestamps &&
    s.tsEcr !== 0 &&
    outside(s.tsEcr, c.firstSynTs, c.lastSynTs)
  ) {
    c.host.counts.badEchoes++;
    challenge(c, false);
    return false;
  }
  c.state = State.ESTABLISHED;
  c.una = 1;
  c.backoff = 0;
  c.retransmitAtUs = NEVER;
  c.sendEdge = 1 + s.window * 2 ** c.peerScale;
  c.app.opened(c);
  return true;
}

/** False when the segment must go no further. */
function takeAck(c: Connection, s: Segment, place: number): boolean {
  const ackPlace = c.una + seqDiff(s.ack, (c.iss + c.una) >>> 0);
  if (ackPlace > c.max) {
    c.host.counts.unsentAcks++;
    challenge(c, false);
    return false;
  }
  if (ackPlace < c.una) return true;
  const edge = ackPlace + s.window * 2 ** c.peerScale;
  const windowChanged = edge !== c.sendEdge;
  if (ackPlace > c.una || place > c.windowFromPlace || (place === c.windowFromPlace && edge > c.sendEdge)) {
    c.sendEdge = edge;
    c.windowFromPlace = place;
    if (c.persistAtUs !== NEVER && edge > c.nxt) {
      c.persistAtUs = NEVER;
      c.backoff = 0;
    }
  }
  takeSack(c, s);
  if (ackPlace > c.una) advance(c, ackPlace);
  else if (c.una < c.max && s.payloadBytes === 0 && (s.flags & FIN) === 0 && !windowChanged) duplicate(c);
  return true;
}

function takeSack(c: Connection, s: Segment): void {
  for (let i = 0; i + 1 < s.sack.length; i += 2) {
    const left = c.una + seqDiff(s.sack[i]!, (c.iss + c.una) >>> 0);
    const right = c.una + seqDiff(s.sack[i + 1]!, (c.iss + c.una) >>> 0);
    if (right > c.max) c.host.counts.unsentSacks++;
    if (left < c.una || right > c.max || left >= right) continue;
    let j = 0;
    while (j < c.sacked.length && c.sacked[j + 1]! < left) j += 2;
    let from = left;
    let to = right;
    while (j < c.sacked.length && c.sacked[j]! <= to) {
      from = Math.min(from, c.sacked[j]!);
      to = Math.max(to, c.sacked[j + 1]!);
      c.sacked.splice(j, 2);
    }
    c.sacked.splice(j, 0, from, to);
  }
}

function advance(c: Connection, ackPlace: number): void {
  const acked = ackPlace - c.una;
  c.una = ackPlace;
  if (c.nxt < ackPlace) c.nxt = ackPlace;
  c.send.release(ackPlace);
  while (c.sacked.length > 0 && c.sacked[1]! <= ackPlace) c.sacked.splice(0, 2);
  c.backoff = 0;
  if (c.rttPlace >= 0 && ackPlace >= c.rttPlace) {
    c.measureRtt(c.host.clockUs() - c.rttStartUs);
    c.rttPlace = -1;
  }
  if (c.recoverPlace >= 0 && ackPlace < c.recoverPlace) {
    c.holePlace = Math.max(c.holePlace, ackPlace);
    repairHole(c);
  } else {
    if (c.recoverPlace >= 0) c.congestionBytes = Math.max(c.slowStartBytes, 2 * c.peerMss);
    c.recoverPlace = -1;
    c.duplicateAcks = 0;
    if (c.congestionBytes < c.slowStartBytes) c.congestionBytes += acked;
    else c.congestionBytes += Math.max(1, Math.floor((c.peerMss * acked) / c.congestionBytes));
  }
  c.armRetransmit();
  const allSent = c.finQueued && ackPlace > c.send.end;
  if (!allSent) return;
  if (c.state === State.FIN_WAIT_1) c.state = State.FIN_WAIT_2;
  else if (c.state === State.CLOSING) enterTimeWait(c);
  else if (c.state === State.LAST_ACK) c.finish(false);
}

function duplicate(c: Connection): void {
  c.duplicateAcks++;
  if (c.recoverPlace < 0 && c.duplicateAcks === 3) {
    c.host.counts.fastRetransmits++;
    c.slowStartBytes = Math.max((c.max - c.una) >> 1, 2 * c.peerMss);
    c.congestionBytes = c.slowStartBytes + 3 * c.peerMss;
    c.recoverPlace = c.max;
    c.holePlace = c.una;
    c.rttPlace = -1;
    repairHole(c);
  } else if (c.recoverPlace >= 0) {
    c.congestionBytes += c.peerMss;
    if (c.sacked.length > 0) repairHole(c);
  }
}

/** Retransmits the first missing segment that was not retransmitted in this recovery (RFC 6675, simplified). */
function repairHole(c: Connection): void {
  let place = Math.max(c.holePlace, c.una);
  for (let i = 0; i < c.sacked.length; i += 2) {
    if (place < c.sacked[i]!) break;
    place = Math.max(place, c.sacked[i + 1]!);
  }
  // Without SACK only the segment at the left edge is known to be missing.
  if (c.sacked.length > 0 && place > c.sacked[c.sacked.length - 1]!) return;
  if (c.sacked.length === 0 && place > c.una) return;
  let limit = Math.min(c.recoverPlace, c.send.end);
  for (let i = 0; i < c.sacked.length; i += 2) {
    if (c.sacked[i]! > place) {
      limit = Math.min(limit, c.sacked[i]!);
      break;
    }
  }
  const n = Math.max(0, Math.min(c.peerMss, limit - place));
  sendSegment(c, place, n);
  c.holePlace = place + Math.max(n, 1);
}

function takeData(c: Connection, s: Segment, buf: Buffer, place: number): void {
  const n = s.payloadBytes;
  if (n === 0) return;
  if (c.state >= State.CLOSING || c.state === State.CLOSE_WAIT) {
    challenge(c, true);
    return;
  }
  const room = Math.min(n, c.receiveEdge - place);
  const hadGap = c.receive.outOfOrder;
  const fresh = room > 0 && c.receive.take(place, buf, s.payload, room);
  if (!fresh || hadGap) {
    c.ackNow = true; // Duplicate or out of order: acknowledge at once (RFC 5681 section 4.2).
  } else {
    c.ackBytes += n;
    if (c.ackBytes >= c.host.habits.ackEverySegments * c.peerMss) c.ackNow = true;
    else if (c.ackAtUs === NEVER) c.ackAtUs = c.host.clockUs() + c.host.habits.delayedAckUs;
  }
  if (fresh) c.app.readable(c);
}

function seeFin(c: Connection, place: number): void {
  c.finPlace = place;
  if (!c.finTaken) return;
  // A retransmitted FIN: its ACK was lost.
  c.ackNow = true;
  if (c.state === State.TIME_WAIT) c.timeWaitAtUs = c.host.clockUs() + c.host.image.timeWaitUs;
}

function takeFin(c: Connection): void {
  if (c.finTaken || c.receive.next !== c.finPlace) return;
  c.finTaken = true;
  c.ackNow = true;
  if (c.state === State.ESTABLISHED) c.state = State.CLOSE_WAIT;
  else if (c.state === State.FIN_WAIT_1) c.state = State.CLOSING;
  c.app.peerClosed(c);
  if (c.state === State.FIN_WAIT_2) enterTimeWait(c);
}

function enterTimeWait(c: Connection): void {
  c.state = State.TIME_WAIT;
  c.retransmitAtUs = NEVER;
  c.persistAtUs = NEVER;
  c.timeWaitAtUs = c.host.clockUs() + c.host.image.timeWaitUs;
  // For the application it is over: later segments (even a reset) concern TIME_WAIT alone.
  c.app.closed(c, false);
}

function challenge(c: Connection, always: boolean): void {
  const now = c.host.clockUs();
  if (!always && now < c.challengeAtUs) return;
  c.challengeAtUs = now + CHALLENGE_US;
  c.ackNow = true;
}
