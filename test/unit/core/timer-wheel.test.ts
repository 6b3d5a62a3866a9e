import fc from 'fast-check';
import { TimerWheel } from '../../../src/core/timer-wheel';

const RECORD = 4;
const DEADLINE = 2;
const TICK_MS = 1024;

function wheelOf(records: number) {
  const words = new Uint32Array(records * RECORD);
  return { words, wheel: new TimerWheel(words, RECORD, DEADLINE) };
}

describe('TimerWheel', () => {
  test('against a plain list: nothing early, nothing later than a tick and the interval of calls', () => {
    const step = fc.record({
      advance: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 2_000_000 })),
      id: fc.integer({ min: 0, max: 9 }),
      what: fc.constantFrom('postpone', 'arm', 'disarm'),
      timeout: fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 432_000_000 })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 0, max: 2 ** 34 }), (steps, start) => {
        const { words, wheel } = wheelOf(10);
        const due = new Map<number, number>();
        let now = start;
        let last = start;
        const expire = () => {
          wheel.expire(
            now,
            (base) => {
              const id = base / RECORD;
              expect(due.get(id)).toBeLessThanOrEqual(now);
              due.delete(id);
              return true;
            },
            1e9,
          );
          for (const at of due.values()) expect(at).toBeGreaterThan(now - 2 * TICK_MS - (now - last));
          last = now;
        };
        expire();
        for (const s of steps) {
          now += s.advance;
          expire();
          const old = due.get(s.id);
          if (s.what === 'disarm') {
            wheel.disarm(s.id * RECORD);
            due.delete(s.id);
          } else if (s.what === 'arm' || old === undefined) {
            due.set(s.id, now + s.timeout);
            words[s.id * RECORD + DEADLINE] = now + s.timeout;
            wheel.arm(s.id * RECORD);
          } else {
            // A packet: only the deadline is written, and it moves away.
            const at = Math.max(old, now + s.timeout);
            due.set(s.id, at);
            words[s.id * RECORD + DEADLINE] = at;
          }
          expect(wheel.armed).toBe(due.size);
          for (let id = 0; id < 10; id++) expect(wheel.isArmed(id * RECORD)).toBe(due.has(id));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('false keeps a record, and it comes up again by its new deadline', () => {
    const { words, wheel } = wheelOf(1);
    let calls = 0;
    wheel.expire(0, () => true, 10);
    words[DEADLINE] = 1000;
    wheel.arm(0);
    const keep = () => {
      calls++;
      words[DEADLINE] = words[DEADLINE]! + 49_000;
      return false;
    };
    wheel.expire(3000, keep, 10);
    expect(calls).toBe(1);
    wheel.expire(40_000, keep, 10);
    expect(calls).toBe(1);
    wheel.expire(52_000, keep, 10);
    expect(calls).toBe(2);
  });

  test('the work of a call is bounded, and the next call goes on', () => {
    const { words, wheel } = wheelOf(1000);
    wheel.expire(0, () => true, 10);
    for (let i = 0; i < 1000; i++) {
      words[i * RECORD + DEADLINE] = i * 10;
      wheel.arm(i * RECORD);
    }
    const seen = new Set<number>();
    for (let call = 0; call < 10; call++) {
      const before = seen.size;
      expect(wheel.expire(20_000, (b) => seen.add(b) !== undefined, 100)).toBe(100);
      expect(seen.size).toBe(before + 100);
    }
    expect(wheel.expire(20_000, () => true, 100)).toBe(0);
    expect(wheel.armed).toBe(0);
  });

  test('a record may be disarmed or another one armed from inside the call', () => {
    const { words, wheel } = wheelOf(4);
    wheel.expire(0, () => true, 10);
    for (let i = 0; i < 4; i++) wheel.arm(i * RECORD);
    const seen: number[] = [];
    wheel.expire(
      5000,
      (base) => {
        seen.push(base / RECORD);
        for (let i = 0; i < 4; i++) wheel.disarm(i * RECORD);
        words[DEADLINE] = 9000;
        if (base !== 0) wheel.arm(0);
        return true;
      },
      100,
    );
    expect(seen).toHaveLength(1);
    expect(wheel.armed).toBe(1);
    expect(wheel.isArmed(0)).toBe(true);
  });

  test('a clock that steps back fires nothing, and one that jumps is followed', () => {
    const { words, wheel } = wheelOf(1);
    wheel.expire(1_000_000, () => true, 10);
    words[DEADLINE] = 1_001_000;
    wheel.arm(0);
    expect(wheel.expire(900_000, () => true, 10)).toBe(0);
    expect(wheel.expire(500_000, () => true, 10)).toBe(1); // a jump: looked at, found early, put back
    expect(wheel.armed).toBe(1);
    expect(wheel.expire(1_003_000, () => true, 10)).toBe(1);
    expect(wheel.armed).toBe(0);
  });
});
