// How the SVM numbers a connection may have been forgotten, or never have been known. Then nothing of it is comparable:
// what the PVM says is held, and a checkpoint asked for, after which the two number alike.

import { OffsetTable } from '../../../src/conntrack/offset-table';
import { FLOW_KEY_WORDS, flowMeta } from '../../../src/packet/tuple';
import { StoredDeltas } from '../../../src/pmycolo/deltas';
import { buildTcp, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 99_000;
const PEER_ISN = 5;
const CAPACITY = 16;
const HALF_OPEN = 4;

class Bench {
  readonly words: Uint32Array;
  /** Peers' ports of connections that conntrack has seen the peer answer in. */
  readonly answered = new Set<number>();
  private readonly hasAnswered = (key: Uint32Array): boolean => this.answered.has(key[8]! & 0xffff);
  h: PrimaryHarness;
  deltas: StoredDeltas;
  constructor(capacity = CAPACITY) {
    this.words = new Uint32Array(OffsetTable.bytesFor(capacity) / 4);
    this.deltas = new StoredDeltas(new OffsetTable(this.words), [0, 0], this.hasAnswered);
    this.h = new PrimaryHarness({ deltas: this.deltas });
    this.h.engine.forgetPair(this.h.now);
  }
  restart(): void {
    this.deltas = new StoredDeltas(new OffsetTable(this.words), [0, 0], this.hasAnswered);
    this.h = new PrimaryHarness({ deltas: this.deltas });
  }
  syns(dport: number): void {
    this.h.p(buildTcp({ dport, flags: 'SA', seq: P_ISN, ack: PEER_ISN }));
    this.h.s(buildTcp({ dport, flags: 'SA', seq: S_ISN, ack: PEER_ISN }));
  }
  p(dport: number, at: number, f: TcpFields = {}): number {
    return this.h.p(buildTcp({ dport, ack: PEER_ISN + 1, ...f, seq: P_ISN + 1 + at }));
  }
  s(dport: number, at: number, f: TcpFields = {}): void {
    this.h.s(buildTcp({ dport, ack: PEER_ISN + 1, ...f, seq: S_ISN + 1 + at }));
  }
  /** An open connection. */
  open(dport: number): void {
    this.syns(dport);
    this.p(dport, 0);
    this.s(dport, 0);
  }
  flood(count: number): void {
    for (let i = 0; i < count; i++) this.syns(20_000 + i);
  }
  pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.h.now += 1000;
      this.h.engine.tick(this.h.now);
    }
  }
  key(dport: number): Uint32Array {
    const key = new Uint32Array(FLOW_KEY_WORDS);
    key.set([0x0a000001, 0, 0, 0, 0x0a000002, 0, 0, 0, ((80 << 16) | dport) >>> 0, flowMeta(0, 4, 6)]);
    return key;
  }
  /**
   * Is the connection still known by its numbers? The SVM says something else where it would be if both numbered alike.
   */
  isKnown(dport: number): boolean {
    const id = this.p(dport, 0, { payload: 'answer' });
    this.h.s(buildTcp({ dport, ack: PEER_ISN + 1, seq: P_ISN + 1, payload: 'answer' }));
    expect(this.h.left(id)).toBeUndefined();
    const requests = this.h.requests.length;
    this.s(dport, 0, { payload: 'answer' });
    return requests === 0 && this.h.state(id) === 'accept';
  }
}

const PORT = 7000;

test('a connection of which nothing is kept, in an epoch of which all is: it is older, and both number alike', () => {
  const b = new Bench();
  const id = b.p(PORT, 0, { payload: 'older' });
  b.h.s(buildTcp({ dport: PORT, ack: PEER_ISN + 1, seq: P_ISN + 1, payload: 'older' }));
  expect(b.h.state(id)).toBe('accept');
});

