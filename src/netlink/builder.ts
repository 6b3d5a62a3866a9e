// Writes messages into a buffer of the caller: nothing is allocated, padding is zeroed, and the first overflow sticks.

import { HOST_LITTLE_ENDIAN, writeU16, writeU32 } from './byte-order';
import { Errno } from './errno';
import { NetlinkError } from './error';
import { align4, NLA_F_NESTED, NLA_HDRLEN, NLMSG_HDRLEN } from './uapi';

export class MessageBuilder {
  error: NetlinkError | undefined;
  /** Offset of the next byte to write, not aligned. */
  private at: number;
  private message = -1;

  constructor(
    private buf: Uint8Array,
    private off = 0,
    private readonly operation = 'encode message',
  ) {
    this.at = off;
  }

  /** Starts over at the beginning of the buffer, or of another one. */
  reset(buf: Uint8Array = this.buf, off: number = this.off): this {
    this.buf = buf;
    this.off = off;
    this.at = off;
    this.message = -1;
    this.error = undefined;
    return this;
  }

  /** Starts a message; the one before it must have ended. */
  begin(type: number, flags: number, seq: number, pid: number): this {
    this.pad();
    const at = this.at;
    if (!this.room(NLMSG_HDRLEN)) return this;
    this.message = at;
    writeU32(this.buf, at, 0, HOST_LITTLE_ENDIAN);
    writeU16(this.buf, at + 4, type, HOST_LITTLE_ENDIAN);
    writeU16(this.buf, at + 6, flags, HOST_LITTLE_ENDIAN);
    writeU32(this.buf, at + 8, seq, HOST_LITTLE_ENDIAN);
    writeU32(this.buf, at + 12, pid, HOST_LITTLE_ENDIAN);
    return this;
  }

  /** struct nfgenmsg (<linux/netfilter/nfnetlink.h>); resId is in network byte order on the wire. */
  nfgenmsg(family: number, version: number, resId: number): this {
    const at = this.at;
    if (!this.room(4)) return this;
    this.buf[at] = family;
    this.buf[at + 1] = version;
    writeU16(this.buf, at + 2, resId, false);
    return this;
  }

  /** Bytes after the header that are no attribute. */
  raw(bytes: Uint8Array): this {
    const at = this.at;
    if (this.room(bytes.length)) this.buf.set(bytes, at);
    return this;
  }

  rawU32(value: number, littleEndian = HOST_LITTLE_ENDIAN): this {
    const at = this.at;
    if (this.room(4)) writeU32(this.buf, at, value, littleEndian);
    return this;
  }

  u8(type: number, value: number): this {
    const at = this.attribute(type, 1);
    if (at >= 0) {
      this.buf[at] = value;
      this.pad();
    }
    return this;
  }

  u16(type: number, value: number, littleEndian = HOST_LITTLE_ENDIAN): this {
    const at = this.attribute(type, 2);
    if (at >= 0) {
      writeU16(this.buf, at, value, littleEndian);
      this.pad();
    }
    return this;
  }

  u32(type: number, value: number, littleEndian = HOST_LITTLE_ENDIAN): this {
    const at = this.attribute(type, 4);
    if (at >= 0) writeU32(this.buf, at, value, littleEndian);
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    const at = this.attribute(type, value.length);
    if (at >= 0) {
      this.buf.set(value, at);
      this.pad();
    }
    return this;
  }

  /** UTF-8 with the NUL that kernel attributes of type string end with. */
  text(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`, 'utf8'));
  }

  /** Attributes until endNest(token) go inside this one. */
  beginNest(type: number): number {
    const at = this.attribute(type | NLA_F_NESTED, 0);
    return at - NLA_HDRLEN;
  }

  endNest(token: number): this {
    if (this.error === undefined) writeU16(this.buf, token, this.at - token, HOST_LITTLE_ENDIAN);
    return this;
  }

  /** Ends the message: nlmsg_len counts what was written, the padding after it does not. */
  end(): this {
    if (this.error !== undefined || this.message < 0) return this;
    writeU32(this.buf, this.message, this.at - this.message, HOST_LITTLE_ENDIAN);
    this.message = -1;
    this.pad();
    return this;
  }

  /** What was written so far, as a view; throws the sticky error. */
  finish(): Uint8Array {
    if (this.error !== undefined) throw this.error;
    return this.buf.subarray(this.off, this.at);
  }

  /** Writes an attribute's header and gives the offset of its value, -1 when there is no room. */
  private attribute(type: number, bytes: number): number {
    this.pad();
    const at = this.at;
    if (!this.room(NLA_HDRLEN + bytes)) return -1;
    writeU16(this.buf, at, NLA_HDRLEN + bytes, HOST_LITTLE_ENDIAN);
    writeU16(this.buf, at + 2, type, HOST_LITTLE_ENDIAN);
    return at + NLA_HDRLEN;
  }

  private pad(): void {
    const bytes = align4(this.at - this.off) - (this.at - this.off);
    const at = this.at;
    if (bytes > 0 && this.room(bytes)) this.buf.fill(0, at, at + bytes);
  }

  private room(bytes: number): boolean {
    if (this.error !== undefined) return false;
    if (this.at + bytes > this.buf.length) {
      const what = `${bytes} bytes more than the buffer of ${this.buf.length} holds`;
      this.error = new NetlinkError(this.operation, Errno.EMSGSIZE, what, this.at);
      return false;
    }
    this.at += bytes;
    return true;
  }
}
