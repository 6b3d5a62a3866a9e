// What a guest claims on its link, and nothing that it merely forwards.

import { arpReplyFrame, arpRequestFrame, gratuitousArpFrame } from '../../../src/packet/arp';
import { taggedFrame } from '../../../src/packet/ethernet';
import { unsolicitedNaFrame } from '../../../src/packet/neighbour';
import { GuestAddresses, MAX_GUEST_ADDRESSES } from '../../../src/seccolo/guest-addresses';
import { buildTcp } from '../../lib/build-packet';

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const OTHER = Uint8Array.of(0x52, 0x54, 0, 0, 0, 9);
const IP = 0xc0000205;
const IP6 = Buffer.from('20010db8000000000000000000000005', 'hex');
const LINK_LOCAL = Buffer.from('fe800000000000000000000000000005', 'hex');
const TAG = 0x81000005;

/** A neighbour discovery message; `options` in hex. Its checksum is not looked at: the kernel has taken the packet. */
function discovery(type: number, source: Buffer, body: string, options = '', hopLimit = 255, code = 0): Buffer {
  const icmp = Buffer.from(`${type.toString(16)}${code.toString(16).padStart(2, '0')}0000${body}${options}`, 'hex');
  const ip = Buffer.from(
    `60000000${icmp.length.toString(16).padStart(4, '0')}3a${hopLimit.toString(16).padStart(2, '0')}`,
    'hex',
  );
  const header = Buffer.from(`333300000001${Buffer.from(MAC).toString('hex')}86dd`, 'hex');
  return Buffer.concat([header, ip, source, Buffer.from('ff020000000000000000000000000001', 'hex'), icmp]);
}

const UNSPECIFIED = Buffer.alloc(16);
const target = (flags: string, address = IP6): string => flags + address.toString('hex');
const SOURCE_MAC = `0101${Buffer.from(OTHER).toString('hex')}`;

function told(frames: readonly Uint8Array[], fromGuest = true, addresses = new GuestAddresses()): GuestAddresses {
  for (const frame of frames) addresses.note(frame, frame.length, 0, fromGuest);
  return addresses;
}
const text = (addresses: GuestAddresses): string[] =>
  addresses
    .list()
    .map(({ family, bytes, mac, tags, router, override }) =>
      [
        family,
        Buffer.from(bytes).toString('hex'),
        Buffer.from(mac).toString('hex'),
        ...tags.map((tag) => tag.toString(16)),
        ...(router ? ['router'] : []),
        ...(override ? [] : ['anycast']),
      ].join(' '),
    );
const CLAIM4 = '4 c0000205 525400123456';
const CLAIM6 = `6 ${IP6.toString('hex')} 525400123456`;

describe('a claim', () => {
  test.each<[string, Uint8Array, string]>([
    ['an ARP request', arpRequestFrame(MAC, IP, IP + 1), CLAIM4],
    ['an ARP reply', arpReplyFrame(MAC, IP, OTHER, IP + 1), CLAIM4],
    ['gratuitous ARP', gratuitousArpFrame(MAC, IP), CLAIM4],
    ['an advertisement', discovery(136, LINK_LOCAL, target('20000000')), CLAIM6],
    ["a router's advertisement of an address", discovery(136, LINK_LOCAL, target('a0000000')), `${CLAIM6} router`],
    ['an advertisement of an anycast address', discovery(136, LINK_LOCAL, target('00000000')), `${CLAIM6} anycast`],
    ['an advertisement with its MAC address', unsolicitedNaFrame(OTHER, IP6), `6 ${IP6.toString('hex')} 525400000009`],
    ['a solicitation', discovery(135, IP6, target('00000000', LINK_LOCAL)), CLAIM6],
    [
      'a solicitation with its MAC address',
      discovery(135, IP6, target('00000000'), SOURCE_MAC),
      `6 ${IP6.toString('hex')} 525400000009`,
    ],
    ['a router solicitation', discovery(133, IP6, '00000000'), CLAIM6],
    [
      'a router advertisement',
      discovery(134, LINK_LOCAL, '400007080000000000000000'),
      `6 ${LINK_LOCAL.toString('hex')} 525400123456 router`,
    ],
  ])('%s', (_what, frame, claim) => {
    expect(text(told([frame]))).toEqual([claim]);
    expect(text(told([frame, frame]))).toEqual([claim]);
  });

  test.each<[string, Uint8Array]>([
    [
      'a forwarded packet',
      Buffer.concat([unsolicitedNaFrame(MAC, IP6).subarray(0, 12), Buffer.from('0800', 'hex'), buildTcp({})]),
    ],
    ['an ARP probe', arpRequestFrame(MAC, 0, IP)],
    ['loopback', arpRequestFrame(MAC, 0x7f000001, IP)],
    ['multicast', arpRequestFrame(MAC, 0xe0000001, IP)],
    ['broadcast', arpRequestFrame(MAC, 0xffffffff, IP)],
    ['ARP of a group MAC address', arpRequestFrame(Uint8Array.of(1, 0, 0x5e, 0, 0, 1), IP, IP)],
    ['ARP of no MAC address', arpRequestFrame(new Uint8Array(6), IP, IP)],
    ['duplicate address detection', discovery(135, UNSPECIFIED, target('00000000'))],
    ['an advertisement that was forwarded', discovery(136, LINK_LOCAL, target('20000000'), '', 254)],
    ['an advertisement with another code', discovery(136, LINK_LOCAL, target('20000000'), '', 255, 1)],
    ['an option of no length', discovery(136, LINK_LOCAL, target('20000000'), '0200000000000000')],
    ['an option that ends outside', discovery(136, LINK_LOCAL, target('20000000'), '0202000000000000')],
    ['half an advertisement', discovery(136, LINK_LOCAL, '20000000')],
    [
      'an advertisement of a group',
      discovery(136, LINK_LOCAL, target('20000000', Buffer.from('ff020000000000000000000000000001', 'hex'))),
    ],
    ['a redirect', discovery(137, LINK_LOCAL, target('00000000') + IP6.toString('hex'))],
    ['three tags', taggedFrame(gratuitousArpFrame(MAC, IP), [TAG, TAG, TAG])],
  ])('not: %s', (_what, frame) => {
    expect(text(told([frame]))).toEqual([]);
  });

  test('cut at every length', () => {
    for (const frame of [gratuitousArpFrame(MAC, IP), unsolicitedNaFrame(MAC, IP6)]) {
      const addresses = new GuestAddresses();
      for (let n = 0; n < frame.length; n++) addresses.note(frame.subarray(0, n), n, 0, true);
      expect(addresses.list()).toEqual([]);
    }
  });
});

