import { arpFrame, buildFrame, onTheWire, vnetHeader } from '../../../lib/build-frame';
import { buildEchoReply, buildIp, buildTcp, buildUdp, checksumsAreRight } from '../../../lib/build-packet';
import { FrameHarness } from '../../../lib/frame-harness';

const SYN_OPTIONS = [2, 4, 5, 0xb4];
const udp = (payload: string, more = {}): Buffer => buildUdp({ payload, ...more });

describe('what is compared', () => {
  test.each([
    ['UDP', buildFrame(udp('x'))],
    ['UDP over IPv6', buildFrame(udp('x', { family: 6 }))],
    ['an echo', buildFrame(buildEchoReply(7, 1, 'data'))],
    ['GRE', buildFrame(buildIp(4, [10, 0, 0, 1], [10, 0, 0, 2], 47, Buffer.from('gre')))],
    ['802.1Q', buildFrame(udp('x'), { vlans: [5] })],
    ['802.1ad', buildFrame(udp('x'), { vlans: [5, 6] })],
    ['802.1ad, IPv6', buildFrame(udp('x', { family: 6 }), { vlans: [5, 6] })],
    ['LLDP', buildFrame(Buffer.from('lldp'), { type: 0x88cc })],
    ['802.3 with LLC', buildFrame(Buffer.from('stp'), { type: 3 })],
    ['three tags', buildFrame(udp('x'), { vlans: [5, 6, 7] })],
    ['a tag and nothing', buildFrame(Buffer.alloc(0), { type: 0x8100 })],
    ['IP by its type only', buildFrame(Buffer.from('not IP'), { type: 0x0800 })],
    ['padded', buildFrame(udp('x'), { padTo: 60 })],
  ])('%s waits for the same, from either side', (_name, frame) => {
    const h = new FrameHarness().p(frame);
    expect(h.left()).toEqual([]);
    expect(h.s(frame).left()).toEqual([frame]);
    expect(h.s(frame).left()).toEqual([]);
    expect(h.p(frame).left()).toEqual([frame]);
    expect(h.requests).toEqual([]);
  });

  test.each([
    ['VLANs', buildFrame(udp('x'), { vlans: [5] }), buildFrame(udp('x'), { vlans: [6] })],
    ['a VLAN and none', buildFrame(udp('x'), { vlans: [5] }), buildFrame(udp('x'))],
    ['inner VLANs', buildFrame(udp('x'), { vlans: [5, 6] }), buildFrame(udp('x'), { vlans: [5, 7] })],
    ['priorities', buildFrame(udp('x'), { vlans: [0x6005] }), buildFrame(udp('x'), { vlans: [5] })],
    ['frames, with a priority tag and without', buildFrame(udp('x'), { vlans: [0] }), buildFrame(udp('x'))],
    ['frames by their receiver', buildFrame(udp('x')), buildFrame(udp('x'), { dst: '020000000001' })],
    ['frames by their sender', buildFrame(udp('x')), buildFrame(udp('x'), { src: '020000000001' })],
    ['EtherTypes', buildFrame(Buffer.from('x'), { type: 0x88cc }), buildFrame(Buffer.from('x'), { type: 0x88cd })],
  ])('what is in different %s never meets', (_name, primary, secondary) => {
    const h = new FrameHarness().p(primary).s(secondary);
    expect(h.left()).toEqual([]);
    expect(h.requests).toEqual([]);
  });

  test.each([
    ['padding', buildFrame(udp('x'), { padTo: 60 }), buildFrame(udp('x'))],
    ['the IP header', buildFrame(udp('x', { id: 1, ttl: 64 })), buildFrame(udp('x', { id: 2, ttl: 63 }))],
  ])('of IP, %s may differ', (_name, primary, secondary) => {
    const h = new FrameHarness().p(primary).s(secondary);
    expect(h.left()).toEqual([primary]);
    expect(h.requests).toEqual([]);
  });

  test('a difference asks for a checkpoint, which releases in order', () => {
    const h = new FrameHarness();
    const frames = ['a', 'b', 'c'].map((x) => buildFrame(udp(x)));
    for (const frame of frames) h.p(frame);
    h.s(buildFrame(udp('x')));
    expect(h.requests).toEqual(['payload']);
    expect(h.left()).toEqual([]);
    expect(h.checkpoint().left()).toEqual(frames);
  });

  test('frames of the longest size pass', () => {
    const frame = buildFrame(Buffer.alloc(69632 - 14, 7), { type: 0x88b5 });
    expect(new FrameHarness().p(frame).s(frame).left()).toEqual([frame]);
  });
});

