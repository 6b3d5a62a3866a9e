import fc from 'fast-check';
import {
  PRIMARY_RECORD_WORDS,
  X_BASE,
  X_FLAGS,
  X_GAP,
  X_GAP_END,
  X_ISLAND,
  X_ISLAND_END,
  X_PRIMARY_NEXT,
  X_VERIFIED,
  XF_BASED,
  XF_DISORDER,
  XF_MIDSTREAM,
} from '../../../src/compare/flow-words';
import { isFar, VerifiedRange } from '../../../src/compare/verified-range';
import { FlowTable } from '../../../src/conntrack/flow-table';
import { MAX_POSITION_SPAN } from '../../../src/core/limits';

const FLOW = 0;
/** Streams that begin near the wrap-around of 32 bits, of 31, and elsewhere. */
const ISNS = [0xffffff9c, 0x7fffff9c, 1, 0xfffffff0];
const SPAN = 300;

function make(isn: number): { range: VerifiedRange; w: Uint32Array; at(n: number): number } {
  const flows = new FlowTable(1, PRIMARY_RECORD_WORDS);
  const range = new VerifiedRange(flows);
  return { range, w: flows.words, at: (n) => (isn + n) >>> 0 };
}

test.each(ISNS)('a stream from %i is verified as far as it was raised, and no further', (isn) => {
  const { range, at } = make(isn);
  range.start(FLOW, at(0));
  expect(range.holds(FLOW, at(0), at(0))).toBe(true);
  expect(range.holds(FLOW, at(0), at(1))).toBe(false);
  range.raise(FLOW, at(200));
  expect([range.holds(FLOW, at(0), at(200)), range.holds(FLOW, at(150), at(200))]).toEqual([true, true]);
  expect([
    range.holds(FLOW, at(0), at(201)),
    range.holds(FLOW, at(-1), at(5)),
    range.holds(FLOW, at(199), at(201)),
  ]).toEqual([false, false, false]);
});

test('a range that straddles the far half of the sequence space is not verified', () => {
  const { range, at } = make(5);
  range.start(FLOW, at(0));
  range.raise(FLOW, at(100));
  expect(range.holds(FLOW, at(50), at(50 + 2 ** 31))).toBe(false);
  expect(range.holds(FLOW, at(50 + 2 ** 31), at(60))).toBe(false);
});

test.each(ISNS)('from %i: what is lowered has to be raised again; the island above joins then', (isn) => {
  const { range, w, at } = make(isn);
  range.startMidstream(FLOW, at(0));
  range.raise(FLOW, at(200));
  range.lower(FLOW, at(50), 20);
  expect(w[FLOW + X_FLAGS]! & (XF_BASED | XF_MIDSTREAM | XF_DISORDER)).toBe(XF_BASED | XF_MIDSTREAM | XF_DISORDER);
  expect([
    range.holds(FLOW, at(0), at(50)),
    range.holds(FLOW, at(50), at(51)),
    range.holds(FLOW, at(69), at(71)),
    range.holds(FLOW, at(70), at(200)),
  ]).toEqual([true, false, false, true]);
  expect(range.raise(FLOW, at(60))).toBe(false);
  expect(range.raise(FLOW, at(70))).toBe(true);
  expect(range.holds(FLOW, at(0), at(200))).toBe(true);
  expect([w[FLOW + X_VERIFIED], w[FLOW + X_ISLAND] === w[FLOW + X_ISLAND_END]]).toEqual([at(200), true]);
});

test('what is repeated from before the base lowers the base, and the whole range becomes the island', () => {
  const { range, w, at } = make(0xffffffe0);
  range.startMidstream(FLOW, at(40));
  range.raise(FLOW, at(100));
  range.lower(FLOW, at(10), 20);
  expect([w[FLOW + X_BASE], w[FLOW + X_VERIFIED]]).toEqual([at(10), at(10)]);
  expect([range.holds(FLOW, at(40), at(100)), range.holds(FLOW, at(30), at(41))]).toEqual([true, false]);
  range.shortenIsland(FLOW, at(60));
  expect([range.holds(FLOW, at(40), at(60)), range.holds(FLOW, at(60), at(100))]).toEqual([false, true]);
});

test('the base follows at half of what would make it seem to lie ahead', () => {
  const { range, at } = make(7);
  range.start(FLOW, at(0));
  for (let n = 0; n < 2 ** 32; n += 2 ** 28) range.raise(FLOW, at(n));
  expect(range.holds(FLOW, at(2 ** 32 - 2 ** 28 - 2 ** 20), at(2 ** 32 - 2 ** 28))).toBe(true);
  expect(range.holds(FLOW, at(0), at(100))).toBe(false);
});

test('positions are far from one another beyond the span, in either direction', () => {
  for (const from of ISNS) {
    expect([isFar(from + MAX_POSITION_SPAN, from), isFar(from - MAX_POSITION_SPAN, from)]).toEqual([false, false]);
    expect([isFar(from + MAX_POSITION_SPAN + 1, from), isFar(from - MAX_POSITION_SPAN - 1, from)]).toEqual([
      true,
      true,
    ]);
  }
});

