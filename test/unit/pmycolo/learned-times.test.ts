import fc from 'fast-check';
import { TIME_CLASSES } from '../../../src/core/limits';
import {
  ACK_FLOOR_MS,
  FLOOR_MS,
  LEARNED_FROM,
  LearnedTimes,
  WAIT_ACK,
  WAIT_AHEAD,
  WAIT_CONTENT,
  WINDOW_MS,
} from '../../../src/pmycolo/learned-times';

const MOST_MS = 3000;
const words = new Uint32Array(4);

function host(n: number): Uint32Array {
  words[0] = n;
  return words;
}

class Learner {
  readonly times = new LearnedTimes(MOST_MS, 1, 2);
  now = 0;
  cls(n = 1, port = 5432, kind: 0 | 1 | 2 = WAIT_CONTENT): number {
    return this.times.classOf(kind, 6, port, host(n), 0);
  }
  /** Waits that ended by themselves, one each 10 ms. */
  ended(cls: number, waits: readonly number[]): this {
    for (const ms of waits) {
      this.now += 10;
      this.times.ended(cls, ms, this.now);
    }
    return this;
  }
  limit(cls: number): number {
    return this.times.limitMs(cls);
  }
}

const many = (ms: number, count = 1000): number[] => Array(count).fill(ms);

test('what is not known may last as long as any', () => {
  const l = new Learner();
  expect(l.limit(l.cls())).toBe(MOST_MS);
  expect(l.ended(l.cls(), many(1, LEARNED_FROM - 1)).limit(l.cls())).toBe(MOST_MS);
  expect(l.ended(l.cls(), [1]).limit(l.cls())).toBe(FLOOR_MS);
});

test.each([
  [WAIT_CONTENT, FLOOR_MS],
  [WAIT_AHEAD, FLOOR_MS],
  [WAIT_ACK, ACK_FLOOR_MS],
] as const)('kind %d has its floor', (kind, floor) => {
  const l = new Learner();
  expect(l.ended(l.cls(1, 80, kind), many(0)).limit(l.cls(1, 80, kind))).toBe(floor);
});

test('a guest that takes 200 ms gets its time, and one that has become quick again loses it', () => {
  const l = new Learner();
  const slow = l.ended(l.cls(), many(200)).limit(l.cls());
  expect(slow).toBeGreaterThan(400);
  expect(slow).toBeLessThan(1200);
  expect(l.ended(l.cls(), many(1, 6000)).limit(l.cls())).toBe(FLOOR_MS);
});

test('what is long now and then is not drowned by a thousand short waits between', () => {
  const l = new Learner();
  for (let i = 0; i < 100; i++) l.ended(l.cls(), [...many(0, 50), 150]);
  expect(l.limit(l.cls())).toBeGreaterThan(300);
});

test('one that is long once is forgotten', () => {
  const l = new Learner();
  l.ended(l.cls(), [...many(1), 900, ...many(1, 2000)]);
  expect(l.limit(l.cls())).toBe(FLOOR_MS);
});

test('a new host has the time of its service, a new service that of all', () => {
  const l = new Learner();
  l.ended(l.cls(1, 80), many(1)).ended(l.cls(2, 5432), many(200));
  expect(l.limit(l.cls(3, 80))).toBe(FLOOR_MS);
  expect(l.limit(l.cls(3, 5432))).toBe(l.limit(l.cls(2, 5432)));
  expect(l.limit(l.cls(3, 9999))).toBeGreaterThan(400);
});

test('whoever is slow makes no other slow that is known', () => {
  const known = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: LEARNED_FROM, maxLength: 100 });
  const attack = fc.array(fc.tuple(fc.integer({ min: 2, max: 50 }), fc.integer({ min: 0, max: 60_000 })), {
    maxLength: 300,
  });
  fc.assert(
    fc.property(known, attack, (waits, slow) => {
      const l = new Learner();
      const before = l.ended(l.cls(), waits).limit(l.cls());
      for (const [n, ms] of slow) {
        const cls = l.cls(n, n % 2 === 0 ? 5432 : 80);
        if (ms > 30_000) l.times.stalled(cls);
        else l.ended(cls, [ms]);
      }
      expect(l.limit(l.cls())).toBe(before);
    }),
  );
});