describe('what is not compared', () => {
  test.each([1, 2])("the primary's ARP (operation %d) leaves, the secondary's does not", (operation) => {
    const frame = arpFrame(operation);
    const h = new FrameHarness().s(frame);
    expect(h.left()).toEqual([]);
    expect(h.p(frame).left()).toEqual([frame]);
    expect(h.tick(5000).requests).toEqual([]);
  });

  test('an ARP request of the secondary alone asks after a second, and at once when it is put again', () => {
    const frame = arpFrame(1);
    const h = new FrameHarness().s(frame);
    expect(h.tick(999).requests).toEqual([]);
    expect(h.tick(1).requests).toEqual(['secondary_address_request']);
    expect(h.checkpoint().s(frame).s(frame).requests).toHaveLength(2);
  });

  test.each([
    ['bytes behind ARP', (): Buffer => Buffer.concat([arpFrame(2), Buffer.from('secret')]), (): Buffer => arpFrame(2)],
    ['bytes behind IP', () => Buffer.concat([buildFrame(udp('x')), Buffer.from('secret')]), () => buildFrame(udp('x'))],
    [
      'zeros beyond the shortest frame',
      () => Buffer.concat([buildFrame(udp('x')), Buffer.alloc(40)]),
      () => buildFrame(udp('x')),
    ],
  ])('%s do not leave', (_name, with_, without) => {
    expect(new FrameHarness().s(without()).p(with_()).left()).toEqual([without()]);
    const h = new FrameHarness().p(with_());
    h.s(without());
    expect(h.left()).toEqual([without()]);
    h.together(onTheWire(with_()), onTheWire(with_()));
    expect(h.left()).toEqual([without()]);
  });

  test.each([
    ['of an operation that is none', (): Buffer => arpFrame(9)],
    ['in the name of another sender', () => arpFrame(2, { src: '020000000001' })],
    ['that is none', () => buildFrame(Buffer.alloc(28, 1), { type: 0x0806 })],
    ['that is a RARP by its frame only', () => arpFrame(1, { type: 0x8035 })],
  ])('ARP %s is compared', (_name, frame) => {
    const h = new FrameHarness().p(frame());
    expect(h.left()).toEqual([]);
    expect(h.s(frame()).left()).toEqual([frame()]);
  });

  test('more headers than there is room for: a checkpoint makes room', () => {
    const h = new FrameHarness();
    const addressed = (i: number): Buffer =>
      buildFrame(Buffer.from('x'), { type: 0x88cc, dst: i.toString(16).padStart(12, '0') });
    for (let i = 1; i <= 0xffff; i++) h.s(arpFrame(2, { dst: i.toString(16).padStart(12, '0') }));
    expect(h.requests).toEqual([]);
    h.p(addressed(0x10000));
    expect([h.requests, h.count('zones_exhausted')]).toEqual([['bound_exhausted'], 1]);
    h.checkpoint().p(addressed(0x10000)).s(addressed(0x10000));
    expect(h.left()).toEqual([addressed(0x10000)]);
  });

  test('a guest that says its own address has lost none', () => {
    const frame = arpFrame(1);
    frame.copy(frame, 14 + 24, 14 + 14, 14 + 18);
    expect(new FrameHarness().s(frame).tick(5000).requests).toEqual([]);
  });

  test('an ARP request in a VLAN asks, too, and one in another is no answer to it', () => {
    const h = new FrameHarness().s(arpFrame(1, { vlans: [5] })).p(arpFrame(1, { vlans: [6] }));
    expect(h.tick(1000).requests).toEqual(['secondary_address_request']);
  });

  test('frames too short for Ethernet are dropped', () => {
    const h = new FrameHarness().p(Buffer.alloc(13)).s(Buffer.alloc(13)).checkpoint();
    expect(h.left()).toEqual([]);
    expect([h.count('primary_runts'), h.count('secondary_runts')]).toEqual([1, 1]);
  });

  test('IP that is cut off is dropped', () => {
    const h = new FrameHarness().p(buildFrame(udp('payload').subarray(0, 30))).checkpoint();
    expect(h.left()).toEqual([]);
    expect(h.count('primary_malformed')).toBe(1);
  });
});

