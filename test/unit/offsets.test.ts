// Where a field of a header stands is said once, in src/packet (`TCP_SEQ_AT`, `IPV4_LENGTH_AT`, ...): nowhere else may
// a packet be read or written at a bare number. A room's own formats are its own: netlink messages, captures, the
// virtio-net header and the frame's length in src/chardev, filter programs, words of records. The simulator's machines
// build and read packets on purpose without src/packet, so that a mistake there does not cancel itself out.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const SRC = join(__dirname, '../../src');
const OWN_FORMATS =
  /^(packet|netlink|nfnetlink-colo|native|sim|io\/pcap|core\/big-endian|chardev\/(vnet-|frame\.)|io\/frame-filter)/;

/**
 * An index that is, or ends in, a number: `7`, `ip + 9`, `l4 - 6`, `FIELD + 1`. One byte at a variable is no offset,
 * nor is the last before an end.
 */
const NUMBER = String.raw`(?:(?!\S*\bend - 1\b)[^[\](),]*[-+]\s*)?\d+`;
/** What holds packets, by the names in use; words and tables of records have others. */
const BUFFER = String.raw`\b(?:v\.|view\.|this\.)?(?:buf|buffer|data|packet|frame|out|head|p|s)`;
const RULES = [
  /\b(?:v\.|view\.)?(?:l4|ip|network|pOff|sOff)\s*[-+]\s*\d/,
  new RegExp(String.raw`${BUFFER}\[${NUMBER}\]`),
  new RegExp(String.raw`\b(?:read|write)(?:16|32)\([^,()]+,\s*${NUMBER}\s*[,)]`),
  new RegExp(String.raw`\.readU?Int(?:8|(?:16|32)BE)\(${NUMBER}\)`),
  new RegExp(String.raw`\.writeU?Int(?:8|(?:16|32)BE)\([^;]*,\s*${NUMBER}\)`),
];

/** Names that hold no packets, though they are called as if they did. */
const EXCUSED: readonly RegExp[] = [
  // A MAC address in two words is written as text.
  /^pmycolo\/explain\.ts: +mac\.write/,
];

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? sources(join(dir, e.name)) : e.name.endsWith('.ts') ? [join(dir, e.name)] : [],
  );
}

function rawOffsets(name: string, text: string): string[] {
  return text
    .split('\n')
    .map((line) => `${name}: ${line}`)
    .filter((line) => RULES.some((rule) => rule.test(line)) && !EXCUSED.some((excuse) => excuse.test(line)));
}

test('no packet is read or written at a bare number outside src/packet', () => {
  const found = sources(SRC).flatMap((path) => {
    const name = relative(SRC, path);
    return OWN_FORMATS.test(name) ? [] : rawOffsets(name, readFileSync(path, 'utf8'));
  });
  expect(found).toEqual([]);
});

test.each([
  'const flags = buf[l4 + 13]!;',
  'if (v.buf[ip + 9] === IPPROTO_TCP) return;',
  'packet[start + 6] = 0x40;',
  'const offset = read16(buf, l4 - 6);',
  'write32(packet, 4, seq);',
  'write16(out, start + 10, ipv4HeaderChecksum(out, start, 20));',
  'frame.writeUInt16BE(HEADER + data, ip + 2);',
  'const ports = frame.readUInt32BE(20);',
  'buf[l4 + TCP_WINDOW_AT + 1] = window & 0xff;',
  'sameBytes(p, pOff + 12, s, sOff + 12, 8)',
])('the rule finds %s', (line) => {
  expect(rawOffsets('seccolo/engine.ts', line)).toHaveLength(1);
});

test.each([
  'const seq = read32(buf, l4 + TCP_SEQ_AT);',
  'const first = buf[at]!;',
  'const last = buf[v.end - 1]!;',
  'words[flow + 1] = 5;',
  'seed.readUInt32LE(4);',
])('and leaves %s', (line) => {
  expect(rawOffsets('seccolo/engine.ts', line)).toEqual([]);
});
