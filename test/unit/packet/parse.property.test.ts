// Whatever the bytes: an error, or a view whose offsets all lie within the bytes at hand, and which depends on nothing
// else.

import fc from 'fast-check';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { parseTcpOptions, TcpOptions } from '../../../src/packet/tcp-options';
import { PacketView } from '../../../src/packet/view';
import { goodPacket, parseWithin, SAMPLES, TCP } from './packets';

/** Parses it among zeros and among ones; both must agree, and find no fault. */
function judge(packet: Buffer): 'view' | 'error' {
  const one = parseWithin(packet, 0x00);
  const other = parseWithin(packet, 0xff);
  expect(other).toEqual(one);
  if (typeof one === 'number') {
    expect(one).not.toBe(PARSE_OK);
    return 'error';
  }
  expect(one.faults).toEqual([]);
  if (one.protocol === TCP && !one.fragment) judgeOptions(packet);
  return 'view';
}

function judgeOptions(packet: Buffer): void {
  const view = new PacketView();
  parseIp(view, packet, 0, packet.length);
  const o = new TcpOptions();
  if (!parseTcpOptions(view, o)) return;
  const inside = (at: number, bytes: number): void => {
    if (at < 0) return;
    expect(at).toBeGreaterThanOrEqual(view.l4 + 20);
    expect(at + bytes).toBeLessThanOrEqual(view.payload);
  };
  inside(o.timestampOffset, 8);
  inside(o.sackOffset, o.sackBlocks * 8);
  inside(o.mptcpOffset, o.mptcpBytes);
  inside(o.fastOpenOffset, 2);
}

test.each(SAMPLES)('%s, cut at every length', (_name, packet) => {
  expect(judge(packet)).toBe('view');
  for (let n = 0; n < packet.length; n++) expect(judge(packet.subarray(0, n))).toBe('error');
});

test.each(SAMPLES)('%s, every byte changed to some values', (_name, packet) => {
  for (let at = 0; at < Math.min(packet.length, 120); at++) {
    for (const value of [0, 1, 0x0f, 0x3c, 0x40, 0x7f, 0x80, 0xff]) {
      const copy = Buffer.from(packet);
      copy[at] = value;
      judge(copy);
    }
  }
});

test('good packets are read, whatever padding follows', () => {
  fc.assert(
    fc.property(goodPacket, fc.nat(40), (packet, padding) => {
      expect(judge(packet)).toBe('view');
      const padded = parseWithin(Buffer.concat([packet, Buffer.alloc(padding, 0xa5)]), 0);
      expect(padded).toEqual(parseWithin(packet, 0));
    }),
    { numRuns: 500 },
  );
});

test('good packets cut anywhere are refused', () => {
  fc.assert(
    fc.property(goodPacket, fc.double({ min: 0, max: 0.999, noNaN: true }), (packet, part) => {
      expect(judge(packet.subarray(0, Math.floor(packet.length * part)))).toBe('error');
    }),
    { numRuns: 500 },
  );
});

test('good packets with bytes changed anywhere', () => {
  const changes = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(goodPacket, changes, (packet, list) => {
      const copy = Buffer.from(packet);
      for (const [at, value] of list) copy[at % copy.length] = value;
      judge(copy);
    }),
    { numRuns: 2000 },
  );
});

test('random bytes', () => {
  const version = fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x6f, undefined);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), version, (bytes, first) => {
      const packet = Buffer.from(bytes);
      if (first !== undefined && packet.length > 0) packet[0] = first;
      judge(packet);
    }),
    { numRuns: 2000 },
  );
});
