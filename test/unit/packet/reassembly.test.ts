import { transportChecksum } from '../../../src/packet/checksum';
import { FrameView, parseFrame } from '../../../src/packet/ethernet';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import {
  type Datagram,
  REASSEMBLY_COMPLETE,
  REASSEMBLY_DROPPED,
  REASSEMBLY_WAITING,
  Reassembler,
  type ReassemblyCounterName,
  type ReassemblyLimits,
} from '../../../src/packet/reassembly';
import { PacketView } from '../../../src/packet/view';
import { buildIp, buildUdp } from '../../lib/build-packet';
import { fragmentOf, type Piece, pieces, sealIpv4 } from '../../lib/fragments';
import { ahHeader, fragmentHeader, ipv4, ipv6, optionsHeader, UDP, udpHeader } from './packets';

const ETHERNET = Buffer.from('52540012345652540065432108004500'.slice(0, 28), 'hex');
const MORE = true;

function setUp(limits: Partial<ReassemblyLimits> = {}) {
  const r = new Reassembler(limits, 1, 2);
  const view = new PacketView();
  const add = (packet: Buffer, options: { head?: Buffer; padding?: number; zone?: number; nowMs?: number } = {}) => {
    const head = options.head ?? Buffer.alloc(0);
    const before = Buffer.from('before');
    const buf = Buffer.concat([before, head, packet, Buffer.alloc(options.padding ?? 0, 0xee), Buffer.from('after')]);
    const start = before.length;
    expect(parseIp(view, buf, start + head.length, buf.length - 5 - start - head.length)).toBe(PARSE_OK);
    expect(view.fragment).toBe(true);
    return r.add(view, start, buf.length - 5, options.zone ?? 0, options.nowMs ?? 0);
  };
  const count = (name: ReassemblyCounterName) => r.counters.snapshot()[name];
  const frame = (d: Datagram) => r.data.subarray(d.offset, d.offset + d.bytes);
  return { r, add, count, frame };
}

function fragmentsOf(d: Datagram) {
  const all = [];
  for (let f = d.fragments; f !== undefined; f = f.next) all.push(f);
  return all;
}

/** An IPv4 UDP packet with the checksum that the tests' own builder computes. */
const packet4 = sealIpv4(buildUdp({ payload: Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7) & 0xff)) }));
const cut4 = pieces(packet4.length - 20, [185, 370]).map((piece) => fragmentOf(packet4, piece, 1));

test('joins what came in any order, with a mended header and the first fragment’s head', () => {
  const { r, add, frame, count } = setUp();
  const heads = [0, 1, 2].map((i) => Buffer.concat([Buffer.alloc(12, i), ETHERNET]));
  expect(cut4.length).toBe(3);
  expect(add(cut4[2]!, { head: heads[2], padding: 7 })).toBe(REASSEMBLY_WAITING);
  expect(add(cut4[0]!, { head: heads[0] })).toBe(REASSEMBLY_WAITING);
  expect(r.complete).toBeUndefined();
  expect(add(cut4[1]!, { head: heads[1] })).toBe(REASSEMBLY_COMPLETE);
  const d = r.complete!;
  expect(d.headBytes).toBe(26);
  expect(frame(d)).toEqual(Buffer.concat([heads[0]!, packet4]));
  const view = new PacketView();
  expect(parseIp(view, r.data, d.offset + d.headBytes, d.bytes - d.headBytes)).toBe(PARSE_OK);
  expect(transportChecksum(view)).toBe(packet4.readUInt16BE(26));
  const ethernet = new FrameView();
  expect(parseFrame(ethernet, r.data, d.offset + 12, d.bytes - 12)).toBe(0);
  // The fragments as they came, in that order, each with where its bytes are in the whole.
  const kept = fragmentsOf(d);
  expect(kept.map((f) => r.data.subarray(f.frameOffset, f.frameOffset + f.frameBytes))).toEqual([
    Buffer.concat([heads[2]!, cut4[2]!, Buffer.alloc(7, 0xee)]),
    Buffer.concat([heads[0]!, cut4[0]!]),
    Buffer.concat([heads[1]!, cut4[1]!]),
  ]);
  expect(kept.map((f) => f.target - d.offset - 46)).toEqual([370 * 8, 0, 185 * 8]);
  for (const f of kept) {
    const own = r.data.subarray(f.payloadOffset, f.payloadOffset + f.payloadBytes);
    expect(own.equals(r.data.subarray(f.target, f.target + f.payloadBytes))).toBe(true);
  }
  expect(count('completed')).toBe(1);
  expect(d.fragmentCount).toBe(3);
  r.free(d);
  expect([r.usedBytes, r.datagrams, r.fragments]).toEqual([0, 0, 0]);
  expect(() => r.free(d)).toThrow('freed once');
});

