// What a checkpoint covers: the bytes that the PVM had said, and no others.

import { buildTcp, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const ISN = 1000;
const ACK = 78;

/** After the checkpoint both guests number alike. */
class Pair {
  readonly h: PrimaryHarness;
  constructor(config: ConstructorParameters<typeof PrimaryHarness>[0] = {}) {
    this.h = new PrimaryHarness(config);
    for (const say of [this.p, this.s]) say.call(this, -1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
  }
  p(at: number, f: TcpFields | string): number {
    return this.h.p(this.segment(at, f));
  }
  s(at: number, f: TcpFields | string): void {
    this.h.s(this.segment(at, f));
  }
  both(at: number, payload: string): number {
    this.s(at, payload);
    return this.p(at, payload);
  }
  checkpoint(): void {
    this.h.engine.checkpoint(this.h.now);
  }
  state(id: number): string {
    return this.h.state(id);
  }
  private segment(at: number, f: TcpFields | string): Buffer {
    return buildTcp({ ack: ACK, ...(typeof f === 'string' ? { payload: f } : f), seq: (ISN + 1 + at) >>> 0 });
  }
}

const SMALL_LOG = { limits: { logBytes: 1 << 17, maxHeldBytes: 1 << 15, logRecords: 1 << 8 } };

/** Fills the log with another flow's packets, so that the history of all others is gone. */
function washLog(t: Pair, bytes = 200_000): void {
  for (let at = 0; at < bytes; at += 1000) {
    const payload = Buffer.alloc(1000, 7);
    t.h.p(buildTcp({ sport: 999, seq: 1 + at, ack: 1, payload }));
    t.h.s(buildTcp({ sport: 999, seq: 1 + at, ack: 1, payload }));
  }
}

describe('what the PVM repeats of before the checkpoint', () => {
  test('leaves while the history tells that it is the same', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(5, 'world');
    t.checkpoint();
    expect(t.state(t.p(0, 'hello'))).toBe('accept');
    expect(t.state(t.p(3, 'lowor'))).toBe('accept');
    expect(t.state(t.p(0, 'hellX'))).toBe('held');
    expect(t.h.requests).toEqual(['retransmission']);
  });
  test('also when it was said while the checkpoint was awaited', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(5, 'differs');
    t.s(5, 'DIFFERS');
    t.p(12, 'paused');
    t.p(18, 'again');
    t.checkpoint();
    expect(t.state(t.p(5, 'differspausedagain'))).toBe('accept');
    expect(t.state(t.p(12, 'pauseX'))).toBe('held');
    expect(t.h.requests).toEqual(['payload', 'retransmission']);
  });
  test('or was let out by the operator', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(5, 'let out');
    t.h.engine.releaseAll(t.h.now);
    expect(t.state(t.p(5, 'let out'))).toBe('accept');
    expect(t.state(t.p(5, 'LET out'))).toBe('held');
  });
  test('is compared anew when the log has forgotten what it was', () => {
    const t = new Pair(SMALL_LOG);
    t.both(0, 'hello');
    t.checkpoint();
    washLog(t);
    const other = t.p(0, 'hellX');
    expect(t.state(other)).toBe('held');
    t.s(0, 'hello');
    expect([t.state(other), t.h.requests]).toEqual(['held', ['payload']]);
    t.checkpoint();
    t.both(5, ' on');
    washLog(t);
    const same = t.p(0, 'hello on');
    expect(t.state(same)).toBe('held');
    t.s(0, 'hello on');
    expect(t.state(same)).toBe('accept');
  });
});

