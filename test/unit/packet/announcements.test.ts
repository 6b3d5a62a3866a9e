// ARP, RARP and the unsolicited neighbour advertisement, byte by byte.

import {
  ARP_BYTES,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  ArpView,
  arpReplyFrame,
  arpRequestFrame,
  gratuitousArpFrame,
  isArpRequest,
  isGratuitous,
  parseArp,
  rarpFrame,
  writeArp,
} from '../../../src/packet/arp';
import { igmpQueryFrame, mldQueryFrame } from '../../../src/packet/group-query';
import { unsolicitedNaFrame } from '../../../src/packet/neighbour';
import { onesComplementSum } from '../../lib/build-packet';

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const PEER_MAC = Uint8Array.of(0x52, 0x54, 0, 0, 0, 9);
const IP = 0xc0000205; // 192.0.2.5
const PEER_IP = 0xc0000209;

const REQUEST =
  'ffffffffffff525400123456' + '0806' + '0001080006040001' + '525400123456c0000205' + '000000000000c0000209';
const REPLY =
  '525400000009525400123456' + '0806' + '0001080006040002' + '525400123456c0000205' + '525400000009c0000209';

describe('build', () => {
  test('a request', () => {
    expect(arpRequestFrame(MAC, IP, PEER_IP).toString('hex')).toBe(REQUEST);
  });
  test('a reply', () => {
    expect(arpReplyFrame(MAC, IP, PEER_MAC, PEER_IP).toString('hex')).toBe(REPLY);
  });
  test('an announcement', () => {
    expect(gratuitousArpFrame(MAC, IP).toString('hex')).toBe(
      'ffffffffffff525400123456' + '0806' + '0001080006040001' + '525400123456c0000205' + '000000000000c0000205',
    );
  });
  test('RARP', () => {
    expect(rarpFrame(MAC).toString('hex')).toBe(
      'ffffffffffff525400123456' + '8035' + '0001080006040003' + '52540012345600000000' + '52540012345600000000',
    );
  });
  test('into the middle of a buffer', () => {
    const buf = Buffer.alloc(ARP_BYTES + 4, 0xa5);
    expect(writeArp(buf, 2, ARPOP_REPLY, MAC, IP, PEER_MAC, PEER_IP)).toBe(2 + ARP_BYTES);
    expect(buf.toString('hex')).toBe(`a5a5${REPLY.slice(28)}a5a5`);
  });
});

describe('take apart', () => {
  test('a reply', () => {
    const frame = Buffer.from(REPLY, 'hex');
    const v = new ArpView();
    expect(parseArp(v, frame, 14, 28)).toBe(true);
    expect(v).toEqual({ operation: ARPOP_REPLY, senderMac: 22, senderIp: IP, targetMac: 32, targetIp: PEER_IP });
    expect(isGratuitous(v)).toBe(false);
  });
  test('an announcement speaks of itself, a probe does not', () => {
    const v = new ArpView();
    expect(parseArp(v, gratuitousArpFrame(MAC, IP), 14, 28) && isGratuitous(v)).toBe(true);
    expect(parseArp(v, arpRequestFrame(MAC, 0, 0), 14, 28) && isGratuitous(v)).toBe(false);
  });
  test('what is built is read', () => {
    const v = new ArpView();
    expect(parseArp(v, arpRequestFrame(MAC, 0xfffffffe, 0x80000001), 14, 28)).toBe(true);
    expect(v).toMatchObject({ operation: ARPOP_REQUEST, senderIp: 0xfffffffe, targetIp: 0x80000001 });
  });
  test.each([
    ['not Ethernet', 1, 6],
    ['not IPv4', 3, 1],
    ['a hardware address of 8', 4, 8],
    ['a protocol address of 16', 5, 16],
  ])('%s', (_name, at, value) => {
    const packet = Buffer.from(REQUEST, 'hex').subarray(14);
    packet[at] = value;
    expect(parseArp(new ArpView(), packet, 0, 28)).toBe(false);
  });
  test('cut at every length', () => {
    for (let n = 0; n < ARP_BYTES; n++) expect(parseArp(new ArpView(), Buffer.from(REQUEST, 'hex'), 14, n)).toBe(false);
  });
  test.each([
    ['a request', REQUEST, true],
    ['a request in a frame with padding', REQUEST + '00'.repeat(18), true],
    ['a request with a VLAN tag', `${REQUEST.slice(0, 24)}81000005${REQUEST.slice(24)}`, true],
    ['a request for its own address', REQUEST.slice(0, 76) + REQUEST.slice(56, 64), false],
    ['a probe', `${REQUEST.slice(0, 56)}00000000${REQUEST.slice(64)}`, false],
    ['a reply', REPLY, false],
    ['RARP', rarpFrame(MAC).toString('hex'), false],
    ['IPv4 that looks like ARP', REQUEST.replace('52540012345608060001', '52540012345608000001'), false],
    ['half a request', REQUEST.slice(0, 60), false],
  ])('is %s a request?', (_name, hex, expected) => {
    const frame = Buffer.from(`a5${hex}`, 'hex');
    expect(isArpRequest(frame, 1, frame.length - 1)).toBe(expected);
  });
});

describe('unsolicited neighbour advertisement', () => {
  const ADDRESS = Buffer.from('20010db8000000000000000000000005', 'hex');
  test('byte by byte', () => {
    const frame = unsolicitedNaFrame(MAC, ADDRESS);
    const sum = frame.readUInt16BE(14 + 40 + 2);
    expect(frame.toString('hex')).toBe(
      '333300000001525400123456' +
        '86dd' +
        '6000000000203aff' +
        '20010db8000000000000000000000005' +
        'ff020000000000000000000000000001' +
        `8800${sum.toString(16).padStart(4, '0')}20000000` +
        '20010db8000000000000000000000005' +
        '0201525400123456',
    );
    const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, 32, 0, 0, 0, 58])]);
    expect(onesComplementSum([pseudo, frame.subarray(54)])).toBe(0xffff);
  });
  test('of a router', () => {
    expect(unsolicitedNaFrame(MAC, ADDRESS, true)[14 + 40 + 4]).toBe(0xa0);
  });
  test('of an address that others may have, too', () => {
    expect(unsolicitedNaFrame(MAC, ADDRESS, true, false)[14 + 40 + 4]).toBe(0x80);
  });
});

describe('general queries for multicast groups', () => {
  test('IGMPv3, byte by byte', () => {
    const frame = igmpQueryFrame();
    expect(frame.toString('hex')).toBe(
      '01005e00000102c0100000010800' +
        '46c00024000000000102' +
        '4413' +
        '00000000e0000001' +
        '94040000' +
        '1101ec81' +
        '00000000' +
        '027d0000',
    );
    expect(onesComplementSum([frame.subarray(14, 38)])).toBe(0xffff);
    expect(onesComplementSum([frame.subarray(38)])).toBe(0xffff);
  });
  test('MLDv2, byte by byte', () => {
    const frame = mldQueryFrame();
    const sum = frame.readUInt16BE(14 + 48 + 2);
    expect(frame.toString('hex')).toBe(
      '33330000000102c01000000186dd' +
        '6000000000240001' +
        'fe80000000000000ffffffffffffffff' +
        'ff020000000000000000000000000001' +
        '3a00050200000100' +
        `8200${sum.toString(16).padStart(4, '0')}00640000` +
        '0'.repeat(32) +
        '027d0000',
    );
    const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, 28, 0, 0, 0, 58])]);
    expect(onesComplementSum([pseudo, frame.subarray(62)])).toBe(0xffff);
  });
});
