// Segments that are cut from a packet of the PVM's: its headers, some of its payload, and the fields that they need of
// their own. The packet itself stays as it is.

import { read16, write16, write32 } from '../core/big-endian';
import { copyBytes } from '../core/bytes';
import { MAX_PROBE_SOURCE_BYTES, PREFIX_PACKET_BYTES } from '../core/limits';
import { ipv4HeaderChecksum, transportChecksum } from '../packet/checksum';
import {
  IP_DF,
  IPV4_CHECKSUM_AT,
  IPV4_FRAGMENT_AT,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  ipFamily,
  readIpBytes,
  writeIpBytes,
} from '../packet/ip-header';
import { TCP_CHECKSUM_AT, TCP_SEQ_AT, tcpHeaderBytes } from '../packet/tcp-header';
import { IPPROTO_TCP, PacketView } from '../packet/view';

const MAX_HEAD_BYTES = 0xff;

export class SegmentBuilder {
  /** The segment: its frame's headers from 0 on, its IP header at start, its TCP header at l4. */
  readonly packet = Buffer.allocUnsafeSlow(MAX_HEAD_BYTES + Math.max(PREFIX_PACKET_BYTES, MAX_PROBE_SOURCE_BYTES));
  start = 0;
  l4 = 0;
  /** Behind what was placed last. */
  end = 0;
  /** Where the payload begins. */
  private payload = 0;
  private readonly view = new PacketView();

  constructor() {
    this.view.buf = this.packet;
    this.view.protocol = IPPROTO_TCP;
  }

  /**
   * Takes the headers of the packet whose frame's headers, so many bytes, begin at `copy` of data, and its TCP header
   * l4 bytes on. False: it may not be cut, as IP options and extension headers may be about the whole packet.
   */
  load(data: Buffer, copy: number, headBytes: number, l4: number): boolean {
    const family = ipFamily(data, copy + headBytes);
    if (l4 - headBytes !== (family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES)) return false;
    this.view.family = family;
    this.start = headBytes;
    this.l4 = l4;
    this.payload = l4 + tcpHeaderBytes(data, copy + l4);
    copyBytes(data, copy, this.packet, 0, this.payload);
    return true;
  }

  /** Payload bytes of the packet that was loaded, from its frame's headers on, by the length in its IP header. */
  payloadBytes(): number {
    const { packet, start } = this;
    const length = readIpBytes(packet, start);
    return start + length - this.payload;
  }

  /** Bytes before the payload, from the packet's frame's headers on. */
  get payloadOffset(): number {
    return this.payload;
  }

  /** Payload that a packet of so many bytes, at most, has room for. */
  room(packetBytes: number): number {
    return packetBytes - (this.payload - this.start);
  }

  /** [at, at+bytes) of data is the payload. */
  place(data: Buffer, at: number, bytes: number): void {
    copyBytes(data, at, this.packet, this.payload, bytes);
    this.end = this.payload + bytes;
  }

  /** Its sequence number, and lengths and checksums of what now stands there. */
  finish(seq: number): void {
    const { packet, view, start, l4, end } = this;
    write32(packet, l4 + TCP_SEQ_AT, seq);
    writeIpBytes(packet, start, view.family, end - start);
    if (view.family === 4) {
      // The packet that it was cut from has the same identification: nobody may put parts of the two together (RFC
      // 6864).
      write16(packet, start + IPV4_FRAGMENT_AT, read16(packet, start + IPV4_FRAGMENT_AT) | IP_DF);
      write16(packet, start + IPV4_CHECKSUM_AT, ipv4HeaderChecksum(packet, start, l4 - start));
    }
    view.start = start;
    view.l4 = l4;
    view.end = end;
    write16(packet, l4 + TCP_CHECKSUM_AT, transportChecksum(view));
  }
}
