import fc from 'fast-check';
import { OffsetTable, Rank } from '../../../src/conntrack/offset-table';
import { FLOW_KEY_WORDS } from '../../../src/packet/tuple';

const CAPACITY = 4;
const wordsFor = (capacity: number) => new Uint32Array(OffsetTable.bytesFor(capacity) / 4);
const keyOf = (n: number) => Uint32Array.from([n, 0, 0, 0, ~n, 0, 0, 0, n * 7, (4 << 8) | 6]);

/** Everything that a new process would see in the memory. */
function dump(words: Uint32Array): string {
  const table = new OffsetTable(words.slice());
  const records: unknown[] = [];
  const key = new Uint32Array(FLOW_KEY_WORDS);
  for (let s = table.next(-1); s >= 0; s = table.next(s)) {
    table.copyKey(s, key);
    const echo = table.echoKnown(s) ? table.echo(s) : null;
    const values = [table.flags(s), table.off(s), table.tsOff(s), table.extra(s)];
    records.push({ key: [...key], values, echo, current: table.isCurrent(s) });
  }
  expect(table.size).toBe(records.length);
  expect(table.damaged).toBe(0);
  return JSON.stringify([records, table.epoch, table.failedOver, table.owner(1)]);
}

let snapshots: Uint32Array[] = [];

/** Keeps what the memory looked like after every single store. */
class WatchedTable extends OffsetTable {
  protected override store(index: number, value: number): void {
    super.store(index, value);
    snapshots.push(this.words.slice());
  }

  override noteEcho(slot: number, tsEcr: number): void {
    super.noteEcho(slot, tsEcr);
    snapshots.push(this.words.slice());
  }
}

type Step = { op: string; n: number; a: number; b: number };

function apply(table: OffsetTable, { op, n, a, b }: Step): void {
  const slot = n < CAPACITY && table.rank(n) >= Rank.Finished ? n : -1;
  if (op === 'insert') {
    table.insert(keyOf(n), 0, Rank.Live, a & 0xff, a, b, a ^ b);
  } else if (op === 'epoch') table.advanceEpoch();
  else if (op === 'failover') table.failedOver = !table.failedOver;
  else if (op === 'owner') table.setOwner(1, a);
  else if (op === 'clear') table.clear();
  else if (slot >= 0 && op === 'write') table.write(slot, b & 0xff, b, a, 1);
  else if (slot >= 0 && op === 'remove') table.remove(slot);
  else if (slot >= 0 && op === 'echo') table.noteEcho(slot, a);
  else if (slot >= 0 && op === 'forget') table.forgetEcho(slot);
}

const word = fc.integer({ min: 0, max: 0xffffffff });
const step = fc.record({
  op: fc.constantFrom(
    ...[
      'insert',
      'insert',
      'insert',
      'write',
      'write',
      'remove',
      'echo',
      'forget',
      'epoch',
      'failover',
      'owner',
      'clear',
    ],
  ),
  n: fc.integer({ min: 0, max: CAPACITY + 1 }),
  a: word,
  b: word,
});

describe('OffsetTable after a kill', () => {
  test('at any store of any operation the memory holds what it held before, or what it was to hold', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const words = wordsFor(CAPACITY);
        const table = new WatchedTable(words);
        for (const s of steps) {
          const before = dump(words);
          snapshots = [];
          apply(table, s);
          const after = dump(words);
          for (const snapshot of snapshots) expect([before, after]).toContain(dump(snapshot));
        }
        snapshots = [];
      }),
      { numRuns: 150 },
    );
  });

  test('a kill while the table is first set up leaves an empty table', () => {
    for (const start of [wordsFor(CAPACITY), wordsFor(CAPACITY).fill(0xdeadbeef)]) {
      snapshots = [];
      new WatchedTable(start);
      expect(snapshots.length).toBeGreaterThan(5);
      for (const s of snapshots) expect(new OffsetTable(s).size).toBe(0);
    }
  });

  test('the next process goes on with what it finds', () => {
    const words = wordsFor(CAPACITY);
    const first = new OffsetTable(words);
    expect(first.origin).toBe('new');
    const old = first.insert(keyOf(1), 0, Rank.Live, 3, 100, 200, 300);
    first.noteEcho(old, 77);
    first.advanceEpoch();
    const young = first.insert(keyOf(2), 0, Rank.Live, 3, 400, 500, 600);
    first.failedOver = true;
    const second = new OffsetTable(words);
    expect(second.origin).toBe('resumed');
    expect([second.size, second.failedOver, second.epoch]).toEqual([2, true, first.epoch]);
    expect([second.isCurrent(old), second.isCurrent(young)]).toEqual([false, true]);
    expect([second.echoKnown(old), second.echo(old), second.echoKnown(young)]).toEqual([true, 77, false]);
    expect([second.off(young), second.tsOff(young), second.extra(young)]).toEqual([400, 500, 600]);
    expect(second.insert(keyOf(3), 0, Rank.Live, 0, 0, 0, 0)).toBe(2);
  });
});

