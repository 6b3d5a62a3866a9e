import fc from 'fast-check';
import { X_BASE, X_HISTORY, X_VERIFIED } from '../../../src/compare/flow-words';
import { CheckpointCause, DIVERGED, EXHAUSTED, WAIT } from '../../../src/compare/outcome';
import { LOG_HELD, LOG_SOLE, R_FLAGS, R_PREV } from '../../../src/compare/packet-log';
import { type List, OF_PRIMARY, OF_SECONDARY } from '../../../src/compare/stream-lists';
import { BELOW_BASE_LIMIT, MAX_POSITION_SPAN } from '../../../src/core/limits';
import { FLOW, ISNS, Parts } from './stream-parts';

function say(t: Parts, list: List, at: number, text: string): number {
  const bytes = Buffer.from(text);
  const packet = list === OF_PRIMARY ? t.packet(bytes) : 0;
  return t.lists.insert(FLOW, list, t.at(at), bytes, 0, bytes.length, packet, 0);
}

const texts = (t: Parts, list: List): [number, string][] =>
  t.records(list).map(({ at, bytes }) => [at, bytes.toString('latin1')]);

describe.each(ISNS)('a list from %i', (isn) => {
  test.each([OF_PRIMARY, OF_SECONDARY] as const)(
    'is in stream order, whatever the order of arrival, holes filled once (list at word %i)',
    (list) => {
      const t = new Parts(isn);
      expect(say(t, list, 110, 'klmno')).toBe(WAIT);
      expect(say(t, list, 100, 'abc')).toBe(WAIT);
      expect(say(t, list, 98, 'yzabcdefghijklmnopq')).toBe(WAIT);
      expect(
        texts(t, list)
          .map(([, text]) => text)
          .join(''),
      ).toBe('yzabcdefghijklmnopq');
      expect(t.lists.end(FLOW, list)).toBe(t.at(117));
    },
  );

  test('an overlap must say the same: the difference tells where, and each side’s bytes', () => {
    const t = new Parts(isn);
    say(t, OF_SECONDARY, 0, 'hello');
    expect(say(t, OF_SECONDARY, 2, 'lXo')).toBe(DIVERGED);
    expect([t.difference.cause, t.difference.position]).toEqual([CheckpointCause.RETRANSMISSION, t.at(3)]);
    const { secondary, secondaryOffset, primary, primaryOffset } = t.difference;
    expect([primary![primaryOffset], secondary![secondaryOffset]]).toEqual([0x6c, 0x58]);
  });

  test('what is verified goes: the PVM’s to the history, the SVM’s where it is the only copy, what lies below the base not at all', () => {
    const t = new Parts(isn);
    t.range.startMidstream(FLOW, t.at(10));
    say(t, OF_SECONDARY, 0, 'below');
    say(t, OF_SECONDARY, 10, 'first');
    say(t, OF_SECONDARY, 15, 'second');
    const head = t.w[FLOW + OF_SECONDARY]!;
    say(t, OF_PRIMARY, 10, 'firstse');
    const packet = t.w[FLOW + OF_PRIMARY]!;
    t.range.raise(FLOW, t.at(17));
    t.lists.popPrimary(FLOW);
    t.lists.popSecondary(FLOW);
    expect([texts(t, OF_PRIMARY), texts(t, OF_SECONDARY)]).toEqual([
      [],
      [
        [0, 'below'],
        [15, 'second'],
      ],
    ]);
    expect(t.w[FLOW + X_HISTORY]).toBe(packet);
    const sole = t.w[FLOW + OF_SECONDARY + 1]!;
    t.log.words[t.log.recordIndex(sole) + R_FLAGS]! |= LOG_SOLE;
    t.range.raise(FLOW, t.at(21));
    t.lists.popSecondary(FLOW);
    expect(texts(t, OF_SECONDARY)).toEqual([[0, 'below']]);
    expect([t.w[FLOW + X_HISTORY], t.log.words[t.log.recordIndex(sole) + R_PREV], t.w[FLOW + OF_SECONDARY]]).toEqual([
      sole,
      packet,
      head,
    ]);
  });

  test('a place is found in the SVM’s list; of what nobody asks for any more a bounded part is kept', () => {
    const t = new Parts(isn);
    for (let i = 0; i < BELOW_BASE_LIMIT + 5; i++) say(t, OF_SECONDARY, 2 * i, 'x');
    say(t, OF_SECONDARY, 500, 'here');
    expect(t.lists.secondaryAt(FLOW, t.at(499))).toBe(0);
    const found = t.lists.secondaryAt(FLOW, t.at(503));
    expect(found).toBe(t.w[FLOW + OF_SECONDARY + 1]);
    expect(t.records(OF_SECONDARY).length).toBe(BELOW_BASE_LIMIT + 1);
    expect(t.lists.secondaryAt(FLOW, t.at(504))).toBe(0);
  });

  test('a repetition is one as far as every byte is pending', () => {
    const t = new Parts(isn);
    say(t, OF_PRIMARY, 0, 'abcdef');
    say(t, OF_PRIMARY, 6, 'ghij');
    const repeats = (at: number, text: string): boolean =>
      t.lists.repeatsPrimary(FLOW, t.at(at), Buffer.from(text), 0, text.length);
    expect([
      repeats(0, 'abcdefghij'),
      repeats(3, 'defgh'),
      repeats(3, 'defXh'),
      repeats(8, 'ijk'),
      repeats(-1, 'zab'),
    ]).toEqual([true, true, false, false, false]);
  });

  test('the numbers of the SVM are shifted, and a list knows what is too far for its order', () => {
    const t = new Parts(isn);
    expect(t.lists.isFar(FLOW, OF_SECONDARY, t.at(2 ** 31))).toBe(false);
    say(t, OF_SECONDARY, 0, 'abc');
    say(t, OF_SECONDARY, 7, 'def');
    t.lists.renumberSecondary(FLOW, -100);
    expect(texts(t, OF_SECONDARY)).toEqual([
      [-100, 'abc'],
      [-93, 'def'],
    ]);
    expect([
      t.lists.isFar(FLOW, OF_SECONDARY, t.at(0)),
      t.lists.isFar(FLOW, OF_SECONDARY, t.at(MAX_POSITION_SPAN)),
    ]).toEqual([false, true]);
  });
});

