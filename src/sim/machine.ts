// A simulated machine: a clock that can be stopped, an inbox, TCP connections, UDP, ICMP echo, and applications. The
// client and both guests are machines; copyFrom() makes the SVM a copy of the PVM. As with a hypervisor, a checkpoint
// does not copy the inbox (it is the tap's queue), the pace, and the machine's own randomness.

import { seqAfter } from '../core/seq32';
import { answerDatagram, answerEcho } from './app/datagram';
import { digest } from './content';
import { ORIGIN_NAMES, Origin, SimPacket } from './packet';
import type { Prng } from './prng';
import type { Scheduler } from './scheduler';
import { Connection } from './tcp/connection';
import {
  NEVER,
  State,
  type TcpApp,
  type TcpCounts,
  type TcpHabits,
  type TcpHost,
  type TcpImage,
} from './tcp/host-port';
import { ACK, buildSegment, RST, readSegment, Segment, SYN } from './tcp/segment';
import { resetFor } from './tcp/stray';
import {
  CLIENT_HOST,
  checksumHolds,
  GUEST_HOST,
  ipHeaderBytes,
  ipHeaderHolds,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  writeChecksum,
  writeIp,
} from './wire';

/** Packets that may wait for a machine (a tap's txqueuelen); more are lost. */
const INBOX_LIMIT = 1000;

export interface MachineHabits extends TcpHabits {
  /** Time from arrival to handling, at least and at most. */
  wakeMinUs: number;
  wakeMaxUs: number;
  /** Chance and duration of other work that keeps the machine busy. */
  hiccupChance: number;
  hiccupUs: number;
  /** Chance that a packet leaves with a partial checksum. */
  partialChance: number;
  initialSequence: (prng: Prng, key: string, clockUs: number) => number;
  timestampOffset: (prng: Prng, key: string) => number;
}

/** State of the guest's software beside its connections; copied by a checkpoint. */
export interface MachineMemory {
  nextPort: number;
  nextId: number;
}

export interface MachineCounts extends TcpCounts {
  badPackets: number;
  inboxDrops: number;
  strays: number;
  sent: number;
}

export class Machine implements TcpHost {
  readonly out = new Segment();
  readonly counts: MachineCounts = {
    retransmissions: 0,
    fastRetransmits: 0,
    timeouts: 0,
    pawsDrops: 0,
    pawsAcrossFailover: 0,
    zeroWindows: 0,
    wraps: 0,
    badEchoes: 0,
    resetsSent: 0,
    unsentAcks: 0,
    unsentSacks: 0,
    badPackets: 0,
    inboxDrops: 0,
    strays: 0,
    sent: 0,
  };
  memory: MachineMemory = { nextPort: 20000, nextId: 1 };
  /** Who answers on which port. */
  readonly listeners = new Map<number, (machine: Machine) => TcpApp>();
  /** Receives datagrams from the network; the client listens here. */
  onDatagram: ((packet: SimPacket) => void) | null = null;
  send: (packet: SimPacket) => void = () => {};
  running = true;
  /** Time of the first resume since noteCheckpoint(); -1: none. */
  ranFromUs = -1;
  alive = true;
  inboxLimit = INBOX_LIMIT;
  /** Checkpoints completed, written on every packet. */
  epoch = 0;
  private readonly incoming = new Segment();
  private connections = new Map<string, Connection>();
  private inbox: SimPacket[] = [];
  private inboxScheduled = false;
  private behindUs = 0;
  private frozenUs = 0;
  private wakeAtUs = NEVER;
  private family: 4 | 6 = 4;

  constructor(
    readonly origin: Origin,
    readonly image: TcpImage,
    readonly habits: MachineHabits,
    readonly prng: Prng,
    private readonly scheduler: Scheduler,
  ) {}

  get name(): string {
    return ORIGIN_NAMES[this.origin];
  }

  private get here(): number {
    return this.origin === Origin.CLIENT ? CLIENT_HOST : GUEST_HOST;
  }

  private get there(): number {
    return this.origin === Origin.CLIENT ? GUEST_HOST : CLIENT_HOST;
  }

  get open(): number {
    return this.connections.size;
  }

  get waiting(): number {
    return this.inbox.length;
  }

  hasOpen(family: 4 | 6, localPort: number, peerPort: number): boolean {
    const connection = this.connections.get(connectionName(family, localPort, peerPort));
    return connection !== undefined && connection.state !== State.TIME_WAIT;
  }