describe('OffsetTable on foreign memory', () => {
  test('starts empty and says why', () => {
    const sound = wordsFor(CAPACITY);
    new OffsetTable(sound).insert(keyOf(1), 0, Rank.Live, 0, 1, 2, 3);
    const altered = (index: number, value: number) => {
      const words = sound.slice();
      words[index] = value;
      return new OffsetTable(words);
    };
    const cases: [OffsetTable, string][] = [
      [altered(0, 0x12345678), 'not-a-table'],
      [altered(0, 0), 'not-a-table'],
      [altered(1, 1), 'other-version'],
      [altered(2, 24), 'other-size'],
      [altered(7, CAPACITY + 1), 'damaged'],
      [altered(6, 9), 'damaged'],
      [new OffsetTable(sound.slice(0, -32)), 'other-size'],
    ];
    for (const [table, origin] of cases) {
      expect([table.origin, table.size]).toEqual([origin, 0]);
      expect(table.insert(keyOf(5), 0, Rank.Live, 0, 0, 0, 0)).toBe(0);
      expect(table.epoch).toBe(1);
    }
    expect(new OffsetTable(sound).origin).toBe('resumed');
  });

  test('a flipped bit costs at most the record it is in', () => {
    const sound = wordsFor(CAPACITY);
    const table = new OffsetTable(sound);
    for (let n = 0; n < CAPACITY; n++) table.insert(keyOf(n), 0, Rank.Live, n, n, n, n);
    fc.assert(
      fc.property(fc.integer({ min: 16, max: sound.length - 1 }), fc.integer({ min: 0, max: 31 }), (index, bit) => {
        const words = sound.slice();
        words[index] = words[index]! ^ (1 << bit);
        const reopened = new OffsetTable(words);
        expect(reopened.size + reopened.damaged).toBeGreaterThanOrEqual(CAPACITY - 1);
        for (let s = reopened.next(-1); s >= 0; s = reopened.next(s)) {
          expect([reopened.flags(s), reopened.off(s), reopened.tsOff(s), reopened.extra(s)]).toEqual([s, s, s, s]);
        }
      }),
    );
  });

  test('any bytes at all are survived', () => {
    const header = fc.constantFrom([0x434f4c4f, 1, 32, CAPACITY, 5, 1, 0, CAPACITY], [0, 0, 0, 0, 0, 0, 0, 0]);
    const body = fc.array(word, { minLength: 136, maxLength: 136 });
    fc.assert(
      fc.property(header, body, (head, rest) => {
        const table = new OffsetTable(Uint32Array.from([...head, ...rest]));
        expect(table.size).toBe(0);
        expect(table.insert(keyOf(1), 0, Rank.Live, 0, 9, 0, 0)).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe('who gives way', () => {
  test('the oldest finished before the settled, the settled before the half open, and the live never', () => {
    const table = new OffsetTable(wordsFor(6));
    const put = (n: number, rank: Rank) => table.insert(keyOf(n), 0, rank, 0, 0, 0, 0);
    const live = put(0, Rank.Live);
    const embryonic = put(1, Rank.Embryonic);
    const settled = put(2, Rank.Settled);
    const f1 = put(3, Rank.Live);
    const f2 = put(4, Rank.Finished);
    table.setRank(f1, Rank.Finished);
    const last = put(5, Rank.Live);
    expect(put(6, Rank.Live)).toBe(-1);
    for (const expected of [f2, f1, settled, embryonic]) {
      expect(table.victim()).toBe(expected);
      table.remove(expected);
    }
    expect(table.victim()).toBe(-1);
    expect([table.countOf(Rank.Live), table.size]).toEqual([2, 2]);
    table.advanceEpoch();
    expect(table.victim()).toBe(live);
    table.remove(live);
    table.write(last, 0, 1, 1, 1);
    expect(table.victim()).toBe(-1);
  });

  test('holders are the caller’s and go with the record', () => {
    const table = new OffsetTable(wordsFor(1));
    const slot = table.insert(keyOf(1), 0, Rank.Live, 0, 0, 0, 0);
    table.setHolder(slot, 96);
    expect(table.holder(slot)).toBe(96);
    table.remove(slot);
    expect(table.holder(slot)).toBe(-1);
    table.noteEcho(slot, 5);
    expect(table.insert(keyOf(2), 0, Rank.Live, 0, 0, 0, 0)).toBe(slot);
    expect(table.echoKnown(slot)).toBe(false);
    table.clear();
    expect([table.size, table.next(-1), table.victim()]).toEqual([0, -1, -1]);
  });
});
