// The secondary's end of the stream link, until a failover: the clients' frames go into the guest's port, translated;
// what the guest sends goes to the primary and nowhere else, under the epoch in which it was sent.
//
// At a checkpoint the guest stands still: what it has sent is read, and belongs to the old epoch; what waits for it in
// its port was translated with the old numbers, and is thrown away, as the loaded guest lives in the new ones; then the
// mark is set.

import { Counters, slotsOf } from '../core/counters';
import type { Log } from '../core/log';
import type { DigestSender } from '../digest/sender';
import type { Channel, ChannelEvents, OpenChannel, Peer } from '../link/channel';
import { NUMBER_BYTES, RecordType, VNET_HEADER_BYTES, writeNumber } from '../link/record';
import { firstProtocol } from '../packet/ip-header';
import { IPPROTO_ICMPV6, IPPROTO_TCP } from '../packet/view';
import type { Neighbours } from '../seccolo/neighbours';
import { FramePackets } from './frame-packets';
import { FrameVerdicts } from './frame-verdicts';
import type { KeptEpoch } from './kept-epoch';
import { type Clock, type PacketSink, queuedPacket } from './ports';

export const SECONDARY_LINK_COUNTERS = [
  'link_client_frames',
  /** The guest's port had no room for them. */
  'link_client_frames_lost',
  'link_guest_frames',
  /** Not sent: there was no connection, or no room. */
  'link_guest_frames_lost',
  'link_marks',
  'link_downs',
] as const;

export interface SecondaryLinkPorts {
  clock: Clock;
  log: Log;
  open: OpenChannel;
  /** What goes to the guest, and what it sends. */
  node: { readonly fromPeers: PacketSink; readonly fromGuest: PacketSink };
  neighbours: Neighbours;
  port: {
    /** False: the guest's port has no room, or is down. */
    send(buf: Buffer, off: number, bytes: number): boolean;
    /** Throws away what waits in it for the guest. */
    empty(): void;
  };
  epoch: KeptEpoch;
  /** Without it the guest's frames are sent as they are. */
  digests?: DigestSender;
}

/** In HELLO: digests are understood, or sent. */
export const DIGESTS = 'digests';

/** How often, and how long, a frame is offered to a port without room: a guest that runs reads it in that time. */
const RETRY_MS = 1;
const MAX_RETRIES = 50;
/** The making of a connection takes no longer. */
const HANDSHAKE_MS = 5000;
const NOTHING = Buffer.alloc(0);

export class SecondaryLink implements ChannelEvents {
  readonly counters = new Counters(SECONDARY_LINK_COUNTERS);
  private readonly channel: Channel;
  private readonly packet = queuedPacket();
  private readonly packets = new FramePackets(true);
  private readonly peers: FrameVerdicts;
  private readonly guest: FrameVerdicts;
  private readonly word = Buffer.alloc(NUMBER_BYTES);
  /** Frames of the guest, or for it, that were lost since the epoch began, and of which the primary does not know. */
  private lost = 0;
  private retries = 0;
  /** The frame that waits for room was translated with numbers that are void. */
  private stale = false;
  private handed = false;
  /** When the epoch changed without a connection. */
  private changedMs = Number.NEGATIVE_INFINITY;
  private changedBy: RecordType = RecordType.PAIR;
  private closed = false;
  /** The other side wants digests. */
  private digests: DigestSender | undefined;
  private unanswered = false;

  constructor(private readonly ports: SecondaryLinkPorts) {
    // What has waited for its verdict goes in as what comes does.
    this.peers = new FrameVerdicts((frame) => void this.toPort(frame, 0, frame.length));
    this.guest = new FrameVerdicts(() => {});
    this.channel = ports.open(this);
  }

  get up(): boolean {
    return this.channel.up;
  }

  /** Of its connections. */
  channelCounters(): Record<string, number> {
    return this.channel.counters?.snapshot() ?? {};
  }

  get presentEpoch(): number {
    return this.ports.epoch.value;
  }