test('what is settled is history, what is dropped is not; neither is needed by anybody', () => {
  for (const settled of [true, false]) {
    const t = new Parts(1);
    say(t, OF_PRIMARY, 0, 'abc');
    say(t, OF_PRIMARY, 3, 'def');
    for (let id = t.w[FLOW + OF_PRIMARY]!; t.log.alive(id, FLOW); id++) t.log.unneed(id, LOG_HELD);
    const tail = t.w[FLOW + OF_PRIMARY + 1];
    if (settled) t.lists.settlePrimary(FLOW);
    else t.lists.drop(FLOW, OF_PRIMARY);
    expect([t.log.neededBytes, t.records(OF_PRIMARY), t.w[FLOW + X_HISTORY]]).toEqual([0, [], settled ? tail : 0]);
  }
});

/**
 * The model: byte by place for each side. Texts contradict one another here and there; the log is small, so that
 * records move.
 */
test('each list holds what its side has said and the other has not, whatever moves in the log', () => {
  const op = fc.record({
    kind: fc.constantFrom('primary', 'primary', 'secondary', 'secondary', 'raise', 'wash'),
    at: fc.nat(400),
    bytes: fc.integer({ min: 1, max: 60 }),
    text: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1),
  });
  let moves = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...ISNS),
      fc.constantFrom(1, 0xfffffff0),
      fc.constantFrom(1 << 11, 1 << 13),
      fc.array(op, { minLength: 5, maxLength: 60 }),
      (isn, firstId, logBytes, ops) => {
        const t = new Parts(isn, logBytes, firstId);
        const { owner } = t.log;
        t.log.owner = {
          onMove: (...how) => {
            moves++;
            owner!.onMove(...how);
          },
        };
        const model = { [OF_PRIMARY]: new Map<number, number>(), [OF_SECONDARY]: new Map<number, number>() };
        t.range.start(FLOW, t.at(0));
        let verified = 0;
        for (const o of ops) {
          if (o.kind === 'wash') t.wash(o.at * 4);
          else if (o.kind === 'raise') {
            verified = Math.min(verified + o.bytes, 460);
            t.range.raise(FLOW, t.at(verified));
            t.lists.popPrimary(FLOW);
            t.lists.popSecondary(FLOW);
          } else {
            const list = o.kind === 'primary' ? OF_PRIMARY : OF_SECONDARY;
            const from = Math.max(o.at, verified);
            const bytes = Buffer.from(Array.from({ length: o.bytes }, (_, i) => ((from + i) * 7 + o.text) & 255));
            if (list === OF_PRIMARY && !t.log.hasRoom(2 * o.bytes)) return;
            const packet = list === OF_PRIMARY ? t.packet(bytes) : 0;
            const there = t.places(list);
            const contradicts = [...bytes].some((b, i) => (there.get(from + i) ?? b) !== b);
            const outcome = t.lists.insert(FLOW, list, t.at(from), bytes, 0, bytes.length, packet, 0);
            if (outcome === EXHAUSTED) return;
            if ((outcome === DIVERGED) !== contradicts) throw new Error('a contradiction was overlooked, or made up');
            if (contradicts) return;
            for (const [i, b] of bytes.entries()) model[list].set(from + i, b);
          }
          for (const list of [OF_PRIMARY, OF_SECONDARY] as const) {
            const there = t.places(list);
            for (const [at, b] of there)
              if (model[list].get(at) !== b) throw new Error(`place ${at} was never said so`);
            for (const at of model[list].keys())
              if (at >= verified && !there.has(at)) throw new Error(`place ${at} is lost`);
          }
          expect([t.w[FLOW + X_BASE], t.w[FLOW + X_VERIFIED]]).toEqual([t.at(0), t.at(verified)]);
        }
      },
    ),
    { numRuns: 500 },
  );
  expect(moves).toBeGreaterThan(100);
});
