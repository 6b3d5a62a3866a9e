import { formatPacket, formatTuple, protocolName } from '../../../src/packet/format';
import { parseIp } from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import { buildEchoReply, buildTcp, buildUdp } from '../../lib/build-packet';
import { fragmentHeader, ipv4, ipv6, TCP, tcpHeader } from './packets';

function view(packet: Buffer): PacketView {
  const v = new PacketView();
  expect(parseIp(v, packet, 0, packet.length)).toBe(0);
  return v;
}

test.each([
  [
    'a SYN/ACK',
    buildTcp({ flags: 'SA', seq: 4294967295, ack: 7 }),
    'tcp 10.0.0.1:80 > 10.0.0.2:40000 [SA] seq 4294967295 ack 7 win 1000, 0 bytes',
  ],
  [
    'a SYN',
    buildTcp({ flags: 'S', seq: 1, family: 6 }),
    'tcp [fd00::1]:80 > [fd00::2]:40000 [S] seq 1 win 1000, 0 bytes',
  ],
  ['UDP', buildUdp({ payload: 'abc' }), 'udp 10.0.0.1:53 > 10.0.0.2:40000, 3 bytes'],
  ['an echo', buildEchoReply(9, 2, 'data', 6), 'icmpv6 fd00::1 > fd00::2 id 9 type 129 code 0, 4 bytes'],
  ['a fragment', ipv6(TCP, tcpHeader(), [fragmentHeader(8, true)]), 'tcp 2001:db8::1 > 2001:db8::2 fragment, 20 bytes'],
  ['another protocol', ipv4(47, Buffer.alloc(4)), 'proto 47 192.0.2.1 > 198.51.100.2, 4 bytes'],
])('%s', (_name, packet, text) => {
  expect(formatPacket(view(packet))).toBe(text);
  expect(text.startsWith(formatTuple(view(packet)))).toBe(true);
});
test('protocols have names where we know them', () => {
  expect([6, 17, 1, 58, 2, 132].map(protocolName)).toEqual(['tcp', 'udp', 'icmp', 'icmpv6', 'igmp', 'proto 132']);
});
