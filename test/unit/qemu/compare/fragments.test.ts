// Fragments: compared as the packets that they make, released as the frames that they were.

import fc from 'fast-check';
import { buildFrame, vnetHeader } from '../../../lib/build-frame';
import { buildTcp, buildUdp } from '../../../lib/build-packet';
import { fragmentOf, pieces } from '../../../lib/fragments';
import { FrameHarness } from '../../../lib/frame-harness';

type More = Parameters<typeof buildFrame>[1];

/** The packet in frames, cut at multiples of 8 bytes. */
function fragments(packet: Buffer, cuts: number[], id = 7, more: More = {}): Buffer[] {
  const headerBytes = packet[0]! >> 4 === 4 ? 20 : 40;
  return pieces(packet.length - headerBytes, cuts).map((piece) => buildFrame(fragmentOf(packet, piece, id), more));
}

const text = 'a datagram that is longer than its link allows '.repeat(4);
const udp = (payload = text, family: 4 | 6 = 4): Buffer => buildUdp({ payload, family });

describe.each([4, 6] as const)('IPv%d', (family) => {
  test('fragments leave as they came and in the order of their coming, however the secondary has cut', () => {
    const [a, b, c] = fragments(udp(text, family), [3, 9]);
    const h = new FrameHarness().p(c!).p(a!).p(b!);
    expect(h.left()).toEqual([]);
    for (const frame of fragments(udp(text, family), [5, 8, 12], 99)) h.s(frame);
    expect(h.left()).toEqual([c, a, b]);
    expect(h.requests).toEqual([]);
  });

  test('the other side need not have cut at all', () => {
    const frames = fragments(udp(text, family), [6]);
    const whole = buildFrame(udp(text, family));
    const h = new FrameHarness();
    for (const frame of frames) h.s(frame);
    expect(h.p(whole).left()).toEqual([whole]);
    h.s(whole);
    for (const frame of frames) h.p(frame);
    expect(h.left()).toEqual(frames);
  });

  test('a byte that differs in the last of them keeps all of them', () => {
    const frames = fragments(udp(text, family), [3, 9]);
    const h = new FrameHarness();
    for (const frame of frames) h.p(frame);
    for (const frame of fragments(udp(`${text.slice(0, -1)}!`, family), [3, 9])) h.s(frame);
    expect(h.left()).toEqual([]);
    expect(h.requests).toEqual(['payload']);
    expect(h.checkpoint().left()).toEqual(frames);
  });
});

test('VLANs and virtio-net headers go with every fragment, bytes behind it do not', () => {
  const vnet = vnetHeader(12);
  const more = { vlans: [5], padTo: 80, vnet };
  const frames = fragments(udp(), [3, 9], 7, more);
  const h = new FrameHarness(true);
  for (const frame of frames) h.p(frame, 12);
  for (const frame of fragments(udp(), [4], 7, { vlans: [5] })) h.s(frame, 0);
  const bare = fragments(udp(), [3, 9], 7, { vlans: [5], vnet });
  expect(h.leftWithSizes()).toEqual(bare.map((frame) => ({ frame, vnetBytes: 12 })));
});

test('fragments of different VLANs make no packet', () => {
  const [a] = fragments(udp(), [6], 7, { vlans: [5] });
  const [, b] = fragments(udp(), [6], 7, { vlans: [6] });
  const h = new FrameHarness()
    .p(a!)
    .p(b!)
    .s(buildFrame(udp(), { vlans: [5] }));
  expect(h.checkpoint().left()).toEqual([]);
});

test('what never gets whole does not leave, and is given up in time', () => {
  const [a, b] = fragments(udp(), [6]);
  const h = new FrameHarness();
  h.p(a!).s(buildFrame(udp())).checkpoint();
  expect(h.left()).toEqual([]);
  h.tick(60_000);
  expect(h.count('primary_reassembly_expired')).toBe(1);
  expect(h.p(b!).checkpoint().left()).toEqual([]);
});

test('a datagram whose fragments came around a checkpoint leaves when both have said it', () => {
  const [a, b] = fragments(udp(), [6]);
  const h = new FrameHarness().p(a!).s(a!).checkpoint();
  expect(h.left()).toEqual([]);
  expect(h.p(b!).s(b!).left()).toEqual([a, b]);
});

test('fragments that overlap are dropped', () => {
  const packet = udp();
  const odd = buildFrame(fragmentOf(packet, { offset: 16, bytes: 64, more: true }, 7));
  const h = new FrameHarness();
  for (const frame of fragments(packet, [5])) h.p(odd).p(frame);
  h.s(buildFrame(packet)).checkpoint();
  expect(h.left()).toEqual([]);
  expect(h.count('primary_reassembly_overlaps')).toBe(1);
});

test('an acknowledgement that is lowered is lowered in the fragment that bears it', () => {
  const packet = (ack: number): Buffer => buildTcp({ seq: 5, ack, payload: text });
  const h = new FrameHarness();
  for (const frame of fragments(packet(90), [4, 9])) h.p(frame);
  h.s(buildFrame(packet(70)));
  expect(h.left()).toEqual(fragments(packet(70), [4, 9]));
});

