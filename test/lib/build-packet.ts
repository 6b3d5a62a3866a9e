// Builds IP packets for tests, byte by byte and independent of src/packet, with right checksums.

export interface TcpFields {
  family?: 4 | 6;
  src?: number[];
  dst?: number[];
  sport?: number;
  dport?: number;
  seq?: number;
  ack?: number;
  flags?: string;
  window?: number;
  options?: number[];
  payload?: Buffer | string;
  ttl?: number;
  id?: number;
}

const GUEST4 = [10, 0, 0, 1];
const PEER4 = [10, 0, 0, 2];
const GUEST6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

const FLAG_BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32 };

export function onesComplementSum(parts: Buffer[]): number {
  const all = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) sum += (all[i]! << 8) | (all[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function pseudoHeader(src: number[], dst: number[], protocol: number, length: number): Buffer {
  const tail =
    src.length === 4
      ? Buffer.from([0, protocol, length >> 8, length & 0xff])
      : Buffer.from([0, 0, length >> 8, length & 0xff, 0, 0, 0, protocol]);
  return Buffer.concat([Buffer.from(src), Buffer.from(dst), tail]);
}

export function buildIp(
  family: 4 | 6,
  src: number[],
  dst: number[],
  protocol: number,
  l4: Buffer,
  ttl = 64,
  id = 1,
): Buffer {
  if (family === 6) {
    const h = Buffer.alloc(40);
    h[0] = 0x60;
    h.writeUInt16BE(l4.length, 4);
    h[6] = protocol;
    h[7] = ttl;
    Buffer.from(src).copy(h, 8);
    Buffer.from(dst).copy(h, 24);
    return Buffer.concat([h, l4]);
  }
  const h = Buffer.alloc(20);
  h[0] = 0x45;
  h.writeUInt16BE(20 + l4.length, 2);
  h.writeUInt16BE(id, 4);
  h[8] = ttl;
  h[9] = protocol;
  Buffer.from(src).copy(h, 12);
  Buffer.from(dst).copy(h, 16);
  h.writeUInt16BE(0xffff - onesComplementSum([h]), 10);
  return Buffer.concat([h, l4]);
}

export function buildTcp(f: TcpFields): Buffer {
  const family = f.family ?? 4;
  const src = f.src ?? (family === 4 ? GUEST4 : GUEST6);
  const dst = f.dst ?? (family === 4 ? PEER4 : PEER6);
  const payload = Buffer.from(f.payload ?? '');
  const options = Buffer.from(f.options ?? []);
  if (options.length % 4 !== 0) throw new Error('options must fill words');
  const h = Buffer.alloc(20);
  h.writeUInt16BE(f.sport ?? 80, 0);
  h.writeUInt16BE(f.dport ?? 40000, 2);
  h.writeUInt32BE((f.seq ?? 0) >>> 0, 4);
  h.writeUInt32BE((f.ack ?? 0) >>> 0, 8);
  h[12] = ((20 + options.length) / 4) << 4;
  h[13] = [...(f.flags ?? 'A')].reduce((bits, c) => bits | FLAG_BITS[c]!, 0);
  h.writeUInt16BE(f.window ?? 1000, 14);
  const l4 = Buffer.concat([h, options, payload]);
  l4.writeUInt16BE(0xffff - onesComplementSum([pseudoHeader(src, dst, 6, l4.length), l4]), 16);
  return buildIp(family, src, dst, 6, l4, f.ttl, f.id);
}

export function buildUdp(f: TcpFields): Buffer {
  const family = f.family ?? 4;
  const src = f.src ?? (family === 4 ? GUEST4 : GUEST6);
  const dst = f.dst ?? (family === 4 ? PEER4 : PEER6);
  const payload = Buffer.from(f.payload ?? '');
  const h = Buffer.alloc(8);
  h.writeUInt16BE(f.sport ?? 53, 0);
  h.writeUInt16BE(f.dport ?? 40000, 2);
  h.writeUInt16BE(8 + payload.length, 4);
  const l4 = Buffer.concat([h, payload]);
  l4.writeUInt16BE(0xffff - onesComplementSum([pseudoHeader(src, dst, 17, l4.length), l4]) || 0xffff, 6);
  return buildIp(family, src, dst, 17, l4, f.ttl, f.id);
}

/** ICMP echo reply with id, sequence and data. */
export function buildEchoReply(id: number, sequence: number, data: string, family: 4 | 6 = 4, ttl = 64): Buffer {
  const h = Buffer.alloc(8);
  h[0] = family === 4 ? 0 : 129;
  h.writeUInt16BE(id, 4);
  h.writeUInt16BE(sequence, 6);
  const l4 = Buffer.concat([h, Buffer.from(data)]);
  const [src, dst] = family === 4 ? [GUEST4, PEER4] : [GUEST6, PEER6];
  const protocol = family === 4 ? 1 : 58;
  const pseudo = family === 4 ? [] : [pseudoHeader(src, dst, protocol, l4.length)];
  l4.writeUInt16BE(0xffff - onesComplementSum([...pseudo, l4]), 2);
  return buildIp(family, src, dst, protocol, l4, ttl);
}

/** Are IPv4 header and TCP/UDP checksum of this packet right? */
export function checksumsAreRight(packet: Buffer): boolean {
  const v4 = packet[0]! >> 4 === 4;
  const ihl = v4 ? (packet[0]! & 15) * 4 : 40;
  if (v4 && onesComplementSum([packet.subarray(0, ihl)]) !== 0xffff) return false;
  const protocol = v4 ? packet[9]! : packet[6]!;
  const src = [...(v4 ? packet.subarray(12, 16) : packet.subarray(8, 24))];
  const dst = [...(v4 ? packet.subarray(16, 20) : packet.subarray(24, 40))];
  const l4 = packet.subarray(ihl);
  return onesComplementSum([pseudoHeader(src, dst, protocol, l4.length), l4]) === 0xffff;
}

export const MSS_WSCALE_SACK_TS = (tsval: number): number[] => [
  2,
  4,
  0x05,
  0xb4,
  4,
  2,
  8,
  10,
  tsval >>> 24,
  (tsval >>> 16) & 255,
  (tsval >>> 8) & 255,
  tsval & 255,
  0,
  0,
  0,
  0,
  1,
  3,
  3,
  7,
];
