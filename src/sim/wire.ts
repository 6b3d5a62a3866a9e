// Builds and reads the packets of the simulated machines, on purpose without src/packet: a mistake there must not
// cancel itself out here. Formats: RFC 791, RFC 8200, RFC 768, RFC 792, RFC 4443, RFC 1071.

export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ICMPV6 = 58;

/** 10.0.0.1 and fd00::1 are the client, .2 is the guest (both guests: to the outside they are one machine). */
export const CLIENT_HOST = 1;
export const GUEST_HOST = 2;

export function ipHeaderBytes(family: 4 | 6): number {
  return family === 4 ? 20 : 40;
}

function writeAddress(buf: Buffer, off: number, family: 4 | 6, host: number): void {
  if (family === 4) {
    buf.writeUInt32BE((0x0a000000 | host) >>> 0, off);
  } else {
    buf.fill(0, off, off + 16);
    buf[off] = 0xfd;
    buf[off + 15] = host;
  }
}

/** Writes the IP header for a packet that fills buf. */
export function writeIp(buf: Buffer, family: 4 | 6, protocol: number, from: number, to: number, id: number): void {
  if (family === 4) {
    buf[0] = 0x45;
    buf[1] = 0;
    buf.writeUInt16BE(buf.length, 2);
    buf.writeUInt16BE(id & 0xffff, 4);
    buf.writeUInt16BE(0x4000, 6); // DF
    buf[8] = 64;
    buf[9] = protocol;
    buf.writeUInt16BE(0, 10);
    writeAddress(buf, 12, 4, from);
    writeAddress(buf, 16, 4, to);
    buf.writeUInt16BE(fold(~sum(buf, 0, 20, 0)), 10);
  } else {
    buf.writeUInt32BE(0x60000000, 0);
    buf.writeUInt16BE(buf.length - 40, 4);
    buf[6] = protocol;
    buf[7] = 64;
    writeAddress(buf, 8, 6, from);
    writeAddress(buf, 24, 6, to);
  }
}

function fold(value: number): number {
  return value & 0xffff;
}

/** Ones' complement sum of a range carried on from `start`, folded to 16 bits. */
export function sum(buf: Buffer, off: number, end: number, start: number): number {
  let total = start;
  let i = off;
  for (; i + 1 < end; i += 2) total += (buf[i]! << 8) | buf[i + 1]!;
  if (i < end) total += buf[i]! << 8;
  while (total > 0xffff) total = (total % 0x10000) + Math.floor(total / 0x10000);
  return total;
}

/** Sum of the pseudo-header; the upper-layer length is taken from the buffer's. */
export function pseudoSum(buf: Buffer, family: 4 | 6, protocol: number): number {
  const header = ipHeaderBytes(family);
  const addresses = family === 4 ? sum(buf, 12, 20, 0) : sum(buf, 8, 40, 0);
  let total = addresses + protocol + (buf.length - header);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** Offset of the checksum field inside the transport header. */
export function checksumOffset(protocol: number): number {
  return protocol === PROTO_TCP ? 16 : protocol === PROTO_UDP ? 6 : 2;
}

/** Writes the transport checksum: all of it, or the pseudo-header's sum alone when the sender offloads the rest. */
export function writeChecksum(buf: Buffer, family: 4 | 6, protocol: number, partial: boolean): void {
  const l4 = ipHeaderBytes(family);
  const field = l4 + checksumOffset(protocol);
  const start = protocol === PROTO_ICMP ? 0 : pseudoSum(buf, family, protocol);
  if (partial) {
    buf.writeUInt16BE(start, field);
    return;
  }
  buf.writeUInt16BE(0, field);
  let value = fold(~sum(buf, l4, buf.length, start));
  if (value === 0 && protocol === PROTO_UDP) value = 0xffff;
  buf.writeUInt16BE(value, field);
}

/** True when the transport checksum is right; for a partial one, when the pseudo-header's sum stands there. */
export function checksumHolds(buf: Buffer, family: 4 | 6, protocol: number, partial: boolean): boolean {
  const l4 = ipHeaderBytes(family);
  const start = protocol === PROTO_ICMP ? 0 : pseudoSum(buf, family, protocol);
  if (partial) return buf.readUInt16BE(l4 + checksumOffset(protocol)) === start;
  return sum(buf, l4, buf.length, start) === 0xffff;
}

/** True when the IP header is still the one that writeIp() makes for this buffer. */
export function ipHeaderHolds(buf: Buffer, family: 4 | 6): boolean {
  if (buf.length < ipHeaderBytes(family)) return false;
  if (family === 4) return buf[0] === 0x45 && buf.readUInt16BE(2) === buf.length && sum(buf, 0, 20, 0) === 0xffff;
  return buf[0] === 0x60 && buf.readUInt16BE(4) === buf.length - 40;
}
