import {
  LINK_ARP,
  LINK_NAMES,
  LINK_NOT_IP,
  LINK_SHORT,
  LINK_UNKNOWN,
  networkOffset,
} from '../../../../src/io/pcap/link';

const IP4 = '4500001400000000';
const IP6 = '6000000000000000';
const MACS = '0123456789ab' + 'ba9876543210';

// The link type, the frame up to the IP header, and where that is.
test.each([
  ['Ethernet', 1, `${MACS}0800${IP4}`, 14],
  ['Ethernet, IPv6', 1, `${MACS}86dd${IP6}`, 14],
  ['Ethernet, 802.1Q', 1, `${MACS}8100006486dd${IP6}`, 18],
  ['Ethernet, 802.1ad and 802.1Q', 1, `${MACS}88a80001810000020800${IP4}`, 22],
  ['Ethernet, ARP', 1, `${MACS}0806`, LINK_ARP],
  ['Ethernet, tagged ARP', 1, `${MACS}810000640806`, LINK_ARP],
  ['Ethernet, LLDP', 1, `${MACS}88cc`, LINK_NOT_IP],
  ['Ethernet, 802.3 length', 1, `${MACS}0026424203`, LINK_NOT_IP],
  ['Ethernet, cut in the header', 1, MACS, LINK_SHORT],
  ['Ethernet, cut in a tag', 1, `${MACS}81000064`, LINK_SHORT],
  ['raw', 101, IP4, 0],
  ['raw, as BSD numbers it', 12, IP6, 0],
  ['raw, as OpenBSD numbers it', 14, IP4, 0],
  ['raw IPv4', 228, IP4, 0],
  ['raw IPv6', 229, IP6, 0],
  ['raw, neither', 101, '00', LINK_NOT_IP],
  ['raw, nothing', 101, '', LINK_SHORT],
  ['null, little-endian', 0, `02000000${IP4}`, 4],
  ['null, big-endian IPv6', 0, `0000001e${IP6}`, 4],
  ['loop', 108, `00000002${IP4}`, 4],
  ['null, cut', 0, '020000', LINK_SHORT],
  ['null, nothing behind', 0, '02000000', LINK_SHORT],
  ['SLL', 113, `00000001000601234567 89ab00000800${IP4}`, 16],
  ['SLL, 802.1Q', 113, `0000000100060123456789ab0000810000640800${IP4}`, 20],
  ['SLL, ARP', 113, '0000000100060123456789ab00000806', LINK_ARP],
  ['SLL, netlink', 113, '0004033800000000000000000000000045', LINK_NOT_IP],
  ['SLL, cut', 113, '0000000100060123456789ab0000', LINK_SHORT],
  ['SLL2', 276, `0800000000000002000100060123456789ab0000${IP4}`, 20],
  ['SLL2, IPv6', 276, `86dd000000000002000100060123456789ab0000${IP6}`, 20],
  ['SLL2, 802.1Q', 276, `8100000000000002000100060123456789ab000000640800${IP4}`, 24],
  ['SLL2, ARP', 276, '0806000000000002000100060123456789ab0000', LINK_ARP],
  ['SLL2, other', 276, '88cc000000000002000100060123456789ab0000', LINK_NOT_IP],
  ['SLL2, netlink', 276, `0800000000000002033800060123456789ab0000${IP4}`, LINK_NOT_IP],
  ['SLL2, cut', 276, '0800000000000002000100060123456789ab00', LINK_SHORT],
  ['802.11', 105, `${MACS}0800${IP4}`, LINK_UNKNOWN],
])('%s', (_name, linkType, hex, expected) => {
  expect(networkOffset(linkType, Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toBe(expected);
});

test('every reason has a name', () => {
  expect([LINK_ARP, LINK_NOT_IP, LINK_SHORT, LINK_UNKNOWN].map((code) => LINK_NAMES[-code - 1])).toEqual([
    'arp',
    'not_ip',
    'short_frame',
    'unknown_link_type',
  ]);
});