test('writes a changed payload back into the fragments, and nothing else', () => {
  const { r, add, frame } = setUp();
  for (const fragment of cut4) add(fragment, { head: ETHERNET, padding: 3 });
  const d = r.complete!;
  const changed = frame(d);
  const before = fragmentsOf(d).map((f) => Buffer.from(r.data.subarray(f.frameOffset, f.frameOffset + f.frameBytes)));
  for (let i = 14 + 20; i < changed.length; i += 97) changed[i]! ^= 0xff;
  const whole = Buffer.from(changed.subarray(14));
  r.patchFragments(d);
  const after = fragmentsOf(d).map((f) => r.data.subarray(f.frameOffset, f.frameOffset + f.frameBytes));
  expect(after).not.toEqual(before);
  const again = pieces(packet4.length - 20, [185, 370]).map((piece) => fragmentOf(whole, piece, 1));
  expect(after).toEqual(again.map((f) => Buffer.concat([ETHERNET, f, Buffer.alloc(3, 0xee)])));
});

test('IPv4: keeps options and the don’t-fragment bit, and mends the checksum', () => {
  const { r, add, frame } = setUp();
  const packet = sealIpv4(ipv4(UDP, udpHeader(100), 40));
  packet.writeUInt16BE(77, 4);
  packet.writeUInt16BE(0x4000, 6);
  sealIpv4(packet);
  for (const piece of pieces(108, [5])) {
    const fragment = fragmentOf(packet, piece, 77);
    fragment[6]! |= 0x40;
    add(sealIpv4(fragment));
  }
  expect(frame(r.complete!)).toEqual(packet);
});

test('IPv6: the fragment header goes, what stood before it stays', () => {
  for (const before of [[], [optionsHeader(0)], [optionsHeader(0, 2), optionsHeader(43)]]) {
    const { r, add, frame } = setUp();
    const packet = ipv6(UDP, udpHeader(2000), before);
    const unfragmentable = 40 + before.reduce((sum, extension) => sum + extension.bytes.length, 0);
    const all = pieces(packet.length - unfragmentable, [100, 200]).map((piece) =>
      fragmentOf(packet, piece, 0xdeadbeef, unfragmentable),
    );
    expect(all.reverse().map((fragment) => add(fragment))).toEqual([0, 0, REASSEMBLY_COMPLETE]);
    expect(frame(r.complete!)).toEqual(packet);
  }
});

test('IPv6: an authentication header and an atomic fragment header before the real one', () => {
  const { r, add, frame } = setUp();
  const body = udpHeader(64);
  const before = [ahHeader(), fragmentHeader(0, false)];
  const whole = ipv6(UDP, body, before);
  add(ipv6(UDP, body.subarray(0, 32), [...before, fragmentHeader(0, true)]));
  add(ipv6(UDP, body.subarray(32), [...before, fragmentHeader(32, false)]));
  expect(frame(r.complete!)).toEqual(whole);
});

test('IPv6: the first fragment says what follows, and other next headers do not part them', () => {
  const { r, add } = setUp();
  const packet = ipv6(UDP, udpHeader(64));
  const [first, last] = pieces(72, [4]).map((piece) => fragmentOf(packet, piece, 5));
  last![40] = 59;
  add(last!);
  expect(add(first!)).toBe(REASSEMBLY_COMPLETE);
  expect(r.data[r.complete!.offset + 6]).toBe(UDP);
});

test('zone, addresses, id and, for IPv4, the protocol keep datagrams apart', () => {
  const body = udpHeader(64);
  const base = buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], UDP, body);
  const [first, last] = pieces(72, [4]) as [Piece, Piece];
  const others = [
    fragmentOf(buildIp(4, [1, 1, 1, 2], [2, 2, 2, 2], UDP, body), last, 9),
    fragmentOf(buildIp(4, [1, 1, 1, 1], [2, 2, 2, 3], UDP, body), last, 9),
    fragmentOf(buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], UDP + 1, body), last, 9),
    fragmentOf(base, last, 10),
  ];
  const { add } = setUp();
  add(fragmentOf(base, first, 9));
  for (const other of others) expect(add(other)).toBe(REASSEMBLY_WAITING);
  expect(add(fragmentOf(base, last, 9), { zone: 0xffffffff })).toBe(REASSEMBLY_WAITING);
  expect(add(fragmentOf(base, last, 9))).toBe(REASSEMBLY_COMPLETE);
});

