import fc from 'fast-check';
import { HISTORY_DIFFERS, HISTORY_EQUAL, HISTORY_UNKNOWN } from '../../../src/compare/history';
import { CheckpointCause } from '../../../src/compare/outcome';
import { R_BYTES, R_SEQ } from '../../../src/compare/packet-log';
import { OF_PRIMARY, OF_SECONDARY } from '../../../src/compare/stream-lists';
import { FLOW, ISNS, Parts } from './stream-parts';

/** Both guests have said the text at that place, and it is verified. */
function verified(t: Parts, at: number, text: string): void {
  const bytes = Buffer.from(text, 'latin1');
  const id = t.log.append(FLOW, bytes, 0, bytes.length, 0);
  const r = t.log.recordIndex(id);
  t.log.words[r + R_SEQ] = t.at(at);
  t.log.words[r + R_BYTES] = bytes.length;
  t.lists.pushHistory(FLOW, id);
  t.range.raise(FLOW, t.at(at + bytes.length));
}

function check(t: Parts, at: number, text: string, secondary = false): number {
  return t.history.check(FLOW, t.at(at), Buffer.from(text, 'latin1'), 0, text.length, secondary);
}

describe.each(ISNS)('a history from %i', (isn) => {
  test('tells of any part of what was verified, over the edges of records', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(90));
    verified(t, 90, 'hello ');
    verified(t, 96, 'wor');
    verified(t, 99, 'ld');
    expect([check(t, 90, 'hello world'), check(t, 94, 'o wo'), check(t, 100, 'd')]).toEqual([
      HISTORY_EQUAL,
      HISTORY_EQUAL,
      HISTORY_EQUAL,
    ]);
    expect(check(t, 94, 'o wX')).toBe(HISTORY_DIFFERS);
    expect(check(t, 89, 'xhello')).toBe(HISTORY_UNKNOWN);
  });

  test('reports a difference by the side that repeats', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(90));
    verified(t, 90, 'hello world');
    for (const secondary of [false, true]) {
      expect(check(t, 92, 'lXo', secondary)).toBe(HISTORY_DIFFERS);
      const d = t.difference;
      expect([d.cause, d.position]).toEqual([CheckpointCause.RETRANSMISSION, t.at(93)]);
      const shown = [d.primary![d.primaryOffset], d.secondary![d.secondaryOffset]];
      expect(secondary ? shown.reverse() : shown).toEqual([0x58, 0x6c]);
    }
  });

  test('knows of a head of either side that is verified in part', () => {
    for (const list of [OF_PRIMARY, OF_SECONDARY] as const) {
      const t = new Parts(isn);
      t.range.start(FLOW, t.at(90));
      const bytes = Buffer.from('hello world');
      t.lists.insert(FLOW, list, t.at(90), bytes, 0, bytes.length, list === OF_PRIMARY ? t.packet(bytes) : 0, 0);
      t.range.raise(FLOW, t.at(95));
      t.lists.popPrimary(FLOW);
      t.lists.popSecondary(FLOW);
      expect([check(t, 91, 'ello'), check(t, 91, 'elXo')]).toEqual([HISTORY_EQUAL, HISTORY_DIFFERS]);
    }
  });

  test('does not know what the ring has forgotten, and says so', () => {
    const t = new Parts(isn);
    t.range.start(FLOW, t.at(0));
    verified(t, 0, 'hello');
    t.wash(1 << 15);
    verified(t, 5, 'world');
    expect([check(t, 0, 'hello'), check(t, 4, 'oworld'), check(t, 5, 'world')]).toEqual([
      HISTORY_UNKNOWN,
      HISTORY_UNKNOWN,
      HISTORY_EQUAL,
    ]);
  });
});

/** The model: the text that was verified, and from where on the ring remembers it. */
test('equal means that all bytes are the verified ones, different that one is not, and what is remembered is known', () => {
  const op = fc.record({
    bytes: fc.integer({ min: 1, max: 300 }),
    back: fc.oneof(fc.nat(500), fc.nat(6000)),
    n: fc.integer({ min: 1, max: 200 }),
    flip: fc.option(fc.nat(199)),
  });
  const seen = [0, 0, 0];
  fc.assert(
    fc.property(
      fc.constantFrom(...ISNS),
      fc.constantFrom(1, 0xfffffff0),
      fc.array(op, { minLength: 20, maxLength: 60 }),
      (isn, firstId, ops) => {
        const t = new Parts(isn, 1 << 12, firstId);
        t.range.start(FLOW, t.at(0));
        let said = '';
        for (const o of ops) {
          const more = String.fromCharCode(
            ...Array.from({ length: o.bytes }, (_, i) => ((said.length + i) * 31) & 255),
          );
          verified(t, said.length, more);
          said += more;
          const from = Math.max(0, said.length - o.back - 1);
          const bytes = Buffer.from(said.slice(from, from + o.n), 'latin1');
          const flipped = o.flip !== null && o.flip < bytes.length;
          if (flipped) bytes[o.flip!]! ^= 1;
          const found = t.history.check(FLOW, t.at(from), bytes, 0, bytes.length, false);
          seen[found]!++;
          if (found === HISTORY_EQUAL && flipped) throw new Error('a flipped byte was overlooked');
          if (found === HISTORY_DIFFERS && !flipped) throw new Error('a difference was made up');
          // 4096 bytes of ring, at most 60 runs that lose up to 8 bytes each: so much is always there.
          if (found === HISTORY_UNKNOWN && said.length - from < 3000)
            throw new Error('what is remembered was not found');
        }
      },
    ),
    { numRuns: 300 },
  );
  expect(seen.every((n) => n > 100)).toBe(true);
});
