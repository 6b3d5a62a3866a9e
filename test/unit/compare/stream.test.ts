// The comparison of two streams without an engine around it, against the plainest model: what each side has said, byte
// by place.

import fc from 'fast-check';
import { X_FLAGS, X_PRIMARY_NEXT, X_VERIFIED, XF_BASED, XF_MIDSTREAM } from '../../../src/compare/flow-words';
import { CheckpointCause, DIVERGED, EXHAUSTED, WAIT } from '../../../src/compare/outcome';
import { LOG_HELD } from '../../../src/compare/packet-log';
import { DIFFERS } from '../../../src/compare/stream';
import { MAX_POSITION_SPAN } from '../../../src/core/limits';
import { FLOW, ISNS, Parts } from './stream-parts';

/**
 * A PVM segment as the intake brings it: what waits is logged and stored. Returns the bytes that wait; negative: it
 * diverged.
 */
function primary(t: Parts, at: number, bytes: Buffer): number {
  const rest = t.stream.primary(FLOW, t.at(at), bytes, 0, bytes.length);
  if (rest <= 0) return rest;
  const id = t.log.append(FLOW, bytes, 0, bytes.length, LOG_HELD);
  const from = bytes.length - rest;
  const outcome = t.stream.storePrimary(FLOW, id, 0, t.at(at + from), bytes, from, rest);
  t.log.unneed(id, LOG_HELD);
  return outcome === WAIT ? rest : DIFFERS;
}

const p = (t: Parts, at: number, text: string): number => primary(t, at, Buffer.from(text));
const s = (t: Parts, at: number, text: string): number =>
  t.stream.secondary(FLOW, t.at(at), Buffer.from(text), 0, text.length);
const verified = (t: Parts): number => (t.w[FLOW + X_VERIFIED]! - t.isn) | 0;

describe.each(ISNS)('two streams from %i', (isn) => {
  test('the PVM ahead: its bytes wait until the SVM has said them, however cut', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    expect([p(t, 0, 'hello '), p(t, 6, 'world')]).toEqual([6, 5]);
    expect([s(t, 0, 'hel'), verified(t), s(t, 3, 'lo wor'), verified(t), s(t, 9, 'ld'), verified(t)]).toEqual([
      WAIT,
      3,
      WAIT,
      9,
      WAIT,
      11,
    ]);
    expect(p(t, 0, 'hello world')).toBe(0);
  });

  test('the SVM ahead: the PVM’s bytes are verified at once, their end waits', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    s(t, 6, 'wor');
    s(t, 0, 'hello ');
    expect([t.stream.secondaryAhead(FLOW), t.stream.secondaryEnd(FLOW)]).toEqual([true, t.at(9)]);
    expect(p(t, 0, 'hello world')).toBe(2);
    expect([t.stream.secondaryAhead(FLOW), t.stream.secondaryEnd(FLOW)]).toEqual([false, t.at(9)]);
    expect(t.stream.isEven(FLOW, t.at(9))).toBe(false);
    s(t, 9, 'ld');
    expect(t.stream.isEven(FLOW, t.at(11))).toBe(true);
  });

  test('the first differing byte is told, with the bytes of both', () => {
    for (const first of ['p', 's']) {
      const t = new Parts(isn);
      t.range.start(FLOW, t.at(0));
      const outcomes = first === 'p' ? [p(t, 0, 'hello'), s(t, 0, 'heLlo')] : [s(t, 0, 'heLlo'), p(t, 0, 'hello')];
      expect(outcomes).toEqual(first === 'p' ? [5, DIVERGED] : [WAIT, DIFFERS]);
      const d = t.difference;
      expect([d.cause, d.position, d.primary![d.primaryOffset], d.secondary![d.secondaryOffset]]).toEqual([
        CheckpointCause.PAYLOAD,
        t.at(2),
        0x6c,
        0x4c,
      ]);
    }
  });

  test('a retransmission that says something else differs; one whose history is forgotten has to be said again by the SVM', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    p(t, 0, 'hello world');
    s(t, 0, 'hello world');
    expect([p(t, 2, 'llo'), p(t, 2, 'lXo')]).toEqual([0, DIFFERS]);
    t.wash(1 << 16);
    expect([p(t, 2, 'lXo'), t.range.holds(FLOW, t.at(0), t.at(2)), t.range.holds(FLOW, t.at(5), t.at(11))]).toEqual([
      3,
      true,
      true,
    ]);
    expect(s(t, 2, 'llo')).toBe(DIVERGED);
  });

  test('behind a part that has to be said again, the PVM may repeat only what was verified there', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    p(t, 0, 'forgotten');
    s(t, 0, 'forgotten');
    t.wash(1 << 16);
    p(t, 9, 'recent');
    s(t, 9, 'recent');
    expect([p(t, 2, 'rgo'), verified(t), t.range.holds(FLOW, t.at(5), t.at(15))]).toEqual([3, 2, true]);
    expect(p(t, 10, 'ecXn')).toBe(DIFFERS);
    expect([t.difference.cause, t.difference.position]).toEqual([CheckpointCause.RETRANSMISSION, t.at(12)]);
    expect(p(t, 10, 'ecen')).toBe(4);
  });

  test('a stream first seen in its middle begins there; what the PVM repeats of before is compared with what the SVM said of it', () => {
    const t = new Parts(isn);
    expect(p(t, 50, 'late')).toBe(4);
    expect(t.w[FLOW + X_FLAGS]! & (XF_BASED | XF_MIDSTREAM)).toBe(XF_BASED | XF_MIDSTREAM);
    s(t, 45, 'very late');
    expect(verified(t)).toBe(54);
    expect([p(t, 45, 'very '), verified(t)]).toEqual([0, 54]);
    s(t, 40, 'much ');
    expect(p(t, 40, 'muXh ')).toBe(DIFFERS);
  });

  test('a checkpoint covers what the PVM has said, and the history tells what that was', () => {
    const t = new Parts(isn);
    t.range.primaryBegins(FLOW, t.at(0));
    t.range.start(FLOW, t.at(0));
    p(t, 0, 'hello');
    t.range.primarySays(FLOW, t.w[FLOW + X_FLAGS]!, t.at(0), t.at(5));
    t.stream.coverPrimary(FLOW, t.w[FLOW + X_PRIMARY_NEXT]!);
    expect([verified(t), p(t, 0, 'hello'), p(t, 0, 'heXlo')]).toEqual([5, 0, DIFFERS]);
  });

  test('what lies further away than any window has no place: the PVM’s differs, the SVM’s says nothing', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    expect([
      p(t, MAX_POSITION_SPAN + 1, 'far'),
      s(t, MAX_POSITION_SPAN + 1, 'far'),
      t.stream.secondaryAhead(FLOW),
    ]).toEqual([DIFFERS, WAIT, false]);
  });

  test('the PVM contradicts itself where the SVM has said nothing yet', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    p(t, 10, 'later');
    p(t, 20, 'much later');
    expect(p(t, 10, 'lateX')).toBe(DIFFERS);
    expect(t.difference.cause).toBe(CheckpointCause.RETRANSMISSION);
  });

  test('the SVM contradicts itself in one byte of several; alone it would be a keepalive’s, which may be garbage', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    p(t, 0, 'hello');
    s(t, 0, 'hello');
    expect([s(t, 4, 'X'), s(t, 4, 'o wor'), s(t, 4, 'X wor')]).toEqual([WAIT, WAIT, DIVERGED]);
    expect(t.difference.position).toBe(t.at(4));
  });

  test('a hole of a capture is passed over, and what lies behind it compared', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    p(t, 3, 'lo');
    s(t, 3, 'lX');
    expect([t.stream.passOver(FLOW, 3), t.difference.position]).toEqual([DIVERGED, t.at(4)]);
  });
});

