import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, GUEST, PEER, PVM_ISN, SVM_ISN } from './bench';
import { build, checksumOk, ipPacket, type Segment, segment } from './wire';

const w = (n: number) => n >>> 0;
const { Accept, AcceptRewritten } = SecondaryVerdict;
const ROUTER = 0x0a0000fe;

/** An ICMP error from `src` to `dst` that quotes the first bytes of the segment's packet. */
function error(family: 4 | 6, type: number, src: number, dst: number, quoted: Segment, bytes: number): Buffer {
  const packet = build({ ...quoted, family });
  const quote = [...packet.subarray(0, (family === 4 ? 20 : 40) + bytes)];
  return ipPacket(family, src, dst, family === 4 ? 1 : 58, [type, 4, 0, 0, 0, 0, 5, 0xb4, ...quote], 2);
}

/** The quoted TCP header: in the family's ICMP error its place is fixed. */
const quoteAt = (family: 4 | 6) => (family === 4 ? 20 + 8 + 20 : 40 + 8 + 40);

const toPeer = segment({ src: GUEST, dst: PEER, seq: w(PVM_ISN + 50), ack: CLIENT_ISN + 1, data: 'some payload' });
const toGuest = segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, seq: CLIENT_ISN + 1, ack: SVM_ISN + 50 });

describe.each([4, 6] as const)('ICMP errors about translated segments, IPv%i', (family) => {
  const errors = family === 4 ? [3, 4, 5, 11, 12] : [1, 2, 3, 4];

  test.each([8, 12, 20, 32])('to the guest, %i bytes of TCP quoted: the sequence number becomes its own', (bytes) => {
    for (const type of errors) {
      const t = new Bench();
      clientOpens(t, { family });
      const out = t.raw(error(family, type, ROUTER, GUEST, toPeer, bytes), true);
      expect(out.verdict).toBe(AcceptRewritten);
      expect(checksumOk(out.bytes)).toBe(true);
      expect(out.bytes.readUInt32BE(quoteAt(family) + 4)).toBe(SVM_ISN + 50);
      expect(t.count.icmp_translated).toBe(1);
    }
  });

  test('the quoted segment stays whole: its checksum follows', () => {
    const t = new Bench();
    clientOpens(t, { family });
    const out = t.raw(error(family, family === 4 ? 3 : 2, ROUTER, GUEST, toPeer, 32), true);
    expect(checksumOk(out.bytes.subarray(quoteAt(family) - (family === 4 ? 20 : 40)))).toBe(true);
  });

  test('from the guest, once its packets are translated: the acknowledgement becomes the peer’s again', () => {
    const t = new Bench();
    clientOpens(t, { family });
    const packet = error(family, family === 4 ? 3 : 1, GUEST, PEER, toGuest, 20);
    expect(t.raw(packet, false).verdict).toBe(Accept);
    t.engine.failover(t.now);
    const out = t.raw(packet, false);
    expect(checksumOk(out.bytes)).toBe(true);
    expect(out.bytes.readUInt32BE(quoteAt(family) + 8)).toBe(w(PVM_ISN + 50));
    expect(out.bytes.readUInt32BE(quoteAt(family) + 4)).toBe(CLIENT_ISN + 1);
    // Eight bytes do not reach the acknowledgement.
    expect(t.raw(error(family, family === 4 ? 3 : 1, GUEST, PEER, toGuest, 8), false).verdict).toBe(Accept);
  });

  test('others pass: unknown connections, no offset, UDP, echo, too short a quote', () => {
    const t = new Bench();
    clientOpens(t, { family });
    const type = family === 4 ? 3 : 2;
    expect(t.raw(error(family, type, ROUTER, GUEST, { ...toPeer, sport: 81 }, 20), true).verdict).toBe(Accept);
    const cut = error(family, type, ROUTER, GUEST, toPeer, 7);
    expect(t.raw(cut, true).verdict).toBe(Accept);
    expect(t.count.icmp_unreadable).toBe(1);
    const udp = error(family, type, ROUTER, GUEST, toPeer, 20);
    udp[family === 4 ? 20 + 8 + 9 : 40 + 8 + 6] = 17;
    expect(t.raw(udp, true).verdict).toBe(Accept);
    const echo = error(family, family === 4 ? 8 : 128, ROUTER, GUEST, toPeer, 20);
    expect(t.raw(echo, true).verdict).toBe(Accept);
    t.engine.checkpoint(t.now);
    expect(t.raw(error(family, type, ROUTER, GUEST, toPeer, 20), true).verdict).toBe(Accept);
    expect(t.count.icmp_translated).toBe(0);
  });
});