describe('TCP', () => {
  const segment = (f: Parameters<typeof buildTcp>[0], more = {}): Buffer => buildFrame(buildTcp(f), more);

  function opened(h: FrameHarness, vnet?: Buffer): void {
    const size = vnet?.length ?? 0;
    const frame = (seq: number): Buffer =>
      segment({ flags: 'SA', seq, ack: 50, options: SYN_OPTIONS }, vnet === undefined ? {} : { vnet });
    h.p(frame(1000), size);
    h.s(frame(777_000), size);
    expect(h.left()).toHaveLength(1);
  }

  test("the secondary's numbers are the primary's behind its SYN", () => {
    const h = new FrameHarness();
    opened(h);
    const frame = segment({ seq: 1001, ack: 50, payload: 'hello' }, { padTo: 60 });
    h.p(frame);
    h.s(segment({ seq: 1001, ack: 50, payload: 'hel' })).s(segment({ seq: 1004, ack: 50, payload: 'lo' }));
    expect(h.left()).toEqual([frame]);
  });

  test('an acknowledgement that is ahead of the secondary is lowered, in its frame', () => {
    const h = new FrameHarness();
    opened(h);
    h.p(segment({ seq: 1001, ack: 90, payload: 'h' }, { vlans: [] })).s(segment({ seq: 1001, ack: 70, payload: 'h' }));
    expect(h.left()).toEqual([segment({ seq: 1001, ack: 70, payload: 'h' })]);
  });

  test('more than a byte then leaves as two segments, so that the peer acknowledges at once', () => {
    const h = new FrameHarness();
    opened(h);
    h.p(segment({ seq: 1001, ack: 90, payload: 'hello' })).s(segment({ seq: 1001, ack: 70, payload: 'hello' }));
    const packets = h.left().map((frame) => frame.subarray(14));
    expect(packets.map((p) => [p.readUInt32BE(24), p.toString('latin1', 20 + (p[32]! >> 4) * 4)])).toEqual([
      [1001, 'h'],
      [1002, 'ello'],
    ]);
    expect(packets.map((p) => p.readUInt32BE(28) <= 70)).toEqual([true, true]);
    expect(packets[1]!.readUInt32BE(28)).toBe(70);
    expect(packets.map(checksumsAreRight)).toEqual([true, true]);
    expect(h.count('left_in_two')).toBe(1);
  });

  test('a repetition that must not leave goes as a probe, and its virtio-net header promises nothing', () => {
    const h = new FrameHarness(true);
    const vnet = vnetHeader(12, { flags: 1, gsoType: 1, gsoSize: 1400 });
    opened(h, vnetHeader(12));
    const repeated = segment({ seq: 1001, ack: 50, payload: 'hello' }, { vnet });
    h.p(repeated, 12)
      .p(segment({ seq: 1006, ack: 50, payload: 'more' }, { vnet }), 12)
      .p(repeated, 12);
    const [probe] = h.leftWithSizes();
    expect(probe!.vnetBytes).toBe(12);
    expect(probe!.frame.subarray(0, 12)).toEqual(Buffer.concat([Buffer.alloc(10), vnet.subarray(10)]));
    expect(probe!.frame.subarray(12)).toHaveLength(14 + 40);
    expect(checksumsAreRight(probe!.frame.subarray(26))).toBe(true);
    expect(h.count('offloads_cleared')).toBe(1);
  });
});