  /** The acknowledgement that the machine gives on a connection, as a sequence number; -1 when there is none. */
  acknowledged(family: 4 | 6, localPort: number, peerPort: number): number {
    const connection = this.connections.get(connectionName(family, localPort, peerPort));
    if (!connection) return -1;
    return (connection.irs + connection.receive.next + (connection.finTaken ? 1 : 0)) >>> 0;
  }

  // The hypervisor's side.

  stop(): void {
    if (!this.running) return;
    this.frozenUs = this.clockUs();
    this.running = false;
  }

  resume(): void {
    if (this.running || !this.alive) return;
    this.running = true;
    if (this.ranFromUs < 0) this.ranFromUs = this.scheduler.nowUs;
    this.behindUs = this.scheduler.nowUs - this.frozenUs;
    this.wakeAtUs = NEVER;
    this.wakeLater();
    if (this.inbox.length > 0) this.scheduleInbox();
  }

  /** It is stopped in a checkpoint that its node hears of. */
  noteCheckpoint(): void {
    this.ranFromUs = -1;
  }

  kill(): void {
    this.stop();
    this.alive = false;
    this.inbox = [];
  }

  /** Becomes a copy of `other`. Both are stopped. */
  copyFrom(other: Machine): void {
    this.frozenUs = other.frozenUs;
    this.memory = { ...other.memory };
    this.connections = new Map();
    for (const [name, connection] of other.connections) this.connections.set(name, connection.clone(this));
    this.listeners.clear();
    for (const [port, make] of other.listeners) this.listeners.set(port, make);
  }

  /** The tap's queue is emptied. */
  loseInbox(): void {
    this.counts.inboxDrops += this.inbox.length;
    this.inbox = [];
  }

  clockUs(): number {
    return this.running ? this.scheduler.nowUs - this.behindUs : this.frozenUs;
  }

  // The network's side.

  /** False: it is lost, there is no room. */
  deliver(packet: SimPacket): boolean {
    if (!this.alive) return false;
    if (this.inbox.length >= this.inboxLimit) {
      this.counts.inboxDrops++;
      return false;
    }
    this.inbox.push(packet);
    if (this.running) this.scheduleInbox();
    return true;
  }

  private scheduleInbox(): void {
    if (this.inboxScheduled) return;
    this.inboxScheduled = true;
    const habits = this.habits;
    const hiccup = habits.hiccupChance > 0 && this.prng.chance(habits.hiccupChance) ? habits.hiccupUs : 0;
    this.scheduler.after(this.prng.range(habits.wakeMinUs, habits.wakeMaxUs) + hiccup, () => {
      this.inboxScheduled = false;
      if (!this.running) return;
      const batch = this.inbox;
      this.inbox = [];
      for (const packet of batch) this.receive(packet);
      this.wakeLater();
    });
  }

