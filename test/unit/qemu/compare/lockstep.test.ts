// Both streams looked at together: the short way is taken where it may be, and what it does is what the long way does.

import fc from 'fast-check';
import { arpFrame, buildFrame, fromTheWire, onTheWire, vnetHeader } from '../../../lib/build-frame';
import { buildEchoReply, buildTcp, buildUdp, checksumsAreRight } from '../../../lib/build-packet';
import { FrameHarness } from '../../../lib/frame-harness';

const RUNS = Number(process.env.COLO_RUNS ?? 300);
const TIMESTAMP = (ms: number): number[] => [1, 1, 8, 10, 0, 0, ms >> 8, ms & 255, 0, 0, 0, 1];

const wire = (frames: Buffer[], vnetBytes = -1): Buffer => Buffer.concat(frames.map((f) => onTheWire(f, vnetBytes)));

/**
 * A connection that has begun: both sides' SYN/ACKs, and one segment that lets the flow know the secondary's
 * acknowledgement.
 */
function begun(vnetHeaders = false, more: object = {}): FrameHarness {
  const h = new FrameHarness(vnetHeaders, more);
  const syn = buildFrame(buildTcp({ seq: 999, ack: 7, flags: 'SA' }));
  h.p(syn).s(syn);
  expect(h.left()).toHaveLength(1);
  return h;
}

const segment = (at: number, payload: string, more: object = {}): Buffer =>
  buildFrame(buildTcp({ seq: 1000 + at, ack: 7, payload, ...more }));

test('in step, TCP leaves in its order and is never held', () => {
  const h = begun();
  const frames = Array.from({ length: 300 }, (_, i) => segment(i * 6, `${100000 + i}`));
  h.together(wire(frames), wire(frames));
  expect(h.left()).toEqual(frames);
  expect([h.count('held_total'), h.count('compared_packets'), h.count('released_frames')]).toEqual([1, 300, 301]);
  expect(h.comparison.engine.heldBytes).toBe(0);
});

test.each([
  ['IP id and time to live', { id: 1, ttl: 64 }, { id: 9, ttl: 60 }],
  ['timestamps', { options: TIMESTAMP(5) }, { options: TIMESTAMP(700) }],
  ['the push flag', { flags: 'A' }, { flags: 'AP' }],
  ['the acknowledgement, ahead', { ack: 7 }, { ack: 8 }],
  ['the window, wider', { window: 500 }, { window: 900 }],
])('in step, these may differ: %s', (_name, primary, secondary) => {
  const h = begun();
  const frame = segment(0, 'payload', primary);
  h.together(wire([frame]), wire([segment(0, 'payload', secondary)]));
  expect(h.left()).toEqual([frame]);
  expect(h.count('held_total')).toBe(1);
});

test('in step, no more is acknowledged and granted than the secondary has', () => {
  const h = begun();
  h.together(wire([segment(0, 'x', { ack: 5009, window: 900 })]), wire([segment(0, 'x', { ack: 5008, window: 300 })]));
  const [frame] = h.left();
  expect(frame).toEqual(segment(0, 'x', { ack: 5008, window: 300 }));
  expect(checksumsAreRight(frame!.subarray(14))).toBe(true);
  expect([h.count('held_total'), h.count('ack_lowered'), h.count('rewritten_packets')]).toEqual([1, 1, 1]);
});

test.each([
  ['payload', segment(0, 'payload'), segment(0, 'pAyload'), ['payload']],
  ['the first byte', segment(0, 'payload'), segment(0, 'Payload'), ['payload']],
  ['the last byte', segment(0, 'payload'), segment(0, 'payloaD'), ['payload']],
  ['the place in the stream', segment(0, 'payload'), segment(7, 'payload'), []],
  ['the connection', segment(0, 'payload'), segment(0, 'payload', { dport: 5 }), []],
  ['the address', segment(0, 'payload'), segment(0, 'payload', { dst: [10, 0, 0, 9] }), []],
  [
    'the VLAN',
    segment(0, 'payload'),
    buildFrame(buildTcp({ seq: 1000, ack: 7, payload: 'payload' }), { vlans: [3] }),
    [],
  ],
])('what differs in %s does not leave', (_name, primary, secondary, requests) => {
  const h = begun();
  h.together(wire([primary]), wire([secondary]));
  expect(h.left()).toEqual([]);
  expect(h.requests).toEqual(requests);
});

