import type { BypassRule } from '../../../src/pmycolo/bypass';
import { buildEchoReply, buildIp, buildTcp, buildUdp } from '../../lib/build-packet';
import { igmpReport, neighbourAdvertisement, neighbourSolicitation } from '../../lib/build-upkeep';
import { PrimaryHarness } from '../../lib/primary-harness';

describe('UDP', () => {
  test('equal payloads leave, whatever id and ttl', () => {
    const h = new PrimaryHarness();
    const a = h.p(buildUdp({ payload: 'answer', ttl: 64, id: 1 }));
    expect(h.state(a)).toBe('held');
    h.s(buildUdp({ payload: 'answer', ttl: 60, id: 7 }));
    expect(h.state(a)).toBe('accept');
  });
  test('in order', () => {
    const h = new PrimaryHarness();
    const ids = ['a', 'b', 'c'].map((payload) => h.p(buildUdp({ payload })));
    h.s(buildUdp({ payload: 'a' }));
    h.s(buildUdp({ payload: 'b' }));
    expect(ids.map((id) => h.state(id))).toEqual(['accept', 'accept', 'held']);
  });
  test("another end by UDP's own length is a divergence, whoever is first", () => {
    const ending = (at: number): Buffer => {
      const packet = buildUdp({ payload: 'abcdef' });
      packet.writeUInt16BE(8 + at, 24);
      packet.writeUInt16BE(0, 26);
      return packet;
    };
    for (const first of ['p', 's'] as const) {
      const h = new PrimaryHarness();
      h[first](ending(first === 'p' ? 3 : 6));
      h[first === 'p' ? 's' : 'p'](ending(first === 'p' ? 6 : 3));
      expect([h.requests, h.verdicts.size]).toEqual([['length'], 0]);
    }
    const h = new PrimaryHarness();
    h.s(ending(3));
    expect(h.state(h.p(ending(3)))).toBe('accept');
  });
  test.each([
    ['other bytes', 'abc', 'abd', 'payload'],
    ['other length', 'abc', 'abcd', 'length'],
  ])('%s: divergence', (_n, p, s, cause) => {
    const h = new PrimaryHarness();
    const id = h.p(buildUdp({ payload: p }));
    h.s(buildUdp({ payload: s }));
    expect(h.requests).toEqual([cause]);
    expect(h.state(id)).toBe('held');
    h.engine.checkpoint(h.now);
    expect(h.state(id)).toBe('accept');
  });
  test('the SVM first, also an empty datagram', () => {
    const h = new PrimaryHarness();
    h.s(buildUdp({ payload: '' }));
    h.s(buildUdp({ payload: 'x' }));
    expect(h.state(h.p(buildUdp({ payload: '' })))).toBe('accept');
    expect(h.state(h.p(buildUdp({ payload: 'x' })))).toBe('accept');
  });
  test('what the SVM said before a checkpoint does not count after it', () => {
    const h = new PrimaryHarness();
    h.s(buildUdp({ payload: 'old' }));
    h.engine.checkpoint(h.now);
    expect(h.state(h.p(buildUdp({ payload: 'old' })))).toBe('held');
  });
});

describe('ICMP and others', () => {
  test.each([4, 6] as const)('echo replies of IPv%d: id, sequence and data count', (family) => {
    const h = new PrimaryHarness();
    const id = h.p(buildEchoReply(1, 2, 'data', family));
    h.s(buildEchoReply(1, 2, 'data', family, 60));
    expect(h.state(id)).toBe('accept');
    const other = h.p(buildEchoReply(1, 3, 'data', family));
    h.s(buildEchoReply(1, 3, 'dato', family));
    expect(h.state(other)).toBe('held');
    expect(h.requests).toEqual(['payload']);
  });
  test('other protocols: everything behind the IP header', () => {
    const h = new PrimaryHarness();
    const gre = (text: string, ttl: number): Buffer =>
      buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], 47, Buffer.from(text), ttl);
    const id = h.p(gre('tunnel', 64));
    h.s(gre('tunnel', 63));
    expect(h.state(id)).toBe('accept');
    h.p(gre('tunnel', 64));
    h.s(gre('tunneL', 63));
    expect(h.requests).toEqual(['payload']);
  });
  test('infrastructure passes, a repeated address request of the SVM asks once an epoch without stopping the comparison', () => {
    const h = new PrimaryHarness();
    expect(h.state(h.p(neighbourAdvertisement()))).toBe('accept');
    expect(h.state(h.p(igmpReport()))).toBe('accept');
    h.s(neighbourSolicitation());
    h.s(neighbourSolicitation());
    h.s(neighbourSolicitation());
    h.s(neighbourSolicitation());
    expect(h.requests).toEqual(['secondary_address_request']);
    const id = h.p(buildUdp({ payload: 'x' }));
    h.s(buildUdp({ payload: 'x' }));
    expect(h.state(id)).toBe('accept');
    h.engine.checkpoint(h.now);
    h.s(neighbourSolicitation());
    expect(h.requests.length).toBe(1);
    h.s(neighbourSolicitation());
    expect(h.requests.length).toBe(2);
  });
  test('fragments are never let out uncompared', () => {
    const h = new PrimaryHarness();
    const packet = buildUdp({ payload: 'fragmented' });
    packet[6] = 0x20;
    const id = h.p(packet);
    expect(h.state(id)).toBe('held');
    expect(h.requests).toEqual(['not_comparable']);
    h.engine.checkpoint(h.now);
    expect(h.state(id)).toBe('accept');
  });
});

