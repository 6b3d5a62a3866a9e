// What is sent of a frame of the SVM instead of its TCP payload, and the questions for the payload itself. Payloads of
// the link's records, big endian:
//
//   GUEST_DIGEST  0        4               6             8            10     12
//                 | serial | payload bytes | chunk bytes | head bytes | zero | head | digests, DIGEST_BYTES each |
//   FETCH         | serial | first byte of the payload that is wanted (u32) | how many (u32) |
//   FETCHED       | serial | first byte (u32) | bytes |
//   GONE          | serial |
//
// The head is virtio-net header, Ethernet, IP and TCP header as they stand in the frame; the frame ends with its
// payload. There is one digest for each `chunk bytes` of the payload, the last for what is left. A digest is that of
// native/core/digest.h: keyed, over the epoch of the record's header, both ports, the chunk's place in the SVM's own
// numbers, its length and its bytes.

import { read16, read32, write16, write32 } from '../core/big-endian';
import { VNET_HEADER_BYTES } from '../link/record';
import { FRAME_OK, FrameView, parseFrame } from '../packet/ethernet';
import { PARSE_OK, parseIp } from '../packet/parse';
import { IPPROTO_TCP, type PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from '../packet/view';

export const DIGEST_BYTES = 8;
/** Of all. */
export const SERIAL_AT = 0;
/** Of a GUEST_DIGEST. */
const PAYLOAD_BYTES_AT = 4;
const CHUNK_AT = 6;
const HEAD_BYTES_AT = 8;
const ZERO_AT = 10;
export const DIGEST_HEAD_AT = 12;
/** Of FETCH and FETCHED, and of FETCH alone. */
export const FROM_AT = 4;
export const WANTED_AT = 8;
export const FETCH_BYTES = 12;
export const FETCHED_HEAD_BYTES = 8;
export const GONE_BYTES = 4;
/** Ethernet with two tags, IPv6 with an extension header or two, TCP with all its options. */
export const MAX_HEAD_BYTES = 256;
/** An IP packet's length is 16 bits. */
export const MAX_PAYLOAD_BYTES = 0xffff;
/** Shorter ones would be no shorter as digests. */
export const MIN_CHUNK_BYTES = 64;
export const MAX_DIGEST_RECORD_BYTES =
  DIGEST_HEAD_AT + MAX_HEAD_BYTES + Math.ceil(MAX_PAYLOAD_BYTES / MIN_CHUNK_BYTES) * DIGEST_BYTES;

/** Makes digests under one key. */
export interface Digester {
  /**
   * One for each `chunk` bytes of buf[off, off+bytes), which stand at `seq` of their stream, written to out at outOff.
   */
  write(
    epoch: number,
    ports: number,
    seq: number,
    buf: Uint8Array,
    off: number,
    bytes: number,
    chunk: number,
    out: Uint8Array,
    outOff: number,
  ): void;
}

export function digestsOf(payloadBytes: number, chunk: number): number {
  return Math.ceil(payloadBytes / chunk);
}

/** For the nonce. */
export function portsOf(v: PacketView): number {
  return ((v.srcPort << 16) | v.dstPort) >>> 0;
}

const NOT_DIGESTED = TCP_SYN | TCP_FIN | TCP_RST | TCP_URG;

/**
 * Fills the view from the frame behind its virtio-net header at off, of which `bytes` are counted and perhaps only the
 * headers are there. True: it is a whole TCP segment of content alone, whose last byte is the frame's last.
 */
export function viewSegment(v: PacketView, frame: FrameView, buf: Buffer, off: number, bytes: number): boolean {
  if (
    bytes <= VNET_HEADER_BYTES ||
    parseFrame(frame, buf, off + VNET_HEADER_BYTES, bytes - VNET_HEADER_BYTES) !== FRAME_OK
  )
    return false;
  if (!viewPacket(v, frame, buf, off + bytes)) return false;
  return !v.fragment && v.end === off + bytes && v.payloadBytes > 0 && (v.flags & (NOT_DIGESTED | TCP_ACK)) === TCP_ACK;
}

/** The same for any TCP packet that the parsed frame may bear. */
export function viewPacket(v: PacketView, frame: FrameView, buf: Buffer, end: number): boolean {
  v.zone = 0;
  return parseIp(v, buf, frame.network, end - frame.network) === PARSE_OK && v.protocol === IPPROTO_TCP;
}

/** A GUEST_DIGEST that was taken apart; offsets are absolute in its buffer. */
export class DigestRecord {
  serial = 0;
  payloadBytes = 0;
  chunk = 0;
  /** With the virtio-net header. */
  head = 0;
  headBytes = 0;
  digests = 0;
  private readonly frame = new FrameView();

  /**
   * Fills this from the record's payload buf[off, off+bytes), and the view from its head: offsets there are those of
   * the frame as if all of it stood at `head`. False: it is no such record.
   */
  parse(v: PacketView, buf: Buffer, off: number, bytes: number): boolean {
    if (bytes < DIGEST_HEAD_AT || read16(buf, off + ZERO_AT) !== 0) return false;
    this.serial = read32(buf, off + SERIAL_AT);
    this.payloadBytes = read16(buf, off + PAYLOAD_BYTES_AT);
    this.chunk = read16(buf, off + CHUNK_AT);
    this.headBytes = read16(buf, off + HEAD_BYTES_AT);
    this.head = off + DIGEST_HEAD_AT;
    this.digests = this.head + this.headBytes;
    if (this.chunk < MIN_CHUNK_BYTES || this.headBytes > MAX_HEAD_BYTES) return false;
    const count = digestsOf(this.payloadBytes, this.chunk);
    if (bytes !== DIGEST_HEAD_AT + this.headBytes + count * DIGEST_BYTES) return false;
    // What is not there of the frame is payload: headers that reach into it are none.
    return (
      viewSegment(v, this.frame, buf, this.head, this.headBytes + this.payloadBytes) &&
      v.payload === this.digests &&
      v.payloadBytes === this.payloadBytes
    );
  }
}

/** Writes what stands before the head. */
export function writeDigestHead(
  buf: Uint8Array,
  serial: number,
  payloadBytes: number,
  chunk: number,
  headBytes: number,
): void {
  write32(buf, SERIAL_AT, serial);
  write16(buf, PAYLOAD_BYTES_AT, payloadBytes);
  write16(buf, CHUNK_AT, chunk);
  write16(buf, HEAD_BYTES_AT, headBytes);
  write16(buf, ZERO_AT, 0);
}

/** Writes a FETCH. */
export function writeFetch(buf: Uint8Array, serial: number, from: number, bytes: number): void {
  write32(buf, SERIAL_AT, serial);
  write32(buf, FROM_AT, from);
  write32(buf, WANTED_AT, bytes);
}
