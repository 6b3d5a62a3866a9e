// The primary's end of the stream link: the client's frames to the secondary, what the SVM has sent to the comparison,
// and the match of both hosts' epochs. What is lost on the way, or has no room, is not known to the comparison, and one
// checkpoint mends it; TCP's input is retransmitted, as no acknowledgement leaves that the SVM has not given.

import { Counters, slotsOf } from '../core/counters';
import type { Log } from '../core/log';
import { DigestIntake } from '../digest/intake';
import { type Digester, FETCH_BYTES, writeFetch } from '../digest/record';
import type { Channel, ChannelEvents, OpenChannel, Peer } from '../link/channel';
import { NUMBER_BYTES, numberOf, RecordType, VNET_HEADER_BYTES, writeNumber } from '../link/record';
import { ArpView, parseArp } from '../packet/arp';
import { DatagramCutter } from '../packet/datagram-cutter';
import { ETH_P_ARP } from '../packet/ethernet';
import { firstProtocol } from '../packet/ip-header';
import { PARSE_OK, parseIp } from '../packet/parse';
import { REASSEMBLY_COMPLETE, Reassembler } from '../packet/reassembly';
import { IPPROTO_TCP, IPPROTO_UDP, PacketView } from '../packet/view';
import { PACKED_UNKNOWN, packingOf } from '../packet/vnet-offload';
import type { PrimaryEngine } from '../pmycolo/engine';
import type { PrimaryWords } from '../pmycolo/primary-words';
import { EpochInquiry } from './epoch-inquiry';
import { type EpochMatch, Matched } from './epoch-match';
import { FramePackets } from './frame-packets';
import { type Clock, type PacketSink, queuedPacket } from './ports';
import type { EpochMarks, PrimaryNode } from './primary';

export const PRIMARY_LINK_COUNTERS = [
  'link_client_frames',
  /** Not sent: there was no connection, or no room. */
  'link_client_frames_lost',
  'link_guest_frames',
  /** Of an epoch that has ended, or of none that is known. */
  'link_guest_frames_past',
  /** Told by the secondary: frames of its guest that it could not send. */
  'link_guest_frames_lost',
  'link_marks',
  /** A checkpoint of one host that the other has not heard of in time. */
  'link_marks_unmatched',
  'link_downs',
] as const;

export interface PrimaryLinkPorts {
  clock: Clock;
  log: Log;
  open: OpenChannel;
  node: () => Pick<PrimaryNode, 'covered' | 'unheard' | 'unknown' | 'unmatched'>;
  engine: Pick<PrimaryEngine, 'awaitsCheckpoint' | 'flowCount' | 'heldPackets'>;
  /** Where the SVM's packets go. */
  intake: PacketSink;
  /** Packets of the PVM that were read. */
  spoken(): number;
  /** An ARP packet of the SVM; holds during the call only. */
  arp(arp: ArpView): void;
  /** Without it digests are not understood here. */
  digests?: { said: PrimaryWords; digester(key: Buffer): Digester };
}

const NOTHING = Buffer.alloc(0);

export class PrimaryLink implements ChannelEvents, EpochMarks {
  readonly counters = new Counters(PRIMARY_LINK_COUNTERS);
  private readonly channel: Channel;
  private readonly packet = queuedPacket();
  private readonly packets = new FramePackets(false);
  private readonly view = new PacketView();
  private readonly cutter = new DatagramCutter();
  private readonly arp = new ArpView();
  private readonly fragments: Reassembler;
  /** Of the secondary, as it was told last. */
  private epoch = 0;
  /** What is not known of either direction is to be mended by a checkpoint, when the other side can be heard. */
  private unknown = false;
  private readonly inquiry = new EpochInquiry();
  private readonly which = Buffer.alloc(NUMBER_BYTES);
  /** The other side's new pair is known, and this one has not begun; or the other way round. */
  private pairHeard = false;
  private pairAwaited = false;
  private unread = false;
  private handed = false;
  private readonly digests: DigestIntake | undefined;
  private readonly question = Buffer.alloc(FETCH_BYTES);

