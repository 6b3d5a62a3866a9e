import {
  PARSE_EXTENSION,
  PARSE_IP_HEADER,
  PARSE_IP_LENGTH,
  PARSE_JUMBO,
  PARSE_NAMES,
  PARSE_OK,
  PARSE_SHORT,
  PARSE_TRANSPORT,
  PARSE_VERSION,
  parseIp,
} from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import {
  AH,
  ahHeader,
  DESTINATION,
  ESP,
  FRAGMENT,
  fragmentHeader,
  HOP_BY_HOP,
  ICMP,
  ICMPV6,
  icmpMessage,
  ipv4,
  ipv6,
  NO_NEXT_HEADER,
  optionsHeader,
  ROUTING,
  TCP,
  tcpHeader,
  UDP,
  udpHeader,
} from './packets';

function parse(packet: Buffer, len = packet.length): PacketView {
  const view = new PacketView();
  expect(PARSE_NAMES[parseIp(view, packet, 0, len)]).toBe('ok');
  return view;
}

function code(packet: Buffer, len = packet.length): number {
  return parseIp(new PacketView(), packet, 0, len);
}

/** A SYN/ACK of a web server, as it stood on a wire: 52 bytes, and 2 of padding. */
const SYN_ACK = Buffer.from(
  '450000340000400040064a61ac1400050a01020b' + // IPv4
    '0050d431c0ffee0112345679801272105e2f0000' + // TCP
    '020405b40101040201030307' + // MSS 1460, SACK permitted, window scale 7
    '0000', // padding of the frame
  'hex',
);

describe('IPv4', () => {
  test('TCP, field by field, in a frame with padding', () => {
    const v = parse(SYN_ACK);
    expect(v).toMatchObject({
      start: 0,
      end: 52,
      family: 4,
      protocol: TCP,
      src0: 0xac140005,
      src1: 0,
      src3: 0,
      dst0: 0x0a01020b,
      fragment: false,
      l4: 20,
      payload: 52,
      payloadBytes: 0,
      srcPort: 80,
      dstPort: 0xd431,
      seq: 0xc0ffee01,
      ack: 0x12345679,
      flags: 0x12,
      window: 0x7210,
    });
  });
  test('options move the transport header', () => {
    expect(parse(ipv4(TCP, tcpHeader(0, 3), 40))).toMatchObject({ l4: 60, payload: 80, payloadBytes: 3, srcPort: 443 });
  });
  test('UDP: the payload is what the IP length leaves, whatever the frame has', () => {
    const packet = Buffer.concat([ipv4(UDP, udpHeader(5)), Buffer.alloc(13, 0xee)]);
    expect(parse(packet)).toMatchObject({ srcPort: 53, dstPort: 40001, payload: 28, payloadBytes: 5, flags: 0 });
  });
  test('bytes behind the UDP length count as sent', () => {
    expect(parse(ipv4(UDP, udpHeader(9, 8 + 4)))).toMatchObject({ payload: 28, payloadBytes: 9 });
  });
  test.each([
    [8, 0x1234],
    [0, 0x1234],
    [3, 0],
    [13, 0],
  ])('ICMP type %d has %d for ports', (type, id) => {
    const expected = { icmpType: type, icmpCode: 3, srcPort: id, dstPort: id, payload: 28, payloadBytes: 8 };
    expect(parse(ipv4(ICMP, icmpMessage(type)))).toMatchObject(expected);
  });
  test('an ICMP message below 8 bytes has a header of 4', () => {
    expect(parse(ipv4(ICMP, icmpMessage(3, 6)))).toMatchObject({ payload: 24, payloadBytes: 2 });
  });
  test('other protocols: everything behind the header', () => {
    expect(parse(ipv4(47, Buffer.alloc(11)))).toMatchObject({ protocol: 47, l4: 20, payload: 20, payloadBytes: 11 });
    expect(parse(ipv4(47, Buffer.alloc(0)))).toMatchObject({ payloadBytes: 0 });
  });
  test.each([
    [0x2000, 'the first'],
    [0x2001, 'a middle one'],
    [0x00b9, 'the last'],
  ])('%s is a fragment: no transport header is read', (field) => {
    const packet = ipv4(TCP, Buffer.alloc(8, 0xff));
    packet.writeUInt16BE(field, 6);
    expect(parse(packet)).toMatchObject({ fragment: true, srcPort: 0, flags: 0, payload: 20, payloadBytes: 8 });
  });
  test('neither "do not fragment" nor the reserved bit makes a fragment', () => {
    const packet = ipv4(TCP, tcpHeader());
    packet.writeUInt16BE(0xc000, 6);
    expect(parse(packet).fragment).toBe(false);
  });
  test.each([
    ['TCP', ipv6(TCP, tcpHeader())],
    ['an echo', ipv6(ICMPV6, icmpMessage(128))],
  ])('a view that served %s keeps nothing of it', (_name, before) => {
    const view = parse(before);
    const next = ipv4(47, Buffer.alloc(4));
    expect(parseIp(view, next, 0, next.length)).toBe(PARSE_OK);
    const { srcPort, dstPort, flags, icmpType, icmpCode, src1, src2, src3, dst1, dst2, dst3 } = view;
    expect([srcPort, dstPort, flags, icmpType, icmpCode, src1, src2, src3, dst1, dst2, dst3]).toEqual(
      Array(11).fill(0),
    );
  });
});