test('a repetition is checked against what left in step', () => {
  const h = begun();
  const frames = [segment(0, 'abcdef'), segment(6, 'ghijkl'), segment(12, 'mnopqr')];
  h.together(wire(frames), wire(frames));
  expect(h.left()).toEqual(frames);
  const again = segment(3, 'defghijklmno');
  expect(h.p(again).left()).toEqual([again]);
  expect(h.p(segment(3, 'defghijkLmno')).left()).toEqual([]);
  expect(h.requests).toEqual(['retransmission']);
});

test('a log that has gone round many times still knows the last repetitions, and what waits in it', () => {
  const h = begun(false, { limits: { logBytes: 1 << 16, maxHeldBytes: 1 << 15, logRecords: 1 << 8 } });
  const waiting = buildFrame(buildUdp({ payload: 'waits' }));
  h.p(waiting);
  const text = (i: number): string => `${i}`.padStart(500, 'x');
  for (let i = 0; i < 1000; i++) h.together(wire([segment(i * 500, text(i))]), wire([segment(i * 500, text(i))]));
  expect(h.left()).toHaveLength(1000);
  expect(h.count('held_total')).toBe(2);
  for (const i of [999, 980, 970]) expect(h.p(segment(i * 500, text(i))).left()).toHaveLength(1);
  expect(h.p(segment(990 * 500, text(991))).left()).toEqual([]);
  expect(h.requests).toEqual(['retransmission']);
  expect(h.checkpoint().left()[0]).toEqual(waiting);
});

test('what is held outlives the runs that go round the log', () => {
  const h = begun(false, { limits: { logBytes: 1 << 16, maxHeldBytes: 1 << 15, logRecords: 1 << 8 } });
  const waiting = buildFrame(buildUdp({ payload: 'waits' }));
  h.p(waiting);
  const text = (i: number): string => `${i}`.padStart(500, 'x');
  for (let i = 0; i < 140; i++) h.together(wire([segment(i * 500, text(i))]), wire([segment(i * 500, text(i))]));
  expect([h.left().length, h.count('held_total')]).toEqual([140, 2]);
  expect(h.s(waiting).left()).toEqual([waiting]);
});

test('a log too small for a run takes the packets one by one', () => {
  const h = begun(false, { limits: { logBytes: 1 << 12, maxHeldBytes: 1 << 11, logRecords: 1 << 6 } });
  const frames = Array.from({ length: 200 }, (_, i) => segment(i * 6, `${100000 + i}`));
  h.together(wire(frames), wire(frames));
  expect(h.left()).toEqual(frames);
});

test('sequence numbers go round', () => {
  const h = new FrameHarness();
  const syn = buildFrame(buildTcp({ seq: 0xffffff00, flags: 'SA' }));
  h.p(syn).s(syn);
  const frames = Array.from({ length: 100 }, (_, i) =>
    buildFrame(buildTcp({ seq: 0xffffff01 + i * 10, payload: `${1000000000 + i}` })),
  );
  h.together(wire(frames), wire(frames));
  expect(h.left()).toEqual([syn, ...frames]);
  expect(h.count('held_total')).toBe(1);
});

test('UDP of many flows leaves in step, with nothing of it kept', () => {
  const h = new FrameHarness();
  const frames = (round: number): Buffer[] =>
    Array.from({ length: 50 }, (_, i) =>
      buildFrame(buildUdp({ payload: `${round}`, dport: 1000 + i, family: i % 2 ? 4 : 6 })),
    );
  for (let round = 0; round < 4; round++) {
    h.together(wire(frames(round)), wire(frames(round)));
    expect(h.left()).toEqual(frames(round));
  }
  // The first of a flow is put down the long way, the secondary's before the primary's.
  expect([h.count('held_total'), h.count('compared_packets')]).toEqual([0, 200]);
});

test("a datagram with another end by UDP's own length does not leave in step", () => {
  const h = new FrameHarness();
  const ending = (at: number): Buffer => {
    const packet = buildUdp({ payload: 'abcdef' });
    packet.writeUInt16BE(8 + at, 24);
    packet.writeUInt16BE(0, 26);
    return buildFrame(packet);
  };
  for (let i = 0; i < 2; i++) {
    h.together(wire([ending(3)]), wire([ending(3)]));
    expect(h.left()).toEqual([ending(3)]);
  }
  h.together(wire([ending(3)]), wire([ending(6)]));
  expect([h.left(), h.requests]).toEqual([[], ['length']]);
});