test('a limit is never below its floor nor above the most, whatever happens', () => {
  const step = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 2 ** 31 - 1 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.integer({ min: 1, max: 10_000 }), (steps, most) => {
      const times = new LearnedTimes(most, 1, 2);
      let now = 2 ** 32 - 1000;
      for (const [n, ms, stalled] of steps) {
        const cls = times.classOf(WAIT_CONTENT, 6, 80, host(n), 0);
        now += ms % 300;
        if (stalled) times.stalled(cls);
        else times.ended(cls, ms % 5000, now);
        const limit = times.limitMs(cls);
        expect(limit).toBeGreaterThanOrEqual(Math.min(FLOOR_MS, most));
        expect(limit).toBeLessThanOrEqual(most);
      }
    }),
  );
});

describe('waits that are cut short', () => {
  test('of most the limit stays, and some may last longer and longer', () => {
    const l = new Learner();
    const cls = l.cls();
    l.ended(cls, many(1));
    const limits: number[] = [];
    for (let i = 0; i < 40; i++) {
      limits.push(l.limit(cls));
      l.times.stalled(cls);
    }
    expect(limits.slice(0, 9)).toEqual([1, 1, 4, 1, 16, 1, 1, 1].map((n) => n * FLOOR_MS).concat(MOST_MS));
    expect(limits.filter((ms) => ms > FLOOR_MS)).toHaveLength(5);
  });
  test('a guest that has become slow is found to be only slow after a few', () => {
    const l = new Learner();
    const cls = l.cls();
    l.ended(cls, many(1));
    let stalls = 0;
    for (let i = 0; i < 200; i++) {
      if (l.limit(cls) > 200) l.ended(cls, [200]);
      else {
        stalls++;
        l.times.stalled(cls);
      }
    }
    expect(stalls).toBeLessThanOrEqual(4);
  });
  test('where one in ten is slow, too', () => {
    const l = new Learner();
    const cls = l.cls();
    l.ended(cls, many(1));
    let stalls = 0;
    for (let i = 0; i < 2000; i++) {
      l.ended(cls, many(1, 9));
      if (l.limit(cls) > 200) l.ended(cls, [200]);
      else {
        stalls++;
        l.times.stalled(cls);
      }
    }
    expect(stalls).toBeLessThanOrEqual(60);
    expect(l.limit(cls)).toBeGreaterThan(200);
  });
  test('of a class of which nothing is known the first lasts long, the next do not', () => {
    const l = new Learner();
    const cls = l.cls();
    expect(l.limit(cls)).toBe(MOST_MS);
    l.times.stalled(cls);
    expect(l.limit(cls)).toBe(FLOOR_MS);
  });
});

test('the table is bounded: who is not heard of any more gives way, who waits stays', () => {
  const l = new Learner();
  const waiting = l.cls(1);
  l.times.use(waiting, 1);
  l.ended(waiting, many(200));
  const limit = l.limit(waiting);
  for (let n = 100; n < 100 + 20 * TIME_CLASSES; n++) {
    const cls = l.cls(n);
    expect(cls).toBeLessThan(l.times.classes);
    l.ended(cls, [1]);
  }
  expect(l.times.evicted).toBeGreaterThan(10 * TIME_CLASSES);
  expect([l.cls(1), l.limit(waiting)]).toEqual([waiting, limit]);
  l.times.unuse(waiting, 1);
  for (let n = 0; n < 20 * TIME_CLASSES; n++) l.cls(10_000_000 + n);
  expect(l.limit(l.cls(1))).toBeLessThan(limit);
});

test('who is heard of often stays among many who are not', () => {
  const l = new Learner();
  for (let i = 0; i < 30; i++) l.cls(1);
  for (let n = 0; n < 2 * TIME_CLASSES; n++) l.cls(1_000_000 + n);
  const { evicted } = l.times;
  expect(evicted).toBeGreaterThan(TIME_CLASSES / 2);
  l.cls(1);
  expect(l.times.evicted).toBe(evicted);
});

test('where all of a set wait, a newcomer is of all', () => {
  const l = new Learner();
  let newcomers = 0;
  for (let n = 0; n < 3 * TIME_CLASSES; n++) {
    const cls = l.cls(n);
    if (cls === WAIT_CONTENT) newcomers++;
    else l.times.use(cls, 2);
  }
  expect(newcomers).toBeGreaterThan(0);
  expect(l.limit(WAIT_CONTENT)).toBe(MOST_MS);
});

test('a host of address 0 is a host', () => {
  const l = new Learner();
  l.ended(l.cls(0), many(1)).ended(l.cls(7), many(200, 20 * WINDOW_MS));
  expect(l.limit(l.cls(0))).toBe(FLOOR_MS);
});
