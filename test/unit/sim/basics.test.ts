import { digest, fillContent, matchContent } from '../../../src/sim/content';
import { Prng } from '../../../src/sim/prng';
import { Scheduler } from '../../../src/sim/scheduler';
import { Trace } from '../../../src/sim/trace';

describe('random numbers', () => {
  test('the same seed gives the same numbers; a fork does not depend on what was drawn before', () => {
    const a = new Prng(7);
    const b = new Prng(7);
    const fork = a.fork('x').u32();
    for (let i = 0; i < 100; i++) expect(a.u32()).toBe(b.u32());
    expect(b.fork('x').u32()).toBe(fork);
    expect(b.fork('y').u32()).not.toBe(fork);
    expect(new Prng(8).u32()).not.toBe(new Prng(7).u32());
  });

  test('ranges are kept, and reached at both ends', () => {
    const p = new Prng(1);
    const seen = new Set<number>();
    for (let i = 0; i < 500; i++) seen.add(p.range(3, 6));
    expect([...seen].sort()).toEqual([3, 4, 5, 6]);
    const logs = Array.from({ length: 2000 }, () => p.logRange(1, 1000));
    expect(Math.min(...logs)).toBe(1);
    expect(Math.max(...logs)).toBeGreaterThan(800);
    expect(Math.max(...logs)).toBeLessThanOrEqual(1000);
    // As many below 32 as above.
    const small = logs.filter((n) => n < 32).length;
    expect(small).toBeGreaterThan(800);
    expect(small).toBeLessThan(1200);
  });
});

test('events run by time, then by order of their making', () => {
  const s = new Scheduler();
  const ran: string[] = [];
  const p = new Prng(3);
  const expected: [number, number][] = [];
  for (let i = 0; i < 300; i++) {
    const at = p.below(20);
    expected.push([at, i]);
    s.at(at, () => ran.push(`${s.nowUs}:${i}`));
  }
  while (s.step());
  expected.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  expect(ran).toEqual(expected.map(([at, i]) => `${at}:${i}`));
});

test('what is asked for in the past runs now, and events may make events', () => {
  const s = new Scheduler();
  const ran: number[] = [];
  s.after(10, () => {
    s.at(3, () => ran.push(s.nowUs));
    s.after(5.9, () => ran.push(s.nowUs));
  });
  while (s.step());
  expect(ran).toEqual([10, 15]);
  expect(s.step()).toBe(false);
});

test('a trace tells apart what happened, when, and in which order', () => {
  const hash = (...events: [number, number, number, number][]): string => {
    const t = new Trace('hash');
    for (const e of events) t.mark(...e);
    return t.hash;
  };
  const all = [
    hash([1, 2, 3, 4]),
    hash([2, 2, 3, 4]),
    hash([1, 3, 3, 4]),
    hash([1, 2, 4, 4]),
    hash([1, 2, 3, 5]),
    hash([1, 2, 3, 4], [5, 6, 7, 8]),
    hash([5, 6, 7, 8], [1, 2, 3, 4]),
  ];
  expect(new Set(all).size).toBe(all.length);
});

describe('content', () => {
  test.each([0, 1, 65535, 65536, 200_000])('is the same in one piece and in many, from place %i', (place) => {
    const whole = Buffer.alloc(150_000);
    fillContent(99, place, whole, 0, whole.length);
    const p = new Prng(place);
    for (let at = 0; at < whole.length; ) {
      const n = Math.min(whole.length - at, p.logRange(1, 70_000));
      const piece = Buffer.alloc(n);
      fillContent(99, place + at, piece, 0, n);
      expect(piece.equals(whole.subarray(at, at + n))).toBe(true);
      at += n;
    }
    expect(matchContent(99, place, whole, 0, whole.length)).toBe(whole.length);
    whole[77_777] = whole[77_777]! ^ 1;
    expect(matchContent(99, place, whole, 0, whole.length)).toBe(77_777);
  });

  test('another seed, another place: other bytes', () => {
    const a = Buffer.alloc(64);
    fillContent(1, 0, a, 0, 64);
    expect(matchContent(2, 0, a, 0, 64)).toBeLessThan(8);
    expect(matchContent(1, 1, a, 0, 64)).toBeLessThan(8);
    expect(matchContent(1, 65536, a, 0, 64)).toBeLessThan(8);
    expect(digest(1, a, 0, 64)).not.toBe(digest(1, a, 1, 63));
  });
});
