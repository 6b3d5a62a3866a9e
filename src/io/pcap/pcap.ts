// Capture files, read packet by packet: the classic format here (draft-ietf-opsawg-pcap: both byte orders, micro- and
// nanoseconds), pcapng in its own file. The writer makes classic files, little-endian with nanoseconds.

import { PCAPNG_SECTION_HEADER, readPcapng } from './pcapng';
import { type CapturedPacket, CaptureSource } from './source';

export { type CapturedPacket, MAX_BLOCK_BYTES } from './source';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;
const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
/** The upper bits of the field tell about frame check sequences. */
const LINK_TYPE_MASK = 0xffff;
const SNAPLEN = 262144;

/**
 * The packets of a capture file, in the file's order. The file is closed when the loop ends. Throws OperatorError
 * (ECAPTURE) for a file that cannot be read or is damaged, after the packets before the damage.
 */
export function* readCapture(path: string): Generator<CapturedPacket, void, undefined> {
  const source = new CaptureSource(path);
  try {
    const magic = source.need(4, 'the start of a capture file');
    if (magic.readUInt32LE(0) === PCAPNG_SECTION_HEADER) {
      yield* readPcapng(source);
      return;
    }
    for (const little of [true, false]) {
      const value = little ? magic.readUInt32LE(0) : magic.readUInt32BE(0);
      if (value !== MAGIC_MICROSECONDS && value !== MAGIC_NANOSECONDS) continue;
      yield* readClassic(source, little, value === MAGIC_NANOSECONDS ? 1n : 1000n);
      return;
    }
    const gzip = magic[0] === 0x1f && magic[1] === 0x8b;
    throw source.corrupt(
      'a pcap or pcapng file',
      gzip ? 'a compressed file (unpack it with `gunzip`)' : `the bytes ${magic.toString('hex')}`,
      0,
    );
  } finally {
    source.close();
  }
}

function* readClassic(
  source: CaptureSource,
  little: boolean,
  unitNs: bigint,
): Generator<CapturedPacket, void, undefined> {
  const start = source.offset - 4;
  const header = source.need(FILE_HEADER_BYTES - 4, 'a pcap file header');
  const major = little ? header.readUInt16LE(0) : header.readUInt16BE(0);
  if (major !== VERSION_MAJOR) throw source.corrupt('pcap version 2', `version ${major}`, start + 4);
  const linkType = (little ? header.readUInt32LE(16) : header.readUInt32BE(16)) & LINK_TYPE_MASK;
  const packet: CapturedPacket = { linkType, timeNs: 0n, data: header, originalBytes: 0, number: 0 };
  for (;;) {
    const h = source.take(PACKET_HEADER_BYTES, 'a packet header', true);
    if (h === undefined) return;
    const word = (off: number): number => (little ? h.readUInt32LE(off) : h.readUInt32BE(off));
    packet.timeNs = BigInt(word(0)) * 1_000_000_000n + BigInt(word(4)) * unitNs;
    packet.originalBytes = word(12);
    const bytes = word(8);
    packet.number++;
    packet.data = source.need(bytes, `packet ${packet.number}`);
    yield packet;
  }
}

export interface PacketToWrite {
  data: Uint8Array;
  timeNs?: bigint;
  /** The packet's length before it was cut; default: that of data. */
  originalBytes?: number;
}

export interface PcapFormat {
  linkType: number;
  bigEndian?: boolean;
  microseconds?: boolean;
}

/** A whole classic capture file. */
export function encodePcap(packets: Iterable<PacketToWrite>, format: PcapFormat): Buffer {
  const { bigEndian = false, microseconds = false } = format;
  const words = (...values: number[]): Buffer => {
    const out = Buffer.alloc(values.length * 4);
    values.forEach((value, i) => {
      if (bigEndian) out.writeUInt32BE(value, i * 4);
      else out.writeUInt32LE(value, i * 4);
    });
    return out;
  };
  const magic = microseconds ? MAGIC_MICROSECONDS : MAGIC_NANOSECONDS;
  const version = bigEndian ? (VERSION_MAJOR << 16) | VERSION_MINOR : (VERSION_MINOR << 16) | VERSION_MAJOR;
  const parts: Uint8Array[] = [words(magic, version, 0, 0, SNAPLEN, format.linkType)];
  for (const { data, timeNs = 0n, originalBytes = data.length } of packets) {
    const fraction = (timeNs % 1_000_000_000n) / (microseconds ? 1000n : 1n);
    parts.push(words(Number(timeNs / 1_000_000_000n), Number(fraction), data.length, originalBytes), data);
  }
  return Buffer.concat(parts);
}
