// pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces with their own link types and
// clocks, enhanced, simple and obsolete packet blocks. Every other block is passed over.

import type { CapturedPacket, CaptureSource } from './source';

/** Block types. The section header's reads the same in both byte orders. */
export const PCAPNG_SECTION_HEADER = 0x0a0d0d0a; // SHB
const INTERFACE_DESCRIPTION = 1; // IDB
const PACKET = 2; // PB, obsolete
const SIMPLE_PACKET = 3; // SPB
const ENHANCED_PACKET = 6; // EPB

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const OPT_END = 0; // opt_endofopt
const OPT_IF_TSRESOL = 9; // if_tsresol
const OPT_IF_TSOFFSET = 14; // if_tsoffset

/** Type, length, and the length again at the end. */
const FRAME_BYTES = 12;
const MAX_INTERFACES = 65536;
const NS_PER_SECOND = 1_000_000_000n;

interface Interface {
  linkType: number;
  /** Greatest captured length; 0 = no limit. */
  snapLength: number;
  /** Time units are 1 / unitsPerSecond. */
  unitsPerSecond: bigint;
  /** Added to the time, in seconds. */
  offsetSeconds: bigint;
}

/** The source stands behind the first four bytes, which were a section header's type. */
export function* readPcapng(source: CaptureSource): Generator<CapturedPacket, void, undefined> {
  const reader = new BlockReader(source);
  let type = PCAPNG_SECTION_HEADER;
  for (;;) {
    if (reader.block(type)) yield reader.packet;
    const next = source.take(4, 'a block type', true);
    if (next === undefined) return;
    type = reader.word(next, 0);
  }
}

class BlockReader {
  readonly packet: CapturedPacket = { linkType: 0, timeNs: 0n, data: Buffer.alloc(0), originalBytes: 0, number: 0 };
  private readonly interfaces: Interface[] = [];
  private little = true;
  /** Offset in the file of the block at hand. */
  private start = 0;

  constructor(private readonly source: CaptureSource) {}

  /** Reads the block whose type has just been read. True: `packet` is one. */
  block(type: number): boolean {
    this.start = this.source.offset - 4;
    switch (type) {
      case PCAPNG_SECTION_HEADER:
        this.section();
        return false;
      case INTERFACE_DESCRIPTION:
        this.interface(this.body(8, 'an interface description'));
        return false;
      case ENHANCED_PACKET:
        this.enhanced(this.body(20, 'an enhanced packet block'), false);
        return true;
      case PACKET:
        this.enhanced(this.body(20, 'a packet block'), true);
        return true;
      case SIMPLE_PACKET:
        this.simple(this.body(4, 'a simple packet block'));
        return true;
      default: {
        const length = this.checkLength(this.word(this.source.need(4, 'the length of a block'), 0), FRAME_BYTES);
        this.source.skip(length - FRAME_BYTES, `a block of type ${type}`);
        this.checkEnd(this.word(this.source.need(4, 'the end of a block'), 0), length);
        return false;
      }
    }
  }

  word(buf: Buffer, at: number): number {
    return this.little ? buf.readUInt32LE(at) : buf.readUInt32BE(at);
  }

  private half(buf: Buffer, at: number): number {
    return this.little ? buf.readUInt16LE(at) : buf.readUInt16BE(at);
  }

  private section(): void {
    const head = this.source.need(8, 'a section header');
    const magic = head.readUInt32LE(4);
    // The byte order stands behind the length that is written in it.
    this.little = magic === BYTE_ORDER_MAGIC;
    if (!this.little && head.readUInt32BE(4) !== BYTE_ORDER_MAGIC) {
      throw this.source.corrupt('a byte-order magic', `the bytes ${head.toString('hex', 4, 8)}`, this.start + 8);
    }
    const length = this.checkLength(this.word(head, 0), FRAME_BYTES + 16);
    const rest = this.source.need(length - 12, 'a section header');
    if (this.half(rest, 0) !== 1) {
      throw this.source.corrupt('pcapng version 1', `version ${this.half(rest, 0)}`, this.start + 12);
    }
    this.checkEnd(this.word(rest, rest.length - 4), length);
    this.interfaces.length = 0;
  }