describe('not known', () => {
  const unknown = (): Bench => {
    const b = new Bench();
    b.deltas.incomplete();
    return b;
  };
  test.each<[string, TcpFields]>([
    ['content', { payload: 'x' }],
    ['an acknowledgement', {}],
    ['a FIN', { flags: 'FA' }],
    ['a reset with a number of its own', { flags: 'RA' }],
    ['a reset with content', { flags: 'R', ack: 0, window: 0, payload: 'x' }],
  ])('%s is held, a checkpoint asked for once, and then all is known', (_name, f) => {
    const b = unknown();
    const same = buildTcp({ dport: PORT, ack: PEER_ISN + 1, ...f, seq: P_ISN + 1 });
    b.h.s(same);
    const id = b.h.p(same);
    b.h.s(same);
    expect([b.h.state(id), b.h.requests]).toEqual(['held', ['not_comparable']]);
    b.p(PORT + 1, 0, { payload: 'another' });
    expect(b.h.requests.length).toBe(1);
    b.h.engine.checkpoint(b.h.now);
    expect([b.h.state(id), b.h.engine.counters.snapshot().numbers_unknown]).toEqual(['accept', 1]);
    if (f.flags?.includes('F')) return;
    const next = b.p(PORT, 1, { payload: 'next' });
    expect(b.h.state(next)).toBe('held');
    b.h.s(buildTcp({ dport: PORT, ack: PEER_ISN + 1, seq: P_ISN + 2, payload: 'next' }));
    expect(b.h.state(next)).toBe('accept');
  });
  test('what the SVM says first does not count', () => {
    const b = unknown();
    const said = buildTcp({ dport: PORT, ack: PEER_ISN + 9, seq: P_ISN + 1, payload: 'first' });
    b.h.s(said);
    expect(b.h.state(b.h.p(said))).toBe('held');
  });
  test('a reset that answers a stray segment has the number of that segment: no stranger forces a checkpoint', () => {
    const b = unknown();
    const resets = [
      buildTcp({ dport: 40_001, flags: 'R', seq: 4711, ack: 0, window: 0 }),
      buildTcp({ dport: 40_002, flags: 'RA', seq: 0, ack: 4712 }),
    ];
    for (const reset of resets) {
      const first = b.h.p(reset);
      expect(b.h.state(first)).toBe('held');
      b.h.s(reset);
      expect(b.h.state(first)).toBe('accept');
      b.h.s(reset);
      expect(b.h.state(b.h.p(reset))).toBe('accept');
    }
    const other = b.h.p(buildTcp({ dport: 40_003, flags: 'R', seq: 4711, ack: 0, window: 0 }));
    b.h.s(buildTcp({ dport: 40_003, flags: 'R', seq: 4712, ack: 0, window: 0 }));
    b.h.s(buildTcp({ dport: 40_003, flags: 'RA', seq: 4711, ack: 1 }));
    expect([b.h.state(other), b.h.requests]).toEqual(['held', []]);
  });
  test('a new connection on the tuple is known by its SYNs', () => {
    const b = unknown();
    b.s(PORT, 0);
    b.open(PORT);
    expect([b.isKnown(PORT), b.h.requests]).toEqual([true, []]);
  });
});

describe('what makes it unknown', () => {
  test.each([false, true])(
    'half-open connections beyond their part, of which one goes on after all; restarted: %s',
    (restarted) => {
      const b = new Bench();
      b.syns(PORT);
      b.flood(HALF_OPEN);
      b.pass(100);
      if (restarted) b.restart();
      expect(b.deltas.lost + Number(restarted)).toBe(1);
      expect(b.isKnown(PORT)).toBe(false);
      expect(b.h.requests).toEqual(['not_comparable']);
    },
  );
  test('more open connections than there is room for', () => {
    const b = new Bench();
    for (let i = 0; i < CAPACITY; i++) b.open(i + 1);
    b.open(PORT);
    b.pass(500_000);
    expect(b.h.engine.flowCount).toBe(0);
    expect(b.isKnown(1)).toBe(true);
    expect(b.isKnown(PORT)).toBe(false);
  });
  test('packets that passed without protection', () => {
    const b = new Bench();
    b.h.engine.setProtected(false);
    b.h.engine.setProtected(true);
    b.open(PORT);
    expect(b.isKnown(PORT)).toBe(true);
    b.h.engine.setProtected(false);
    b.open(PORT + 1);
    b.h.engine.setProtected(true);
    expect(b.isKnown(PORT + 1)).toBe(false);
  });
  test('but not a new pair after them', () => {
    const b = new Bench();
    b.h.engine.setProtected(false);
    b.p(PORT, 0, { payload: 'alone' });
    b.h.engine.forgetPair(b.h.now);
    b.h.engine.setProtected(true);
    b.p(PORT, 5, { payload: 'paired' });
    expect(b.h.requests).toEqual([]);
  });
  test('a SYN that the operator let out', () => {
    const b = new Bench();
    b.h.p(buildTcp({ dport: PORT, flags: 'SA', seq: P_ISN, ack: PEER_ISN }));
    b.h.engine.releaseAll(b.h.now);
    b.restart();
    expect(b.isKnown(PORT)).toBe(false);
  });
  test('a bypass rule that ends', () => {
    const b = new Bench();
    b.h.engine.setBypass([{ protocol: 6 } as never]);
    b.h.engine.setBypass([]);
    expect(b.isKnown(PORT)).toBe(false);
  });
});

