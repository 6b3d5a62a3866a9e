import fc from 'fast-check';
import { ipv4HeaderChecksum, transportChecksum } from '../../../src/packet/checksum';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { PacketView } from '../../../src/packet/view';
import { SegmentBuilder } from '../../../src/pmycolo/segment-builder';
import { buildTcp } from '../../lib/build-packet';

const OPTIONS = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

/**
 * Any two pieces of a packet's payload are well-formed packets with those bytes at their places, and the frame's
 * headers before them.
 */
test('what is cut from a packet is a packet', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 1000 }),
      fc.nat(),
      fc.constantFrom(0, 14, 26),
      fc.nat(40),
      fc.boolean(),
      fc.constantFrom([], OPTIONS),
      fc.constantFrom(5, 0xffffff00),
      (bytes, cutAt, head, padding, v6, options, seq) => {
        const payload = Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7) & 255));
        const packet = buildTcp({ seq, ack: 77, payload, options, family: v6 ? 6 : 4 });
        const data = Buffer.concat([Buffer.alloc(13, 0xa5), Buffer.alloc(head, 0xee), packet, Buffer.alloc(padding)]);
        const v = new PacketView();
        expect(parseIp(v, data, 13 + head, packet.length)).toBe(PARSE_OK);
        const cut = new SegmentBuilder();
        const n = 1 + (cutAt % (bytes - 1));
        for (const [from, to] of [
          [0, n],
          [n, bytes],
        ] as const) {
          expect(cut.load(data, 13, head, v.l4 - 13)).toBe(true);
          expect(cut.payloadBytes()).toBe(bytes);
          cut.place(data, 13 + cut.payloadOffset + from, to - from);
          cut.finish((seq + from) >>> 0);
          const s = new PacketView();
          expect(parseIp(s, cut.packet, cut.start, cut.end - cut.start)).toBe(PARSE_OK);
          expect([s.seq, s.ack, s.payloadBytes, s.end]).toEqual([(seq + from) >>> 0, 77, to - from, cut.end]);
          expect(cut.packet.subarray(s.payload, s.end).equals(payload.subarray(from, to))).toBe(true);
          expect(cut.packet.subarray(0, head).every((b) => b === 0xee)).toBe(true);
          expect(cut.packet.readUInt16BE(s.l4 + 16)).toBe(transportChecksum(s));
          if (!v6) expect(cut.packet.readUInt16BE(s.start + 10)).toBe(ipv4HeaderChecksum(cut.packet, s.start, 20));
        }
        expect(data.subarray(13 + head, 13 + head + packet.length).equals(packet)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});