  /** The seed: any two numbers that strangers do not know. */
  constructor(
    readonly match: EpochMatch,
    private readonly ports: PrimaryLinkPorts,
    seed: readonly [number, number],
  ) {
    this.fragments = new Reassembler({ maxDatagrams: 256, bytesLog2: 22 }, ...seed);
    const { digests } = ports;
    if (digests !== undefined) {
      this.digests = new DigestIntake(
        digests.said,
        {
          frame: (buf, off, bytes) => this.handFrame(buf, off, bytes),
          fetch: (serial, from, bytes) => {
            writeFetch(this.question, serial, from, bytes);
            return this.channel.send(RecordType.FETCH, this.epoch, this.question, FETCH_BYTES, NOTHING, 0, 0);
          },
          unknown: () => this.ports.node().unknown(),
        },
        seed,
      );
    }
    this.channel = ports.open(this);
  }

  /** Of the digests of the SVM's frames. */
  digestCounters(): Record<string, number> {
    return this.digests?.counters.snapshot() ?? {};
  }

  get up(): boolean {
    return this.channel.up;
  }

  /** Of its connections. */
  channelCounters(): Record<string, number> {
    return this.channel.counters?.snapshot() ?? {};
  }

  /** A frame that goes to the PVM, with its virtio-net header. */
  clientFrame(buf: Buffer, off: number, bytes: number): void {
    if (this.channel.send(RecordType.CLIENT_FRAME, this.epoch, NOTHING, 0, buf, off, bytes)) {
      this.count('link_client_frames');
      return;
    }
    this.count('link_client_frames_lost');
    if (!this.isTcp(buf, off, bytes)) this.unknown = true;
  }

  /** Frames that go to the PVM could not be read. */
  framesLost(frames: number): void {
    this.counters.values[COUNT.link_client_frames_lost]! += frames;
    this.unknown = true;
  }

  endBatch(): void {
    this.channel.flush();
  }

  close(): void {
    this.channel.close();
  }

  // The link

  onUp({ process, memory = process, epoch, digestKey }: Peer): void {
    const key = digestKey === undefined ? undefined : Buffer.from(digestKey, 'hex');
    this.digests?.begin(key && this.ports.digests?.digester(key));
    this.epoch = epoch;
    this.inquiry.begin(this.ports.spoken());
    const isNew = this.isNew;
    const matched = this.match.connected(memory, epoch, this.ports.clock.nowMs());
    this.unknown = !isNew;
    // A pair of which nothing was seen yet has lost nothing; that it was heard of outlives its first connection.
    if (matched === Matched.HOLD) this.pairHeard = isNew;
    if (isNew && this.pairHeard) this.match.align(epoch);
    else this.act(matched);
    this.settle();
  }

  onDown(): void {
    this.count('link_downs');
    this.unread = false;
    this.digests?.begin(undefined);
    this.pairAwaited = false;
    this.act(this.match.disconnected(this.ports.clock.nowMs()));
    this.ports.node().unheard();
  }

  onRoom(): void {}

  onRecord(type: RecordType, epoch: number, buf: Buffer, off: number, bytes: number): boolean {
    switch (type) {
      case RecordType.GUEST_FRAME:
      case RecordType.GUEST_DIGEST:
        return this.guestFrame(type, epoch, buf, off, bytes);
      case RecordType.FETCHED:
      case RecordType.GONE:
        return this.answer(type, buf, off, bytes);
      case RecordType.MARK:
        if (this.match.state === 'ahead') return this.leave();
        this.count('link_marks');
        this.epoch = epoch;
        this.pairHeard = false;
        this.act(this.match.mark(epoch, this.ports.clock.nowMs()));
        return true;
      case RecordType.PAIR:
        this.pair(epoch);
        return true;
      case RecordType.IS:
        if (bytes === NUMBER_BYTES && this.inquiry.answer(numberOf(buf, off), epoch)) this.found(epoch);
        return true;
      case RecordType.LOST:
        if (this.match.state === 'ahead') return this.leave();
        this.counters.values[COUNT.link_guest_frames_lost]! += numberOf(buf, off);
        // Else the checkpoint that is under way, or will be asked for, mends it.
        if (this.match.state === 'even') this.ports.node().unknown();
        return true;
      default:
        return true;
    }
  }

