// Integers at any offset in a chosen byte order: netlink's own fields are in the host's, most netfilter attributes in
// the network's. Callers have checked that the bytes are there.

/** True on a little-endian host. */
export const HOST_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export function readU16(buf: Uint8Array, off: number, littleEndian: boolean): number {
  return littleEndian ? buf[off]! | (buf[off + 1]! << 8) : (buf[off]! << 8) | buf[off + 1]!;
}

export function readU32(buf: Uint8Array, off: number, littleEndian: boolean): number {
  return littleEndian
    ? (buf[off]! | (buf[off + 1]! << 8) | (buf[off + 2]! << 16) | (buf[off + 3]! << 24)) >>> 0
    : ((buf[off]! << 24) | (buf[off + 1]! << 16) | (buf[off + 2]! << 8) | buf[off + 3]!) >>> 0;
}

export function writeU16(buf: Uint8Array, off: number, value: number, littleEndian: boolean): void {
  const high = (value >>> 8) & 0xff;
  const low = value & 0xff;
  buf[off] = littleEndian ? low : high;
  buf[off + 1] = littleEndian ? high : low;
}

export function writeU32(buf: Uint8Array, off: number, value: number, littleEndian: boolean): void {
  for (let i = 0; i < 4; i++) buf[off + i] = (value >>> (littleEndian ? 8 * i : 24 - 8 * i)) & 0xff;
}
