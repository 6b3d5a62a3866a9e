// Acknowledgements and windows that leave only by what the SVM has granted to this connection, and what seems to be a
// grant and is none.

import { buildTcp, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 500_000;
const ACK = 78;
const SCALED = MSS_WSCALE_SACK_TS(1);
const SCALE = 7;

class Pair {
  readonly h = new PrimaryHarness();
  private delta = S_ISN - P_ISN;
  constructor(window = 500) {
    this.p(-1, { flags: 'SA', options: SCALED, window });
    this.s(-1, { flags: 'SA', options: SCALED, window });
  }
  p(at: number, f: TcpFields = {}): number {
    return this.h.p(buildTcp({ ack: ACK, window: 500, ...f, seq: (P_ISN + 1 + at) >>> 0 }));
  }
  s(at: number, f: TcpFields = {}): void {
    this.h.s(buildTcp({ ack: ACK, window: 500, ...f, seq: (P_ISN + this.delta + 1 + at) >>> 0 }));
  }
  both(at: number, f: TcpFields): number {
    const id = this.p(at, f);
    this.s(at, f);
    return id;
  }
  checkpoint(): void {
    this.h.engine.checkpoint(this.h.now);
    this.delta = 0;
  }
}

const ackOf = (packet: Buffer): number => packet.readUInt32BE(28);
const windowOf = (packet: Buffer): number => packet.readUInt16BE(34);

describe('a reset of the SVM', () => {
  test('that refuses a SYN acknowledges nothing of the connection', () => {
    const t = new Pair();
    t.h.s(buildTcp({ seq: 0, ack: ACK + 1000, flags: 'RA' }));
    expect(t.h.state(t.p(0, { ack: ACK + 1000 }))).toBe('held');
    const data = t.both(0, { ack: ACK, payload: 'data' });
    expect(t.h.state(data)).toBe('accept');
    const more = t.p(4, { ack: ACK + 1000, payload: 'more' });
    t.s(4, { payload: 'more' });
    expect(ackOf(t.h.left(more)!)).toBe(ACK);
  });
  test('that refuses a SYN verifies no reset that bears a number, nor the other way round', () => {
    const t = new Pair();
    const seq = P_ISN + 1;
    t.h.s(buildTcp({ seq: 0, ack: seq, flags: 'RA' }));
    expect(t.h.state(t.p(0, { flags: 'R' }))).toBe('held');
    const other = new Pair();
    other.s(0, { flags: 'R' });
    expect(other.h.state(other.h.p(buildTcp({ seq: 0, ack: seq, flags: 'RA' })))).toBe('held');
  });
  test('refusals of the same SYN leave as they are, whatever else was acknowledged', () => {
    const t = new Pair();
    const refusal = buildTcp({ seq: 0, ack: 0x9000_0000, flags: 'RA', window: 0 });
    const id = t.h.p(refusal);
    expect(t.h.state(id)).toBe('held');
    t.h.s(refusal);
    expect(t.h.state(id)).toBe('accept');
  });
  test('after a checkpoint a refusal of before still leaves', () => {
    const h = new PrimaryHarness();
    const refusal = buildTcp({ seq: 0, ack: 77, flags: 'RA', window: 0 });
    h.p(refusal);
    h.engine.checkpoint(h.now);
    expect(h.state(h.p(refusal))).toBe('accept');
    // It has acknowledged nothing that a connection on the same tuple could go by.
    expect(h.state(h.p(buildTcp({ seq: 5, ack: 77 })))).toBe('held');
  });
  test('grants no window', () => {
    const t = new Pair();
    t.s(0, { flags: 'RA', window: 60_000 });
    const reset = t.p(0, { flags: 'RA', window: 60_000 });
    expect(windowOf(t.h.left(reset)!)).toBeLessThanOrEqual(500);
  });
});

test('what a probe has said does not count as told: a peer takes no acknowledgement from it', () => {
  const t = new Pair();
  t.p(0, { payload: 'data' });
  t.s(0, { ack: ACK + 100 });
  t.p(0, { payload: 'data', ack: ACK + 200 });
  expect(t.h.probes.map(ackOf)).toEqual([ACK + 100]);
  const waits = t.p(4, { ack: ACK + 200 });
  const again = t.p(4, { ack: ACK + 200 });
  expect([t.h.state(waits), t.h.state(again)]).toEqual(['held', 'rewrite']);
  expect(ackOf(t.h.left(again)!)).toBe(ACK + 100);
});

test('a window that would be clamped to nothing waits', () => {
  const t = new Pair();
  t.both(0, { ack: ACK + 500 * (1 << SCALE), window: 500, payload: 'x' });
  t.s(1, { ack: ACK + 500 * (1 << SCALE), window: 0 });
  const shut = t.p(1, { ack: ACK + 500 * (1 << SCALE), window: 0 });
  expect(t.h.state(shut)).toBe('accept');
  const fresh = new Pair(0);
  fresh.s(0, { ack: ACK, window: 0 });
  const open = fresh.p(0, { ack: ACK, window: 9 });
  expect(fresh.h.state(open)).toBe('held');
  fresh.s(0, { ack: ACK, window: 9 });
  expect(fresh.h.state(open)).toBe('accept');
});

describe('the SVM has begun a new connection on the tuple', () => {
  test("the PVM's acknowledgements in the old one wait", () => {
    const t = new Pair();
    t.h.s(buildTcp({ seq: 7_000_000, ack: ACK + 5000, flags: 'SA', options: SCALED }));
    const pure = t.p(0, { ack: ACK + 100 });
    const repeated = t.p(0, { ack: ACK + 100 });
    const data = t.p(0, { payload: 'old' });
    t.h.s(buildTcp({ seq: 7_000_001, ack: ACK + 6000 }));
    expect([pure, repeated, data].map((id) => t.h.state(id))).toEqual(['held', 'held', 'held']);
  });
  test('and are dropped when the PVM follows', () => {
    const t = new Pair();
    t.h.s(buildTcp({ seq: 7_000_000, ack: ACK + 5000, flags: 'SA', options: SCALED }));
    const pure = t.p(0, { ack: ACK + 100 });
    const syn = t.h.p(buildTcp({ seq: 9_000_000, ack: ACK + 5000, flags: 'SA', options: SCALED }));
    expect([pure, syn].map((id) => t.h.state(id))).toEqual(['drop', 'accept']);
  });
});

describe('across a checkpoint', () => {
  test("a repeated SYN/ACK of the PVM's has no larger window than the first", () => {
    const t = new Pair(300);
    t.checkpoint();
    const again = t.p(-1, { flags: 'SA', options: SCALED, window: 60_000 });
    expect(windowOf(t.h.left(again)!)).toBe(300);
    // Nor does its edge count as granted.
    const ack = t.p(0, { window: 60_000 });
    expect(windowOf(t.h.left(ack)!) << SCALE).toBeLessThan(60_000);
  });
  test.each([(65_535 << SCALE) + 2, 1 << 30, 2 ** 31 + 5])(
    'an acknowledgement %d bytes further on grants none after it',
    (far) => {
      const t = new Pair();
      t.both(0, { payload: 'hello' });
      const odd = t.p(5, { ack: (ACK + far) >>> 0 });
      t.checkpoint();
      expect(t.h.state(odd)).toBe('accept');
      const next = t.p(5, { ack: ACK + 1000 });
      expect(t.h.state(next)).toBe('held');
      t.s(5, { ack: ACK + 1000 });
      expect(t.h.state(next)).toBe('accept');
      // From the next checkpoint on the two are in step again.
      t.checkpoint();
      expect(t.h.state(t.p(5, { ack: ACK + 1000 }))).toBe('accept');
    },
  );
  test('what the PVM has acknowledged within its window is covered', () => {
    const t = new Pair();
    t.p(0, { ack: ACK + 60_000 });
    t.checkpoint();
    expect(t.h.state(t.p(0, { ack: ACK + 60_000 }))).toBe('accept');
  });
  test('a late repetition of a SYN/ACK takes nothing of that back', () => {
    const t = new Pair();
    t.both(0, { ack: ACK + 1000, payload: 'hello' });
    t.p(-1, { flags: 'SA', options: SCALED });
    t.checkpoint();
    expect(t.h.state(t.p(5, { ack: ACK + 1000 }))).toBe('accept');
  });
});

describe('a signed packet with what has to be taken out', () => {
  const md5 = [19, 18, ...Array(16).fill(7), 1, 1];
  const ao = [29, 16, ...Array(14).fill(7)];
  const sack = [1, 1, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0];
  test.each([
    ['TCP-MD5', [...md5, ...sack]],
    ['TCP-MD5 behind', [...sack, ...md5]],
    ['TCP-AO', [...ao, ...sack]],
  ])('SACK blocks beside %s do not leave', (_name, options) => {
    const t = new Pair();
    expect(t.h.state(t.p(0, { options }))).toBe('drop');
    t.s(0, { options, payload: 'data' });
    expect(t.h.state(t.p(0, { options, payload: 'data' }))).toBe('drop');
    expect(t.h.engine.counters.snapshot().signed_dropped).toBe(2);
    expect(t.h.requests).toEqual([]);
  });
  test('MPTCP does not, either', () => {
    const h = new PrimaryHarness();
    expect(h.state(h.p(buildTcp({ flags: 'SA', seq: 5, ack: 1, options: [...md5, 30, 4, 0, 1] })))).toBe('drop');
  });
  test('without it, it leaves', () => {
    const t = new Pair();
    expect(t.h.state(t.both(0, { options: md5, payload: 'data' }))).toBe('accept');
  });
  test('and by a checkpoint that covers it', () => {
    const t = new Pair();
    t.p(0, { payload: 'one' });
    t.s(0, { payload: 'two' });
    const id = t.p(3, { options: [...md5, ...sack] });
    t.checkpoint();
    expect(t.h.state(id)).toBe('accept');
  });
});
