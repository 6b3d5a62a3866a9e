// Frames of several datagrams, for the host to cut: what counts are the datagrams, however either guest has packed
// them.

import fc from 'fast-check';
import { buildFrame, onTheWire, vnetHeader } from '../../../lib/build-frame';
import { buildTcp, buildUdp } from '../../../lib/build-packet';
import { FrameHarness } from '../../../lib/frame-harness';

const USO = 5;
const UFO = 3;
type Family = 4 | 6;

/** One send: the payload, to be cut into datagrams of so many bytes; 0: it is one. */
function send(
  payload: string,
  gsoSize = 0,
  family: Family = 4,
  vlans: number[] = [],
  gsoType = gsoSize ? USO : 0,
): Buffer {
  const vnet = vnetHeader(12, { gsoType, gsoSize, flags: 1, family, udp: true, tags: vlans.length });
  return buildFrame(buildUdp({ payload, family }), { vnet, vlans });
}
const [a, b, c] = ['a', 'b', 'c'].map((text) => text.repeat(600)) as [string, string, string];
const all = (h: FrameHarness, side: 'p' | 's', ...frames: Buffer[]): FrameHarness => {
  for (const frame of frames) h[side](frame, 12);
  return h;
};

describe.each([
  [4, []],
  [6, []],
  [4, [5]],
] as [Family, number[]][])('IPv%d, VLANs %j', (family, vlans) => {
  const one = (payload: string, size = 0) => send(payload, size, family, vlans);

  test('one large frame of the PVM leaves whole when the SVM has said the last of its datagrams', () => {
    const large = one(a + b + c, 600);
    const h = all(new FrameHarness(true), 'p', large);
    all(h, 's', one(a), one(b));
    expect(h.left()).toEqual([]);
    all(h, 's', one(c));
    expect(h.leftWithSizes()).toEqual([{ frame: large, vnetBytes: 12 }]);
    expect(h.requests).toEqual([]);
  });

  test('what the SVM has packed lets the single ones of the PVM go, whoever is first', () => {
    const singles = [one(a), one(b), one(c)];
    for (const first of ['p', 's'] as const) {
      const h = new FrameHarness(true);
      if (first === 's') all(h, 's', one(a + b + c, 600));
      all(h, 'p', ...singles);
      if (first === 'p') all(h, 's', one(a + b + c, 600));
      expect(h.left()).toEqual(singles);
      expect(h.requests).toEqual([]);
    }
  });

  test.each([
    ['one of the same bytes', [one(a + b)]],
    ['others of the same bytes', [one(a + b, 400)]],
    ['another last one', [one(a), one(`${b.slice(1)}x`)]],
  ])('two datagrams are not %s, whoever is first', (_what, other) => {
    for (const [x, y] of [
      [[one(a + b, 600)], other],
      [other, [one(a + b, 600)]],
    ] as const) {
      for (const first of ['p', 's'] as const) {
        const h = new FrameHarness(true);
        if (first === 's') all(h, 's', ...y);
        all(h, 'p', ...x);
        if (first === 'p') all(h, 's', ...y);
        const packed = x.length === 1 && x[0]![1] === USO;
        if (packed) expect(h.left()).toEqual([]);
        expect(h.requests).toHaveLength(1);
        h.checkpoint();
        const rest = h.left();
        if (packed) expect(rest).toEqual(x);
      }
    }
  });

  test('looked at together: the same frames leave as they are, others by their datagrams', () => {
    const wire = (...frames: Buffer[]) => Buffer.concat(frames.map((frame) => onTheWire(frame, 12)));
    const h = new FrameHarness(true);
    const lone = one('begin');
    h.together(wire(lone, lone), wire(lone, lone));
    const large = one(a + b, 600);
    h.together(wire(large, large), wire(large, large));
    expect(h.left()).toEqual([lone, lone, large, large]);
    h.together(wire(large), wire(one(a + b, 400)));
    expect(h.left()).toEqual([]);
    expect(h.requests).toHaveLength(1);
    h.checkpoint();
    h.left();
    h.together(wire(large), wire(one(a + b)));
    expect(h.left()).toEqual([]);
    expect(h.requests).toHaveLength(2);
  });
});

test('one datagram that the host is to send in fragments (UFO) is one', () => {
  const big = 'x'.repeat(4000);
  const large = send(big, 1480, 4, [], UFO);
  const h = all(all(new FrameHarness(true), 'p', large), 's', send(big));
  expect(h.left()).toEqual([large]);
  expect(h.requests).toEqual([]);
});

test.each<[string, Buffer]>([
  ['an unknown type', send(a, 599, 4, [], 0x20 | 1)],
  ['TCP that is UDP', send(a, 599, 4, [], 1)],
  ['datagrams of no bytes', send(a, 0, 4, [], USO)],
  ['more datagrams than any host makes', send('x'.repeat(2000), 1)],
])('%s cannot be compared: it waits for one checkpoint', (_what, frame) => {
  for (const together of [false, true]) {
    const h = new FrameHarness(true);
    // Where both say the same bytes in the same packing, there is nothing to know of it.
    if (together && frame.readUInt16LE(4) === 1) continue;
    const plain = onTheWire(send(a), 12);
    h.together(plain, plain);
    h.left();
    if (together) h.together(onTheWire(frame, 12), onTheWire(frame, 12));
    else all(all(h, 's', frame), 'p', frame);
    expect(h.left()).toEqual([]);
    expect(h.requests).toEqual(['not_comparable']);
    expect(h.checkpoint().left()).toEqual([frame]);
  }
});