describe('what an open connection needs is kept', () => {
  test('whatever strangers begin', () => {
    const b = new Bench();
    b.open(PORT);
    b.flood(1000);
    expect(b.deltas.table.size).toBeLessThanOrEqual(1 + HALF_OPEN);
    b.restart();
    expect(b.isKnown(PORT)).toBe(true);
  });
  test('also after a restart in the middle of that', () => {
    const b = new Bench();
    b.open(PORT);
    b.flood(10);
    b.restart();
    b.flood(1000);
    b.restart();
    expect(b.isKnown(PORT)).toBe(true);
  });
  test('or of which the guest has said nothing yet, but conntrack knows', () => {
    const b = new Bench();
    b.syns(PORT);
    b.answered.add(PORT);
    b.flood(1000);
    b.pass(100);
    b.restart();
    expect(b.isKnown(PORT)).toBe(true);
  });
  test('as far as there is room, and no more is asked then than may be', () => {
    const b = new Bench();
    for (let n = 0; n < CAPACITY; n++) b.answered.add(n);
    for (let n = 0; n < CAPACITY; n++) b.syns(n);
    b.flood(1000);
    b.restart();
    expect(b.deltas.table.size).toBe(CAPACITY);
    expect(b.isKnown(0)).toBe(true);
    expect(b.isKnown(CAPACITY - HALF_OPEN - 1)).toBe(true);
  });
  test('but not for the answer to a stray segment', () => {
    const b = new Bench();
    b.syns(PORT);
    b.p(PORT, 0, { ack: PEER_ISN });
    b.flood(1000);
    b.restart();
    expect(b.isKnown(PORT)).toBe(false);
  });
  test('although there was a reset that the guest did not believe', () => {
    const b = new Bench();
    b.open(PORT);
    b.h.engine.peerReset(b.key(PORT), PEER_ISN + 1, b.h.now);
    b.pass(30);
    expect(b.h.engine.flowCount).toBe(0);
    expect(b.isKnown(PORT)).toBe(true);
  });
  test('with a guest that goes on after such a reset as before: before ended ones', () => {
    const b = new Bench();
    b.open(PORT);
    b.h.engine.peerReset(b.key(PORT), PEER_ISN + 1, b.h.now);
    b.p(PORT, 0);
    for (let i = 0; i < 100; i++) {
      b.open(i + 1);
      b.h.engine.peerReset(b.key(i + 1), PEER_ISN + 1, b.h.now);
    }
    b.restart();
    expect(b.isKnown(PORT)).toBe(true);
  });
  test('a connection that one end has closed, silent for long', () => {
    const b = new Bench();
    b.open(PORT);
    b.p(PORT, 0, { flags: 'FA' });
    b.s(PORT, 0, { flags: 'FA' });
    b.pass(200);
    expect(b.h.engine.flowCount).toBe(0);
    const again = b.p(PORT, 0, { flags: 'FA' });
    b.s(PORT, 0, { flags: 'FA' });
    expect(b.h.state(again)).toBe('accept');
  });
  test('what ended gives way to what is open', () => {
    const b = new Bench();
    for (let i = 0; i < 10 * CAPACITY; i++) {
      b.open(i + 1);
      b.p(i + 1, 0, { flags: 'FA' });
      b.s(i + 1, 0, { flags: 'FA' });
      b.pass(130);
    }
    b.open(PORT);
    b.restart();
    expect(b.isKnown(PORT)).toBe(true);
  });
  test('after a checkpoint all have room again', () => {
    const b = new Bench();
    for (let i = 0; i < CAPACITY; i++) b.open(i + 1);
    b.h.engine.checkpoint(b.h.now);
    b.open(PORT);
    expect(b.deltas.lost).toBe(0);
    b.restart();
    expect([b.deltas.whole, b.isKnown(PORT)]).toEqual([true, true]);
  });
});
