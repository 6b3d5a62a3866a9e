// Walks the messages of one datagram (struct nlmsghdr, <linux/netlink.h>). The first lie about a length ends the walk
// for good.

import { HOST_LITTLE_ENDIAN, readU16, readU32 } from './byte-order';
import { Errno } from './errno';
import { NetlinkError } from './error';
import { align4, NLMSG_HDRLEN } from './uapi';

export class MessageReader {
  type = 0;
  flags = 0;
  seq = 0;
  pid = 0;
  /** Offset of the header. */
  start = 0;
  /** nlmsg_len as it stands in the header. */
  length = 0;
  /** Offset after the header. */
  payload = 0;
  /** Offset after the last byte that the header claims. */
  end = 0;
  /** The first error: next() is false from then on. */
  error: NetlinkError | undefined;
  /** False when the error is that not even a header was there; else the header's fields hold, also with an error. */
  headerRead = false;

  private buf: Uint8Array;
  private at: number;
  private limit: number;

  constructor(
    buf: Uint8Array,
    off = 0,
    limit = buf.length,
    private readonly operation = 'decode message',
    private readonly littleEndian = HOST_LITTLE_ENDIAN,
  ) {
    this.buf = buf;
    this.at = off;
    this.limit = limit;
  }

  /** Starts over on other bytes. */
  reset(buf: Uint8Array, off: number, limit: number): void {
    this.buf = buf;
    this.at = off;
    this.limit = limit;
    this.error = undefined;
    this.headerRead = false;
  }

  /** Moves to the next message. False at the end and after an error: look at `error` then. */
  next(): boolean {
    if (this.error !== undefined || this.at >= this.limit) return false;
    const { buf, at, limit, littleEndian } = this;
    this.headerRead = false;
    if (limit - at < NLMSG_HDRLEN) {
      return this.fail(`${limit - at} bytes left, a message header has ${NLMSG_HDRLEN}`);
    }
    this.headerRead = true;
    this.start = at;
    this.length = readU32(buf, at, littleEndian);
    this.type = readU16(buf, at + 4, littleEndian);
    this.flags = readU16(buf, at + 6, littleEndian);
    this.seq = readU32(buf, at + 8, littleEndian);
    this.pid = readU32(buf, at + 12, littleEndian);
    this.payload = at + NLMSG_HDRLEN;
    this.end = this.payload;
    if (this.length < NLMSG_HDRLEN) return this.fail(`nlmsg_len ${this.length} is shorter than a header`);
    if (this.length > limit - at) return this.fail(`nlmsg_len ${this.length} of ${limit - at} bytes`);
    this.end = at + this.length;
    this.at = at + align4(this.length);
    return true;
  }

  private fail(what: string): false {
    this.error = new NetlinkError(this.operation, Errno.EINVAL, what, this.at);
    return false;
  }
}
