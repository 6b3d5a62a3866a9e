// One end of a TCP connection (RFC 9293, RFC 7323, RFC 2018, RFC 6298, RFC 5681), small but faithful; client and guests
// run the same code. Streams are counted in places (plain numbers from the SYN's 0), so that only the wire has
// wrap-around.

import type { Origin } from '../packet';
import { NEVER, State, type TcpApp, type TcpHost } from './host-port';
import { receiveSegment } from './input';
import { pushStream, sendAck, sendReset, sendSegment, sendSyn } from './output';
import type { Segment } from './segment';
import { ReceiveStream, SendStream } from './stream';

export class Connection {
  state: State = State.CLOSED;
  /** Name of the connection, equal on both guests, for the ledger. */
  key = '';
  readonly created: boolean;
  iss = 0;
  irs = 0;

  una = 0;
  nxt = 0;
  /** Place after the highest ever sent. */
  max = 0;
  send = new SendStream();
  finQueued = false;
  sendEdge = 0;
  windowFromPlace = 0;
  peerScale = 0;
  peerMss = 536;
  congestionBytes = 0;
  slowStartBytes = NEVER;
  duplicateAcks = 0;
  recoverPlace = -1;
  holePlace = 0;
  sacked: number[] = [];
  smoothedRttUs = 0;
  rttVarianceUs = 0;
  rtoUs = 1_000_000;
  backoff = 0;

  receive = new ReceiveStream();
  ownScale = 0;
  /** Right edge advertised; never moves back. */
  receiveEdge = 0;
  lastAckSent = 0;
  finPlace = -1;
  finTaken = false;
  ackBytes = 0;
  ackNow = false;
  challengeAtUs = 0;

  sackOn = false;
  timestampsOn = false;
  timestampOffset = 0;
  tsRecent = 0;
  tsRecentOrigin: Origin = 0;
  firstSynTs = 0;
  lastSynTs = 0;
  rttPlace = -1;
  rttStartUs = 0;

  retransmitAtUs = NEVER;
  ackAtUs = NEVER;
  persistAtUs = NEVER;
  timeWaitAtUs = NEVER;
  appAtUs = NEVER;

  constructor(
    public host: TcpHost,
    readonly family: 4 | 6,
    readonly localPort: number,
    readonly peerPort: number,
    active: boolean,
    public app: TcpApp,
  ) {
    this.created = active;
    this.ownScale = host.image.windowScale;
    this.congestionBytes = 10 * host.image.mss;
    this.peerMss = host.image.mss;
    this.timestampsOn = host.image.timestamps;
    this.sackOn = host.image.sack;
  }

  /** A copy of everything, for another machine. */
  clone(host: TcpHost): Connection {
    const copy = new Connection(host, this.family, this.localPort, this.peerPort, this.created, this.app);
    Object.assign(copy, this);
    copy.host = host;
    copy.app = this.app.clone();
    copy.send = this.send.clone();
    copy.receive = this.receive.clone();
    copy.sacked = this.sacked.slice();
    return copy;
  }

  // Called by the application.

  connect(iss: number, timestampOffset: number): void {
    this.iss = iss;
    this.timestampOffset = timestampOffset;
    this.state = State.SYN_SENT;
    sendSyn(this);
  }

  accept(syn: Segment, origin: Origin, iss: number, timestampOffset: number): void {
    this.iss = iss;
    this.timestampOffset = timestampOffset;
    this.learnPeer(syn, origin);
    this.state = State.SYN_RECEIVED;
    sendSyn(this);
  }

  /** Bytes that may still be written before the send buffer is full. */
  get room(): number {
    return this.finQueued ? 0 : Math.max(0, this.host.image.sendBytes - (this.send.end - this.una));
  }

  push(): void {
    pushStream(this);
  }

  close(): void {
    if (this.finQueued) return;
    this.finQueued = true;
    if (this.state === State.ESTABLISHED) this.state = State.FIN_WAIT_1;
    else if (this.state === State.CLOSE_WAIT) this.state = State.LAST_ACK;
    pushStream(this);
  }

  abort(): void {
    sendReset(this);
    this.finish(false);
  }

  read(): Buffer[] {
    const bytes = this.receive.read();
    // A window update goes out when the edge can move by two segments, or when it was shut (RFC 9293 section
    // 3.8.6.2.2).
    const before = this.receiveEdge;
    if (
      this.freeEdge() - before >= 2 * this.host.image.mss ||
      (before <= this.receive.next && this.freeEdge() > before)
    )
      this.ackNow = true;
    return bytes;
  }