describe('IPv6', () => {
  test('TCP: addresses are four words', () => {
    expect(parse(ipv6(TCP, tcpHeader(0, 3)))).toMatchObject({
      family: 6,
      protocol: TCP,
      src0: 0x20010db8,
      src1: 0,
      src2: 0,
      src3: 1,
      dst0: 0x20010db8,
      dst3: 2,
      l4: 40,
      payload: 60,
      payloadBytes: 3,
      srcPort: 443,
      seq: 0xfedcba98,
      ack: 0x89abcdef,
      window: 0xfff0,
    });
  });
  test.each([
    ['hop-by-hop options', [optionsHeader(HOP_BY_HOP)], 8],
    ['long destination options', [optionsHeader(DESTINATION, 255)], 2048],
    ['routing', [optionsHeader(ROUTING, 2)], 24],
    ['authentication', [ahHeader(4)], 24],
    ['the shortest authentication', [ahHeader(1)], 12],
    ['an atomic fragment', [fragmentHeader(0, false)], 8],
    ['an atomic fragment with reserved bits', [fragmentHeader(0, false, 0xff)], 8],
    ['several', [optionsHeader(HOP_BY_HOP, 1), ahHeader(), fragmentHeader(0, false), optionsHeader(DESTINATION)], 56],
  ])('%s before TCP', (_name, extensions, bytes) => {
    const v = parse(ipv6(TCP, tcpHeader(0, 3), extensions));
    expect(v).toMatchObject({ protocol: TCP, l4: 40 + bytes, payload: 60 + bytes, payloadBytes: 3, fragment: false });
  });
  test.each([
    ['first', 0, true],
    ['middle', 1480, true],
    ['last', 2960, false],
  ])('the %s fragment', (_name, offset, more) => {
    const v = parse(ipv6(TCP, tcpHeader(), [optionsHeader(HOP_BY_HOP), fragmentHeader(offset, more)]));
    expect(v).toMatchObject({ fragment: true, protocol: TCP, l4: 56, payload: 56, payloadBytes: 20, srcPort: 0 });
  });
  test('behind ESP and "no next header" nothing is looked for', () => {
    expect(parse(ipv6(ESP, Buffer.alloc(24), [optionsHeader(DESTINATION)]))).toMatchObject({
      protocol: ESP,
      l4: 48,
      payloadBytes: 24,
    });
    expect(parse(ipv6(NO_NEXT_HEADER, Buffer.alloc(0), [optionsHeader(DESTINATION)]))).toMatchObject({
      protocol: NO_NEXT_HEADER,
      payloadBytes: 0,
    });
  });
  test.each([
    [128, 0x1234],
    [129, 0x1234],
    [135, 0],
  ])('ICMPv6 type %d has %d for ports', (type, id) => {
    expect(parse(ipv6(ICMPV6, icmpMessage(type)))).toMatchObject({ icmpType: type, srcPort: id, dstPort: id });
  });
});

