// Keepalive probes that repeat the last byte of the stream with any value, as Windows sends them.

import { buildTcp, checksumsAreRight } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const OPTIONS = [2, 4, 5, 0xb4];

class Pair {
  readonly h = new PrimaryHarness({ limits: { logBytes: 1 << 17, maxHeldBytes: 1 << 15 } });
  private seq = 0;

  constructor() {
    this.h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 500, options: OPTIONS }));
    this.h.s(buildTcp({ flags: 'SA', seq: 9000, ack: 500, options: OPTIONS }));
  }

  p(at: number, payload: string, flags = 'A'): number {
    return this.h.p(buildTcp({ seq: 1001 + at, ack: 500, flags, payload }));
  }

  s(at: number, payload: string): this {
    this.h.s(buildTcp({ seq: (this.seq === 0 ? 9001 : this.seq) + at, ack: 500, payload }));
    return this;
  }

  /** Both in the PVM's numbers from now on. */
  checkpoint(): this {
    this.h.engine.checkpoint(this.h.now);
    this.seq = 1001;
    return this;
  }

  said(text: string): this {
    this.p(0, text);
    return this.s(0, text);
  }

  payload(id: number): string | undefined {
    const left = this.h.left(id);
    if (left === undefined) return undefined;
    expect(checksumsAreRight(left)).toBe(true);
    return left.subarray(40).toString('latin1');
  }
}

test('a keepalive leaves with the byte that had left, and asks for nothing', () => {
  const t = new Pair().said('hello');
  expect(t.payload(t.p(4, '\0'))).toBe('o');
  t.s(4, '\0');
  expect(t.payload(t.p(4, 'x'))).toBe('o');
  expect(t.payload(t.p(4, 'o'))).toBe('o');
  expect([t.h.requests, t.h.engine.heldPackets]).toEqual([[], 0]);
  expect(t.h.engine.counters.snapshot().keepalive_restored).toBe(2);
});

test('also of the SVM alone, and before the PVM sends one', () => {
  const t = new Pair().said('hello').s(4, '\0').s(4, '\0');
  t.h.engine.tick(t.h.now + 5000);
  expect(t.h.requests).toEqual([]);
  const next = t.p(5, 'more');
  t.s(5, 'more');
  expect(t.payload(next)).toBe('more');
});

test('whatever passed since: the log need not have the byte any more', () => {
  const t = new Pair().said('hello');
  for (let i = 0; i < 400; i++) {
    const other = (seq: number): Buffer => buildTcp({ sport: 99, seq, ack: 1, payload: Buffer.alloc(1000, i) });
    t.h.p(other(5000 + i * 1000));
    t.h.s(other(5000 + i * 1000));
  }
  expect(t.payload(t.p(4, '\0'))).toBe('o');
  expect(t.h.requests).toEqual([]);
});

test('after a checkpoint, with what it has let out', () => {
  const t = new Pair();
  t.p(0, 'hello');
  t.s(0, 'HELLO');
  t.checkpoint();
  expect(t.payload(t.p(4, '\0'))).toBe('o');
  expect(t.h.requests).toEqual(['payload']);
});

test('a repetition of a stream of one byte leaves with it', () => {
  const t = new Pair().said('a');
  expect(t.payload(t.p(0, 'a', 'PA'))).toBe('a');
});

test.each([
  ['of a byte before the last', (t: Pair) => t.p(3, '\0')],
  ['of two bytes', (t: Pair) => t.p(3, 'l\0')],
  ['with an end', (t: Pair) => t.p(4, '\0', 'FA')],
])('a repetition %s is compared', (_name, say) => {
  const t = new Pair().said('hello');
  expect(t.payload(say(t))).toBeUndefined();
  expect(t.h.requests).toEqual(['retransmission']);
});

test('a byte that has not left is none to be repeated', () => {
  const t = new Pair();
  const ids = [t.p(0, 'hello'), t.p(4, '\0')];
  expect(ids.map((id) => t.payload(id))).toEqual([undefined, undefined]);
});

test('a connection that begins anew knows nothing of the old one', () => {
  const t = new Pair().said('hello');
  t.h.p(buildTcp({ flags: 'SA', seq: 1004, ack: 700, options: OPTIONS }));
  t.h.s(buildTcp({ flags: 'SA', seq: 7000, ack: 700, options: OPTIONS }));
  const id = t.h.p(buildTcp({ seq: 1005, ack: 700, payload: '\0' }));
  expect(t.h.state(id)).toBe('held');
  t.h.s(buildTcp({ seq: 7001, ack: 700, payload: '\0' }));
  expect(t.h.left(id)!.subarray(40).toString()).toBe('\0');
});
