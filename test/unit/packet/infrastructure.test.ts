import { isInfrastructure, isNeighbourRequest } from '../../../src/packet/infrastructure';
import { parseIp } from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import { fragmentHeader, HOP_BY_HOP, ICMP, ICMPV6, icmpMessage, ipv4, ipv6, optionsHeader } from './packets';

function view(packet: Buffer): PacketView {
  const v = new PacketView();
  expect(parseIp(v, packet, 0, packet.length)).toBe(0);
  return v;
}

const INFRASTRUCTURE = [130, 131, 132, 133, 134, 135, 136, 137, 143];
const REQUESTS = [133, 135];

test('of the ICMPv6 types, neighbour discovery and multicast membership alone', () => {
  const found: number[] = [];
  const requests: number[] = [];
  for (let type = 0; type < 256; type++) {
    const v = view(ipv6(ICMPV6, icmpMessage(type)));
    if (isInfrastructure(v)) found.push(type);
    if (isNeighbourRequest(v)) requests.push(type);
  }
  expect(found).toEqual(INFRASTRUCTURE);
  expect(requests).toEqual(REQUESTS);
});
test('a solicitation without a source is no request: it asks whether its own address is free', () => {
  const v = view(ipv6(ICMPV6, icmpMessage(135)));
  v.src0 = v.src1 = v.src2 = v.src3 = 0;
  expect(isInfrastructure(v)).toBe(true);
  expect(isNeighbourRequest(v)).toBe(false);
});
test('membership reports stand behind a hop-by-hop header', () => {
  expect(isInfrastructure(view(ipv6(ICMPV6, icmpMessage(143), [optionsHeader(HOP_BY_HOP)])))).toBe(true);
});
test('IGMP', () => {
  expect(isInfrastructure(view(ipv4(2, Buffer.alloc(8))))).toBe(true);
});
test.each([
  ['IGMP over IPv6', ipv6(2, Buffer.alloc(8))],
  ['ICMPv6 over IPv4', ipv4(ICMPV6, icmpMessage(135))],
  ['ICMP of the same number', ipv4(ICMP, icmpMessage(135))],
  ['a fragment', ipv6(ICMPV6, icmpMessage(135), [fragmentHeader(0, true)])],
])('not %s', (_name, packet) => {
  const v = view(packet);
  v.icmpType = 135;
  expect(isInfrastructure(v)).toBe(false);
  expect(isNeighbourRequest(v)).toBe(false);
});
