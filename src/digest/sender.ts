// The secondary's side of digests: which of its guest's frames are sent as digests, and the bytes of those for as long
// as the ring has them. What bears little payload, or begins or ends a connection, is sent whole: digests would save
// nothing there, and the comparison would wait.

import { read32, write32 } from '../core/big-endian';
import { copyBytes } from '../core/bytes';
import { Counters } from '../core/counters';
import { DIGEST_RING_BYTES, DIGEST_RING_RECORDS, MIN_DIGESTED_BYTES, UNSEGMENTED_CHUNK_BYTES } from '../core/limits';
import { FrameView } from '../packet/ethernet';
import { PacketView } from '../packet/view';
import { segmentBytes } from '../packet/vnet-offload';
import { FrameRing } from './frame-ring';
import {
  DIGEST_BYTES,
  DIGEST_HEAD_AT,
  type Digester,
  digestsOf,
  FETCH_BYTES,
  FETCHED_HEAD_BYTES,
  FROM_AT,
  GONE_BYTES,
  MAX_DIGEST_RECORD_BYTES,
  MAX_HEAD_BYTES,
  MIN_CHUNK_BYTES,
  portsOf,
  SERIAL_AT,
  viewSegment,
  WANTED_AT,
  writeDigestHead,
} from './record';

export const DIGEST_SENDER_COUNTERS = [
  'digest_records',
  /** Payload that was not sent. */
  'digest_bytes',
  'digests_fetched',
  'digest_bytes_fetched',
  /** The ring had the frame no more. */
  'digests_gone',
] as const;

/** What a FETCH comes to. */
export type FetchAnswer = 'fetched' | 'gone' | 'malformed';

export class DigestSender {
  readonly counters = new Counters(DIGEST_SENDER_COUNTERS);
  /** The last GUEST_DIGEST's payload, [0, recordBytes). */
  readonly record = Buffer.alloc(MAX_DIGEST_RECORD_BYTES);
  recordBytes = 0;
  /** The last answer: answerHead[0, answerHeadBytes), and then ring[answerAt, answerAt + answerBytes). */
  readonly answerHead = Buffer.alloc(FETCHED_HEAD_BYTES);
  answerHeadBytes = 0;
  answerAt = 0;
  answerBytes = 0;
  private readonly frames: FrameRing;
  private readonly view = new PacketView();
  private readonly frame = new FrameView();
  /** By the serial's low bits, where the payload of a kept frame begins. */
  private readonly payloadAt = new Uint16Array(DIGEST_RING_RECORDS);

  constructor(
    private readonly digester: Digester,
    ringBytes = DIGEST_RING_BYTES,
  ) {
    this.frames = new FrameRing(ringBytes, DIGEST_RING_RECORDS);
  }

  get ring(): Buffer {
    return this.frames.data;
  }

  /**
   * A frame of the SVM, its virtio-net header at off. True: `record` is to be sent in its place, in this epoch; false:
   * the frame itself.
   */
  take(epoch: number, buf: Buffer, off: number, bytes: number): boolean {
    const { view: v, record } = this;
    if (bytes < MIN_DIGESTED_BYTES || !viewSegment(v, this.frame, buf, off, bytes)) return false;
    const headBytes = v.payload - off;
    if (v.payloadBytes < MIN_DIGESTED_BYTES || headBytes > MAX_HEAD_BYTES) return false;
    const serial = this.frames.put(buf, off, bytes);
    if (serial < 0) return false;
    this.payloadAt[serial & (DIGEST_RING_RECORDS - 1)] = headBytes;
    const chunk = chunkOf(buf, off);
    writeDigestHead(record, serial, v.payloadBytes, chunk, headBytes);
    copyBytes(buf, off, record, DIGEST_HEAD_AT, headBytes);
    const digests = DIGEST_HEAD_AT + headBytes;
    this.digester.write(epoch, portsOf(v), v.seq, buf, v.payload, v.payloadBytes, chunk, record, digests);
    this.recordBytes = digests + digestsOf(v.payloadBytes, chunk) * DIGEST_BYTES;
    const c = this.counters.values;
    c[RECORDS]!++;
    c[BYTES]! += v.payloadBytes;
    return true;
  }

  /** A FETCH, its payload buf[off, off+bytes): prepares the answer. */
  fetch(buf: Buffer, off: number, bytes: number): FetchAnswer {
    if (bytes !== FETCH_BYTES) return 'malformed';
    const { frames, answerHead } = this;
    const c = this.counters.values;
    const serial = read32(buf, off + SERIAL_AT);
    const from = read32(buf, off + FROM_AT);
    const wanted = read32(buf, off + WANTED_AT);
    write32(answerHead, SERIAL_AT, serial);
    if (!frames.find(serial)) {
      c[GONE]!++;
      this.answerHeadBytes = GONE_BYTES;
      this.answerBytes = 0;
      return 'gone';
    }
    const payload = this.payloadAt[serial & (DIGEST_RING_RECORDS - 1)]!;
    if (wanted === 0 || from + wanted > frames.bytes - payload) return 'malformed';
    write32(answerHead, FROM_AT, from);
    this.answerHeadBytes = FETCHED_HEAD_BYTES;
    this.answerAt = frames.at + payload + from;
    this.answerBytes = wanted;
    c[FETCHED]!++;
    c[BYTES_FETCHED]! += wanted;
    return 'fetched';
  }
}

/** The guests cut their streams at multiples of what a segment holds, mostly: digests of as much each meet there. */
function chunkOf(buf: Buffer, vnet: number): number {
  const bytes = segmentBytes(buf, vnet);
  return bytes < MIN_CHUNK_BYTES ? UNSEGMENTED_CHUNK_BYTES : bytes;
}

const [RECORDS, BYTES, FETCHED, BYTES_FETCHED, GONE] = DIGEST_SENDER_COUNTERS.map((_, i) => i) as [
  number,
  number,
  number,
  number,
  number,
];