test('options, a reserved bit and bytes behind it do not leave with a packed frame', () => {
  const vnet = vnetHeader(12, { gsoType: USO, gsoSize: 600, flags: 1, udp: true });
  vnet.writeUInt16LE(14 + 28, 6);
  vnet.writeUInt16LE(14 + 36, 2);
  const plain = buildUdp({ payload: a + b });
  const withOptions = (options: number[], flags: number, behind: string): Buffer => {
    const packet = Buffer.concat([plain.subarray(0, 20), Buffer.from(options), plain.subarray(20)]);
    packet[0] = 0x47;
    packet.writeUInt16BE(packet.length, 2);
    packet[6]! |= flags;
    packet.writeUInt16BE(0, 10);
    let sum = 0;
    for (let at = 0; at < 28; at += 2) sum += packet.readUInt16BE(at);
    packet.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
    return buildFrame(Buffer.concat([packet, Buffer.from(behind)]), { vnet });
  };
  const bare = withOptions(Array(8).fill(1), 0, '');
  for (const said of [
    withOptions([0x86, 6, 1, 2, 3, 4, 0, 0], 0x80, 'a secret'),
    withOptions(Array(8).fill(1), 0, 'more'),
  ]) {
    const h = all(all(new FrameHarness(true), 'p', said), 's', bare);
    expect(h.left()).toEqual([bare]);
    expect(h.requests).toEqual([]);
    expect(h.count('datagram_sends_lost')).toBe(0);
  }
});

test('segments of a stream are none of this', () => {
  const packet = buildFrame(buildTcp({ seq: 1, ack: 1, payload: a }), {
    vnet: vnetHeader(12, { flags: 1, gsoType: 1, gsoSize: 100 }),
  });
  const h = all(all(new FrameHarness(true), 'p', packet), 's', packet);
  expect(h.left()).toEqual([packet]);
});

test('too many at once are dropped, counted, and ask for a checkpoint; nothing of them leaves later', () => {
  const h = new FrameHarness(true, { maxQueueSize: 1 });
  for (let i = 0; i < 9; i++) all(h, 'p', send(a + b + c, 600));
  expect(h.requests).toEqual(['bound_exhausted']);
  expect(h.checkpoint().left()).toHaveLength(5);
  expect(h.count('datagram_sends_lost')).toBe(4);
  all(h, 'p', send(a + b, 600));
  h.comparison.forgetPrimary(h.now);
  expect(h.left()).toEqual([]);
  expect(h.count('datagram_sends_lost')).toBe(5);
});

test('any packing of the same datagrams is the same: all leaves, in order, and nothing before the SVM has said it', () => {
  const datagrams = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 });
  // Greedy packing: equal sizes may go together, with a shorter one at the end.
  const pack = (sizes: number[], lots: number[]): { frame: Buffer; datagrams: number }[] => {
    const out: { frame: Buffer; datagrams: number }[] = [];
    for (let i = 0, k = 0; i < sizes.length; k++) {
      const most = lots[k % lots.length]!;
      let n = 1;
      while (n < most && i + n < sizes.length && sizes[i + n - 1] === sizes[i] && sizes[i + n]! <= sizes[i]!) n++;
      const text = sizes
        .slice(i, i + n)
        .map((size, j) => String.fromCharCode(97 + ((i + j) % 26)).repeat(size))
        .join('');
      out.push({ frame: send(text, n > 1 ? sizes[i]! : 0), datagrams: n });
      i += n;
    }
    return out;
  };
  const lots = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      datagrams,
      lots,
      lots,
      fc.array(fc.boolean(), { minLength: 4, maxLength: 30 }),
      (sizes, x, y, turns) => {
        const h = new FrameHarness(true);
        const [p, s] = [pack(sizes, x), pack(sizes, y)];
        let [pi, si, pSaid, sSaid, left] = [0, 0, 0, 0, 0];
        for (let t = 0; pi < p.length || si < s.length; t++) {
          const turn = si === s.length || (pi < p.length && turns[t % turns.length]!);
          if (turn) {
            pSaid += p[pi]!.datagrams;
            h.p(p[pi++]!.frame, 12);
          } else {
            sSaid += s[si]!.datagrams;
            h.s(s[si++]!.frame, 12);
          }
          for (const frame of h.left()) {
            const wanted = p.findIndex((one, i) => i >= left && one.frame.equals(frame));
            expect(wanted).toBe(left++);
          }
          const whole = p.slice(0, left).reduce((n, one) => n + one.datagrams, 0);
          expect(whole).toBeLessThanOrEqual(Math.min(pSaid, sSaid));
        }
        expect(left).toBe(p.length);
        expect(h.requests).toEqual([]);
      },
    ),
  );
});