describe('VLANs', () => {
  test.each<[string, readonly number[], number, string]>([
    ['the tag that the kernel took off', [], TAG, ' 81000005'],
    ['its priority is left out', [], 0x8100a005, ' 81000005'],
    ['a tag in the frame', [TAG], 0, ' 81000005'],
    ['two', [0x81000006], 0x88a80005, ' 88a80005 81000006'],
    ['two in the frame', [0x88a80005, 0x81000006], 0, ' 88a80005 81000006'],
    ['a priority alone', [], 0x8100e000, ''],
  ])('%s', (_what, tags, vlan, expected) => {
    const frame = taggedFrame(gratuitousArpFrame(MAC, IP), tags);
    const addresses = new GuestAddresses();
    addresses.note(frame, frame.length, vlan, true);
    expect(text(addresses)).toEqual([CLAIM4 + expected]);
  });

  test('one address in two VLANs is two claims', () => {
    expect(text(told([gratuitousArpFrame(MAC, IP), taggedFrame(gratuitousArpFrame(MAC, IP), [TAG])]))).toHaveLength(2);
  });
});

test('a router is one in all of its addresses, until it says that it is none', () => {
  const addresses = told([unsolicitedNaFrame(MAC, IP6), discovery(134, LINK_LOCAL, '400007080000000000000000')]);
  const later = Buffer.from('20010db8000000000000000000000006', 'hex');
  told([discovery(135, later, target('00000000')), unsolicitedNaFrame(OTHER, Buffer.alloc(16, 0x20))], true, addresses);
  expect(addresses.list().map(({ router }) => router)).toEqual([true, true, true, false]);
  told([unsolicitedNaFrame(MAC, IP6)], true, addresses);
  expect(addresses.list().some(({ router }) => router)).toBe(false);
});

describe('an address that somebody else claims', () => {
  const own = (): GuestAddresses => told([gratuitousArpFrame(MAC, IP), unsolicitedNaFrame(MAC, IP6)]);
  test("is no longer the guest's, until it claims it again", () => {
    const addresses = own();
    told([gratuitousArpFrame(OTHER, IP), unsolicitedNaFrame(OTHER, IP6)], false, addresses);
    expect(text(addresses)).toEqual([]);
    told([gratuitousArpFrame(MAC, IP)], true, addresses);
    expect(text(addresses)).toEqual([CLAIM4]);
  });
  test('stays by its own frame that comes back, by another address, and in another VLAN', () => {
    const addresses = own();
    told([gratuitousArpFrame(MAC, IP), gratuitousArpFrame(OTHER, IP + 1)], false, addresses);
    told([taggedFrame(gratuitousArpFrame(OTHER, IP), [TAG]), arpRequestFrame(OTHER, IP + 1, IP)], false, addresses);
    expect(text(addresses)).toEqual([CLAIM4, CLAIM6]);
  });
});

test('the list is bounded: what was claimed longest ago gives way', () => {
  const frame = (n: number) => gratuitousArpFrame(MAC, IP + n);
  const addresses = told(Array.from({ length: MAX_GUEST_ADDRESSES }, (_, n) => frame(n)));
  told([frame(0), frame(1000)], true, addresses);
  expect(addresses.list()).toHaveLength(MAX_GUEST_ADDRESSES);
  expect(addresses.overflows).toBe(1);
  const low = addresses.list().map(({ bytes }) => Buffer.from(bytes).readUInt32BE(0) - IP);
  expect([low.includes(0), low.includes(1), low.includes(1000)]).toEqual([true, false, true]);
});
