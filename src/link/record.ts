// The records of the link between the hosts: a header, and what it speaks of. docs/LINK.md has every byte.
//
//    0        4      5       6       8        12
//    | bytes  | type | flags | zero  | epoch  | payload ...     big endian; `bytes` are the payload's

import { read16, read32 } from '../core/big-endian';

export const RECORD_HEADER_BYTES = 12;
/** Of a payload: a largest frame with its virtio-net header, and what a digest adds. */
export const MAX_RECORD_BYTES = 128 << 10;

/** What a record is; those of the handshake come once, first. */
export const RecordType = {
  HELLO: 1,
  /** UTF-8: why the connection is refused; it ends then. */
  REFUSE: 2,
  /** Is answered at once; whoever hears nothing for some beats ends the connection. */
  BEAT: 3,
  BEAT_ANSWER: 4,
  /** To the secondary: virtio-net header, frame. */
  CLIENT_FRAME: 16,
  /** To the primary: the same of the secondary's guest. */
  GUEST_FRAME: 17,
  /** To the primary: such a frame with digests in place of its payload (src/digest/record). */
  GUEST_DIGEST: 18,
  /** To the primary, the epoch begins that the header names: all that the guest had sent before has been sent. */
  MARK: 19,
  /** Frames have not been sent: how many (u32). They are unknown to the comparison. */
  LOST: 20,
  /** To the primary: the other host wants a checkpoint. */
  CHECKPOINT_REQUEST: 21,
  /** To the secondary: bytes behind a digest record are wanted (as the next two: src/digest/record). */
  FETCH: 22,
  /** To the primary: these bytes. */
  FETCHED: 23,
  /** To the primary: the secondary has them no more. */
  GONE: 24,
  /** To the primary: a new pair begins, in the epoch that the header names. */
  PAIR: 25,
  /** To the secondary: which epoch is it in (u32 that the answer repeats)? */
  WHICH: 26,
  /** To the primary: u32 of the question; the header names the epoch. */
  IS: 27,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Who does not know the type passes the record by. */
export const RF_OPTIONAL = 1;

/** Bytes of the virtio-net header before each frame (struct virtio_net_hdr of uapi/linux/virtio_net.h). */
export const VNET_HEADER_BYTES = 10;

const TYPE_AT = 4;
const FLAGS_AT = 5;
const ZERO_AT = 6;
const EPOCH_AT = 8;

/** Payload bytes of the record whose header stands at `at`. */
export function payloadBytes(buf: Uint8Array, at: number): number {
  return read32(buf, at);
}

export function recordType(buf: Uint8Array, at: number): number {
  return buf[at + TYPE_AT]!;
}

export function recordFlags(buf: Uint8Array, at: number): number {
  return buf[at + FLAGS_AT]!;
}

/** Two bytes that are 0 for now. */
export function recordZero(buf: Uint8Array, at: number): number {
  return read16(buf, at + ZERO_AT);
}

export function recordEpoch(buf: Uint8Array, at: number): number {
  return read32(buf, at + EPOCH_AT);
}

export function writeHeader(
  buf: Buffer,
  at: number,
  bytes: number,
  type: RecordType,
  flags: number,
  epoch: number,
): void {
  buf.writeUInt32BE(bytes, at);
  buf[at + TYPE_AT] = type;
  buf[at + FLAGS_AT] = flags;
  buf.writeUInt16BE(0, at + ZERO_AT);
  buf.writeUInt32BE(epoch, at + EPOCH_AT);
}

/** Payload bytes of LOST (how many frames), and of WHICH and IS (a question's serial). */
export const NUMBER_BYTES = 4;
const NUMBER_AT = 0;

/** What such a record says; its payload stands at `off`. */
export function numberOf(buf: Uint8Array, off: number): number {
  return read32(buf, off + NUMBER_AT);
}

export function writeNumber(buf: Buffer, number: number): void {
  buf.writeUInt32BE(number, NUMBER_AT);
}
