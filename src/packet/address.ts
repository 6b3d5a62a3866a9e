// Addresses as people write them (RFC 4291 section 2.2, RFC 5952) and as four words. For configuration, logs and
// commands, never for the packet path.

export interface Address {
  family: 4 | 6;
  /** Host order; an IPv4 address stands in the first word, the others are 0. */
  address: readonly [number, number, number, number];
}

export interface Prefix extends Address {
  /** Leading bits that count; the rest of the address is 0. */
  bits: number;
}

/**
 * `10.0.0.1`, `2001:db8::1`, `::ffff:10.0.0.1`; undefined when it is no address. Zones (`%eth0`) are not part of one.
 */
export function parseAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const word = parseIpv4(text);
    return word === undefined ? undefined : { family: 4, address: [word, 0, 0, 0] };
  }
  const groups = parseIpv6(text);
  if (groups === undefined) return undefined;
  const word = (i: number): number => ((groups[i]! << 16) | groups[i + 1]!) >>> 0;
  return { family: 6, address: [word(0), word(2), word(4), word(6)] };
}

/** `10.0.0.0/8`, `2001:db8::/32`; an address alone counts whole. Bits behind the prefix are cleared. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const parsed = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (parsed === undefined) return undefined;
  const most = parsed.family === 4 ? 32 : 128;
  const bits = slash < 0 ? most : parseDecimal(text.slice(slash + 1), most);
  if (bits === undefined) return undefined;
  const [a, b, c, d] = parsed.address;
  return {
    family: parsed.family,
    address: [keep(a, bits), keep(b, bits - 32), keep(c, bits - 64), keep(d, bits - 96)],
    bits,
  };
}

/** The address whose words begin at `at`, an IPv6 one in its shortest form. */
export function formatAddress(family: 4 | 6, words: ArrayLike<number>, at = 0): string {
  if (family === 4) return formatIpv4(words[at]!);
  const groups: number[] = [];
  for (let i = 0; i < 4; i++) groups.push(words[at + i]! >>> 16, words[at + i]! & 0xffff);
  // RFC 5952 section 5: an IPv4-mapped address shows its IPv4 part.
  if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0xffff) return `::ffff:${formatIpv4(words[at + 3]!)}`;
  const zeros = longestZeros(groups);
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':');
  return zeros.length < 2 ? text(0, 8) : `${text(0, zeros.at)}::${text(zeros.at + zeros.length, 8)}`;
}

/** `52:54:00:12:34:56`; undefined when it is none. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}

export function formatMac(buf: Uint8Array, at = 0): string {
  return Array.from(buf.subarray(at, at + 6), (b) => b.toString(16).padStart(2, '0')).join(':');
}

/** Network order, 4 or 16 bytes. */
export function addressBytes(a: Address): Uint8Array {
  const bytes = new Uint8Array(a.family === 4 ? 4 : 16);
  for (let i = 0; i < bytes.length; i++) bytes[i] = a.address[i >> 2]! >>> (24 - 8 * (i & 3));
  return bytes;
}

function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    const byte = parseDecimal(part, 255);
    if (byte === undefined) return undefined;
    word = word * 256 + byte;
  }
  return word;
}

/** Plain decimal: no sign, no spaces, no leading zero (which some read as octal). */
function parseDecimal(text: string, most: number): number | undefined {
  if (!/^(0|[1-9]\d{0,2})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}

/** Eight groups of 16 bits. */
function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const front = parseGroups(halves[0]!, halves.length === 1);
  if (front === undefined) return undefined;
  if (halves.length === 1) return front.length === 8 ? front : undefined;
  const back = parseGroups(halves[1]!, true);
  if (back === undefined || front.length + back.length > 7) return undefined;
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

/** Groups between single colons; the last may be an IPv4 address, if these are the end of the address. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const word = last && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (word === undefined) return undefined;
    groups.push(word >>> 16, word & 0xffff);
  }
  return groups;
}

function longestZeros(groups: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  for (let i = 0; i < groups.length; i++) {
    let n = 0;
    while (i + n < groups.length && groups[i + n] === 0) n++;
    if (n > best.length) best = { at: i, length: n };
    i += n;
  }
  return best;
}

function keep(word: number, bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? word : (word & (0xffffffff << (32 - bits))) >>> 0;
}
