import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench } from './bench';

const { Accept } = SecondaryVerdict;

/** Connection number n, opened by a client and confirmed by the guest, with an offset of 1000 + n. */
function open(t: Bench, n: number): void {
  handshake(t, n);
  t.peer({ sport: 1000 + n, seq: 1, ack: 1000 + n + 1 });
  t.guest({ dport: 1000 + n, seq: 1, ack: 1 });
}

function handshake(t: Bench, n: number): void {
  t.guest({ dport: 1000 + n, flags: 'SA', seq: 0, ack: 1, window: 500 });
}

/** True when the connection is translated. */
function lives(t: Bench, n: number): boolean {
  return t.peer({ sport: 1000 + n, seq: 1, ack: 1000 + n + 1 }).ack === 1;
}

function finish(t: Bench, n: number): void {
  t.guest({ dport: 1000 + n, flags: 'RA', seq: 1, ack: 1 });
}

describe('a full table', () => {
  test('of live connections: a new one is not translated, is counted, and passes', () => {
    const t = new Bench('always', 4);
    for (let n = 0; n < 6; n++) open(t, n);
    expect([0, 1, 2, 3, 4, 5].map((n) => lives(t, n))).toEqual([true, true, true, true, false, false]);
    expect(t.count.flow_table_full).toBe(4); // each with two packets of the guest
    expect(t.guest({ dport: 1005, seq: 1, ack: 1 }).verdict).toBe(Accept);
    expect(t.engine.status()).toMatchObject({ flows: 4, maxFlows: 4, translated: 4 });
  });

  test('the oldest finished one gives way first', () => {
    const t = new Bench('always', 4);
    for (let n = 0; n < 4; n++) open(t, n);
    finish(t, 2);
    finish(t, 1);
    open(t, 4);
    expect([0, 1, 2, 3, 4].map((n) => lives(t, n))).toEqual([true, true, false, true, true]);
    open(t, 5);
    expect([0, 1, 3, 4, 5].map((n) => lives(t, n))).toEqual([true, false, true, true, true]);
    expect([t.count.flows_evicted, t.count.flow_table_full]).toEqual([2, 0]);
  });

  test('half-open ones give way to new ones, never the live', () => {
    const t = new Bench('always', 4);
    open(t, 0);
    for (let n = 1; n < 50; n++) handshake(t, n);
    open(t, 50);
    expect([lives(t, 0), lives(t, 50)]).toEqual([true, true]);
    expect(t.count.flow_table_full).toBe(0);
  });

  test('after a checkpoint the old ones give way: they have nothing to lose', () => {
    const t = new Bench('always', 4);
    for (let n = 0; n < 4; n++) open(t, n);
    t.engine.checkpoint(t.now);
    for (let n = 4; n < 8; n++) open(t, n);
    expect([4, 5, 6, 7].map((n) => lives(t, n))).toEqual([true, true, true, true]);
    open(t, 8);
    expect(lives(t, 8)).toBe(false);
  });
});

describe('forgetting', () => {
  const later = (t: Bench, ms: number) => {
    for (let s = 0; s < ms; s += 100_000) t.engine.tick(t.now + s);
    t.now += ms;
    t.engine.tick(t.now);
    t.engine.tick(t.now + 2000);
  };

  test('a finished connection goes after its timeout, a live one stays for days', () => {
    const t = new Bench('always', 4);
    open(t, 0);
    open(t, 1);
    finish(t, 1);
    later(t, 11_000);
    expect([t.engine.status().flows, t.count.flows_expired]).toEqual([1, 1]);
    later(t, 4 * 86_400_000);
    expect(lives(t, 0)).toBe(true);
    later(t, 6 * 86_400_000);
    expect(t.engine.status().flows).toBe(0);
  });

  test('a half-closed one may be silent for long', () => {
    const t = new Bench('always', 4);
    open(t, 0);
    t.peer({ sport: 1000, flags: 'FA', seq: 1, ack: 1001 });
    later(t, 3_000_000);
    expect(lives(t, 0)).toBe(true);
  });

  test('the next connection of a tuple is known by its own handshake', () => {
    const t = new Bench('always', 4);
    open(t, 0);
    t.guest({ dport: 1000, flags: 'FA', seq: 1, ack: 1 });
    t.peer({ sport: 1000, flags: 'FA', seq: 1, ack: 1002 });
    t.guest({ dport: 1000, seq: 2, ack: 2 });
    t.peer({ sport: 1000, flags: 'S', seq: 70_000 });
    t.guest({ dport: 1000, flags: 'SA', seq: 90_000, ack: 70_001, window: 500 });
    expect(t.peer({ sport: 1000, seq: 70_001, ack: 50_001 }).ack).toBe(90_001);
  });

  test('reset forgets everything, also for the next process', () => {
    const t = new Bench('always', 4);
    for (let n = 0; n < 4; n++) open(t, n);
    t.engine.reset();
    expect([lives(t, 0), t.engine.status().flows]).toEqual([false, 0]);
    open(t, 2);
    t.restart();
    expect([t.engine.status().flows, lives(t, 2)]).toEqual([1, true]);
  });
});

test('any mix of opening, ending, checkpoints and restarts keeps table and memory in step', () => {
  const t = new Bench('always', 8);
  let seed = 12345;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (let i = 0; i < 3000; i++) {
    const n = random(20);
    const what = random(40);
    if (what < 15) open(t, n);
    else if (what < 25) handshake(t, n);
    else if (what < 32) finish(t, n);
    else if (what < 36) t.engine.tick(t.now + i * 20_000);
    else if (what < 38) t.engine.checkpoint(t.now);
    else if (what < 39) t.restart();
    const status = t.engine.status();
    expect(status.flows).toBeLessThanOrEqual(8);
    expect(status.damagedRecords).toBe(0);
    const flows = (t.engine as unknown as { flows: { offsets: { size: number } } }).flows;
    expect(flows.offsets.size).toBe(status.flows);
  }
});
