// Describes frames that leave the comparison in the ledger's terms, from their bytes alone.

import { seqDiff } from '../../core/seq32';
import type { Broken, Ledger } from '../check/ledger';
import { digest } from '../content';
import { Origin, SimPacket } from '../packet';
import { readSegment, Segment } from '../tcp/segment';
import { checksumOffset, ipHeaderBytes, PROTO_TCP } from '../wire';
import type { Received } from './frame';

const ACK = 0x10;

/** A connection of the PVM, in the PVM's sequence numbers. */
interface Spoken {
  key: string;
  /** ISNs of the PVM and of the peer. */
  seqBase: number;
  ackBase: number;
  scale: number;
  end: number;
}

export class Outlet {
  readonly counts = { frames: 0 };
  private readonly spoken = new Map<string, Spoken[]>();
  private readonly resets = new Map<string, string>();
  /** Epochs of the PVM's datagrams that have not left yet, by content. */
  private readonly datagrams = new Map<number, number[]>();
  private readonly segment = new Segment();

  constructor(
    private readonly ledger: Ledger,
    private readonly broken: Broken,
  ) {}

  /** Notes a packet that the PVM has sent. */
  note(packet: SimPacket): void {
    if (packet.protocol !== PROTO_TCP) {
      const epochs = this.datagrams.get(packet.contents) ?? [];
      epochs.push(packet.epoch);
      this.datagrams.set(packet.contents, epochs);
      return;
    }
    const s = this.segment;
    readSegment(s, packet.buf, packet.family);
    const tuple = `${packet.family}:${s.srcPort}:${s.dstPort}`;
    if (packet.rst) {
      this.resets.set(`${tuple}:${s.seq}:${s.flags & ACK}`, packet.key);
      if (packet.key[0] === 's') return;
    }
    const all = this.spoken.get(tuple) ?? [];
    this.spoken.set(tuple, all);
    let one = all.find((other) => other.key === packet.key);
    if (one === undefined) {
      one = { key: packet.key, seqBase: (s.seq - packet.place) >>> 0, ackBase: 0, scale: 0, end: 0 };
      all.unshift(one);
    }
    if (packet.ackPlace >= 0) one.ackBase = (s.ack - packet.ackPlace) >>> 0;
    if (!packet.syn && !packet.rst) one.scale = packet.windowScale;
    one.end = Math.max(one.end, packet.place + packet.dataBytes + 1);
  }

  /** Judges a frame that leaves, and returns its packet. */
  left({ packet: buf, family, partial, segmentBytes }: Received): SimPacket {
    this.counts.frames++;
    const protocol = buf[family === 4 ? 9 : 6]!;
    const packet = new SimPacket(buf, family, protocol);
    packet.origin = Origin.PVM;
    packet.partial = partial;
    packet.epoch = this.ledger.epoch;
    if (protocol === PROTO_TCP) this.readTcp(packet);
    else this.readDatagram(packet);
    this.ledger.released(packet, buf);
    if (packet.dataBytes > segmentBytes) packet.segmentBytes = segmentBytes;
    return packet;
  }

  private readDatagram(packet: SimPacket): void {
    const { buf, family, protocol } = packet;
    const l4 = ipHeaderBytes(family);
    const bare = Buffer.from(buf);
    bare.writeUInt16BE(0, l4 + checksumOffset(protocol));
    packet.contents = digest(0x811c9dc5 ^ protocol, bare, l4, bare.length - l4);
    const epochs = this.datagrams.get(packet.contents);
    if (epochs === undefined || epochs.length === 0)
      this.broken('output commit', `a datagram leaves that the PVM has not sent, or more often than it has`);
    else packet.epoch = epochs.shift()!;
  }

  private readTcp(packet: SimPacket): void {
    const s = this.segment;
    const { buf, family } = packet;
    if (!readSegment(s, buf, family)) {
      this.broken('faithful rewrite', 'a malformed TCP segment leaves');
      return;
    }
    packet.syn = (s.flags & 2) !== 0;
    packet.fin = (s.flags & 1) !== 0;
    packet.rst = (s.flags & 4) !== 0;
    const tuple = `${family}:${s.srcPort}:${s.dstPort}`;
    if (packet.rst) {
      packet.key = this.resets.get(`${tuple}:${s.seq}:${s.flags & ACK}`) ?? '';
      if (packet.key === '') this.broken('output commit', 'a reset leaves that the PVM has not sent');
      return;
    }
    const all = this.spoken.get(tuple) ?? [];
    const placeIn = (one: Spoken): number => seqDiff(s.seq, one.seqBase);
    const one = all.find((each) => placeIn(each) >= -1 && placeIn(each) <= each.end) ?? all[0];
    if (one === undefined) {
      this.broken('output commit', 'a segment leaves of a connection that the PVM does not have');
      return;
    }
    packet.key = one.key;
    packet.place = placeIn(one);
    packet.dataBytes = s.payloadBytes;
    packet.windowScale = packet.syn ? 0 : one.scale;
    if ((s.flags & ACK) === 0) return;
    packet.ackPlace = seqDiff(s.ack, one.ackBase);
    packet.edgePlace = packet.ackPlace + s.window * 2 ** packet.windowScale;
  }
}