describe('a packet of which not all is known', () => {
  /** The engine sees the first `seen` bytes of it. */
  const opaque = (h: PrimaryHarness, packet: Buffer, seen: number): number => {
    const id = h.sent.size + 1000;
    h.sent.set(id, packet.subarray(0, seen));
    h.engine.primaryOpaque(id, Buffer.from(packet.subarray(0, seen)), 0, seen, packet.length, false, h.now);
    return id;
  };

  test('waits for a checkpoint, asks for one, and leaves by it', () => {
    for (const family of [4, 6] as const) {
      const h = new PrimaryHarness({ limits: { maxHeldBytes: 1 << 18 } });
      const packet = buildUdp({ family, payload: Buffer.alloc(65_507 - (family === 6 ? 20 : 0), 'x') });
      h.engine.secondaryOpaque(packet.subarray(0, 65_531), 0, 65_531, packet.length, h.now);
      const ids = [opaque(h, packet, 65_531), opaque(h, packet, 65_531)];
      expect(ids.map((id) => h.state(id))).toEqual(['held', 'held']);
      expect(h.requests).toEqual(['not_comparable']);
      h.engine.checkpoint(h.now);
      expect(ids.map((id) => h.state(id))).toEqual(['accept', 'accept']);
      const c = h.engine.counters.snapshot();
      expect([c.primary_opaque, c.secondary_opaque]).toEqual([2, 1]);
    }
  });

  test('of TCP is dropped, for it comes again', () => {
    const h = new PrimaryHarness();
    const id = opaque(h, buildTcp({ seq: 1, ack: 1, payload: Buffer.alloc(100) }), 90);
    expect([h.state(id), h.requests]).toEqual(['drop', []]);
  });

  test('leaves where nothing is compared: unprotected, or by a bypass rule', () => {
    const h = new PrimaryHarness();
    const packet = buildUdp({ payload: Buffer.alloc(100) });
    h.engine.setBypass([{ protocol: 17, firstPort: 53, end: 'guest' }]);
    // Who has kept the packet needs no bytes of it, so there is nothing to compare here.
    const left: number[] = [];
    const { accept } = h.engine.context.actions;
    h.engine.context.actions.accept = (id) => left.push(id);
    opaque(h, packet, 90);
    h.engine.setBypass([]);
    h.engine.setProtected(false);
    opaque(h, packet, 90);
    h.engine.context.actions.accept = accept;
    expect([left.length, h.requests]).toEqual([2, []]);
  });
});

test('bypass rules: the PVM passes, the SVM is ignored', () => {
  const h = new PrimaryHarness();
  h.engine.setBypass([{ protocol: 17, firstPort: 53, end: 'guest' }]);
  expect(h.state(h.p(buildUdp({ payload: 'x' })))).toBe('accept');
  h.s(buildUdp({ payload: 'y' }));
  expect(h.requests).toEqual([]);
  const c = h.engine.counters.snapshot();
  expect([c.primary_bypassed, c.secondary_bypassed]).toEqual([1, 1]);
  expect(h.state(h.p(buildUdp({ sport: 54, payload: 'x' })))).toBe('held');
});

const GRE = buildIp(4, [10, 0, 0, 1], [10, 0, 0, 2], 47, Buffer.from('0000080045', 'hex'));