  onBatch(): void {
    this.endBatchOf(this.ports.clock.nowMs());
    this.settle();
    this.channel.flush();
  }

  /** Of either guest's: what the PVM has said may be what the SVM's digests wait for. */
  endBatchOf(nowMs: number): void {
    this.digests?.endBatch(nowMs);
    if (!this.handed) return;
    this.handed = false;
    this.ports.intake.endBatch();
  }

  get deadlineMs(): number {
    return this.digests?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  // Epochs

  begins(fresh: boolean): boolean {
    this.unknown = false;
    this.inquiry.begin(this.ports.spoken());
    this.pairAwaited = fresh && this.channel.up && !this.pairHeard;
    if (!fresh) {
      // Checkpoints may have found nobody here.
      this.match.lose(this.ports.clock.nowMs());
      this.goOn();
      return false;
    }
    if (this.channel.up && this.pairHeard) this.match.align(this.epoch);
    // Marks of the pair before may still be on their way; what the new SVM says comes behind its PAIR.
    else this.match.lose(this.ports.clock.nowMs());
    this.pairHeard = false;
    this.goOn();
    return this.channel.up;
  }

  checkpointed(nowMs: number): Matched {
    this.inquiry.begin(this.ports.spoken());
    this.pairAwaited = false;
    return this.match.checkpoint(nowMs);
  }

  goOn(): void {
    this.digests?.clear();
    if (!this.unread) return;
    this.unread = false;
    this.channel.resume();
  }

  tick(nowMs: number): void {
    this.fragments.expire(nowMs);
    this.act(this.match.tick(nowMs));
    this.digests?.tick(nowMs);
    this.inquire();
    this.settle();
  }

  /** Nothing was seen of this pair yet, and it is compared. */
  private get isNew(): boolean {
    const { engine } = this.ports;
    return engine.flowCount === 0 && engine.heldPackets === 0 && !engine.awaitsCheckpoint;
  }

  /** A checkpoint that is under way mends only what was lost before it; one that could not be matched, nothing. */
  private settle(): void {
    if (!this.unknown || !this.channel.up || this.match.state !== 'even') return;
    this.unknown = false;
    this.ports.node().unknown();
  }

  private act(matched: Matched): void {
    const node = this.ports.node();
    if (matched === Matched.RELEASE) node.covered();
    else if (matched === Matched.ASK) {
      this.unknown = false;
      node.unknown();
    } else if (matched === Matched.HOLD) {
      this.count('link_marks_unmatched');
      this.ports.log.warn(
        { hint: 'a checkpoint mends it that comes alone, or a controller that begins anew' },
        'which epoch of the secondary is the present one is not known: all is held',
      );
      this.inquiry.begin(this.ports.spoken());
      node.unmatched();
      this.goOn();
    }
  }

  /**
   * The secondary begins a new pair. Where this side has seen something of an earlier one, a checkpoint has to tell.
   */
  private pair(epoch: number): void {
    this.epoch = epoch;
    if (this.pairAwaited) {
      this.pairAwaited = false;
      this.match.align(epoch);
    } else if (this.match.state === 'even') {
      const { isNew } = this;
      this.pairHeard = true;
      this.match.align(epoch);
      if (!isNew) {
        this.ports.node().unmatched();
        this.unknown = true;
      }
    } else {
      // A checkpoint that was obeyed here may be of this pair, or of the one before.
      this.act(this.match.lose(this.ports.clock.nowMs()));
    }
    this.goOn();
  }

  private inquire(): void {
    const { channel, inquiry, match, ports, which } = this;
    if (match.state !== 'unknown' || !channel.up || !inquiry.wants(ports.spoken())) return;
    writeNumber(which, inquiry.serial);
    if (!channel.send(RecordType.WHICH, this.epoch, NOTHING, 0, which, 0, NUMBER_BYTES)) return;
    inquiry.asks();
    channel.flush();
  }

  private found(epoch: number): void {
    if (this.match.state === 'unknown') this.act(this.match.found(epoch));
  }

  private leave(): false {
    this.unread = true;
    return false;
  }

  // Frames

  private guestFrame(type: RecordType, epoch: number, buf: Buffer, off: number, bytes: number): boolean {
    const { match, digests } = this;
    if (match.state === 'ahead') return this.leave();
    this.count('link_guest_frames');
    if (!match.isPresent(epoch)) {
      this.count('link_guest_frames_past');
      if (this.inquiry.hears(epoch)) this.found(epoch);
      return true;
    }
    match.hands(epoch);
    if (digests === undefined || type === RecordType.GUEST_FRAME) {
      if (digests === undefined) this.handFrame(buf, off, bytes);
      else digests.frame(buf, off, bytes, this.ports.clock.nowMs());
    } else if (!digests.digest(epoch, buf, off, bytes, this.ports.clock.nowMs()))
      this.channel.disconnect('a digest record that is none');
    return true;
  }

  private answer(type: RecordType, buf: Buffer, off: number, bytes: number): boolean {
    const { digests } = this;
    const now = this.ports.clock.nowMs();
    const fine =
      type === RecordType.FETCHED ? digests?.fetched(buf, off, bytes, now) : digests?.gone(buf, off, bytes, now);
    if (fine !== true) this.channel.disconnect('an answer to what was not asked');
    return true;
  }

  private handFrame(buf: Buffer, off: number, bytes: number): void {
    const { packet: p, packets } = this;
    const network = packets.fill(p, buf, off, bytes, VNET_HEADER_BYTES);
    if (network >= 0) this.guestPacket(buf, off, bytes, network);
    else if (
      packets.view.type === ETH_P_ARP &&
      parseArp(this.arp, buf, packets.view.network, off + bytes - packets.view.network)
    ) {
      this.ports.arp(this.arp);
    }
  }

  private guestPacket(buf: Buffer, off: number, bytes: number, network: number): void {
    const { packet: p, view, fragments } = this;
    this.handed = true;
    view.zone = 0;
    if (parseIp(view, buf, network, p.len) !== PARSE_OK || !view.fragment) {
      if (p.segmented && view.protocol === IPPROTO_UDP && this.cut(packingOf(buf, off, VNET_HEADER_BYTES, network)))
        return;
      this.ports.intake.packet(p);
      return;
    }
    // The PVM's were put together by its host's kernel before they were queued.
    if (fragments.add(view, off, off + bytes, 0, this.ports.clock.nowMs()) !== REASSEMBLY_COMPLETE) return;
    const whole = fragments.complete!;
    p.buf = fragments.data;
    p.off = whole.offset + whole.headBytes;
    p.len = whole.bytes - whole.headBytes;
    p.originalLen = p.len;
    p.segmented = false;
    this.ports.intake.packet(p);
    fragments.free(whole);
  }

  /**
   * The PVM's are cut by its host's kernel before they are queued. False: it is one datagram, or it is not known how.
   */
  private cut(packing: number): boolean {
    const { cutter, view, packet: p } = this;
    if (packing >= PACKED_UNKNOWN || view.payloadBytes <= packing || !cutter.start(view, view.start, packing))
      return false;
    p.buf = cutter.buf;
    p.off = 0;
    p.segmented = false;
    for (let bytes = cutter.take(); bytes > 0; bytes = cutter.take()) {
      p.len = bytes;
      p.originalLen = bytes;
      this.ports.intake.packet(p);
    }
    return true;
  }

  private isTcp(buf: Buffer, off: number, bytes: number): boolean {
    const network = this.packets.fill(this.packet, buf, off, bytes, VNET_HEADER_BYTES);
    return network >= 0 && firstProtocol(buf, network) === IPPROTO_TCP;
  }

  private count(name: (typeof PRIMARY_LINK_COUNTERS)[number]): void {
    this.counters.values[COUNT[name]]!++;
  }
}

const COUNT = slotsOf(PRIMARY_LINK_COUNTERS);