test('out of step, each side catches up with what waits, and then both are in step again', () => {
  const h = begun();
  const frames = Array.from({ length: 40 }, (_, i) => segment(i * 6, `${100000 + i}`));
  h.together(wire(frames.slice(0, 12)), wire(frames.slice(0, 5)));
  expect(h.left()).toEqual(frames.slice(0, 5));
  expect(h.comparison.engine.heldPackets).toBe(7);
  h.together(wire(frames.slice(12, 20)), wire(frames.slice(5, 30)));
  expect(h.left()).toEqual(frames.slice(5, 20));
  h.together(wire(frames.slice(20)), wire(frames.slice(30)));
  expect(h.left()).toEqual(frames.slice(20));
  expect([h.comparison.engine.heldPackets, h.count('held_total'), h.requests.length]).toEqual([0, 8, 0]);
});

test.each([
  ['frames of the same size', (i: number) => `${100000 + i}`],
  ['frames of many sizes', (i: number) => 'x'.repeat(1 + ((i * 7) % 11))],
])('a secondary that is ahead in an endless stream of %s does not stay so', (_name, payload) => {
  const h = begun();
  let at = 0;
  const frames = Array.from({ length: 200 }, (_, i) => {
    const text = payload(i);
    at += text.length;
    return segment(at - text.length, text);
  });
  h.s(frames[0]!).s(frames[1]!);
  const { singles } = h.sink;
  h.together(wire(frames), wire(frames.slice(2)));
  expect(h.left()).toEqual(frames);
  expect(h.sink.singles - singles).toBe(2);
});

test('what only one side says does not put the other connections out of step for good', () => {
  const h = begun();
  const frames = Array.from({ length: 30 }, (_, i) => segment(i * 6, `${100000 + i}`));
  const alone = buildFrame(buildUdp({ payload: 'only the primary says this' }));
  h.together(wire([...frames.slice(0, 10), alone, ...frames.slice(10)]), wire(frames));
  expect(h.left()).toEqual(frames);
  expect(h.comparison.engine.heldPackets).toBe(1);
  const more = Array.from({ length: 20 }, (_, i) => segment(180 + i * 6, `${200000 + i}`));
  const held = h.count('held_total');
  h.together(wire(more), wire(more));
  expect(h.left()).toEqual(more);
  expect(h.count('held_total')).toBe(held);
});

test('nothing is released while a checkpoint is awaited, and all of it after', () => {
  const h = begun();
  const before = [segment(0, 'a'), buildFrame(buildUdp({ payload: 'x' }))];
  h.together(wire(before), wire(before));
  expect(h.left()).toEqual(before);
  const diverges = buildFrame(buildUdp({ payload: 'one', dport: 9 }));
  h.p(diverges).s(buildFrame(buildUdp({ payload: 'two', dport: 9 })));
  expect(h.requests).toHaveLength(1);
  const frames = [buildFrame(buildUdp({ payload: 'y' })), segment(1, 'b')];
  h.together(wire(frames), wire(frames));
  expect(h.left()).toEqual([]);
  expect(h.checkpoint().left()).toEqual([diverges, ...frames]);
  const after = [segment(2, 'c')];
  h.together(wire(after), wire(after));
  expect(h.left()).toEqual(after);
});

test('virtio-net headers: the same size goes the short way, as they are; another is no obstacle', () => {
  const h = new FrameHarness(true);
  const frame = (vnet: Buffer): Buffer => buildFrame(buildUdp({ payload: 'x' }), { vnet });
  const [one, other] = [vnetHeader(12, { flags: 1, udp: true }), vnetHeader(12)];
  for (let i = 0; i < 2; i++) {
    h.together(wire([frame(one)], 12), wire([frame(other)], 12));
    expect(h.leftWithSizes()).toEqual([{ frame: frame(one), vnetBytes: 12 }]);
  }
  h.together(wire([frame(one)], 12), wire([frame(vnetHeader(20))], 20));
  expect(h.leftWithSizes()).toEqual([{ frame: frame(one), vnetBytes: 12 }]);
  expect(h.count('held_total')).toBe(0);
});

test.each([
  ['0', Buffer.alloc(4)],
  ['more than there can be', Buffer.from([0, 2, 0, 0])],
])('a length of %s is left to the reader, and what comes before it is not lost', (_name, bad) => {
  const h = begun();
  const frames = [segment(0, 'abc'), segment(3, 'def')];
  h.together(wire(frames), Buffer.concat([wire(frames.slice(0, 1)), bad, Buffer.alloc(1 << 17)]));
  expect(h.left()).toEqual([frames[0]!]);
  expect(h.comparison.engine.heldPackets).toBe(1);
});

test('the sink without room or peer loses whole runs, and counts them', () => {
  const h = begun();
  const frames = [segment(0, 'abc'), segment(3, 'def')];
  h.sink.full = true;
  h.together(wire(frames), wire(frames));
  h.sink.full = false;
  h.sink.connected = false;
  h.together(wire([segment(6, 'ghi')]), wire([segment(6, 'ghi')]));
  expect([h.count('released_without_room'), h.count('released_without_peer')]).toEqual([2, 1]);
});