describe('what discards a datagram, for all that comes of it', () => {
  const body = udpHeader(64);
  const base = buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], UDP, body);
  const first = { offset: 0, bytes: 32, more: MORE };
  const last = { offset: 32, bytes: 40, more: false };
  const at = (piece: Piece, payload?: Buffer) => fragmentOf(base, piece, 3, 0, payload);
  const cases: [string, ReassemblyCounterName, Buffer[]][] = [
    ['the same bytes otherwise', 'overlaps', [at(first), at(first, Buffer.alloc(32, 1))]],
    ['an overlap from below', 'overlaps', [at(first), at({ offset: 24, bytes: 16, more: MORE })]],
    ['an overlap from above', 'overlaps', [at({ offset: 24, bytes: 16, more: MORE }), at(first)]],
    ['inside another', 'overlaps', [at(first), at({ offset: 8, bytes: 8, more: MORE })]],
    ['around another', 'overlaps', [at({ offset: 8, bytes: 8, more: MORE }), at(first)]],
    ['the same start, but shorter', 'overlaps', [at(first), at({ offset: 0, bytes: 16, more: MORE })]],
    ['the same, but the last', 'overlaps', [at(last), at({ ...last, more: MORE })]],
    ['behind the last', 'beyond_end', [at(last), at({ offset: 80, bytes: 8, more: MORE }, Buffer.alloc(8))]],
    ['two ends', 'beyond_end', [at(last), at({ offset: 80, bytes: 8, more: false }, Buffer.alloc(8))]],
    ['an end before what came', 'beyond_end', [at({ offset: 80, bytes: 8, more: MORE }, Buffer.alloc(8)), at(last)]],
    ['too large', 'oversized', [at(first), at({ offset: 65528, bytes: 8, more: false }, Buffer.alloc(8))]],
    ['not a multiple of 8', 'unaligned', [at(first), at({ offset: 32, bytes: 39, more: MORE })]],
  ];
  test.each(cases)('%s', (_name, counter, [one, other]) => {
    const { r, add, count } = setUp();
    add(one!);
    expect(add(other!)).toBe(REASSEMBLY_DROPPED);
    expect(count(counter)).toBe(1);
    expect(r.usedBytes).toBe(0);
    expect(add(at(first))).toBe(REASSEMBLY_DROPPED);
    expect(add(at(last))).toBe(REASSEMBLY_DROPPED);
    expect(count('after_discard')).toBe(2);
    // Its time over, the name is free again.
    expect(add(at(first), { nowMs: 30_000 })).toBe(REASSEMBLY_WAITING);
    expect(add(at(last), { nowMs: 30_000 })).toBe(REASSEMBLY_COMPLETE);
    expect(count('expired')).toBe(0);
  });

  test('a first fragment whose options make the whole too large', () => {
    const { add, count } = setUp();
    const long = { offset: 65480, bytes: 32, more: false };
    expect(add(at(long, Buffer.alloc(32)))).toBe(REASSEMBLY_WAITING);
    const options = sealIpv4(ipv4(UDP, Buffer.alloc(65480), 32));
    for (const src of [12, 13, 14, 15]) options[src] = 1;
    for (const dst of [16, 17, 18, 19]) options[dst] = 2;
    expect(options.length).toBeLessThanOrEqual(65535);
    expect(add(fragmentOf(options, { offset: 0, bytes: 65480, more: MORE }, 3))).toBe(REASSEMBLY_DROPPED);
    expect(count('oversized')).toBe(1);
  });

  test('the largest packet there is comes through', () => {
    const { r, add } = setUp();
    const packet = sealIpv4(buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], 99, Buffer.alloc(65515, 7)));
    for (const piece of pieces(65515, [1000, 4000, 8000])) add(fragmentOf(packet, piece, 1));
    expect(r.complete!.bytes).toBe(65535);
  });
});

test('drops an empty fragment, and a head longer than any', () => {
  const { r, add, count } = setUp();
  const base = buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], UDP, udpHeader(64));
  expect(add(fragmentOf(base, { offset: 8, bytes: 0, more: MORE }, 1))).toBe(REASSEMBLY_DROPPED);
  expect(add(fragmentOf(base, { offset: 8, bytes: 8, more: MORE }, 1), { head: Buffer.alloc(65) })).toBe(
    REASSEMBLY_DROPPED,
  );
  expect([count('empty'), count('head_too_long'), r.datagrams]).toEqual([1, 1, 0]);
  expect(add(fragmentOf(base, { offset: 8, bytes: 8, more: MORE }, 1), { head: Buffer.alloc(64) })).toBe(
    REASSEMBLY_WAITING,
  );
});