test('a repetition in fragments that would be cut short is dropped', () => {
  const packet = (seq: number): Buffer => buildTcp({ seq, ack: 50, payload: text });
  const h = new FrameHarness();
  h.p(buildFrame(packet(5)));
  h.s(buildFrame(buildTcp({ seq: 5, ack: 50 })));
  for (const frame of fragments(packet(5), [4])) h.p(frame);
  expect(h.left()).toEqual([]);
  expect(h.count('fragments_cut')).toBe(1);
});

test('held datagrams that take all the room ask for a checkpoint, which gives it back', () => {
  const h = new FrameHarness(false, {
    reassembly: { bytesLog2: 18 },
    limits: { logBytes: 1 << 22, maxHeldBytes: 1 << 21 },
  });
  const datagram = (i: number): Buffer[] => fragments(udp(`${i} ${'x'.repeat(30_000)}`), [1000, 2000], i);
  const sent: Buffer[] = [];
  for (let i = 1; h.requests.length === 0 && i < 20; i++) {
    for (const frame of datagram(i)) {
      h.p(frame);
      sent.push(frame);
    }
  }
  expect(h.requests).toEqual(['bound_exhausted']);
  const left = h.checkpoint().left();
  expect(left).toEqual(sent.slice(0, left.length));
  expect(left.length).toBeGreaterThanOrEqual(3);
  for (const frame of datagram(50)) h.p(frame);
  h.s(buildFrame(udp(`50 ${'x'.repeat(30_000)}`)));
  expect(h.left()).toEqual(datagram(50));
});

test('what is held of a primary that is gone gives its room back, and its parts meet nobody', () => {
  const [a, b] = fragments(udp(), [6]);
  const h = new FrameHarness();
  for (let i = 0; i < 20_000; i++) {
    h.p(a!).p(b!);
    h.comparison.forgetPrimary(h.now);
  }
  expect(h.count('primary_reassembly_no_room')).toBe(0);
  h.p(a!);
  h.comparison.forgetPrimary(h.now);
  expect(h.p(b!).s(buildFrame(udp())).checkpoint().left()).toEqual([]);
});

test('in any order, cut anywhere, mixed with others: all leave, each datagram when the secondary has said it', () => {
  const item = fc.record({
    letter: fc.constantFrom('a', 'b', 'c'),
    length: fc.integer({ min: 20, max: 200 }),
    family: fc.constantFrom<4 | 6>(4, 6),
    primaryCuts: fc.array(fc.nat(25), { maxLength: 5 }),
    secondaryCuts: fc.array(fc.nat(25), { maxLength: 5 }),
  });
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 8 }), fc.infiniteStream(fc.nat(1000)), (items, choices) => {
      const h = new FrameHarness();
      // Ports keep the datagrams apart, so that their order does not matter here.
      const packets = items.map((it, i) =>
        buildUdp({ payload: it.letter.repeat(it.length), family: it.family, sport: 1000 + i }),
      );
      const sides = items.flatMap((it, i) => [
        ...fragments(packets[i]!, it.primaryCuts, 100 + i).map((frame) => ({ side: 'p' as const, frame })),
        ...fragments(packets[i]!, it.secondaryCuts, 200 + i).map((frame) => ({ side: 's' as const, frame })),
      ]);
      const order: typeof sides = [];
      for (const one of sides) order.splice(choices.next().value % (order.length + 1), 0, one);
      for (const { side, frame } of order) h[side](frame);
      const sort = (frames: Buffer[]): string[] => frames.map((frame) => frame.toString('hex')).sort();
      expect(sort(h.left())).toEqual(sort(order.filter(({ side }) => side === 'p').map(({ frame }) => frame)));
      expect([h.comparison.engine.heldPackets, h.requests]).toEqual([0, []]);
    }),
    { numRuns: Number(process.env.COLO_RUNS ?? 300) },
  );
});

describe.each([4, 6] as const)('IPv%d, a checkpoint between two fragments', (family) => {
  test('the datagram leaves whole, when the secondary has said the rest of it', () => {
    const [a, b, c] = fragments(udp(text, family), [3, 9], 7);
    const [x] = fragments(udp('what the secondary had begun before the checkpoint'.repeat(3), family), [3], 99);
    const h = new FrameHarness().p(a!).p(b!).s(x!);
    expect(h.checkpoint().left()).toEqual([]);
    // Both guests go on where the primary stood, with its identification.
    h.p(c!);
    expect(h.left()).toEqual([]);
    h.s(c!);
    expect(h.left()).toEqual([a, b, c]);
    expect(h.tick(60_000).requests).toEqual([]);
  });

  test('a rest that differs keeps all of it', () => {
    const [a, b] = fragments(udp(text, family), [6]);
    const [, y] = fragments(udp(`${text.slice(0, -1)}!`, family), [6]);
    const h = new FrameHarness().p(a!).checkpoint().p(b!).s(y!);
    expect(h.left()).toEqual([]);
    expect(h.requests).toEqual(['payload']);
    expect(h.checkpoint().left()).toEqual([a, b]);
  });
});