describe('malformed', () => {
  const withByte = (packet: Buffer, at: number, value: number): Buffer => {
    const copy = Buffer.from(packet);
    copy[at] = value;
    return copy;
  };
  const with16 = (packet: Buffer, at: number, value: number): Buffer => {
    const copy = Buffer.from(packet);
    copy.writeUInt16BE(value, at);
    return copy;
  };
  const tcp4 = ipv4(TCP, tcpHeader(0, 4));
  const tcp6 = ipv6(TCP, tcpHeader(0, 4));

  test.each<[string, Buffer, number]>([
    ['nothing', Buffer.alloc(0), PARSE_SHORT],
    ['19 bytes', tcp4.subarray(0, 19), PARSE_SHORT],
    ['39 bytes of IPv6', tcp6.subarray(0, 39), PARSE_SHORT],
    ['version 0', Buffer.alloc(40), PARSE_VERSION],
    ['version 5', withByte(tcp4, 0, 0x55), PARSE_VERSION],
    ['version 7', withByte(tcp6, 0, 0x70), PARSE_VERSION],
    ['IPv4 header length 16', withByte(tcp4, 0, 0x44), PARSE_IP_HEADER],
    ['IPv4 header length beyond the bytes', withByte(tcp4, 0, 0x4f), PARSE_IP_HEADER],
    ['IPv4 header beyond the total length', withByte(with16(tcp4, 2, 20), 0, 0x46), PARSE_IP_LENGTH],
    ['IPv4 total length below the header', with16(tcp4, 2, 19), PARSE_IP_LENGTH],
    ['IPv4 total length above the frame', with16(tcp4, 2, tcp4.length + 1), PARSE_IP_LENGTH],
    ['IPv4 total length 0 (BIG TCP)', with16(tcp4, 2, 0), PARSE_JUMBO],
    ['IPv6 payload length above the frame', with16(tcp6, 4, 25), PARSE_IP_LENGTH],
    ['IPv6 payload length 0 (jumbogram, BIG TCP)', with16(tcp6, 4, 0), PARSE_JUMBO],
    ['TCP header length 16', ipv4(TCP, withByte(tcpHeader(0, 4), 12, 0x40)), PARSE_TRANSPORT],
    ['TCP header length 0', ipv6(TCP, withByte(tcpHeader(0, 4), 12, 0)), PARSE_TRANSPORT],
    ['TCP header beyond the packet', ipv4(TCP, withByte(tcpHeader(0, 4), 12, 0x70)), PARSE_TRANSPORT],
    ['TCP of 19 bytes', with16(tcp4, 2, 39), PARSE_TRANSPORT],
    ['UDP of 7 bytes', ipv4(UDP, Buffer.alloc(7)), PARSE_TRANSPORT],
    ['UDP length below its header', ipv4(UDP, udpHeader(3, 7)), PARSE_TRANSPORT],
    ['UDP length beyond the packet', ipv6(UDP, udpHeader(3, 12)), PARSE_TRANSPORT],
    ['ICMP of 3 bytes', ipv4(ICMP, Buffer.alloc(3)), PARSE_TRANSPORT],
    ['an echo without an id', ipv6(ICMPV6, icmpMessage(128, 7)), PARSE_TRANSPORT],
    [
      'extension header beyond the packet',
      ipv6(TCP, Buffer.alloc(0), [{ kind: ROUTING, bytes: Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]) }]),
      PARSE_EXTENSION,
    ],
    ['extension header of 7 bytes', ipv6(HOP_BY_HOP, Buffer.alloc(7)), PARSE_EXTENSION],
    [
      'authentication header of 11 bytes',
      ipv6(AH, Buffer.from([NO_NEXT_HEADER, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
      PARSE_EXTENSION,
    ],
    ['fragment header of 7 bytes', ipv6(FRAGMENT, Buffer.alloc(7)), PARSE_EXTENSION],
    ['TCP missing behind a header', ipv6(TCP, Buffer.alloc(0), [optionsHeader(DESTINATION)]), PARSE_TRANSPORT],
  ])('%s', (_name, packet, expected) => {
    expect(PARSE_NAMES[code(packet)]).toBe(PARSE_NAMES[expected]);
  });
  test('the lengths of a packet are held against len, not against the buffer', () => {
    expect(code(tcp4, tcp4.length - 1)).toBe(PARSE_IP_LENGTH);
    expect(code(tcp6, tcp6.length - 1)).toBe(PARSE_IP_LENGTH);
  });
  test('padding does not make up for a missing transport header', () => {
    const packet = Buffer.concat([with16(tcp4, 2, 30), Buffer.alloc(100)]);
    expect(code(packet)).toBe(PARSE_TRANSPORT);
  });
  test('every code has its own name', () => {
    expect(new Set(PARSE_NAMES).size).toBe(PARSE_TRANSPORT + 1);
    expect(PARSE_NAMES.length).toBe(PARSE_TRANSPORT + 1);
  });
});