  private receive(packet: SimPacket): void {
    const { buf, family, protocol } = packet;
    if (!ipHeaderHolds(buf, family) || !checksumHolds(buf, family, protocol, packet.partial)) {
      this.counts.badPackets++;
      return;
    }
    this.family = family;
    if (protocol === PROTO_TCP) this.receiveTcp(packet);
    else if (this.onDatagram) this.onDatagram(packet);
    else if (protocol === PROTO_UDP) answerDatagram(this, packet);
    else if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6) answerEcho(this, packet);
  }

  private receiveTcp(packet: SimPacket): void {
    const s = this.incoming;
    if (!readSegment(s, packet.buf, packet.family)) {
      this.counts.badPackets++;
      return;
    }
    const name = connectionName(packet.family, s.dstPort, s.srcPort);
    let connection = this.connections.get(name);
    const opening = (s.flags & (SYN | ACK | RST)) === SYN;
    if (connection && connection.state === State.TIME_WAIT && opening) {
      // A new SYN may end the wait early when it is surely newer (RFC 6191).
      const newer =
        seqAfter(s.seq, (connection.irs + connection.receive.next) >>> 0) ||
        (s.timestamps && connection.timestampsOn && seqAfter(s.tsVal, connection.tsRecent));
      if (newer) {
        connection.finish(false);
        connection = undefined;
      }
    }
    if (connection) {
      connection.segment(s, packet.buf, packet.origin);
      return;
    }
    const make = opening ? this.listeners.get(s.dstPort) : undefined;
    if (make) {
      const key = `c${packet.family}:${s.dstPort}:${s.srcPort}:${s.seq}`;
      connection = new Connection(this, packet.family, s.dstPort, s.srcPort, false, make(this));
      connection.key = key;
      this.connections.set(name, connection);
      const iss = this.habits.initialSequence(this.prng, key, this.clockUs());
      connection.accept(s, packet.origin, iss, this.habits.timestampOffset(this.prng, key));
      return;
    }
    if ((s.flags & RST) !== 0) return;
    this.counts.strays++;
    resetFor(s, this.out);
    this.transmit(null, 0, 0);
  }

  // Used by the software on the machine.

  /** Opens a connection to the other host; `key` must be the same on both guests. */
  connect(family: 4 | 6, localPort: number, peerPort: number, key: string, app: TcpApp): Connection | null {
    const name = connectionName(family, localPort, peerPort);
    const old = this.connections.get(name);
    if (old && old.state !== State.TIME_WAIT) return null;
    old?.finish(false);
    const connection = new Connection(this, family, localPort, peerPort, true, app);
    connection.key = key;
    this.connections.set(name, connection);
    connection.connect(
      this.habits.initialSequence(this.prng, key, this.clockUs()),
      this.habits.timestampOffset(this.prng, key),
    );
    this.wakeLater();
    return connection;
  }

  forget(connection: Connection): void {
    this.connections.delete(connectionName(connection.family, connection.localPort, connection.peerPort));
  }

  /** Sends the segment in `out`. */
  transmit(connection: Connection | null, place: number, dataBytes: number): void {
    const s = this.out;
    const family = connection ? connection.family : this.family;
    const buf = buildSegment(s, family, this.here, this.there, this.image.layout, this.memory.nextId++);
    const packet = new SimPacket(buf, family, PROTO_TCP);
    packet.syn = (s.flags & SYN) !== 0;
    packet.rst = (s.flags & RST) !== 0;
    packet.fin = (s.flags & 1) !== 0;
    if (connection) {
      if (dataBytes > 0) connection.send.fill(place, buf, s.payload, dataBytes);
      packet.segmentBytes = connection.peerMss;
      packet.key = connection.key;
      packet.place = place;
      packet.dataBytes = dataBytes;
      packet.windowScale = packet.syn ? 0 : connection.ownScale;
      if ((s.flags & ACK) !== 0) {
        packet.ackPlace = connection.receive.next + (connection.finTaken ? 1 : 0);
        packet.edgePlace = packet.ackPlace + s.window * 2 ** packet.windowScale;
      }
    } else {
      packet.key = `s${family}:${s.srcPort}:${s.dstPort}`;
    }
    this.finish(packet);
  }

  /** Sends a datagram: `payload` is the transport header (checksum zero) and what follows. */
  sendDatagram(family: 4 | 6, protocol: number, payload: Buffer): void {
    const header = ipHeaderBytes(family);
    const buf = Buffer.allocUnsafe(header + payload.length);
    payload.copy(buf, header);
    writeIp(buf, family, protocol, this.here, this.there, this.memory.nextId++);
    const packet = new SimPacket(buf, family, protocol);
    packet.contents = digest(0x811c9dc5 ^ protocol, buf, header, payload.length);
    this.finish(packet);
  }

  private finish(packet: SimPacket): void {
    packet.partial =
      (packet.protocol === PROTO_TCP || packet.protocol === PROTO_UDP) &&
      this.habits.partialChance > 0 &&
      this.prng.chance(this.habits.partialChance);
    writeChecksum(packet.buf, packet.family, packet.protocol, packet.partial);
    packet.origin = this.origin;
    packet.epoch = this.epoch;
    packet.madeUs = this.scheduler.nowUs;
    this.counts.sent++;
    this.send(packet);
  }

  /** Makes sure that the machine wakes for its next timer. */
  wakeLater(): void {
    if (!this.running) return;
    let deadline = NEVER;
    for (const connection of this.connections.values()) deadline = Math.min(deadline, connection.nextDeadlineUs());
    if (deadline === NEVER) return;
    const at = deadline + this.behindUs;
    if (at >= this.wakeAtUs && this.wakeAtUs > this.scheduler.nowUs) return;
    this.wakeAtUs = Math.max(at, this.scheduler.nowUs);
    const planned = this.wakeAtUs;
    this.scheduler.at(planned, () => {
      if (!this.running || this.wakeAtUs !== planned) return;
      this.wakeAtUs = NEVER;
      this.runTimers();
      this.wakeLater();
    });
  }

  private runTimers(): void {
    const now = this.clockUs();
    for (const connection of [...this.connections.values()]) {
      if (connection.state !== State.CLOSED && connection.nextDeadlineUs() <= now) connection.runTimers(now);
    }
  }
}

function connectionName(family: 4 | 6, localPort: number, peerPort: number): string {
  return `${family}:${localPort}:${peerPort}`;
}