describe('a bypass rule takes out what it says, and no more', () => {
  const udp = (fields: object = {}) => buildUdp({ payload: 'x', ...fields });
  const word = (...bytes: number[]): number => Buffer.from(bytes).readUInt32BE(0);
  const v6 = {
    family: 6 as const,
    src: [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1],
    dst: [0x20, 2, ...Array(13).fill(0), 2],
  };
  const fragment = udp({ sport: 3389 });
  fragment[6] = 0x20;
  const net10 = { family: 4, address: [word(10, 0, 0, 0), 0, 0, 0], prefixBits: 24 } as const;
  const doc6 = { family: 6, address: [0x20010db8, 0, 0, 0], prefixBits: 32 } as const;

  test.each<[string, BypassRule, Buffer, boolean]>([
    ["the guest's port", { firstPort: 53, end: 'guest' }, udp(), true],
    ['not as that of the peer', { firstPort: 53, end: 'peer' }, udp(), false],
    ["the peer's port", { firstPort: 4000, lastPort: 4010, end: 'peer' }, udp({ dport: 4010 }), true],
    ['the end of a range', { firstPort: 4000, lastPort: 4010, end: 'either' }, udp({ dport: 4011 }), false],
    ["either's port", { firstPort: 4000, end: 'either' }, udp({ dport: 4000 }), true],
    ['a protocol', { protocol: 1, end: 'either' }, buildEchoReply(9, 1, 'x'), true],
    ['not another', { protocol: 6, end: 'either' }, udp(), false],
    ["the guest's network", { ...net10, end: 'guest' }, udp(), true],
    ["the guest's network, not the peer's", { ...net10, end: 'guest' }, udp({ src: [10, 0, 1, 1] }), false],
    ["the peer's network", { ...net10, end: 'peer' }, udp({ src: [10, 0, 1, 1] }), true],
    ['an IPv6 network', { ...doc6, end: 'guest' }, udp(v6), true],
    ['an IPv6 network, as that of the peer', { ...doc6, end: 'peer' }, udp(v6), false],
    ['not another family', { ...doc6, end: 'either' }, udp(), false],
    ['network and port of one end', { ...net10, firstPort: 53, end: 'peer' }, udp({ dport: 54 }), false],
    ["an echo's id is no port", { firstPort: 9, end: 'either' }, buildEchoReply(9, 1, 'x'), false],
    ['a protocol without ports has none, not port 0', { firstPort: 0, lastPort: 65535, end: 'either' }, GRE, false],
    ['a fragment shows none', { firstPort: 0, lastPort: 65535, end: 'either' }, fragment, false],
  ])('%s', (_what, rule, packet, taken) => {
    const h = new PrimaryHarness();
    h.engine.setBypass([rule]);
    expect(h.state(h.p(packet))).toBe(taken ? 'accept' : 'held');
    h.s(packet);
    const c = h.engine.counters.snapshot();
    expect([c.primary_bypassed, c.secondary_bypassed]).toEqual(taken ? [1, 1] : [0, 0]);
  });
});

describe("a large datagram that is the PVM's first after a checkpoint may have been divided by it", () => {
  const large = buildUdp({ payload: Buffer.alloc(4000, 'x') });
  const after = (...packets: Buffer[]): PrimaryHarness => {
    const h = new PrimaryHarness();
    h.engine.checkpoint(h.now);
    for (const packet of packets) h.p(packet);
    return h;
  };

  test('it asks soon, when the SVM does not say the same', () => {
    const h = after(large);
    h.engine.tick(h.now + 499);
    expect(h.requests).toEqual([]);
    h.engine.tick(h.now + 500);
    expect(h.requests).toEqual(['timeout_secondary_silent']);
  });

  function followed(h: PrimaryHarness, then: (h: PrimaryHarness) => void): PrimaryHarness {
    then(h);
    return h;
  }

  test.each<[string, PrimaryHarness]>([
    ['one that the SVM has said', followed(after(large), (h) => h.s(large))],
    ['one that is not the first', after(buildUdp({ payload: 'x' }), large)],
    ['one that is not large', after(buildUdp({ payload: 'x' }))],
    ['one before any checkpoint', followed(new PrimaryHarness(), (h) => void h.p(large))],
    [
      'one whose place another has taken',
      followed(after(large), (h) => {
        h.s(large);
        h.p(buildUdp({ payload: 'y' }));
      }),
    ],
  ])('%s does not', (_what, h) => {
    h.engine.tick(h.now + 2999);
    expect(h.requests).toEqual([]);
  });
});