describe('bounds', () => {
  const base = buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], UDP, Buffer.alloc(4096));
  const first = (id: number) => fragmentOf(base, { offset: 0, bytes: 1024, more: MORE }, id);
  const last = (id: number) => fragmentOf(base, { offset: 1024, bytes: 3072, more: false }, id);

  test('datagrams: the oldest incomplete one gives way, a complete one never does', () => {
    const { r, add, count } = setUp({ maxDatagrams: 3 });
    add(first(1));
    add(last(1));
    const held = r.complete!;
    const frame = Buffer.from(r.data.subarray(held.offset, held.offset + held.bytes));
    add(first(2));
    add(first(3));
    add(first(4));
    expect([count('evicted'), r.datagrams]).toEqual([1, 3]);
    expect(add(last(3))).toBe(REASSEMBLY_COMPLETE);
    expect(add(last(2))).toBe(REASSEMBLY_WAITING);
    expect(add(first(2))).toBe(REASSEMBLY_COMPLETE);
    expect(count('evicted')).toBe(2);
    expect(add(first(5))).toBe(REASSEMBLY_DROPPED);
    expect(count('no_room')).toBe(1);
    expect(r.data.subarray(held.offset, held.offset + held.bytes).equals(frame)).toBe(true);
    r.free(held);
    expect(add(first(5))).toBe(REASSEMBLY_WAITING);
  });

  test('bytes', () => {
    const { r, add, count } = setUp({ bytesLog2: 18 });
    // 2048 bytes each with the granularity; the newest 128 stay.
    for (let id = 0; id < 200; id++) add(first(id));
    expect(r.usedBytes).toBe(1 << 18);
    expect(count('evicted')).toBe(72);
    expect(add(last(199))).toBe(REASSEMBLY_COMPLETE);
    expect(count('evicted')).toBeGreaterThan(72);
  });

  test('fragments, of one and of all', () => {
    const { r, add, count } = setUp({ maxFragments: 5, maxFragmentsPerDatagram: 4 });
    const piece = (i: number, id: number) => fragmentOf(base, { offset: i * 8, bytes: 8, more: MORE }, id);
    for (let i = 0; i < 4; i++) expect(add(piece(i, 1))).toBe(REASSEMBLY_WAITING);
    expect(add(piece(4, 1))).toBe(REASSEMBLY_DROPPED);
    expect([count('too_many_fragments'), r.fragments]).toEqual([1, 0]);
    for (let i = 0; i < 3; i++) add(piece(i, 2));
    for (let i = 0; i < 3; i++) add(piece(i, 3));
    expect([count('evicted'), r.fragments]).toEqual([1, 3]);
  });

  test('one that needs all the room for itself is lost, not the program', () => {
    const { r, add, count } = setUp({ maxFragments: 2 });
    const piece = (i: number) => fragmentOf(base, { offset: i * 8, bytes: 8, more: MORE }, 1);
    add(piece(0));
    add(piece(1));
    expect(add(piece(2))).toBe(REASSEMBLY_DROPPED);
    expect([count('evicted'), count('no_room'), r.fragments, r.datagrams]).toEqual([1, 1, 0, 0]);
  });

  test('time', () => {
    const { r, add, count } = setUp();
    add(first(1), { nowMs: 1000 });
    add(first(2), { nowMs: 2000 });
    expect(r.expire(30_999)).toBe(0);
    expect(r.expire(31_000)).toBe(1);
    expect(add(last(2), { nowMs: 31_999 })).toBe(REASSEMBLY_COMPLETE);
    expect(r.expire(1e9)).toBe(0);
    expect([count('expired'), r.datagrams]).toEqual([1, 1]);
    add(first(3), { nowMs: 1e9 });
    expect(add(last(3), { nowMs: 1e9 + 30_000 })).toBe(REASSEMBLY_WAITING);
    expect(count('expired')).toBe(2);
  });
});

test('a repetition is no second fragment', () => {
  const { r, add, count } = setUp();
  add(cut4[0]!);
  expect(add(cut4[0]!, { padding: 4 })).toBe(REASSEMBLY_WAITING);
  add(cut4[2]!);
  expect(add(cut4[2]!)).toBe(REASSEMBLY_WAITING);
  expect(add(cut4[1]!)).toBe(REASSEMBLY_COMPLETE);
  expect([count('duplicates'), r.fragments]).toEqual([2, 3]);
});