describe('against the long way', () => {
  const event = fc.record({
    kind: fc.constantFrom('tcp', 'tcp', 'tcp', 'tcp6', 'udp', 'udp', 'icmp', 'arp', 'ack', 'fin'),
    flow: fc.nat(2),
    bytes: fc.integer({ min: 1, max: 40 }),
    /** What is not the same on both sides; most often nothing. */
    twist: fc.constantFrom('', '', '', '', '', 'id', 'pad', 'split', 'swap', 'again', 'ts', 'ack'),
  });

  interface Event {
    kind: string;
    flow: number;
    bytes: number;
    twist: string;
  }

  /** Two guests that say the same, in other packets and another order. */
  function say(events: Event[]): { p: Buffer[]; s: Buffer[] } {
    const at = new Map<string, number>();
    const [p, s]: [Buffer[], Buffer[]] = [[], []];
    let serial = 0;
    for (const { kind, flow, bytes, twist } of events) {
      const family = kind === 'tcp6' ? 6 : 4;
      const key = `${family}/${flow}`;
      const seq = at.get(key) ?? 1000;
      const id = ++serial;
      const tcp = (from: number, to: number, more: object = {}): Buffer =>
        buildFrame(
          buildTcp({
            family,
            seq: seq + from,
            ack: 7,
            dport: 2000 + flow,
            payload: Buffer.from(Array.from({ length: to - from }, (_, i) => (seq + from + i) % 251)),
            ...more,
          }),
        );
      if (kind === 'tcp' || kind === 'tcp6') {
        if ((at.get(`end/${key}`) ?? 0) > 0) continue;
        at.set(key, seq + bytes);
        p.push(tcp(0, bytes, { id, ...(twist === 'ts' ? { options: TIMESTAMP(id) } : {}) }));
        if (twist === 'split' && bytes > 1) s.push(tcp(0, bytes >> 1), tcp(bytes >> 1, bytes));
        else
          s.push(
            tcp(0, bytes, {
              id: id + 1,
              ...(twist === 'ts' ? { options: TIMESTAMP(id + 9) } : {}),
              ...(twist === 'ack' ? { ack: 8 } : {}),
            }),
          );
        if (twist === 'again') s.push(s.at(-1)!);
      } else if (kind === 'fin') {
        if ((at.get(`end/4/${flow}`) ?? 0) > 0) continue;
        at.set(`end/4/${flow}`, 1);
        const fin = buildFrame(buildTcp({ seq: at.get(`4/${flow}`) ?? 1000, ack: 7, dport: 2000 + flow, flags: 'FA' }));
        p.push(fin);
        s.push(fin);
      } else if (kind === 'ack') {
        const ack = buildFrame(buildTcp({ seq: at.get(`4/${flow}`) ?? 1000, ack: 7, dport: 2000 + flow }));
        p.push(ack);
        if (twist !== 'again') s.push(ack);
      } else {
        const payload = `${kind} ${serial}`;
        const packet = kind === 'icmp' ? buildEchoReply(flow, serial, payload) : buildUdp({ payload, dport: flow, id });
        const frame = kind === 'arp' ? arpFrame(2) : buildFrame(packet, { padTo: twist === 'pad' ? 70 : 0 });
        p.push(frame);
        if (kind !== 'arp')
          s.push(kind === 'udp' ? buildFrame(buildUdp({ payload, dport: flow, id: id + 1 })) : buildFrame(packet));
      }
      if (twist === 'swap' && kind === 'udp' && flow > 0 && s.length > 1) {
        // Another flow's frame before it.
        const last = s.pop()!;
        const other = buildFrame(buildUdp({ payload: `other ${serial}`, dport: 77 + serial }));
        s.push(other, last);
        p.push(other);
      }
    }
    return { p, s };
  }

  function openAll(h: FrameHarness): void {
    for (const family of [4, 6] as const) {
      for (let flow = 0; flow < 3; flow++) {
        const syn = buildFrame(buildTcp({ family, seq: 999, ack: 7, dport: 2000 + flow, flags: 'SA' }));
        h.p(syn).s(syn);
      }
    }
    h.left();
  }

  const byFlow = (frames: Buffer[]): Map<string, string[]> => {
    const flows = new Map<string, string[]>();
    for (const frame of frames) {
      // A pure acknowledgement may overtake what is held.
      const isAck = frame[23] === 6 && frame.length === 54 && frame[47] === 16;
      const key =
        (isAck ? 'ack' : '') +
        frame.subarray(12, 14).toString('hex') +
        frame.subarray(frame.length > 50 ? 36 : 20, 38).toString('hex');
      flows.set(key, [...(flows.get(key) ?? []), frame.toString('hex')]);
    }
    return flows;
  };

  test('the same leaves when both guests say the same, however the streams are cut', () => {
    let shortcuts = 0;
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 5, maxLength: 60 }),
        fc.array(fc.tuple(fc.nat(400), fc.nat(400)), { minLength: 1, maxLength: 8 }),
        (events, cuts) => {
          const { p, s } = say(events as Event[]);
          const plain = new FrameHarness();
          openAll(plain);
          for (let i = 0; i < Math.max(p.length, s.length); i++) {
            if (i < p.length) plain.p(p[i]!);
            if (i < s.length) plain.s(s[i]!);
          }
          const both = new FrameHarness();
          openAll(both);
          const heldBefore = both.count('held_total');
          const [pBytes, sBytes] = [wire(p), wire(s)];
          for (let k = 0, pAt = 0, sAt = 0; pAt < pBytes.length || sAt < sBytes.length; k++) {
            const [pCut, sCut] = cuts[k % cuts.length]!;
            const [pEnd, sEnd] = [pAt + pCut + 1, sAt + sCut + 1];
            both.together(pBytes.subarray(pAt, pEnd), sBytes.subarray(sAt, sEnd));
            pAt = Math.min(pEnd, pBytes.length);
            sAt = Math.min(sEnd, sBytes.length);
          }
          const left = both.left();
          expect(byFlow(left)).toEqual(byFlow(plain.left()));
          expect([both.requests, both.comparison.engine.heldPackets]).toEqual([
            plain.requests,
            plain.comparison.engine.heldPackets,
          ]);
          if (both.count('held_total') - heldBefore < plain.count('held_total') - heldBefore) shortcuts++;
        },
      ),
      { numRuns: RUNS },
    );
    expect(shortcuts).toBeGreaterThan(RUNS / 2);
  });

  test('nothing leaves that the secondary has not said, whatever is changed in flight', () => {
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 5, maxLength: 40 }),
        fc.array(fc.tuple(fc.nat(39), fc.nat(90)), { minLength: 1, maxLength: 3 }),
        (events, changes) => {
          const { p, s } = say(events as Event[]);
          const said = s.map((frame) => Buffer.from(frame));
          for (const [k, at] of changes) {
            const frame = said[k % said.length];
            // Behind the addresses and ports, so that the packet stays one of its flow.
            if (frame !== undefined && frame.length > 60) frame[54 + (at % (frame.length - 54))]! ^= 0x40;
          }
          const h = new FrameHarness();
          openAll(h);
          h.together(wire(p), wire(said));
          const released = new Set(fromTheWire(wire(h.left())).map(({ frame }) => frame.toString('hex')));
          for (const frame of p) {
            if (frame[23] !== 17 || frame.readUInt16BE(12) !== 0x0800 || !released.has(frame.toString('hex'))) continue;
            const payload = (f: Buffer): string => f.subarray(42, 14 + f.readUInt16BE(16)).toString('hex');
            const ports = (f: Buffer): string => f.subarray(34, 38).toString('hex');
            const heard = said.some((f) => f[23] === 17 && ports(f) === ports(frame) && payload(f) === payload(frame));
            if (!heard) throw new Error('a datagram left that the secondary has not said');
          }
          for (const frame of p) {
            if (frame[23] !== 6 || frame.readUInt16BE(12) !== 0x0800 || !released.has(frame.toString('hex'))) continue;
            for (const { flow, seq, bytes } of [segmentOf(frame)]) {
              for (let i = 0; i < bytes.length; i++) {
                const heard = said.some((f) => {
                  if (f[23] !== 6 || f.readUInt16BE(12) !== 0x0800) return false;
                  const other = segmentOf(f);
                  return other.flow === flow && other.bytes[seq + i - other.seq] === bytes[i];
                });
                if (!heard) throw new Error('a byte left that the secondary has not said');
              }
            }
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  function segmentOf(frame: Buffer): { flow: string; seq: number; bytes: Buffer } {
    const l4 = 34;
    const end = 14 + frame.readUInt16BE(16);
    return {
      flow: frame.subarray(l4, l4 + 4).toString('hex'),
      seq: frame.readUInt32BE(l4 + 4),
      bytes: frame.subarray(l4 + ((frame[l4 + 12]! >> 4) << 2), end),
    };
  }
});