/**
 * The model: for each place, whether both have said it. What the range cannot express it may forget, but never invent.
 */
test('never more is verified than was raised and not lowered; one hole is told exactly', () => {
  const op = fc.record({
    kind: fc.constantFrom('raise', 'raise', 'lower', 'shorten'),
    at: fc.nat(SPAN),
    bytes: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...ISNS),
      fc.integer({ min: 0, max: 150 }),
      fc.array(op, { maxLength: 25 }),
      (isn, first, ops) => {
        const { range, w, at } = make(isn);
        const model: boolean[] = new Array(SPAN * 2).fill(false);
        let base = first;
        let holes = 0;
        range.startMidstream(FLOW, at(first));
        for (const o of ops) {
          const verified = (w[FLOW + X_VERIFIED]! - isn) | 0;
          const island = (w[FLOW + X_ISLAND]! - isn) | 0;
          const islandEnd = (w[FLOW + X_ISLAND_END]! - isn) | 0;
          if (o.kind === 'raise') {
            const to = Math.min(verified + o.bytes, SPAN);
            model.fill(true, verified, to);
            if (range.raise(FLOW, at(to))) holes = 0;
          } else if (o.kind === 'lower' && o.at < verified) {
            // As a repetition does it: up to the base if it begins before it, else up to what is verified.
            const n = Math.min(o.bytes, o.at < base ? base - o.at : verified - o.at);
            model.fill(false, o.at, o.at + n);
            base = Math.min(base, o.at);
            holes++;
            range.lower(FLOW, at(o.at), n);
          } else if (o.kind === 'shorten' && island !== islandEnd) {
            const to = Math.min(island + o.bytes, islandEnd);
            model.fill(false, island, to);
            range.shortenIsland(FLOW, at(to));
          }
          for (let i = 0; i < SPAN; i++) {
            const says = range.holds(FLOW, at(i), at(i + 1));
            if (says && !model[i]) throw new Error(`place ${i} is verified out of nothing`);
            if (holes <= 1 && base === first && says !== model[i]) throw new Error(`place ${i} was forgotten`);
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});

describe('what a checkpoint covers', () => {
  /** Takes the PVM's segments in, then covers what it has said; `said` are the places that it has said. */
  function cover(isn: number, from: number, segments: readonly (readonly [number, number])[]): (n: number) => boolean {
    const { range, w, at } = make(isn);
    range.primaryBegins(FLOW, at(from));
    range.start(FLOW, at(from));
    for (const [seq, bytes] of segments) range.primarySays(FLOW, w[FLOW + X_FLAGS]!, at(seq), at(seq + bytes));
    range.cover(FLOW, w[FLOW + X_PRIMARY_NEXT]!);
    return (n) => range.holds(FLOW, at(n), at(n + 1));
  }

  test.each(ISNS)('from %i: all, where nothing was passed by', (isn) => {
    const covered = cover(isn, 0, [
      [0, 100],
      [50, 50],
      [100, 100],
    ]);
    expect([covered(0), covered(199), covered(200), covered(-1)]).toEqual([true, true, false, false]);
  });

  test.each(ISNS)('from %i: nothing before the end of what was passed by', (isn) => {
    const covered = cover(isn, 0, [
      [0, 100],
      [150, 50],
    ]);
    expect([covered(0), covered(120), covered(150), covered(199)]).toEqual([false, false, true, true]);
  });

  test('all again, when the PVM has come back to it', () => {
    const covered = cover(0xffffffc0, 0, [
      [0, 100],
      [150, 50],
      [100, 50],
    ]);
    expect([covered(0), covered(120), covered(199)]).toEqual([true, true, true]);
  });

  test('what is retracted was never said', () => {
    const { range, w, at } = make(0xffffffc0);
    range.primaryBegins(FLOW, at(0));
    range.start(FLOW, at(0));
    range.raise(FLOW, at(60));
    range.primarySays(FLOW, w[FLOW + X_FLAGS]!, at(0), at(100));
    range.primarySays(FLOW, w[FLOW + X_FLAGS]!, at(150), at(200));
    range.retract(FLOW);
    expect([w[FLOW + X_PRIMARY_NEXT], w[FLOW + X_GAP] === w[FLOW + X_GAP_END]]).toEqual([at(60), true]);
  });

  test('nothing that the PVM has not said, whatever the order', () => {
    const segment = fc.tuple(fc.nat(SPAN), fc.integer({ min: 1, max: 80 }));
    fc.assert(
      fc.property(fc.constantFrom(...ISNS), fc.array(segment, { minLength: 1, maxLength: 12 }), (isn, segments) => {
        const said = new Set<number>();
        for (const [seq, bytes] of segments) for (let i = seq; i < seq + bytes; i++) said.add(i);
        const covered = cover(isn, 0, segments);
        for (let i = -5; i < SPAN + 100; i++)
          if (covered(i) && !said.has(i)) throw new Error(`place ${i} is covered and was not said`);
      }),
      { numRuns: 1000 },
    );
  });
});