/**
 * Verified is exactly what both have said from the beginning without a hole, and a difference is found exactly when
 * there is one.
 */
test('random streams, cut, repeated, shuffled, with a byte flipped now and then', () => {
  const op = fc.record({
    side: fc.constantFrom('p', 's'),
    at: fc.nat(300),
    bytes: fc.integer({ min: 2, max: 60 }),
    flip: fc.oneof({ weight: 20, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(59) }),
  });
  let diverged = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...ISNS),
      fc.constantFrom(1, 0xfffffff0),
      fc.array(op, { minLength: 5, maxLength: 60 }),
      (isn, firstId, ops) => {
        const t = new Parts(isn, 1 << 16, firstId);
        t.range.start(FLOW, t.at(0));
        const said = { p: new Map<number, number>(), s: new Map<number, number>() };
        for (const o of ops) {
          const bytes = Buffer.from(Array.from({ length: o.bytes }, (_, i) => ((o.at + i) * 13) & 255));
          if (o.flip >= 0 && o.flip < bytes.length) bytes[o.flip]! ^= 1;
          const own = o.side === 'p' ? said.p : said.s;
          // Beyond the first hole of either side nothing is compared between the two yet, but a side may not contradict
          // itself anywhere.
          const against = (i: number): boolean => bytes[i] !== (own.get(o.at + i) ?? bytes[i]);
          const itself = [...bytes.keys()].some(against);
          const outcome =
            o.side === 'p' ? primary(t, o.at, bytes) : t.stream.secondary(FLOW, t.at(o.at), bytes, 0, bytes.length);
          if (o.side === 's' && outcome === EXHAUSTED) throw new Error('the log was to be large enough');
          for (const [i, b] of bytes.entries()) own.set(o.at + i, own.get(o.at + i) ?? b);
          let to = 0;
          while (said.p.has(to) && said.s.has(to) && said.p.get(to) === said.s.get(to)) to++;
          const between = said.p.has(to) && said.s.has(to);
          const differs = outcome === (o.side === 'p' ? DIFFERS : DIVERGED);
          if (differs !== (itself || between))
            throw new Error(`a difference was ${differs ? 'made up' : 'overlooked'}`);
          if (differs) {
            diverged++;
            return;
          }
          expect(verified(t)).toBe(to);
        }
      },
    ),
    { numRuns: 800 },
  );
  expect(diverged).toBeGreaterThan(50);
});
