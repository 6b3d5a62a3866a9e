// The wire format of QEMU's socket character devices and of its socket netdevs: a big-endian length before every frame;
// with vnet_hdr_support then the size of the virtio-net header in it; then the frame.

import { read32, write32 } from '../core/big-endian';

/** More is an error of the stream; QEMU's own bound (NET_BUFSIZE). */
export const MAX_FRAME_BYTES = 4096 + 65536;
/** sizeof(struct virtio_net_hdr_v1_hash_tunnel); all others are smaller. */
export const MAX_VNET_BYTES = 24;

/** Result of FrameReader.read() for an impossible length: the connection must be closed. */
export const BAD_FRAME = -1;

/** Bytes of each of the two words before a frame. */
export const WORD_BYTES = 4;

export type FrameHandler = (buf: Buffer, off: number, len: number, vnetBytes: number) => void;

/** Takes frames off a stream. */
export interface FrameSource {
  /** Why read() gave BAD_FRAME. */
  readonly fault: string;
  /** Takes whole frames of buf[from, to). Returns the bytes taken, or BAD_FRAME. */
  read(buf: Buffer, from: number, to: number): number;
}

/**
 * Takes frames out of a receive buffer, in place. It keeps no state of the stream: the rest of a read comes again with
 * more, so a peer that dies within a frame costs that frame only.
 */
export class FrameReader implements FrameSource {
  fault = '';
  private readonly wordBytes: number;

  constructor(
    private readonly vnetWord: boolean,
    /** A frame is buf[off, off+len), of which the first vnetBytes are a virtio-net header. It is never empty. */
    private readonly onFrame: FrameHandler,
    /**
     * Frames without the second word are taken, too, where their first bytes cannot be one: the texts of notify_dev.
     */
    private readonly wordOptional = false,
  ) {
    this.wordBytes = vnetWord ? 2 * WORD_BYTES : WORD_BYTES;
  }

  /** Does a whole frame stand at the front of buf[from, to)? One of an impossible length does not. */
  hasFrame(buf: Buffer, from: number, to: number): boolean {
    return to - from > this.wordBytes && read32(buf, from) <= Math.min(to - from - this.wordBytes, MAX_FRAME_BYTES);
  }

  /** Hands over every whole frame in buf[from, to). Returns the bytes taken, or BAD_FRAME. */
  read(buf: Buffer, from: number, to: number): number {
    const { wordBytes, vnetWord } = this;
    let at = from;
    while (to - at >= WORD_BYTES) {
      const len = read32(buf, at);
      if (len === 0 || len > MAX_FRAME_BYTES) {
        this.fault = `a frame of ${len} bytes; allowed are 1 to ${MAX_FRAME_BYTES}`;
        return BAD_FRAME;
      }
      let off = at + wordBytes;
      if (to < off) break;
      let vnetBytes = 0;
      if (vnetWord) {
        vnetBytes = read32(buf, at + WORD_BYTES);
        if (vnetBytes > MAX_VNET_BYTES && this.wordOptional) {
          vnetBytes = 0;
          off = at + 4;
        } else if (vnetBytes > MAX_VNET_BYTES || vnetBytes > len) {
          this.fault = `a virtio-net header of ${vnetBytes} bytes in a frame of ${len}: do both ends have the same vnet_hdr_support?`;
          return BAD_FRAME;
        }
      }
      if (to - off < len) break;
      this.onFrame(buf, off, len, vnetBytes);
      at = off + len;
    }
    return at - from;
  }
}

/** Destination of frames: the send buffer of a Chardev. */
export interface FrameSink {
  readonly out: Buffer;
  /** Offset in `out` where `bytes` contiguous bytes may be written, or -1. */
  reserve(bytes: number): number;
  commit(bytes: number): void;
}

/** Writes the words before a frame of len bytes; returns the offset behind them. */
export function writeFrameHead(out: Buffer, at: number, len: number, vnetWord: boolean, vnetBytes: number): number {
  write32(out, at, len);
  if (!vnetWord) return at + 4;
  write32(out, at + WORD_BYTES, vnetBytes);
  return at + 8;
}

/**
 * Copies a frame and its words into the sink. Returns the offset of the copy in sink.out, or -1: the sink takes
 * nothing.
 */
export function writeFrame(
  sink: FrameSink,
  vnetWord: boolean,
  vnetBytes: number,
  buf: Buffer,
  off: number,
  len: number,
): number {
  const bytes = (vnetWord ? 2 * WORD_BYTES : WORD_BYTES) + len;
  const at = sink.reserve(bytes);
  if (at < 0) return -1;
  const { out } = sink;
  const body = writeFrameHead(out, at, len, vnetWord, vnetBytes);
  buf.copy(out, body, off, off + len);
  sink.commit(bytes);
  return body;
}