describe('virtio-net headers', () => {
  test.each([0, 10, 12, 20])('of %d bytes are passed on, and not compared', (bytes) => {
    const h = new FrameHarness(true);
    const frame = buildFrame(udp('x'), { vnet: vnetHeader(bytes, { flags: 1, udp: true }), padTo: 60 });
    h.p(frame, bytes).s(buildFrame(udp('x'), { vnet: vnetHeader(bytes) }), bytes);
    expect(h.leftWithSizes()).toEqual([{ frame, vnetBytes: bytes }]);
  });

  test.each([
    [0, 12],
    [12, 0],
    [10, 20],
  ])('may differ in size: %d and %d', (primary, secondary) => {
    const h = new FrameHarness(true);
    const frame = buildFrame(udp('x'), { vnet: vnetHeader(primary, { flags: 1, udp: true }) });
    h.p(frame, primary).s(buildFrame(udp('x'), { vnet: Buffer.alloc(secondary) }), secondary);
    expect(h.leftWithSizes()).toEqual([{ frame, vnetBytes: primary }]);
  });

  test('a partial checksum stays partial when the acknowledgement is lowered', () => {
    const h = new FrameHarness(true);
    const vnet = vnetHeader(10, { flags: 1 });
    const partial = (ack: number): Buffer => {
      const packet = buildTcp({ seq: 5, ack, payload: 'h' });
      packet.writeUInt16BE(0x1234, 36);
      return buildFrame(packet, { vnet });
    };
    h.p(partial(90), 10).s(buildFrame(buildTcp({ seq: 5, ack: 70, payload: 'h' }), { vnet }), 10);
    expect(h.leftWithSizes()).toEqual([{ frame: partial(70), vnetBytes: 10 }]);
  });

  test("go with the primary's ARP", () => {
    const frame = arpFrame(2, { vnet: vnetHeader(12) });
    expect(new FrameHarness(true).p(frame, 12).leftWithSizes()).toEqual([{ frame, vnetBytes: 12 }]);
  });
});

describe('bounds', () => {
  test('held packets over 16 times max_queue_size are dropped, counted, and ask for a checkpoint', () => {
    const h = new FrameHarness(false, { maxQueueSize: 1 });
    const frames = Array.from({ length: 17 }, (_, i) => buildFrame(udp(`packet ${i}`)));
    for (const frame of frames) h.p(frame);
    expect(h.requests).toEqual(['bound_exhausted']);
    expect(h.count('primary_held_full')).toBe(1);
    expect(h.checkpoint().left()).toEqual(frames.slice(0, 16));
  });

  test('what is verified while outdev takes nothing is counted by the reason', () => {
    const h = new FrameHarness();
    const frame = buildFrame(udp('x'));
    h.sink.connected = false;
    h.p(frame).s(frame).p(arpFrame(1));
    h.sink.connected = true;
    h.sink.full = true;
    h.p(frame).s(frame);
    h.sink.full = false;
    expect(h.left()).toEqual([]);
    expect([h.count('released_without_peer'), h.count('released_without_room')]).toEqual([2, 1]);
    expect(h.comparison.engine.heldPackets).toBe(0);
  });

  test('a silent secondary is noticed after compare_timeout', () => {
    const h = new FrameHarness(false, { compareTimeoutMs: 200 });
    h.p(buildFrame(udp('x')));
    h.tick(199);
    expect(h.requests).toEqual([]);
    h.tick(1);
    expect(h.requests).toEqual(['timeout_secondary_silent']);
  });

  test('what is held of a primary that is gone never leaves', () => {
    const h = new FrameHarness();
    const frame = buildFrame(udp('x'));
    h.p(frame);
    h.comparison.forgetPrimary(h.now);
    h.s(frame).checkpoint();
    expect(h.left()).toEqual([]);
    expect(h.count('dropped_packets')).toBe(1);
  });
});
