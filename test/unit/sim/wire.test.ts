// Packets of the simulated machines: what is built is read back, and the engines' own parser agrees.

import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { parseTcpOptions, TcpOptions } from '../../../src/packet/tcp-options';
import { PacketView } from '../../../src/packet/view';
import { Link, type LinkPlan } from '../../../src/sim/link';
import { SimPacket } from '../../../src/sim/packet';
import { Prng } from '../../../src/sim/prng';
import { Scheduler } from '../../../src/sim/scheduler';
import { buildSegment, type OptionLayout, readSegment, Segment } from '../../../src/sim/tcp/segment';
import { checksumHolds, ipHeaderHolds, PROTO_TCP, writeChecksum } from '../../../src/sim/wire';

function fill(s: Segment, syn: boolean): void {
  s.clearOptions();
  s.srcPort = 80;
  s.dstPort = 40000;
  s.seq = 0xfffffff0;
  s.ack = 77;
  s.flags = syn ? 0x12 : 0x18;
  s.window = 1234;
  s.timestamps = true;
  s.tsVal = 0xdeadbeef;
  s.tsEcr = 5;
  if (syn) {
    s.mss = 1460;
    s.windowScale = 7;
    s.sackPermitted = true;
    s.mptcpKey = 99;
  } else s.sack.push(1, 2, 0xfffffffe, 4);
}

describe.each([4, 6] as const)('IPv%i', (family) => {
  test.each([
    ['linux', true],
    ['linux', false],
    ['odd', true],
    ['odd', false],
  ] as [OptionLayout, boolean][])('%s layout, SYN %s', (layout, syn) => {
    const s = new Segment();
    fill(s, syn);
    s.payloadBytes = 33;
    const buf = buildSegment(s, family, 2, 1, layout, 9);
    buf.fill(0x61, s.payload);
    writeChecksum(buf, family, PROTO_TCP, false);
    expect(ipHeaderHolds(buf, family)).toBe(true);
    expect(checksumHolds(buf, family, PROTO_TCP, false)).toBe(true);

    const back = new Segment();
    expect(readSegment(back, buf, family)).toBe(true);
    const expected = new Segment();
    fill(expected, syn);
    expect({ ...back, payload: 0, payloadBytes: 0 }).toEqual({ ...expected, payload: 0, payloadBytes: 0 });
    expect(back.payloadBytes).toBe(33);

    const view = new PacketView();
    const options = new TcpOptions();
    expect(parseIp(view, buf, 0, buf.length)).toBe(PARSE_OK);
    expect([view.srcPort, view.dstPort, view.seq, view.ack, view.window]).toEqual([80, 40000, 0xfffffff0, 77, 1234]);
    expect(view.payloadBytes).toBe(33);
    expect(parseTcpOptions(view, options)).toBe(true);
    expect([options.tsVal, options.tsEcr, options.mss, options.sackBlocks]).toEqual(
      syn ? [0xdeadbeef, 5, 1460, 0] : [0xdeadbeef, 5, -1, 2],
    );
  });

  test('a damaged byte is noticed, a partial checksum is the pseudo-header alone', () => {
    const s = new Segment();
    fill(s, false);
    s.payloadBytes = 10;
    const buf = buildSegment(s, family, 2, 1, 'linux', 9);
    buf.fill(7, s.payload);
    writeChecksum(buf, family, PROTO_TCP, true);
    expect(checksumHolds(buf, family, PROTO_TCP, true)).toBe(true);
    expect(checksumHolds(buf, family, PROTO_TCP, false)).toBe(false);
    buf[buf.length - 1]! ^= 1; // Partial: the payload is not in it.
    expect(checksumHolds(buf, family, PROTO_TCP, true)).toBe(true);
    writeChecksum(buf, family, PROTO_TCP, false);
    buf[buf.length - 1]! ^= 1;
    expect(checksumHolds(buf, family, PROTO_TCP, false)).toBe(false);
  });

  test('a link of wires cuts a large packet into segments that say the same', () => {
    const s = new Segment();
    fill(s, false);
    s.flags = 0x19; // FIN
    s.payloadBytes = 3000;
    const buf = buildSegment(s, family, 2, 1, 'linux', 9);
    for (let i = 0; i < 3000; i++) buf[s.payload + i] = i;
    writeChecksum(buf, family, PROTO_TCP, true);
    const packet = new SimPacket(buf, family, PROTO_TCP);
    packet.partial = true;
    packet.segmentBytes = 1460;
    packet.dataBytes = 3000;
    packet.place = 100;
    packet.fin = true;
    const scheduler = new Scheduler();
    const arrived: SimPacket[] = [];
    const plan: LinkPlan = {
      delayUs: 1,
      jitterUs: 0,
      loss: 0,
      duplicate: 0,
      reorder: 0,
      reorderUs: 0,
      rate: 125,
      wires: true,
    };
    new Link('l', plan, new Prng(1), scheduler, (p) => arrived.push(p)).send(packet);
    while (scheduler.step());
    expect(arrived.map((p) => [p.place, p.dataBytes, p.fin, p.partial])).toEqual([
      [100, 1460, false, false],
      [1560, 1460, false, false],
      [3020, 80, true, false],
    ]);
    const back = new Segment();
    let at = 0;
    for (const p of arrived) {
      expect(ipHeaderHolds(p.buf, family) && checksumHolds(p.buf, family, PROTO_TCP, false)).toBe(true);
      expect(readSegment(back, p.buf, family)).toBe(true);
      expect([back.seq, (back.flags & 1) !== 0]).toEqual([(0xfffffff0 + at) >>> 0, p.fin]);
      expect(
        p.buf.subarray(back.payload).equals(buf.subarray(s.payload + at, s.payload + at + back.payloadBytes)),
      ).toBe(true);
      at += back.payloadBytes;
    }
    expect(at).toBe(3000);
  });
});
