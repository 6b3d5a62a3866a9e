import { isInfrastructure, isNeighbourRequest } from '../../../src/packet/infrastructure';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import {
  address,
  addressProbe,
  igmp3Report,
  igmpLeave,
  igmpReport,
  mld2Report,
  mldReport,
  neighbourAdvertisement,
  neighbourSolicitation,
  redirect,
  routerAdvertisement,
  routerSolicitation,
  TARGET,
  UPKEEP,
} from '../../lib/build-upkeep';
import { fragmentHeader, HOP_BY_HOP, ICMP, ICMPV6, icmpMessage, ipv4, ipv6, optionsHeader } from './packets';

function view(packet: Buffer): PacketView {
  const v = new PacketView();
  expect(parseIp(v, packet, 0, packet.length)).toBe(PARSE_OK);
  return v;
}

const more = (bytes: number) => (m: Buffer) => Buffer.concat([m, Buffer.alloc(bytes, 7)]);
const set =
  (at: number, ...values: number[]) =>
  (m: Buffer) => {
    m.set(values, at);
    return m;
  };

test.each(UPKEEP)('%s', (_name, packet) => {
  expect(isInfrastructure(view(packet))).toBe(true);
});

test.each([
  ['to the target itself', neighbourSolicitation({ dst: TARGET })],
  ['an answer to who asked', neighbourAdvertisement({ dst: TARGET })],
  ['without the option', neighbourAdvertisement({ patch: (m) => m.subarray(0, 24) })],
  ['MLD with the padding first', mldReport({ between: [58, 0, 1, 0, 5, 2, 0, 0] })],
  ['MLD of a host without an address', mld2Report({ src: Array(16).fill(0) })],
  ['IGMP without a router alert', igmpReport({ options: [] })],
])('%s', (_name, packet) => {
  expect(isInfrastructure(view(packet))).toBe(true);
});

const UNICAST = address('fd00::3');
test.each<[string, Buffer]>([
  ['of a hop limit that a router may have lowered', neighbourSolicitation({ hops: 254 })],
  ['a code', neighbourSolicitation({ patch: set(1, 1) })],
  ['to anybody', neighbourSolicitation({ dst: UNICAST })],
  ["to another target's group", neighbourSolicitation({ dst: address('ff02::1:ff00:3') })],
  ['for a group', neighbourSolicitation({ patch: set(8, 0xff), dst: address('ff02::1:ff00:2') })],
  ['bytes behind', neighbourSolicitation({ patch: more(8) })],
  ['bytes that fill no option', neighbourSolicitation({ patch: more(4) })],
  ['an option of no length', neighbourSolicitation({ patch: set(25, 0) })],
  ['an option twice', neighbourSolicitation({ patch: (m) => Buffer.concat([m, m.subarray(24)]) })],
  ['an option of another message', neighbourSolicitation({ patch: set(24, 2) })],
  ['a longer option', neighbourSolicitation({ patch: (m) => set(25, 2)(more(8)(m)) })],
  ['reserved bits', neighbourSolicitation({ patch: set(4, 1) })],
  ['behind another header', neighbourSolicitation({ between: [58, 0, 1, 4, 0, 0, 0, 0] })],
  ['a router solicitation to anybody', routerSolicitation({ dst: UNICAST })],
  ["a router's solicitation with reserved bits", routerSolicitation({ patch: set(7, 1) })],
  ['an advertisement to another group', neighbourAdvertisement({ dst: address('ff02::5') })],
  ['an advertisement with reserved bits', neighbourAdvertisement({ patch: set(7, 1) })],
  [
    'a router advertisement with an unknown option',
    routerAdvertisement({ patch: (m) => Buffer.concat([m, Buffer.from([99, 1, 0, 0, 0, 0, 0, 0])]) }),
  ],
  [
    'a long router advertisement',
    routerAdvertisement({ patch: (m) => Buffer.concat([m, ...Array(7).fill(m.subarray(24))]) }),
  ],
  ['a redirect, which quotes a packet', redirect()],
  ['MLD that a router forwards', mldReport({ hops: 2 })],
  ['MLD without a router alert', mldReport({ between: [] })],
  ['MLD with another option', mldReport({ between: [58, 0, 5, 2, 0, 1, 1, 0] })],
  ['MLD behind a destination header', mldReport({ first: 60 })],
  ['MLD from afar', mldReport({ src: TARGET })],
  ['MLD of another group than it goes to', mldReport({ dst: address('ff02::fc') })],
  ['MLD to one host', mldReport({ dst: UNICAST })],
  ['bytes behind MLD', mldReport({ patch: more(8) })],
  ['bytes behind MLDv2', mld2Report({ patch: more(20) })],
  ['MLDv2 with fewer records than it says', mld2Report({ patch: set(7, 2) })],
  ['MLDv2 with auxiliary data', mld2Report({ patch: set(9, 1) })],
  ['MLDv2 of 1,000 bytes', mld2Report({ patch: (m) => set(11, 60)(more(59 * 16)(m)) })],
  ['IGMP to one host', igmpReport({ dst: [10, 0, 0, 2] })],
  ['IGMP that a router forwards', igmpReport({ ttl: 2 })],
  ['IGMP of another group than it goes to', igmpReport({ dst: [224, 0, 0, 252] })],
  ['IGMP with other options', igmpReport({ options: [0x94, 4, 0, 1] })],
  ['bytes behind IGMP', igmpReport({ patch: more(4) })],
  ['a leave that names no group', igmpLeave({ patch: set(4, 10) })],
  ['a leave to one host', igmpLeave({ dst: [10, 0, 0, 2] })],
  ['bytes behind IGMPv3', igmp3Report({ patch: more(8) })],
  ['IGMPv3 with reserved bits', igmp3Report({ patch: set(4, 1) })],
  ['IGMP of an unknown type', igmpReport({ patch: set(0, 0x13) })],
  ['IGMP over IPv6', ipv6(2, Buffer.alloc(8))],
  ['ICMPv6 over IPv4', ipv4(ICMPV6, icmpMessage(135))],
  ['ICMP of the same number', ipv4(ICMP, icmpMessage(135))],
  ['a fragment', ipv6(ICMPV6, icmpMessage(135), [fragmentHeader(0, true)])],
  ['an echo', ipv6(ICMPV6, icmpMessage(128))],
  ['an echo behind a header', ipv6(ICMPV6, icmpMessage(128), [optionsHeader(HOP_BY_HOP)])],
])('not %s', (_name, packet) => {
  expect(isInfrastructure(view(packet))).toBe(false);
});

test('questions are those for a neighbour, but for the probe of its own address', () => {
  const asking = UPKEEP.filter(([, packet]) => isNeighbourRequest(view(packet))).map(([name]) => name);
  expect(asking).toEqual(['neighbour solicitation']);
  expect(isNeighbourRequest(view(addressProbe()))).toBe(false);
});

test('the longest that are small are infrastructure, one byte on they are not', () => {
  const records = (n: number): Buffer =>
    igmp3Report({
      patch: (m) =>
        Buffer.concat([
          m.subarray(0, 7),
          Buffer.from([n]),
          ...Array(n).fill(Buffer.from([4, 0, 0, 0, 224, 0, 0, 251])),
        ]),
    });
  expect(isInfrastructure(view(records(31)))).toBe(true);
  expect(isInfrastructure(view(records(32)))).toBe(false);
});
