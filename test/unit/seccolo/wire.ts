// Builds and reads TCP packets for these tests, with code of its own: nothing here comes from src/packet.

export interface Segment {
  family: 4 | 6;
  src: number;
  dst: number;
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  /** Letters: S, A, F, R, P. */
  flags: string;
  window: number;
  ts?: [number, number];
  sack?: [number, number][];
  mss?: number;
  wscale?: number;
  /** Option bytes put first, as they are. */
  raw?: number[];
  data: string;
  /** Bytes of NOP before the timestamp, to move it to odd offsets. */
  shift?: number;
  /** Only the pseudo-header's sum in the checksum field. */
  partial?: boolean;
}

const FLAG_BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16 };

export function segment(over: Partial<Segment> = {}): Segment {
  return {
    ...{ family: 4, src: 0x0a000001, dst: 0xc0a80102, sport: 80, dport: 40000 },
    ...{ seq: 0, ack: 0, flags: 'A', window: 1000, data: '' },
    ...over,
  } as Segment;
}

function be32(n: number): number[] {
  const u = n >>> 0;
  return [u >>> 24, (u >>> 16) & 255, (u >>> 8) & 255, u & 255];
}

function be16(n: number): number[] {
  return [(n >>> 8) & 255, n & 255];
}

function address(family: 4 | 6, a: number): number[] {
  return family === 4 ? be32(a) : [...be32(0x20010db8), ...be32(0), ...be32(1), ...be32(a)];
}

function fold(bytes: number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return sum;
}

function pseudo(family: 4 | 6, src: number[], dst: number[], protocol: number, length: number): number[] {
  return family === 4
    ? [...src, ...dst, 0, protocol, ...be16(length)]
    : [...src, ...dst, ...be32(length), 0, 0, 0, protocol];
}

/** An IP packet around a transport segment whose checksum field (at sumAt) is filled in. */
export function ipPacket(
  family: 4 | 6,
  src: number,
  dst: number,
  protocol: number,
  body: number[],
  sumAt: number,
  partial = false,
): Buffer {
  const s = address(family, src);
  const d = address(family, dst);
  const l4 = [...body];
  l4[sumAt] = 0;
  l4[sumAt + 1] = 0;
  const header = protocol === 1 ? [] : pseudo(family, s, d, protocol, l4.length);
  const sum = partial ? fold(header) : ~fold([...header, ...l4]) & 0xffff;
  l4.splice(sumAt, 2, ...be16(sum));
  if (family === 6) return Buffer.from([0x60, 0, 0, 0, ...be16(l4.length), protocol, 64, ...s, ...d, ...l4]);
  const ip = [0x45, 0, ...be16(20 + l4.length), 0, 7, 0x40, 0, 64, protocol, 0, 0, ...s, ...d];
  ip.splice(10, 2, ...be16(~fold(ip) & 0xffff));
  return Buffer.from([...ip, ...l4]);
}

export function tcpBytes(s: Segment): number[] {
  const o: number[] = [...(s.raw ?? [])];
  if (s.mss !== undefined) o.push(2, 4, ...be16(s.mss));
  if (s.wscale !== undefined) o.push(3, 3, s.wscale);
  for (let i = 0; i < (s.shift ?? 0); i++) o.push(1);
  if (s.ts !== undefined) o.push(8, 10, ...be32(s.ts[0]), ...be32(s.ts[1]));
  if (s.sack !== undefined) o.push(5, 2 + 8 * s.sack.length, ...s.sack.flat().flatMap(be32));
  while (o.length % 4 !== 0) o.push(1);
  if (o.length > 40) throw new Error('too many options');
  const flags = [...s.flags].reduce((f, l) => f | FLAG_BITS[l]!, 0);
  const head = [...be16(s.sport), ...be16(s.dport), ...be32(s.seq), ...be32(s.ack)];
  return [...head, (5 + o.length / 4) << 4, flags, ...be16(s.window), 0, 0, 0, 0, ...o, ...Buffer.from(s.data)];
}

export function build(s: Segment): Buffer {
  return ipPacket(s.family, s.src, s.dst, 6, tcpBytes(s), 16, s.partial);
}

export interface Read {
  seq: number;
  ack: number;
  flags: number;
  checksum: number;
  ts?: [number, number];
  sack: [number, number][];
  kinds: number[];
  data: string;
}

/** Reads a packet without extension headers. */
export function read(buf: Buffer): Read {
  const l4 = buf[0]! >>> 4 === 4 ? (buf[0]! & 15) * 4 : 40;
  const end = l4 + (buf[l4 + 12]! >>> 4) * 4;
  const out: Read = {
    seq: buf.readUInt32BE(l4 + 4),
    ack: buf.readUInt32BE(l4 + 8),
    flags: buf[l4 + 13]!,
    checksum: buf.readUInt16BE(l4 + 16),
    sack: [],
    kinds: [],
    data: buf.subarray(end).toString(),
  };
  for (let at = l4 + 20; at < end; ) {
    const kind = buf[at]!;
    if (kind === 1) {
      at++;
      continue;
    }
    out.kinds.push(kind);
    if (kind === 8) out.ts = [buf.readUInt32BE(at + 2), buf.readUInt32BE(at + 6)];
    if (kind === 5) {
      for (let b = at + 2; b < at + buf[at + 1]!; b += 8) out.sack.push([buf.readUInt32BE(b), buf.readUInt32BE(b + 4)]);
    }
    at += buf[at + 1]!;
  }
  return out;
}

/** True when the transport checksum is right, by summing everything. */
export function checksumOk(buf: Buffer): boolean {
  const family = buf[0]! >>> 4 === 4 ? 4 : 6;
  const l4 = family === 4 ? (buf[0]! & 15) * 4 : 40;
  const protocol = family === 4 ? buf[9]! : buf[6]!;
  const [src, dst] = family === 4 ? [12, 16] : [8, 24];
  const size = family === 4 ? 4 : 16;
  const body = [...buf.subarray(l4)];
  const head = pseudo(
    family,
    [...buf.subarray(src, src + size)],
    [...buf.subarray(dst, dst + size)],
    protocol,
    body.length,
  );
  return fold(protocol === 1 ? body : [...head, ...body]) === 0xffff;
}
