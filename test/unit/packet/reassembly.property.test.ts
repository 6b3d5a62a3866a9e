// Whatever the cut, the order and the repetitions: the original, or nothing. Whatever the bytes: no crash, and no bound
// exceeded.

import fc from 'fast-check';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import {
  type Datagram,
  REASSEMBLY_COMPLETE,
  REASSEMBLY_DROPPED,
  REASSEMBLY_WAITING,
  Reassembler,
} from '../../../src/packet/reassembly';
import { PacketView } from '../../../src/packet/view';
import { buildIp } from '../../lib/build-packet';
import { fragmentOf, type Piece, pieces, sealIpv4 } from '../../lib/fragments';
import { type Extension, ipv4, ipv6, optionsHeader } from './packets';

const GRE = 47;
const view = new PacketView();

function feed(r: Reassembler, head: Buffer, packet: Buffer, padding: Buffer, zone = 0) {
  const buf = Buffer.concat([head, packet, padding]);
  expect(parseIp(view, buf, head.length, buf.length - head.length)).toBe(PARSE_OK);
  return r.add(view, 0, buf.length, zone, 0);
}

interface Original {
  packet: Buffer;
  unfragmentable: number;
  cuts: number[];
}

const extensions: fc.Arbitrary<Extension[]> = fc.array(
  fc.tuple(fc.constantFrom(0, 43, 60), fc.nat(3)).map(([kind, units]) => optionsHeader(kind, units)),
  { maxLength: 3 },
);
/** Mostly small, sometimes as large as can be. */
const body = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ minLength: 9, maxLength: 400 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 60_000, maxLength: 65_400, size: 'max' }) },
);
const original: fc.Arbitrary<Original> = fc
  .record({
    v4: fc.boolean(),
    body,
    options: fc.nat(10),
    extensions,
    df: fc.boolean(),
    picks: fc.array(fc.nat(), { minLength: 1, maxLength: 60 }),
  })
  .map(({ v4, body, options, extensions, df, picks }) => {
    const bytes = Buffer.from(body).subarray(0, 65_400);
    const packet = v4 ? ipv4(GRE, bytes, options * 4) : ipv6(GRE, bytes, extensions);
    const unfragmentable = 40 + extensions.reduce((sum, extension) => sum + extension.bytes.length, 0);
    if (v4 && df) packet.writeUInt16BE(0x4000, 6);
    const units = Math.ceil(bytes.length / 8);
    return {
      packet: v4 ? sealIpv4(packet) : packet,
      unfragmentable,
      cuts: picks.map((pick) => (pick % (units - 1)) + 1),
    };
  });

function fragmentsOf({ packet, unfragmentable, cuts }: Original, id: number): Buffer[] {
  const v4 = packet[0]! >> 4 === 4;
  const headerBytes = v4 ? (packet[0]! & 15) * 4 : unfragmentable;
  const whole = Buffer.from(packet);
  if (v4) sealIpv4(whole).writeUInt16BE(id, 4);
  return pieces(packet.length - headerBytes, cuts).map((piece) => {
    const fragment = fragmentOf(whole, piece, id, unfragmentable);
    if (v4) {
      fragment[6]! |= packet[6]! & 0x40;
      sealIpv4(fragment);
    }
    return fragment;
  });
}

