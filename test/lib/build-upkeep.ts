// Packets by which a host keeps its place on the link, well formed, for tests; each part may be said otherwise.
// Checksums are left out.

import { buildIp } from './build-packet';

export const GUEST_LL = address('fe80::1');
export const SOLICITED = address('ff02::1:ff00:2');
export const TARGET = address('fd00::2');
const ALL_NODES = address('ff02::1');
const ALL_ROUTERS = address('ff02::2');
const MLD_ROUTERS = address('ff02::16');
const GROUP = address('ff02::fb');

export interface Upkeep {
  src?: number[];
  dst?: number[];
  hops?: number;
  /** Bytes between the IPv6 header and the message, which begin with the next header. */
  between?: number[];
  first?: number;
  /** Of the message, after all else. */
  patch?: (message: Buffer) => Buffer;
}

/** `ff02::1:ff00:2` and the like. */
export function address(text: string): number[] {
  const [left, right = ''] = text.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const [a, b] = [words(left!), words(right)];
  return [...a, ...Array(8 - a.length - b.length).fill(0), ...b].flatMap((word: number) => [word >> 8, word & 0xff]);
}

function icmp6(type: number, body: number[], dst: number[], hops: number, u: Upkeep, between: number[] = []): Buffer {
  const plain = Buffer.from([type, 0, 0, 0, ...body]);
  const message = u.patch === undefined ? plain : u.patch(plain);
  const before = u.between ?? between;
  const packet = buildIp(
    6,
    u.src ?? GUEST_LL,
    u.dst ?? dst,
    58,
    Buffer.concat([Buffer.from(before), message]),
    u.hops ?? hops,
  );
  if (before.length > 0) packet[6] = u.first ?? 0;
  return packet;
}

const SOURCE = [1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56];
const TARGET_OPTION = [2, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56];
const NONCE = [14, 1, 1, 2, 3, 4, 5, 6];
const PREFIX = [3, 4, 64, 0xc0, ...Array(12).fill(0), ...address('fd00::')];
const ALERT = [58, 0, 5, 2, 0, 0, 1, 0];

export const routerSolicitation = (u: Upkeep = {}): Buffer => icmp6(133, [0, 0, 0, 0, ...SOURCE], ALL_ROUTERS, 255, u);
export const routerAdvertisement = (u: Upkeep = {}): Buffer =>
  icmp6(134, [64, 0, 0, 30, ...Array(8).fill(0), ...SOURCE, ...PREFIX], ALL_NODES, 255, u);
export const neighbourSolicitation = (u: Upkeep = {}): Buffer =>
  icmp6(135, [0, 0, 0, 0, ...TARGET, ...SOURCE], SOLICITED, 255, u);
export const addressProbe = (u: Upkeep = {}): Buffer =>
  icmp6(135, [0, 0, 0, 0, ...TARGET, ...NONCE], SOLICITED, 255, { src: Array(16).fill(0), ...u });
export const neighbourAdvertisement = (u: Upkeep = {}): Buffer =>
  icmp6(136, [0x60, 0, 0, 0, ...TARGET, ...TARGET_OPTION], ALL_NODES, 255, u);
export const redirect = (u: Upkeep = {}): Buffer => icmp6(137, [0, 0, 0, 0, ...TARGET, ...TARGET], TARGET, 255, u);
export const mldReport = (u: Upkeep = {}): Buffer => icmp6(131, [0, 0, 0, 0, ...GROUP], GROUP, 1, u, ALERT);
export const mldDone = (u: Upkeep = {}): Buffer => icmp6(132, [0, 0, 0, 0, ...GROUP], ALL_ROUTERS, 1, u, ALERT);
export const mldQuery = (u: Upkeep = {}): Buffer =>
  icmp6(130, [0, 100, 0, 0, ...Array(16).fill(0), 2, 125, 0, 0], ALL_NODES, 1, u, ALERT);
export const mld2Report = (u: Upkeep = {}): Buffer =>
  icmp6(143, [0, 0, 0, 1, 4, 0, 0, 1, ...GROUP, ...TARGET], MLD_ROUTERS, 1, u, ALERT);

export interface Igmp {
  dst?: number[];
  ttl?: number;
  /** IPv4 options. */
  options?: number[];
  patch?: (message: Buffer) => Buffer;
}

function igmp(message: number[], dst: number[], f: Igmp): Buffer {
  const plain = Buffer.from(message);
  const l4 = f.patch === undefined ? plain : f.patch(plain);
  const options = Buffer.from(f.options ?? [0x94, 4, 0, 0]);
  const packet = buildIp(4, [10, 0, 0, 1], f.dst ?? dst, 2, Buffer.concat([options, l4]), f.ttl ?? 1);
  packet[0] = 0x45 + options.length / 4;
  packet.writeUInt16BE(0, 10);
  let sum = 0;
  for (let i = 0; i < 20 + options.length; i += 2) sum += packet.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  packet.writeUInt16BE(0xffff - sum, 10);
  return packet;
}

const MDNS = [224, 0, 0, 251];
export const igmpReport = (f: Igmp = {}): Buffer => igmp([0x16, 0, 0, 0, ...MDNS], MDNS, f);
export const igmpLeave = (f: Igmp = {}): Buffer => igmp([0x17, 0, 0, 0, ...MDNS], [224, 0, 0, 2], f);
export const igmpQuery = (f: Igmp = {}): Buffer => igmp([0x11, 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0], [224, 0, 0, 1], f);
export const igmp3Report = (f: Igmp = {}): Buffer =>
  igmp([0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 1, ...MDNS, 10, 0, 0, 9], [224, 0, 0, 22], f);

/** Every kind, well formed, by name. */
export const UPKEEP: readonly (readonly [string, Buffer])[] = [
  ['router solicitation', routerSolicitation()],
  ['router advertisement', routerAdvertisement()],
  ['neighbour solicitation', neighbourSolicitation()],
  ['probe of an address', addressProbe()],
  ['neighbour advertisement', neighbourAdvertisement()],
  ['MLD report', mldReport()],
  ['MLD done', mldDone()],
  ['MLD query', mldQuery()],
  ['MLDv2 report', mld2Report()],
  ['IGMP report', igmpReport()],
  ['IGMP leave', igmpLeave()],
  ['IGMP query', igmpQuery()],
  ['IGMPv3 report', igmp3Report()],
];