describe('what the PVM had not said before the checkpoint is not covered', () => {
  test('a gap in the stream', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(20, 'behind');
    t.checkpoint();
    const gap = t.p(5, 'the gap 5 to 20');
    expect(t.state(gap)).toBe('held');
    expect(t.state(t.p(20, 'behind'))).toBe('accept');
    t.s(5, 'the gap 5 to 20');
    expect(t.state(gap)).toBe('accept');
    t.both(26, 'and on');
    expect(t.h.requests).toEqual([]);
  });
  test.each([
    ['a part of it', 8],
    ['a byte at its beginning', 5],
    ['a byte at its end', 19],
  ])('%s', (_name, at) => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(20, 'behind');
    t.checkpoint();
    expect(t.state(t.p(at, 'x'))).toBe('held');
  });
  test('two gaps', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(20, 'one');
    t.p(40, 'two');
    t.checkpoint();
    expect([5, 19, 23, 39].map((at) => t.state(t.p(at, 'x')))).toEqual(['held', 'held', 'held', 'held']);
  });
  test.each([
    ['at once', [[5, 15]]],
    [
      'from its beginning',
      [
        [5, 7],
        [12, 8],
      ],
    ],
    [
      'from its end',
      [
        [12, 8],
        [5, 7],
      ],
    ],
    [
      'with an overlap',
      [
        [3, 9],
        [10, 12],
      ],
    ],
    ['from beyond', [[5, 18]]],
  ])('but a gap that was filled is: %s', (_name, parts) => {
    const t = new Pair();
    const text = 'hello, this fills the gap of it';
    t.both(0, text.slice(0, 5));
    t.p(20, text.slice(20, 26));
    for (const [at, bytes] of parts as [number, number][]) t.p(at, text.slice(at, at + bytes));
    t.checkpoint();
    for (const at of [0, 5, 11, 19, 20]) expect(t.state(t.p(at, text.slice(at, 26)))).toBe('accept');
    t.both(26, text.slice(26));
    expect(t.h.requests).toEqual([]);
  });
  test.each([
    ['filled up to its last byte', [[5, 14]], 19],
    ['filled from its second', [[6, 14]], 5],
    ['filled in its middle', [[8, 4]], 5],
  ])('a gap %s', (_name, parts, at) => {
    const t = new Pair();
    const text = 'hello, this fills the gap';
    t.both(0, text.slice(0, 5));
    t.p(20, text.slice(20));
    for (const [from, bytes] of parts as [number, number][]) t.p(from, text.slice(from, from + bytes));
    t.checkpoint();
    expect(t.state(t.p(at, text.slice(at, at + 1)))).toBe('held');
  });
  test('a gap that opened while the checkpoint was awaited', () => {
    const t = new Pair();
    t.p(0, 'one');
    t.s(0, 'two');
    t.p(20, 'behind');
    t.checkpoint();
    expect(t.state(t.p(3, 'the gap'))).toBe('held');
  });
  test('nor has the operator let it out', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(20, 'behind');
    t.h.engine.releaseAll(t.h.now);
    expect(t.state(t.p(5, 'the gap'))).toBe('held');
  });
  test("what lies before the stream's beginning", () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.checkpoint();
    expect(t.state(t.p(-3, 'xyz'))).toBe('held');
    const late = new PrimaryHarness();
    late.p(buildTcp({ seq: 5000, ack: 1, payload: 'in the middle' }));
    late.engine.checkpoint(late.now);
    const before = late.p(buildTcp({ seq: 4990, ack: 1, payload: '0123456789' }));
    expect(late.state(before)).toBe('held');
    late.s(buildTcp({ seq: 4990, ack: 1, payload: '0123456789' }));
    expect(late.state(before)).toBe('accept');
  });
  test('what lies between two pieces before a beginning in the middle', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ seq: 5000, ack: 1, payload: 'first seen' }));
    h.p(buildTcp({ seq: 4000, ack: 1, payload: 'older' }));
    h.engine.checkpoint(h.now);
    expect(h.state(h.p(buildTcp({ seq: 4500, ack: 1, payload: 'never said' })))).toBe('held');
  });
  test('what was dropped and never said again', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(5, 'dropped');
    t.p(30, 'dropped, too');
    t.h.engine.dropAll();
    t.p(5, 'drop');
    t.checkpoint();
    expect(t.state(t.p(9, 'ped'))).toBe('held');
    t.s(9, 'ped');
    expect(t.h.engine.heldPackets).toBe(0);
  });
});