test('any cut, order and repetition gives the original back, byte for byte', () => {
  const run = fc.tuple(
    original,
    fc.uint8Array({ maxLength: 64 }),
    fc.uint8Array({ maxLength: 30 }),
    fc.infiniteStream(fc.nat()),
  );
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 3 }), fc.infiniteStream(fc.nat()), (runs, order) => {
      const r = new Reassembler({}, 3, 4);
      const deck = runs.flatMap(([o, head, padding, repeat], which) =>
        fragmentsOf(o, 100 + which).flatMap((fragment) =>
          Array.from({ length: repeat.next().value % 4 === 0 ? 2 : 1 }, () => ({ which, fragment, head, padding })),
        ),
      );
      for (let i = deck.length - 1; i > 0; i--) {
        const j = order.next().value % (i + 1);
        [deck[i], deck[j]] = [deck[j]!, deck[i]!];
      }
      const completed = new Set<number>();
      for (const { which, fragment, head, padding } of deck) {
        const outcome = feed(r, Buffer.from(head), fragment, Buffer.from(padding));
        expect(outcome).not.toBe(REASSEMBLY_DROPPED);
        if (outcome !== REASSEMBLY_COMPLETE) continue;
        const d = r.complete!;
        const expected = Buffer.from(runs[which]![0].packet);
        if (expected[0]! >> 4 === 4) {
          expected.writeUInt16BE(100 + which, 4);
          sealIpv4(expected);
        }
        expect(r.data.subarray(d.offset, d.offset + d.bytes).equals(Buffer.concat([head, expected]))).toBe(true);
        completed.add(which);
        r.free(d);
      }
      expect(completed.size).toBe(runs.length);
      // Late repetitions wait for more, and are forgotten.
      r.expire(30_000);
      expect([r.usedBytes, r.fragments, r.datagrams]).toEqual([0, 0, 0]);
    }),
    { numRuns: 60 },
  );
});

/** What a datagram should do, told by simplest means: a map of who claimed which byte. */
class Model {
  private claims: { piece: Piece; text: string }[] = [];
  private dead = false;

  add(piece: Piece, payload: Buffer): number {
    if (this.dead) return REASSEMBLY_DROPPED;
    const text = payload.toString('hex');
    const end = piece.offset + piece.bytes;
    if (this.claims.some((c) => JSON.stringify(c) === JSON.stringify({ piece, text }))) return REASSEMBLY_WAITING;
    const overlap = this.claims.some((c) => c.piece.offset < end && piece.offset < c.piece.offset + c.piece.bytes);
    const last = this.claims.find((c) => !c.piece.more)?.piece;
    const beyond =
      (last !== undefined && end > last.offset + last.bytes) ||
      (!piece.more && this.claims.some((c) => c.piece.offset + c.piece.bytes > end)) ||
      (last !== undefined && !piece.more);
    if (overlap || beyond || (piece.more && piece.bytes % 8 !== 0)) {
      this.dead = true;
      return REASSEMBLY_DROPPED;
    }
    this.claims.push({ piece, text });
    const total = this.claims.find((c) => !c.piece.more)?.piece;
    const received = this.claims.reduce((sum, c) => sum + c.piece.bytes, 0);
    return total !== undefined && received === total.offset + total.bytes ? REASSEMBLY_COMPLETE : REASSEMBLY_WAITING;
  }

  /** And begins anew. */
  take(): string {
    const text = [...this.claims]
      .sort((a, b) => a.piece.offset - b.piece.offset)
      .map((c) => c.text)
      .join('');
    this.claims = [];
    return text;
  }
}

test('fragments that contradict one another never complete; the rest does as a plain model says', () => {
  // One way to cut 40 bytes, and now and then a piece that may not fit in.
  const good = fc.constantFrom([0, 2], [2, 1], [3, 2]).map(([at, units]) => ({
    at: at!,
    units: units!,
    odd: false,
    more: at! < 3,
    fill: false,
  }));
  const stray = fc.record({
    at: fc.nat(5),
    units: fc.integer({ min: 1, max: 3 }),
    odd: fc.boolean(),
    more: fc.boolean(),
    fill: fc.boolean(),
  });
  const piece = fc.oneof({ weight: 6, arbitrary: good }, { weight: 1, arbitrary: stray });
  let completions = 0;
  let deaths = 0;
  fc.assert(
    fc.property(fc.boolean(), fc.array(piece, { minLength: 1, maxLength: 14 }), (v4, list) => {
      const r = new Reassembler({ bytesLog2: 18 }, 5, 6);
      const model = new Model();
      const base = v4 ? buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], GRE, Buffer.alloc(0)) : ipv6(GRE, Buffer.alloc(0));
      for (const p of list) {
        const bytes = p.units * 8 - (p.odd ? 3 : 0);
        const what = { offset: p.at * 8, bytes, more: p.more };
        if (what.offset === 0 && !what.more) continue;
        const payload = Buffer.from(Array.from({ length: bytes }, (_, i) => (p.fill ? 99 : what.offset + i)));
        const outcome = feed(r, Buffer.alloc(0), fragmentOf(base, what, 7, 40, payload), Buffer.alloc(0));
        expect(outcome).toBe(model.add(what, payload));
        if (outcome === REASSEMBLY_DROPPED) deaths++;
        if (outcome !== REASSEMBLY_COMPLETE) continue;
        completions++;
        const d = r.complete!;
        expect(r.data.toString('hex', d.offset + base.length, d.offset + d.bytes)).toBe(model.take());
        r.free(d);
      }
    }),
    { numRuns: 1000 },
  );
  // Otherwise it has tested nothing.
  expect(completions).toBeGreaterThan(100);
  expect(deaths).toBeGreaterThan(100);
});

