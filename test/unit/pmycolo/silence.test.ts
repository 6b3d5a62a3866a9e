import fc from 'fast-check';
import { FLOOR_MS } from '../../../src/pmycolo/learned-times';
import { SILENT_MS } from '../../../src/pmycolo/silence';
import { buildIp, buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const SILENT = 'timeout_secondary_silent';
const TICK_MS = 50;

interface Asked {
  at: number;
  waited: number;
}

/** Two guests that answer over UDP, each at its own time, with an engine whose deadlines are kept. */
class Pair {
  readonly h = new PrimaryHarness({ compareTimeoutMs: 'auto', limits: { maxFlows: 4096, maxHeldPackets: 2048 } });
  readonly asked: Asked[] = [];
  /** After each request, at once. */
  checkpoints = true;
  private readonly due: { at: number; act: () => void }[] = [];

  at(ms: number, act: () => void): void {
    this.due.push({ at: this.h.now + ms, act });
    this.due.sort((a, b) => a.at - b.at);
  }

  /** Both answer, the SVM `lag` ms after the PVM (never when it is Infinity). */
  answer(lag: number, host = 1, sport = 53, text = 'x'): void {
    const packet = buildUdp({ sport, dport: 40000 + host, dst: [10, 1, host >> 8, host & 255], payload: text });
    this.h.p(packet);
    if (lag === 0) this.h.s(packet);
    else if (Number.isFinite(lag)) this.at(lag, () => this.h.s(packet));
  }

  /** A transaction each `gap` ms. */
  rounds(count: number, gap: number, lag: () => number, host = 1): this {
    for (let i = 0; i < count; i++) {
      this.answer(lag(), host);
      this.run(gap);
    }
    return this;
  }

  run(ms: number): this {
    const { h } = this;
    for (const end = h.now + ms; h.now < end; ) {
      h.now++;
      while (this.due.length > 0 && this.due[0]!.at <= h.now) this.due.shift()!.act();
      if (h.now >= h.engine.nextDeadlineMs || h.now % TICK_MS === 0) h.engine.tick(h.now);
      if (h.requests.length === this.asked.length) continue;
      this.asked.push({ at: h.now, waited: h.engine.waitedMs });
      if (!this.checkpoints) continue;
      h.engine.checkpoint(h.now);
      // What the SVM would have said it never says.
      this.due.length = 0;
    }
    return this;
  }
}

describe('auto', () => {
  test('guests that wait 1 ms for each other: a stall asks soon, from its last progress on', () => {
    const pair = new Pair().rounds(200, 10, () => 1);
    const start = pair.h.now;
    pair.answer(Number.POSITIVE_INFINITY);
    pair.run(30).rounds(20, 10, () => 1, 2);
    expect(pair.asked).toHaveLength(1);
    expect(pair.asked[0]!.waited).toBeGreaterThanOrEqual(FLOOR_MS);
    expect(pair.asked[0]!.at - start).toBeLessThanOrEqual(FLOOR_MS + 2);
    expect(pair.h.requests).toEqual([SILENT]);
  });
  test('nothing is asked for while the slower guest comes in its usual time, be it 200 ms', () => {
    const pair = new Pair().rounds(100, 250, () => 200);
    const learned = pair.asked.length;
    expect(learned).toBeLessThanOrEqual(3);
    let n = 0;
    pair.rounds(2000, 250, () => 180 + (n++ % 5) * 20);
    expect(pair.asked.length).toBe(learned);
    pair.answer(Number.POSITIVE_INFINITY);
    pair.run(3000);
    expect(pair.asked.length).toBe(learned + 1);
  });
  test('a guest that becomes slow is learned after a few checkpoints', () => {
    const pair = new Pair().rounds(500, 10, () => 1);
    pair.rounds(300, 300, () => 200);
    expect(pair.asked.length).toBeGreaterThan(0);
    expect(pair.asked.length).toBeLessThanOrEqual(8);
    const before = pair.asked.length;
    pair.rounds(500, 300, () => 200);
    expect(pair.asked.length).toBe(before);
  });
  test('a peer whose answers are slow makes no other wait', () => {
    const pair = new Pair().rounds(200, 10, () => 1, 1);
    for (let i = 0; i < 40; i++) pair.rounds(1, 700, () => 600, 2);
    pair.rounds(50, 10, () => 1, 1);
    const before = pair.asked.length;
    const start = pair.h.now;
    pair.answer(Number.POSITIVE_INFINITY, 1);
    pair.at(20, () => pair.answer(1, 3));
    pair.run(300);
    expect(pair.asked.length).toBe(before + 1);
    expect(pair.asked.at(-1)!.at - start).toBeLessThanOrEqual(FLOOR_MS + TICK_MS);
  });
  test('two clients take one lock in different orders, again and again: the guests wait for each other for 150 ms at most', () => {
    const pair = new Pair();
    for (let turn = 0; turn < 100; turn++) {
      for (let i = 0; i < 20; i++) pair.rounds(1, 2, () => (i % 7) + (i % 3), 1 + (i % 8));
      // Each guest answers the client whose answer the other withholds.
      pair.answer(Number.POSITIVE_INFINITY, 1, 53, 'first');
      pair.h.s(buildUdp({ dport: 40002, dst: [10, 1, 0, 2], payload: 'second' }));
      pair.run(200);
    }
    const waits = pair.asked.map(({ waited }) => waited).sort((a, b) => a - b);
    expect(waits.length).toBeGreaterThan(80);
    expect(waits[waits.length >> 1]!).toBeLessThanOrEqual(150);
  });
  test('stalls that follow each other without an end to any do not make the next one longer, but for a few', () => {
    const pair = new Pair().rounds(200, 5, () => 1);
    for (let i = 0; i < 200; i++) {
      pair.answer(Number.POSITIVE_INFINITY);
      pair.at(5, () => pair.h.s(buildUdp({ sport: 99, payload: 'other' })));
      pair.at(6, () => pair.h.p(buildUdp({ sport: 99, payload: 'other' })));
      pair.run(150);
    }
    const waits = pair.asked.map(({ waited }) => waited).sort((a, b) => a - b);
    expect(waits[waits.length >> 1]!).toBeLessThanOrEqual(150);
  });
  test('a host that stops stalls all flows and is asked for once; without a sign of it ever later', () => {
    const pair = new Pair();
    for (let i = 0; i < 50; i++) for (let host = 1; host <= 20; host++) pair.rounds(1, 1, () => 1, host);
    pair.run(20);
    const start = pair.h.now;
    for (let i = 0; i < 100; i++) {
      pair.answer(Number.POSITIVE_INFINITY, 1 + (i % 20));
      pair.run(100);
    }
    const gaps = pair.asked.map(({ at }, i) => at - (i === 0 ? start : pair.asked[i - 1]!.at));
    expect(gaps[0]!).toBeGreaterThanOrEqual(SILENT_MS);
    expect(gaps[0]!).toBeLessThanOrEqual(SILENT_MS + 2);
    expect(gaps[1]!).toBeGreaterThanOrEqual(4 * SILENT_MS);
    expect(gaps[2]!).toBeGreaterThanOrEqual(16 * SILENT_MS);
    expect(pair.asked.length).toBeLessThanOrEqual(6);
    pair.rounds(50, 10, () => 1);
    const again = pair.h.now;
    const before = pair.asked.length;
    pair.answer(Number.POSITIVE_INFINITY);
    pair.run(SILENT_MS + 2);
    expect([pair.asked.length, pair.h.now - again]).toEqual([before + 1, SILENT_MS + 2]);
  });
  test('many flows at once ask once', () => {
    const pair = new Pair().rounds(100, 5, () => 1);
    pair.checkpoints = false;
    for (let host = 1; host <= 500; host++) pair.answer(Number.POSITIVE_INFINITY, host);
    pair.run(5000);
    expect(pair.h.requests).toEqual([SILENT]);
  });
  test('an SVM that is ahead waits as long for the PVM', () => {
    const pair = new Pair();
    for (let i = 0; i < 100; i++) {
      const packet = buildUdp({ payload: `${i}` });
      pair.h.s(packet);
      pair.at(2, () => pair.h.p(packet));
      pair.run(10);
    }
    expect(pair.asked).toEqual([]);
    pair.h.s(buildUdp({ payload: 'lost' }));
    pair.at(10, () => pair.answer(1, 9));
    pair.run(FLOOR_MS + TICK_MS);
    expect(pair.h.requests).toEqual(['timeout_primary_silent']);
  });
  test('the time runs from the last progress of what is held, not from its arrival', () => {
    const pair = new Pair().rounds(100, 5, () => 1);
    const { h } = pair;
    h.s(buildTcp({ seq: 0, ack: 1 }));
    const id = h.p(buildTcp({ seq: 0, ack: 1, payload: 'abcdefgh' }));
    for (let i = 0; i < 7; i++) {
      pair.run(60);
      h.s(buildTcp({ seq: i, ack: 1, payload: 'abcdefgh'[i]! }));
    }
    expect([pair.asked, h.state(id)]).toEqual([[], 'held']);
    const last = h.now;
    // What the SVM says of the same again is none.
    pair.run(60);
    h.s(buildTcp({ seq: 6, ack: 1, payload: 'g' }));
    pair.run(200);
    expect(pair.asked).toHaveLength(1);
    expect(pair.asked[0]!.at - last).toBeLessThanOrEqual(3 * 8 * 11);
    expect(pair.asked[0]!.waited).toBe(pair.asked[0]!.at - last);
  });
  test('an acknowledgement that one guest delays is no stall', () => {
    const pair = new Pair().rounds(100, 5, () => 1);
    pair.h.s(buildTcp({ seq: 0, ack: 1 }));
    pair.h.p(buildTcp({ seq: 0, ack: 1 }));
    pair.h.p(buildTcp({ seq: 0, ack: 100 }));
    pair.at(200, () => pair.h.s(buildTcp({ seq: 0, ack: 100 })));
    pair.run(400);
    expect(pair.asked).toEqual([]);
  });
  test('what was dropped or let out otherwise waits no more', () => {
    const pair = new Pair().rounds(100, 5, () => 1);
    pair.answer(Number.POSITIVE_INFINITY, 1);
    pair.h.engine.releaseAll(pair.h.now);
    pair.run(500);
    pair.answer(Number.POSITIVE_INFINITY, 2);
    pair.h.engine.dropAll();
    pair.run(500);
    expect(pair.asked).toEqual([]);
  });
  test('other protocols and frames have classes, too', () => {
    const pair = new Pair().rounds(100, 5, () => 1);
    pair.h.p(buildIp(4, [10, 0, 0, 1], [10, 0, 0, 2], 47, Buffer.from('gre')));
    pair.run(SILENT_MS + TICK_MS);
    expect(pair.asked).toHaveLength(1);
  });
});

test('a number counts from the packet’s arrival, whatever the SVM has said of it', () => {
  const h = new PrimaryHarness({ compareTimeoutMs: 200 });
  h.s(buildTcp({ seq: 0, ack: 1 }));
  h.p(buildTcp({ seq: 0, ack: 1, payload: 'abcd' }));
  h.now += 150;
  h.s(buildTcp({ seq: 0, ack: 1, payload: 'a' }));
  h.engine.tick(h.now + 49);
  expect(h.requests).toEqual([]);
  h.engine.tick(h.now + 50);
  expect([h.requests, h.engine.waitedMs]).toEqual([[SILENT], 200]);
});

test('any course of a pair whose guests say the same in their own time: few checkpoints, none of them for what comes', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 40 })),
        {
          maxLength: 150,
        },
      ),
      (rounds) => {
        const pair = new Pair().rounds(20, 70, () => 60);
        const before = pair.asked.length;
        for (const [host, lag, gap] of rounds) pair.rounds(1, gap, () => lag, host);
        pair.run(3000);
        expect(pair.asked.length).toBe(before);
        expect(pair.h.engine.heldPackets).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});

test('an acknowledgement that the SVM never gives is found behind content that it says late, again and again', () => {
  const h = new PrimaryHarness({ compareTimeoutMs: 'auto' });
  const p = (seq: number, ack: number, payload = '') => h.p(buildTcp({ seq, ack, flags: 'A', payload }));
  const s = (seq: number, payload: string) => h.s(buildTcp({ seq, ack: 500, flags: 'A', payload }));
  h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 500 }));
  h.s(buildTcp({ flags: 'SA', seq: 1000, ack: 500 }));
  const held = p(1001, 600);
  for (let at = 0; at < 1000 && h.requests.length === 0; at++) {
    p(1001 + at, 600, 'x');
    h.now += 5;
    h.engine.tick(h.now);
    s(1001 + at, 'x');
    h.now += 5;
    h.engine.tick(h.now);
  }
  expect([h.state(held), h.requests]).toEqual(['held', [SILENT]]);
});