  /** What lies between the block's two lengths, which are checked. */
  private body(atLeast: number, what: string): Buffer {
    const length = this.checkLength(this.word(this.source.need(4, `the length of ${what}`), 0), FRAME_BYTES + atLeast);
    const rest = this.source.need(length - FRAME_BYTES + 4, what);
    this.checkEnd(this.word(rest, rest.length - 4), length);
    return rest.subarray(0, rest.length - 4);
  }

  private checkLength(length: number, least: number): number {
    if (length >= least && length % 4 === 0) return length;
    throw this.source.corrupt(`a block length of at least ${least} in words`, `${length}`, this.start + 4);
  }

  private checkEnd(again: number, length: number): void {
    if (again === length) return;
    throw this.source.corrupt(`the block length ${length} again`, `${again}`, this.source.offset - 4);
  }

  private interface(body: Buffer): void {
    if (this.interfaces.length === MAX_INTERFACES) {
      throw this.source.corrupt(`at most ${MAX_INTERFACES} interfaces`, 'one more', this.start);
    }
    const made: Interface = {
      linkType: this.half(body, 0),
      snapLength: this.word(body, 4),
      unitsPerSecond: 1_000_000n,
      offsetSeconds: 0n,
    };
    for (let at = 8; at + 4 <= body.length; ) {
      const code = this.half(body, at);
      const bytes = this.half(body, at + 2);
      if (code === OPT_END) break;
      if (at + 4 + bytes > body.length) {
        throw this.source.corrupt('an option inside its block', `one of ${bytes} bytes`, this.start + 8 + at);
      }
      if (code === OPT_IF_TSRESOL && bytes === 1) made.unitsPerSecond = unitsPerSecond(body[at + 4]!);
      if (code === OPT_IF_TSOFFSET && bytes === 8) {
        made.offsetSeconds = this.little ? body.readBigInt64LE(at + 4) : body.readBigInt64BE(at + 4);
      }
      at += 4 + ((bytes + 3) & ~3);
    }
    this.interfaces.push(made);
  }

  private enhanced(body: Buffer, obsolete: boolean): void {
    // The obsolete block has a count of drops beside a shorter interface number.
    const from = this.interfaceOf(obsolete ? this.half(body, 0) : this.word(body, 0));
    const units = (BigInt(this.word(body, 4)) << 32n) | BigInt(this.word(body, 8));
    const timeNs = (units * NS_PER_SECOND) / from.unitsPerSecond + from.offsetSeconds * NS_PER_SECOND;
    this.found(from, timeNs, body, 20, this.word(body, 12), this.word(body, 16));
  }

  private simple(body: Buffer): void {
    const from = this.interfaceOf(0);
    const original = this.word(body, 0);
    const bytes = from.snapLength === 0 ? original : Math.min(original, from.snapLength);
    this.found(from, 0n, body, 4, bytes, original);
  }

  private found(from: Interface, timeNs: bigint, body: Buffer, at: number, bytes: number, original: number): void {
    if (at + bytes > body.length) {
      throw this.source.corrupt(`at most ${body.length - at} captured bytes in this block`, `${bytes}`, this.start);
    }
    const { packet } = this;
    packet.number++;
    packet.linkType = from.linkType;
    packet.timeNs = timeNs;
    packet.data = body.subarray(at, at + bytes);
    packet.originalBytes = original;
  }

  private interfaceOf(index: number): Interface {
    const found = this.interfaces[index];
    if (found !== undefined) return found;
    throw this.source.corrupt(`an interface below ${this.interfaces.length}`, `interface ${index}`, this.start + 8);
  }
}

/** if_tsresol: a negative power of 2 with the highest bit set, else of 10. */
function unitsPerSecond(value: number): bigint {
  return (value & 0x80) !== 0 ? 1n << BigInt(value & 0x7f) : 10n ** BigInt(value);
}
