// The bytes of a capture file, front to back, in pieces of exactly the wanted length. What is wrong with a file is told
// with the byte offset at which something else was expected.

import { closeSync, openSync, readSync } from 'node:fs';
import { OperatorError } from '../../core/errors';

/**
 * No record or block is larger: the largest snapshot length in use is 256 KiB, options and resolved names need some
 * more.
 */
export const MAX_BLOCK_BYTES = 16 << 20;

const CHUNK_BYTES = 256 << 10;

/** One packet of a capture. The object is reused: it and its data are valid only until the next packet is asked for. */
export interface CapturedPacket {
  /** Link type (LINKTYPE_*, https://www.tcpdump.org/linktypes.html) of the interface that it was seen on. */
  linkType: number;
  /** Nanoseconds since 1970; 0 in blocks that carry no time. */
  timeNs: bigint;
  data: Buffer;
  /**
   * Length on the wire: more than `data` has when the capture cut the packet, less where a tool has written its padding
   * too.
   */
  originalBytes: number;
  /** From 1, in the file's order. */
  number: number;
}

export class CaptureSource {
  /** Offset in the file of the next byte. */
  offset = 0;
  private readonly fd: number;
  private chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  private from = 0;
  private to = 0;

  /** Throws OperatorError. */
  constructor(readonly path: string) {
    try {
      this.fd = openSync(path, 'r');
    } catch (cause) {
      throw fileError(path, 'opening', cause);
    }
  }

  /**
   * The next n bytes, valid until the next call. Undefined at the end of the file if `mayEnd`; else the end is an
   * error.
   */
  take(n: number, what: string, mayEnd = false): Buffer | undefined {
    if (n > MAX_BLOCK_BYTES) throw this.corrupt(`${what} of at most ${MAX_BLOCK_BYTES} bytes`, `one of ${n} bytes`);
    if (this.to - this.from < n) this.fill(n);
    const have = this.to - this.from;
    if (have < n) {
      if (have === 0 && mayEnd) return undefined;
      throw this.corrupt(`${what} of ${n} bytes`, `the end of the file after ${have}`);
    }
    const at = this.from;
    this.from += n;
    this.offset += n;
    return this.chunk.subarray(at, at + n);
  }

  /** As take(), where the file must go on. */
  need(n: number, what: string): Buffer {
    return this.take(n, what)!;
  }

  /** Passes over n bytes without keeping them. */
  skip(n: number, what: string): void {
    while (n > 0) {
      const step = Math.min(n, CHUNK_BYTES);
      this.need(step, what);
      n -= step;
    }
  }

  /** The error for a file that has something else than `expected` at this offset, by default the current one. */
  corrupt(expected: string, found: string, offset = this.offset): OperatorError {
    return new OperatorError(
      'ECAPTURE',
      `${this.path}: at byte ${offset}: expected ${expected}, found ${found}`,
      'the file is damaged, cut off or no capture: take it again, or mend it (for example with `editcap`)',
    );
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Brings at least n bytes into the chunk, if the file has them. */
  private fill(n: number): void {
    const rest = this.to - this.from;
    // A piece larger than the chunk is rare: it gets a larger chunk for good.
    const next = n > this.chunk.length ? Buffer.allocUnsafeSlow(n) : this.chunk;
    this.chunk.copy(next, 0, this.from, this.to);
    this.chunk = next;
    this.from = 0;
    this.to = rest;
    while (this.to < n) {
      let got: number;
      try {
        got = readSync(this.fd, this.chunk, this.to, this.chunk.length - this.to, null);
      } catch (cause) {
        throw fileError(this.path, 'reading', cause);
      }
      if (got === 0) return;
      this.to += got;
    }
  }
}

function fileError(path: string, doing: string, cause: unknown): OperatorError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OperatorError('ECAPTURE', `${doing} ${path}: ${reason}`, 'name a capture file that can be read', {
    cause,
  });
}