  // Called by the host.

  segment(s: Segment, buf: Buffer, origin: Origin): void {
    receiveSegment(this, s, buf, origin);
    if (this.state === State.CLOSED) return;
    if (this.ackNow) sendAck(this);
  }

  nextDeadlineUs(): number {
    return Math.min(this.retransmitAtUs, this.ackAtUs, this.persistAtUs, this.timeWaitAtUs, this.appAtUs);
  }

  runTimers(nowUs: number): void {
    if (this.timeWaitAtUs <= nowUs) {
      this.finish(false);
      return;
    }
    if (this.appAtUs <= nowUs) {
      this.appAtUs = NEVER;
      this.app.timer(this);
      // The application may have ended it.
      if ((this.state as State) === State.CLOSED) return;
    }
    if (this.retransmitAtUs <= nowUs) this.retransmitTimeout();
    if (this.persistAtUs <= nowUs) this.probeWindow();
    if (this.ackAtUs <= nowUs || this.ackNow) sendAck(this);
  }

  // Shared by input and output.

  timestampNow(): number {
    return (Math.floor(this.host.clockUs() / 1000) + this.timestampOffset) >>> 0;
  }

  learnPeer(syn: Segment, origin: Origin): void {
    this.irs = syn.seq;
    this.lastAckSent = 1;
    const scaling = syn.windowScale >= 0 && this.host.image.windowScale >= 0;
    this.peerScale = scaling ? syn.windowScale : 0;
    this.ownScale = scaling ? this.host.image.windowScale : 0;
    if (syn.mss >= 0) this.peerMss = Math.min(this.host.image.mss, syn.mss);
    this.sackOn = this.sackOn && syn.sackPermitted;
    this.timestampsOn = this.timestampsOn && syn.timestamps;
    if (this.timestampsOn) {
      this.tsRecent = syn.tsVal;
      this.tsRecentOrigin = origin;
    }
    this.sendEdge = syn.window;
  }

  /** The right edge that the window could have now. */
  freeEdge(): number {
    return this.receive.next + Math.max(0, this.host.image.receiveBytes - this.receive.unread);
  }

  armRetransmit(): void {
    this.retransmitAtUs =
      this.una < this.max ? this.host.clockUs() + Math.min(this.rtoUs * 2 ** this.backoff, 4_000_000) : NEVER;
  }

  measureRtt(rttUs: number): void {
    if (this.smoothedRttUs === 0) {
      this.smoothedRttUs = rttUs;
      this.rttVarianceUs = rttUs / 2;
    } else {
      this.rttVarianceUs = 0.75 * this.rttVarianceUs + 0.25 * Math.abs(this.smoothedRttUs - rttUs);
      this.smoothedRttUs = 0.875 * this.smoothedRttUs + 0.125 * rttUs;
    }
    this.rtoUs = Math.floor(Math.min(4_000_000, this.smoothedRttUs + Math.max(200_000, 4 * this.rttVarianceUs)));
  }

  /** The connection is over, in order or by a reset. */
  finish(reset: boolean): void {
    if (this.state === State.CLOSED) return;
    const told = this.state === State.TIME_WAIT;
    this.state = State.CLOSED;
    this.host.forget(this);
    if (!told) this.app.closed(this, reset);
  }

  private retransmitTimeout(): void {
    const counts = this.host.counts;
    counts.timeouts++;
    this.backoff = Math.min(this.backoff + 1, 6);
    if (this.state === State.SYN_SENT || this.state === State.SYN_RECEIVED) {
      counts.retransmissions++;
      sendSyn(this);
      return;
    }
    this.slowStartBytes = Math.max((this.max - this.una) >> 1, 2 * this.peerMss);
    this.congestionBytes = this.peerMss;
    this.sacked.length = 0;
    this.duplicateAcks = 0;
    this.recoverPlace = -1;
    this.rttPlace = -1;
    this.nxt = this.una;
    pushStream(this);
    // A closed window holds back new data, never the retransmission of the first old segment.
    if (this.nxt === this.una) sendSegment(this, this.una, Math.min(this.peerMss, this.send.end - this.una));
    this.armRetransmit();
  }

  private probeWindow(): void {
    this.persistAtUs = NEVER;
    this.backoff = Math.min(this.backoff + 1, 6);
    sendAck(this, this.una - 1);
    pushStream(this);
  }
}