  /** The verdicts of the two queues that the frames stand for. */
  get verdicts() {
    return { guest: this.guest, forward: this.peers };
  }

  /** A frame that the guest has sent, with its virtio-net header. After close() the node alone hears it. */
  guestFrame(buf: Buffer, off: number, bytes: number): void {
    const { packet: p, guest } = this;
    const { neighbours, clock } = this.ports;
    const network = this.packets.fill(p, buf, off, bytes, VNET_HEADER_BYTES);
    if (mayBeNeighbours(buf, network)) {
      const answer = neighbours.question(buf, off, bytes, VNET_HEADER_BYTES, clock.nowMs());
      if (answer !== undefined) {
        this.toPort(answer, 0, answer.length);
        return;
      }
    }
    if (network >= 0) {
      p.id = guest.next();
      this.ports.node.fromGuest.packet(p);
      if (!guest.given(buf, off, bytes, VNET_HEADER_BYTES, network - off)) return;
    }
    if (this.closed) return;
    this.count('link_guest_frames');
    // What is behind a loss is of no use: the comparison waits for a checkpoint.
    if (this.lost === 0 && this.sendGuest(buf, off, bytes)) return;
    this.lost++;
    this.count('link_guest_frames_lost');
  }

  endGuestBatch(): void {
    this.ports.node.fromGuest.endBatch();
    if (this.closed) return;
    this.tellLost();
    this.channel.flush();
  }

  /** The guest stands still, and all that it has sent was handed in. */
  checkpoint(): void {
    this.ports.port.empty();
    this.ports.neighbours.checkpoint();
    this.stale = this.retries > 0;
    this.begin(RecordType.MARK);
  }

  /** Nothing is known any more of an earlier pair. */
  newPair(): void {
    this.ports.epoch.renew();
    this.begin(RecordType.PAIR);
  }

  /** Frames of the guest that could not be read. */
  framesLost(frames: number): void {
    this.lost += frames;
    this.counters.values[COUNT.link_guest_frames_lost]! += frames;
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    if (this.closed) return;
    this.tellLost();
    this.channel.flush();
  }

  close(): void {
    this.closed = true;
    this.channel.close();
  }

  // The link

  onUp({ features }: Peer): void {
    if (this.ports.clock.nowMs() - this.changedMs < HANDSHAKE_MS) {
      this.changedMs = Number.NEGATIVE_INFINITY;
      // Twice a new pair is one; a mark would be counted twice.
      if (this.changedBy === RecordType.MARK || !this.send(RecordType.PAIR, NOTHING, 0, 0)) {
        this.channel.disconnect('the epoch has changed while it was made');
        return;
      }
    }
    this.digests = features.includes(DIGESTS) ? this.ports.digests : undefined;
    this.unanswered = false;
    this.retries = 0;
    this.stale = false;
    this.tellLost();
    this.channel.flush();
  }

  onDown(): void {
    this.count('link_downs');
  }

  onRoom(): void {
    this.tellLost();
    if (!this.unanswered) return;
    this.unanswered = false;
    this.channel.resume();
  }

  onRecord(type: RecordType, _epoch: number, buf: Buffer, off: number, bytes: number): boolean {
    if (type === RecordType.CLIENT_FRAME) return this.clientFrame(buf, off, bytes);
    if (type === RecordType.WHICH && this.send(RecordType.IS, buf, off, bytes)) this.channel.flush();
    return type !== RecordType.FETCH || this.answer(buf, off, bytes);
  }

  onBatch(): void {
    if (this.handed) this.ports.node.fromPeers.endBatch();
    this.handed = false;
    this.channel.flush();
  }

