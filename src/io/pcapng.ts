// pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces with their own link types and clocks,
// enhanced, simple and obsolete packet blocks. Every other block is passed over.

import type { CapturedPacket, CaptureSource } from './pcap-source';

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

interface Interface {
  linkType: number;
  /** Greatest captured length; 0 = no limit. */
  snapLength: number;
  /** Time units are 1 / unitsPerSecond. */
  unitsPerSecond: bigint;
  /** Added to the time, in seconds. */
  offsetSeconds: bigint;
}

/** Reads words of a section's byte order out of a block's body. */
class Body {
  buf: Buffer = Buffer.alloc(0);
  little = true;

  u16(at: number): number {
    return this.little ? this.buf.readUInt16LE(at) : this.buf.readUInt16BE(at);
  }

  u32(at: number): number {
    return this.little ? this.buf.readUInt32LE(at) : this.buf.readUInt32BE(at);
  }
}

/** The source stands behind the first four bytes, which were a section header's type. */
export function* readPcapng(source: CaptureSource): Generator<CapturedPacket, void, undefined> {
  const body = new Body();
  const interfaces: Interface[] = [];
  const packet: CapturedPacket = { linkType: 0, timeNs: 0n, data: body.buf, originalBytes: 0, number: 0 };
  let start = source.offset - 4;
  let type = PCAPNG_SECTION_HEADER;
  for (;;) {
    if (type === PCAPNG_SECTION_HEADER) {
      // Its byte order stands behind its length.
      body.buf = Buffer.from(source.need(8, 'a section header'));
      if (body.buf.readUInt32LE(4) === BYTE_ORDER_MAGIC) body.little = true;
      else if (body.buf.readUInt32BE(4) === BYTE_ORDER_MAGIC) body.little = false;
      else throw source.corrupt('a byte-order magic', body.buf.toString('hex', 4, 8), start + 8);
      const length = checkLength(source, body.u32(0), 28, start);
      body.buf = source.need(length - FRAME_BYTES - 4, 'the rest of a section header');
      const major = body.u16(0);
      if (major !== 1) throw source.corrupt('pcapng version 1', `version ${major}`, start + 12);
      interfaces.length = 0;
      checkEnd(source, body.little, length, start);
    } else {
      body.buf = source.need(4, 'the length of a block');
      const length = checkLength(source, body.u32(0), FRAME_BYTES, start);
      const bytes = length - FRAME_BYTES;
      let found = false;
      switch (type) {
        case INTERFACE_DESCRIPTION:
          if (interfaces.length === MAX_INTERFACES) throw source.corrupt(`at most ${MAX_INTERFACES} interfaces`, 'one more', start);
          body.buf = source.need(checkBody(source, bytes, 8, 'an interface description', start), 'an interface description');
          interfaces.push(readInterface(source, body, start));
          break;
        case ENHANCED_PACKET:
        case PACKET:
        case SIMPLE_PACKET:
          body.buf = source.need(checkBody(source, bytes, type === SIMPLE_PACKET ? 4 : 20, 'a packet block', start), 'a packet block');
          packet.number++;
          readPacket(source, body, type, interfaces, packet, start);
          found = true;
          break;
        default:
          source.skip(bytes, `a block of type ${type}`);
      }
      // The check of the end may move what was read: the packet's bytes are handed out after it, from where they are then.
      if (found) {
        const kept = packet.data;
        const copy = Buffer.from(kept);
        checkEnd(source, body.little, length, start);
        packet.data = copy;
        yield packet;
      } else checkEnd(source, body.little, length, start);
    }
    start = source.offset;
    const next = source.take(4, 'a block type', true);
    if (next === undefined) return;
    type = body.little ? next.readUInt32LE(0) : next.readUInt32BE(0);
  }
}
