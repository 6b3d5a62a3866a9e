// A cursor over attributes (struct nlattr, <linux/netlink.h>): the first error sticks, reads after it give 0 or
// nothing.

import { HOST_LITTLE_ENDIAN, readU16, readU32 } from './byte-order';
import { Errno } from './errno';
import { NetlinkError } from './error';
import { align4, NLA_F_NESTED, NLA_HDRLEN, NLA_TYPE_MASK } from './uapi';

const NOTHING = new Uint8Array(0);

export class AttributeReader {
  /** Without the flag bits. */
  type = 0;
  /** NLA_F_NESTED was set; many old messages nest without it. */
  nested = false;
  /** Offset and length of the value. */
  value = 0;
  valueBytes = 0;
  error: NetlinkError | undefined;
  /** Byte order of the values (attribute headers are always in the host's). */
  littleEndian: boolean;

  private buf: Uint8Array = NOTHING;
  private at = 0;
  private limit = 0;

  constructor(
    private readonly operation = 'decode attributes',
    littleEndian = HOST_LITTLE_ENDIAN,
  ) {
    this.littleEndian = littleEndian;
  }

  /** Starts over on [off, limit) of buf, which the caller knows to be there. */
  reset(buf: Uint8Array, off: number, limit: number): this {
    this.buf = buf;
    this.at = off;
    this.limit = limit;
    this.error = undefined;
    return this;
  }

  /** Moves to the next attribute. False at the end and after an error. */
  next(): boolean {
    if (this.error !== undefined || this.at >= this.limit) return false;
    const { buf, at, limit } = this;
    if (limit - at < NLA_HDRLEN)
      return this.fail(`${limit - at} bytes left, an attribute header has ${NLA_HDRLEN}`, at);
    const bytes = readU16(buf, at, HOST_LITTLE_ENDIAN);
    const type = readU16(buf, at + 2, HOST_LITTLE_ENDIAN);
    this.type = type & NLA_TYPE_MASK;
    this.nested = (type & NLA_F_NESTED) !== 0;
    if (bytes < NLA_HDRLEN) return this.fail(`nla_len ${bytes} is shorter than a header`, at);
    if (bytes > limit - at) return this.fail(`nla_len ${bytes} of ${limit - at} bytes`, at);
    this.value = at + NLA_HDRLEN;
    this.valueBytes = bytes - NLA_HDRLEN;
    this.at = at + align4(bytes);
    return true;
  }

  u8(): number {
    return this.sized(1) ? this.buf[this.value]! : 0;
  }

  u16(): number {
    return this.sized(2) ? readU16(this.buf, this.value, this.littleEndian) : 0;
  }

  u32(): number {
    return this.sized(4) ? readU32(this.buf, this.value, this.littleEndian) : 0;
  }

  s32(): number {
    return this.u32() | 0;
  }

  /** Exact up to 2^53; counters and timestamps stay below. */
  u64(): number {
    if (!this.sized(8)) return 0;
    const first = readU32(this.buf, this.value, this.littleEndian);
    const second = readU32(this.buf, this.value + 4, this.littleEndian);
    return this.littleEndian ? second * 2 ** 32 + first : first * 2 ** 32 + second;
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    return this.error === undefined ? this.buf.subarray(this.value, this.value + this.valueBytes) : NOTHING;
  }

  /** UTF-8, without the NUL that may end it. */
  text(): string {
    const bytes = this.bytes();
    const nul = bytes.indexOf(0);
    return Buffer.from(nul < 0 ? bytes : bytes.subarray(0, nul)).toString('utf8');
  }

  /** Puts `child` on the attributes inside this one. Join its error with adopt() afterwards. */
  enter(child: AttributeReader): AttributeReader {
    child.reset(this.buf, this.value, this.error === undefined ? this.value + this.valueBytes : this.value);
    return child;
  }

  adopt(child: AttributeReader): void {
    this.error ??= child.error;
  }

  /** True when the value has exactly this size; else the error sticks. */
  private sized(bytes: number): boolean {
    if (this.error !== undefined) return false;
    if (this.valueBytes === bytes) return true;
    return this.fail(`attribute ${this.type} has ${this.valueBytes} bytes, not ${bytes}`, this.value);
  }

  private fail(what: string, offset: number): false {
    this.error = new NetlinkError(this.operation, Errno.EINVAL, what, offset);
    return false;
  }
}