  private clientFrame(buf: Buffer, off: number, bytes: number): boolean {
    const { packet: p, peers } = this;
    // It was translated when it was offered first.
    if (this.retries === 0) {
      this.count('link_client_frames');
      const network = this.packets.fill(p, buf, off, bytes, VNET_HEADER_BYTES);
      if (mayBeNeighbours(buf, network))
        this.ports.neighbours.heard(buf, off, bytes, VNET_HEADER_BYTES, this.ports.clock.nowMs());
      if (network >= 0) {
        this.handed = true;
        p.id = peers.next();
        this.ports.node.fromPeers.packet(p);
        if (!peers.given(buf, off, bytes, VNET_HEADER_BYTES, network - off)) return true;
      }
    }
    if (!this.stale && this.ports.port.send(buf, off, bytes)) {
      this.retries = 0;
      return true;
    }
    if (this.stale || this.retries === MAX_RETRIES) {
      this.stale = false;
      this.retries = 0;
      this.clientLost(buf, off, bytes);
      return true;
    }
    this.retries++;
    this.ports.clock.after(RETRY_MS, () => {
      if (!this.closed) this.channel.resume();
    });
    return false;
  }

  private toPort(buf: Buffer, off: number, bytes: number): void {
    if (!this.ports.port.send(buf, off, bytes)) this.clientLost(buf, off, bytes);
  }

  /** TCP's sender retransmits it: nobody acknowledges it before the guest has. Nothing else does. */
  private clientLost(buf: Buffer, off: number, bytes: number): void {
    this.count('link_client_frames_lost');
    const network = this.packets.fill(this.packet, buf, off, bytes, VNET_HEADER_BYTES);
    if (network < 0 || firstProtocol(buf, network) !== IPPROTO_TCP) this.lost++;
  }

  private begin(record: typeof RecordType.MARK | typeof RecordType.PAIR): void {
    this.ports.epoch.next();
    this.lost = 0;
    if (record === RecordType.MARK) this.count('link_marks');
    if (!this.channel.up) {
      // The next connection begins with the number, but for one that is being made now.
      this.changedMs = this.ports.clock.nowMs();
      this.changedBy = record;
      return;
    }
    if (!this.send(record, NOTHING, 0, 0)) this.channel.disconnect('a mark has no room');
    else this.channel.flush();
  }

  private tellLost(): void {
    if (this.lost === 0 || !this.channel.up) return;
    writeNumber(this.word, this.lost);
    if (this.send(RecordType.LOST, this.word, 0, NUMBER_BYTES)) this.lost = 0;
  }

  private sendGuest(buf: Buffer, off: number, bytes: number): boolean {
    const { digests } = this;
    const epoch = this.ports.epoch.value;
    if (digests === undefined || !digests.take(epoch, buf, off, bytes))
      return this.send(RecordType.GUEST_FRAME, buf, off, bytes);
    return this.channel.send(RecordType.GUEST_DIGEST, epoch, digests.record, digests.recordBytes, NOTHING, 0, 0);
  }

  /** A question for bytes behind digests. It waits where its answer has no room. */
  private answer(buf: Buffer, off: number, bytes: number): boolean {
    const { digests, channel } = this;
    const answer = digests?.fetch(buf, off, bytes) ?? 'malformed';
    if (digests === undefined || answer === 'malformed') {
      channel.disconnect('a question that is none');
      return true;
    }
    const type = answer === 'fetched' ? RecordType.FETCHED : RecordType.GONE;
    const { answerHead, answerHeadBytes, ring, answerAt, answerBytes } = digests;
    const { value } = this.ports.epoch;
    if (channel.send(type, value, answerHead, answerHeadBytes, ring, answerAt, answerBytes)) return true;
    this.unanswered = true;
    return false;
  }

  private send(type: RecordType, buf: Buffer, off: number, bytes: number): boolean {
    return this.channel.send(type, this.ports.epoch.value, NOTHING, 0, buf, off, bytes);
  }

  private count(name: (typeof SECONDARY_LINK_COUNTERS)[number]): void {
    this.counters.values[COUNT[name]]!++;
  }
}

/** Neither ARP nor neighbour discovery is anything else than no IP packet, or ICMPv6. */
function mayBeNeighbours(buf: Buffer, network: number): boolean {
  return network < 0 || firstProtocol(buf, network) === IPPROTO_ICMPV6;
}

const COUNT = slotsOf(SECONDARY_LINK_COUNTERS);
