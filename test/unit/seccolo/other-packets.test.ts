import fc from 'fast-check';
import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, GUEST, PEER, PVM_ISN, SVM_ISN } from './bench';
import { build, checksumOk, ipPacket, type Segment, segment } from './wire';

const w = (n: number) => n >>> 0;
const { Accept, AcceptRewritten, Drop } = SecondaryVerdict;

/** Cuts a packet in two after `bytes` of its transport part, with fragment headers. */
function fragments(packet: Buffer, bytes: number): [Buffer, Buffer] {
  if (packet[0]! >>> 4 === 4) {
    const make = (body: Buffer, more: number, offset: number) => {
      const head = Buffer.from(packet.subarray(0, 20));
      head.writeUInt16BE(20 + body.length, 2);
      head.writeUInt16BE((more << 13) | (offset >> 3), 6);
      return Buffer.concat([head, body]);
    };
    return [make(packet.subarray(20, 20 + bytes), 1, 0), make(packet.subarray(20 + bytes), 0, bytes)];
  }
  const make = (body: Buffer, more: number, offset: number) => {
    const head = Buffer.from(packet.subarray(0, 40));
    head.writeUInt16BE(8 + body.length, 4);
    head[6] = 44;
    const extension = Buffer.from([6, 0, (offset | more) >> 8, (offset | more) & 255, 0, 0, 0, 1]);
    return Buffer.concat([head, extension, body]);
  };
  return [make(packet.subarray(40, 40 + bytes), 1, 0), make(packet.subarray(40 + bytes), 0, bytes)];
}

/** Puts two fragments together again. */
function joined([a, b]: [Buffer, Buffer]): Buffer {
  if (a[0]! >>> 4 === 4) {
    const head = Buffer.from(a.subarray(0, 20));
    head.writeUInt16BE(a.length + b.length - 20, 2);
    head.writeUInt16BE(0, 6);
    return Buffer.concat([head, a.subarray(20), b.subarray(20)]);
  }
  const head = Buffer.from(a.subarray(0, 40));
  head.writeUInt16BE(a.length + b.length - 96, 4);
  head[6] = 6;
  return Buffer.concat([head, a.subarray(48), b.subarray(48)]);
}

describe.each([4, 6] as const)('fragments of TCP, IPv%i', (family) => {
  const from = (over: Partial<Segment>) => build(segment({ family, ts: [5, 6], data: 'x'.repeat(100), ...over }));

  test('the first one holds the header and is translated; put together the segment is whole', () => {
    const t = new Bench('always');
    clientOpens(t, { family });
    const peer = from({ src: PEER, dst: GUEST, sport: 40000, dport: 80, seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 7) });
    const guest = from({ src: GUEST, dst: PEER, seq: SVM_ISN + 7, ack: CLIENT_ISN + 1 });
    for (const [packet, fromPeer] of [
      [peer, true],
      [guest, false],
    ] as const) {
      const [a, b] = fragments(packet, 64);
      const first = t.raw(a, fromPeer);
      const second = t.raw(b, fromPeer);
      expect([first.verdict, second.verdict]).toEqual([AcceptRewritten, Accept]);
      const whole = joined([first.bytes, second.bytes]);
      expect(checksumOk(whole)).toBe(true);
      const l4 = family === 4 ? 20 : 40;
      expect(whole.readUInt32BE(l4 + (fromPeer ? 8 : 4))).toBe(fromPeer ? SVM_ISN + 7 : w(PVM_ISN + 7));
    }
    expect([t.count.peer_fragments, t.count.guest_fragments]).toEqual([2, 2]);
  });

  test('a header cut in two: dropped where the guest’s packets are translated, else passed', () => {
    for (const mode of ['failover', 'always'] as const) {
      const t = new Bench(mode);
      clientOpens(t, { family });
      const [a] = fragments(from({ src: GUEST, dst: PEER, seq: SVM_ISN + 7 }), 16);
      expect(t.raw(a, false).verdict).toBe(mode === 'always' ? Drop : Accept);
      const [b] = fragments(from({ src: PEER, dst: GUEST, sport: 40000, dport: 80 }), 16);
      expect(t.raw(b, true).verdict).toBe(Accept);
    }
  });
});

describe('everything else passes', () => {
  test('UDP, ICMP echo, GRE, from either side', () => {
    const t = new Bench('always');
    for (const packet of [
      ipPacket(4, GUEST, PEER, 17, [0, 53, 1, 1, 0, 9, 0, 0, 7], 6),
      ipPacket(6, GUEST, PEER, 58, [128, 0, 0, 0, 0, 1, 0, 2], 2),
      ipPacket(4, GUEST, PEER, 47, [0, 0, 8, 0, 1, 2, 3, 4], 6),
    ]) {
      expect(t.raw(packet, true).verdict).toBe(Accept);
      expect(t.raw(packet, false).verdict).toBe(Accept);
    }
    expect(t.engine.status().flows).toBe(0);
  });

  test('any bytes: from the peer never dropped, from the guest dropped when malformed; nothing outside is touched', () => {
    const start = fc.constantFrom([0x45], [0x60], []);
    const t = new Bench('always');
    clientOpens(t);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 120 }), fc.boolean(), (head, rest, fix) => {
        const packet = Buffer.concat([Buffer.from(head), Buffer.from(rest)]);
        if (fix && packet.length > 20 && head[0] === 0x45) {
          packet.writeUInt16BE(packet.length, 2);
          packet.writeUInt16BE(0x4000, 6);
          packet[9] = 6;
        }
        expect(t.raw(packet, true).verdict).not.toBe(Drop);
        t.raw(packet, false);
      }),
      { numRuns: 500 },
    );
    expect(t.count.guest_malformed).toBeGreaterThan(10);
    expect(t.count.peer_malformed).toBeGreaterThan(10);
  });
});