test('garbage crashes nothing, exceeds no bound and touches no datagram that is held', () => {
  const limits = { maxDatagrams: 6, maxFragments: 20, maxFragmentsPerDatagram: 5, bytesLog2: 18, lifetimeMs: 50 };
  const mutation = fc.record({ at: fc.nat(100), value: fc.nat(255) });
  const common = {
    v4: fc.boolean(),
    id: fc.nat(3),
    zone: fc.nat(1),
    head: fc.nat(70),
    hold: fc.boolean(),
    afterMs: fc.nat(10),
  };
  const good = fc.record({
    ...common,
    piece: fc.constantFrom({ offset: 0, bytes: 1600, more: true }, { offset: 1600, bytes: 20_000, more: false }),
    mutations: fc.constant([]),
  });
  const stray = fc.record({
    ...common,
    piece: fc.record({
      offset: fc.oneof(fc.nat(4), fc.nat(8191)).map((units) => units * 8),
      bytes: fc.oneof(fc.nat(64), fc.nat(65_000)),
      more: fc.boolean(),
    }),
    mutations: fc.array(mutation, { maxLength: 3 }),
  });
  const step = fc.oneof({ weight: 3, arbitrary: good }, { weight: 1, arbitrary: stray });
  let completions = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const r = new Reassembler(limits, 7, 8);
      const held: { d: Datagram; copy: Buffer }[] = [];
      let nowMs = 0;
      for (const s of steps) {
        nowMs += s.afterMs;
        const base = s.v4 ? buildIp(4, [1, 1, 1, 1], [2, 2, 2, 2], GRE, Buffer.alloc(0)) : ipv6(GRE, Buffer.alloc(0));
        const packet = fragmentOf(base, s.piece, s.id, 40, Buffer.alloc(s.piece.bytes, s.id));
        for (const { at, value } of s.mutations) packet[at % packet.length] = value;
        const buf = Buffer.concat([Buffer.alloc(s.head, 0x11), packet]);
        if (parseIp(view, buf, s.head, packet.length) === PARSE_OK && view.fragment) {
          if (r.add(view, 0, buf.length, s.zone, nowMs) === REASSEMBLY_COMPLETE) {
            completions++;
            const d = r.complete!;
            const frame = r.data.subarray(d.offset, d.offset + d.bytes);
            expect(frame.length - d.headBytes).toBeLessThanOrEqual(65_535);
            // What was made is a packet, and no fragment.
            expect(parseIp(view, frame, d.headBytes, d.bytes - d.headBytes)).not.toBe(4);
            expect(view.fragment).toBe(false);
            if (s.hold) held.push({ d, copy: Buffer.from(frame) });
            else r.free(d);
          }
        }
        expect(r.datagrams).toBeLessThanOrEqual(limits.maxDatagrams);
        expect(r.fragments).toBeLessThanOrEqual(limits.maxFragments);
        expect(r.usedBytes).toBeLessThanOrEqual(r.data.length);
        for (const { d, copy } of held) expect(r.data.subarray(d.offset, d.offset + d.bytes).equals(copy)).toBe(true);
      }
      for (const { d } of held) r.free(d);
      r.expire(nowMs + limits.lifetimeMs);
      expect([r.usedBytes, r.fragments, r.datagrams]).toEqual([0, 0, 0]);
    }),
    { numRuns: 200 },
  );
  expect(completions).toBeGreaterThan(10);
});
