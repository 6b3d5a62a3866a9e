// What a guest could say so that bytes, acknowledgements or windows leave that the other guest never gave.

import { buildTcp, buildUdp, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 1000;
const S_ISN = 500_000;
const ACK = 78;

/** An open connection; `at` counts from the first payload byte, in each guest's own numbers. */
class Pair {
  readonly h: PrimaryHarness;
  private delta = S_ISN - P_ISN;
  constructor(config: ConstructorParameters<typeof PrimaryHarness>[0] = {}) {
    this.h = new PrimaryHarness(config);
    this.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
    this.s(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(99) });
  }
  p(at: number, f: TcpFields = {}): number {
    return this.h.p(buildTcp({ ack: ACK, ...f, seq: (P_ISN + 1 + at) >>> 0 }));
  }
  s(at: number, f: TcpFields = {}): void {
    this.h.s(buildTcp({ ack: ACK, ...f, seq: (P_ISN + this.delta + 1 + at) >>> 0 }));
  }
  both(at: number, payload: string): void {
    const id = this.p(at, { payload });
    this.s(at, { payload });
    expect(this.h.state(id)).toBe('accept');
  }
  checkpoint(): void {
    this.h.engine.checkpoint(this.h.now);
    this.delta = 0;
  }
  left(...ids: number[]): boolean[] {
    return ids.map((id) => this.h.left(id) !== undefined);
  }
}

/** Fills the log with another flow's packets, so that the history of all others is gone. */
function washLog(t: Pair, bytes: number): void {
  for (let at = 0; at < bytes; at += 1000) {
    const payload = Buffer.alloc(1000, 7);
    t.h.p(buildTcp({ sport: 999, seq: 1 + at, ack: 1, payload }));
    t.h.s(buildTcp({ sport: 999, seq: 1 + at, ack: 1, payload }));
  }
}

describe('the PVM contradicts itself', () => {
  test('a held packet is not released on the strength of another with other bytes at the same place', () => {
    const t = new Pair();
    const bad = t.p(10, { payload: 'XXXXXfghij' });
    t.s(0, { payload: '0123456789abcdefghij' });
    t.p(0, { payload: '0123456789abcde' });
    expect(t.left(bad)).toEqual([false]);
    expect(t.h.requests.length).toBe(1);
  });
  test('the part of a repetition that lies behind a lowered base is compared, too', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ seq: 1000, ack: 1, payload: 'later' }));
    h.s(buildTcp({ seq: 1000, ack: 1, payload: 'later' }));
    const bad = h.p(buildTcp({ seq: 990, ack: 1, payload: '0123456789lXter' }));
    h.s(buildTcp({ seq: 990, ack: 1, payload: '0123456789' }));
    expect(h.left(bad)).toBeUndefined();
    expect(h.requests).toEqual(['retransmission']);
  });
  test('a repetition above a lowered base is compared, too', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ seq: 1000, ack: 1, payload: 'later' }));
    h.s(buildTcp({ seq: 1000, ack: 1, payload: 'later' }));
    h.p(buildTcp({ seq: 990, ack: 1, payload: '0123456789' }));
    const good = h.p(buildTcp({ seq: 1001, ack: 1, payload: 'ate' }));
    expect(h.state(good)).toBe('accept');
    const bad = h.p(buildTcp({ seq: 1001, ack: 1, payload: 'XX' }));
    expect(h.left(bad)).toBeUndefined();
  });
  test('above a lowered base nothing leaves whose history is gone', () => {
    const t = new Pair({ limits: { logBytes: 1 << 17, maxHeldBytes: 1 << 15, logRecords: 1 << 8 } });
    t.both(0, 'abcdefghij');
    washLog(t, 200_000);
    t.p(0, { payload: 'abc' });
    const bad = t.p(5, { payload: 'XX' });
    expect(t.left(bad)).toEqual([false]);
    t.s(0, { payload: 'abcdefghij' });
    expect(t.left(bad)).toEqual([false]);
  });
  test('a repetition whose history is gone leaves when the SVM says it again', () => {
    const t = new Pair({ limits: { logBytes: 1 << 17, maxHeldBytes: 1 << 15, logRecords: 1 << 8 } });
    t.both(0, 'abcdefghij');
    washLog(t, 200_000);
    const again = t.p(0, { payload: 'abcdefghij' });
    expect(t.left(again)).toEqual([false]);
    t.s(0, { payload: 'abcdefghij' });
    expect(t.left(again)).toEqual([true]);
    expect(t.h.requests).toEqual([]);
  });
});

describe('coverage by a checkpoint', () => {
  test('ends after half the sequence space: a repetition with lost history is not let out for the sake of an old checkpoint', () => {
    const t = new Pair({ limits: { logBytes: 1 << 17, maxHeldBytes: 1 << 15, logRecords: 1 << 8 } });
    t.checkpoint();
    // Moves both guests on by a GiB a step, as the release by the operator does, until the sequence space is used up by
    // half.
    const step = 60_000;
    const stream = t.h.engine.context.stream;
    const flow = t.h.engine.context.flows.next(-1);
    t.both(0, 'begin');
    let at = 5;
    while (at < 2 ** 31 + 2 ** 28) {
      at += step * 1000;
      stream.range.raise(flow, (P_ISN + 1 + at) >>> 0);
    }
    t.both(at, 'recent');
    washLog(t, 200_000);
    const again = t.p(at, { payload: 'recXnt' });
    expect(t.left(again)).toEqual([false]);
  });
  test('a segment far beyond anything a window allows covers nothing below it', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(1 << 29, { payload: 'far' });
    t.checkpoint();
    const next = t.p(5, { payload: 'unsaid' });
    expect(t.left(next)).toEqual([false]);
    t.s(5, { payload: 'unsaid' });
    expect(t.left(next)).toEqual([true]);
  });
  test('nor do the checkpoints after that', () => {
    const t = new Pair();
    t.both(0, 'hello');
    t.p(1 << 29, { payload: 'far' });
    t.checkpoint();
    t.both(5, 'more');
    t.checkpoint();
    expect(t.left(t.p(9, { payload: 'unsaid' }))).toEqual([false]);
    t.checkpoint();
    t.both(15, 'and on');
  });
  test.each([1 << 29, -(1 << 29), -(2 ** 31) + 1])(
    'a first segment %d bytes away from the rest covers nothing, either',
    (away) => {
      const h = new PrimaryHarness();
      const seq = 0x9000_0000;
      h.p(buildTcp({ seq: (seq + away) >>> 0, ack: 1, payload: 'far' }));
      h.engine.checkpoint(h.now);
      for (const payload of ['hello', 'world']) {
        const id = h.p(buildTcp({ seq, ack: 1, payload }));
        expect(h.state(id)).toBe('held');
        h.engine.checkpoint(h.now);
      }
    },
  );
  test('a connection goes on when the rule that took it out of the comparison ends', () => {
    const t = new Pair();
    t.both(0, 'hello');
    // Unseen meanwhile: some GiB.
    const at = 3 * 2 ** 29;
    t.p(at, { payload: 'seen again' });
    t.checkpoint();
    t.both(at + 10, 'and on');
    t.checkpoint();
    t.both(at + 16, 'and on');
    // The one for the place where it was seen again.
    expect(t.h.requests.length).toBe(1);
  });
  test('a flow whose every byte was released by checkpoints goes on beyond half the sequence space', () => {
    const t = new Pair();
    const { flows, stream } = t.h.engine.context;
    const flow = flows.next(-1);
    t.both(0, 'x');
    let at = 1;
    while (at < 2 ** 31 + 2 ** 28) {
      at += 1 << 26;
      stream.coverPrimary(flow, (P_ISN + 1 + at) >>> 0);
    }
    const next = t.p(at, { payload: 'on' });
    t.s(at, { payload: 'on' });
    expect(t.left(next)).toEqual([true]);
  });
});

describe('SYN', () => {
  test('a repetition with other options waits for the same of the other guest', () => {
    const t = new Pair();
    const again = t.p(-1, { flags: 'SA', options: [2, 4, 1, 0] });
    expect(t.left(again)).toEqual([false]);
    t.s(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(3) });
    expect(t.left(again)).toEqual([false]);
    t.s(-1, { flags: 'SA', options: [2, 4, 1, 0] });
    expect(t.left(again)).toEqual([true]);
    expect(t.h.requests).toEqual([]);
  });
  test('the SVM may be the first to offer less, and the PVM repeat what both have offered', () => {
    const t = new Pair();
    t.s(-1, { flags: 'SA', options: [2, 4, 1, 0] });
    expect(t.left(t.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(3) }))).toEqual([true]);
    // It is the PVM's turn: that it never comes is a difference, and until then nothing is built on the offer.
    const data = t.p(0, { payload: 'hello' });
    t.s(0, { payload: 'hello' });
    expect(t.left(data)).toEqual([false]);
    expect(t.left(t.p(-1, { flags: 'SA', options: [2, 4, 1, 0] }), data)).toEqual([true, true]);
    expect(t.h.requests).toEqual([]);
  });
  test.each([
    ['the SVM offers something else', [2, 4, 2, 0], undefined],
    ['the PVM offers a third', undefined, [2, 4, 2, 0]],
  ])('a repetition with other options, and %s: a divergence', (_name, secondary, primary) => {
    const t = new Pair();
    const again = t.p(-1, { flags: 'SA', options: [2, 4, 1, 0] });
    if (secondary !== undefined) t.s(-1, { flags: 'SA', options: secondary });
    if (primary !== undefined) t.p(-1, { flags: 'SA', options: primary });
    expect(t.left(again)).toEqual([false]);
    expect(t.h.requests).toEqual(['syn_options']);
  });
  test('a repetition with other options that a checkpoint has let out is the offer of both', () => {
    const t = new Pair();
    const again = t.p(-1, { flags: 'SA', options: [2, 4, 1, 0] });
    t.checkpoint();
    expect(t.left(again)).toEqual([true]);
    t.s(-1, { flags: 'SA', options: [2, 4, 1, 0] });
    const data = t.p(0, { payload: 'hello' });
    t.s(0, { payload: 'hello' });
    expect(t.left(data)).toEqual([true]);
    expect(t.h.requests).toEqual([]);
  });
  test('a repetition with the same options leaves, also after a checkpoint', () => {
    const t = new Pair();
    expect(t.left(t.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(3) }))).toEqual([true]);
    t.checkpoint();
    expect(t.left(t.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(4) }))).toEqual([true]);
  });
  test.each(['SR', 'SRA', 'SF', 'SFA'])('%s is nothing that a TCP says: dropped', (flags) => {
    const t = new Pair();
    expect(t.h.state(t.p(-1, { flags, options: MSS_WSCALE_SACK_TS(1) }))).toBe('drop');
  });
  test('a SYN/ACK that acknowledges more than the SVM leaves with the lower one', () => {
    const t = new Pair();
    const id = t.p(-1, { flags: 'SA', ack: ACK + 500, options: MSS_WSCALE_SACK_TS(1) });
    expect(t.h.left(id)!.readUInt32BE(28)).toBe(ACK);
  });
  test('every MPTCP option is taken off', () => {
    const h = new PrimaryHarness();
    h.s(buildTcp({ flags: 'SA', seq: 5, ack: 1 }));
    const id = h.p(buildTcp({ flags: 'SA', seq: 5, ack: 1, options: [30, 4, 0, 1, 30, 4, 0, 2] }));
    expect([...h.left(id)!.subarray(40, 48)]).toEqual(Array(8).fill(1));
  });
});

describe('data on and before the SYNs', () => {
  const open = (h: PrimaryHarness): void => h.s(buildTcp({ flags: 'SA', seq: 700, ack: 1 }));
  test('data sent behind an unanswered SYN/ACK leaves when the SVM has said it', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ flags: 'SA', seq: 50, ack: 1 }));
    const data = h.p(buildTcp({ seq: 51, ack: 1, payload: 'early' }));
    open(h);
    expect(h.state(data)).toBe('held');
    h.s(buildTcp({ seq: 701, ack: 1, payload: 'early' }));
    expect(h.state(data)).toBe('accept');
    expect(h.requests).toEqual([]);
  });
  test('it is compared, whatever the PVM repeats later', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ flags: 'SA', seq: 50, ack: 1 }));
    const bad = h.p(buildTcp({ seq: 51, ack: 1, payload: 'eXrly' }));
    open(h);
    h.p(buildTcp({ seq: 51, ack: 1, payload: 'early' }));
    h.s(buildTcp({ seq: 701, ack: 1, payload: 'early' }));
    expect(h.left(bad)).toBeUndefined();
    expect(h.requests.length).toBe(1);
  });
  test('it is the same data wherever the log goes round', () => {
    const text = (from: number, to: number): Buffer =>
      Buffer.from(Array.from({ length: to - from }, (_, i) => from + i));
    for (let others = 0; others < 60; others++) {
      const h = new PrimaryHarness({ limits: { logBytes: 1 << 12, maxHeldBytes: 1 << 11, logRecords: 1 << 7 } });
      h.p(buildTcp({ flags: 'SA', seq: 50, ack: 1 }));
      const early = (from: number, to: number): number =>
        h.p(buildTcp({ seq: 51 + from, ack: 1, payload: text(from, to) }));
      const ids = [early(30, 40), early(50, 60), early(0, 200)];
      for (let i = 0; i < others; i++) {
        const other = buildUdp({ payload: Buffer.alloc(72, i) });
        h.s(other);
        h.p(other);
      }
      open(h);
      h.s(buildTcp({ seq: 701, ack: 1, payload: text(0, 200) }));
      expect([h.requests, ids.map((id) => h.state(id))]).toEqual([[], Array(3).fill('accept')]);
    }
  });
  test('two SYNs with different data', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ flags: 'S', seq: 50, payload: 'abc' }));
    const bad = h.p(buildTcp({ flags: 'S', seq: 50, payload: 'aXc' }));
    h.s(buildTcp({ flags: 'S', seq: 700, payload: 'abc' }));
    expect(h.left(bad)).toBeUndefined();
  });
  test('two SYNs with the same data', () => {
    const h = new PrimaryHarness();
    const ids = [1, 2].map(() => h.p(buildTcp({ flags: 'S', seq: 50, payload: 'abc' })));
    h.s(buildTcp({ flags: 'S', seq: 700, payload: 'abc' }));
    expect(ids.map((id) => h.state(id))).toEqual(['accept', 'accept']);
    expect(h.requests).toEqual([]);
  });
});

describe('RST', () => {
  test.each([false, true])(
    'with bytes, of a connection first seen in its middle, it covers nothing below it at a checkpoint (while one is awaited: %s)',
    (paused) => {
      const h = new PrimaryHarness();
      const at = (position: number, f: TcpFields) => buildTcp({ ack: ACK, ...f, seq: P_ISN + position });
      if (paused) {
        h.p(buildUdp({ payload: 'this' }));
        h.s(buildUdp({ payload: 'that' }));
      }
      h.p(at(100, { flags: 'RA', payload: 'gone' }));
      h.engine.dropAll();
      h.engine.checkpoint(h.now);
      expect(h.state(h.p(at(0, { payload: 'unsaid' })))).toBe('held');
    },
  );

  test('bytes on a RST do not leave unless the SVM said them', () => {
    const t = new Pair();
    const bad = t.p(0, { flags: 'R', payload: 'secret' });
    t.s(0, { flags: 'R' });
    expect(t.left(bad)).toEqual([false]);
  });
  test('nor where the stream is not known yet, on the strength of other bytes at their place', () => {
    const h = new PrimaryHarness();
    h.s(buildTcp({ seq: 1000, ack: 7, flags: 'RA', payload: 'said' }));
    h.s(buildTcp({ seq: 1000, ack: 7, payload: 'said' }));
    const reset = h.p(buildTcp({ seq: 1000, ack: 7, flags: 'RA', payload: 'else' }));
    h.p(buildTcp({ seq: 1000, ack: 7, payload: 'said' }));
    expect([h.state(reset), h.requests]).toEqual(['held', ['rst']]);
  });
  test('its acknowledgement is not above the SVM', () => {
    const t = new Pair();
    t.s(0, { flags: 'RA' });
    const id = t.p(0, { flags: 'RA', ack: ACK + 10 });
    expect(t.h.left(id)!.readUInt32BE(28)).toBe(ACK);
  });
  test('at another place it stays', () => {
    const t = new Pair();
    t.s(1, { flags: 'R' });
    expect(t.left(t.p(0, { flags: 'R' }))).toEqual([false]);
  });
});

describe('FIN', () => {
  test("data behind the SVM's end is a divergence, before and after it was held", () => {
    const t = new Pair();
    t.s(0, { payload: 'end', flags: 'FA' });
    const bad = t.p(3, { payload: 'more' });
    expect(t.left(bad)).toEqual([false]);
    expect(t.h.requests).toEqual(['fin']);
  });
  test("data of the SVM behind the PVM's end is a divergence", () => {
    const t = new Pair();
    t.p(0, { payload: 'end', flags: 'FA' });
    t.s(0, { payload: 'end and more' });
    expect(t.h.requests).toEqual(['fin']);
  });
  test('cut differently on both sides and repeated', () => {
    const t = new Pair();
    const ids = [t.p(0, { payload: 'good' }), t.p(4, { payload: 'bye', flags: 'FA' })];
    t.s(0, { payload: 'goodbye' });
    expect(t.left(...ids)).toEqual([true, false]);
    t.s(7, { flags: 'FA' });
    expect(t.left(...ids, t.p(2, { payload: 'odbye', flags: 'FA' }))).toEqual([true, true, true]);
    expect(t.h.requests).toEqual([]);
  });
});

describe('waiting ends', () => {
  test('an SVM that goes on alone is noticed although it speaks all the time', () => {
    const h = new PrimaryHarness();
    for (let i = 0; i < 50; i++) {
      h.s(buildUdp({ payload: `alone ${i}` }));
      h.now += 100;
      h.engine.tick(h.now);
    }
    expect(h.requests).toEqual(['timeout_primary_silent']);
  });
  test('although what it said is moved in the log meanwhile', () => {
    const h = new PrimaryHarness({ limits: { logBytes: 1 << 12, maxHeldBytes: 1 << 11, logRecords: 1 << 7 } });
    for (let i = 0; i < 50; i++) {
      if (i % 5 === 0) h.s(buildUdp({ payload: `alone ${i}` }));
      for (let k = 0; k < 40; k++) {
        const other = buildUdp({ payload: Buffer.alloc(100, k), dport: 9 });
        h.s(other);
        h.p(other);
      }
      h.now += 100;
      h.engine.tick(h.now);
    }
    expect(h.requests).toEqual(['timeout_primary_silent']);
  });
  test('TCP, too, while the PVM only acknowledges', () => {
    const t = new Pair();
    for (let i = 0; i < 50; i++) {
      t.s(i, { payload: 'x' });
      t.p(0);
      t.h.now += 100;
      t.h.engine.tick(t.h.now);
    }
    expect(t.h.requests).toEqual(['timeout_primary_silent']);
  });
  test('nor does a reset of the SVM wait for ever', () => {
    for (const follows of [false, true]) {
      const t = new Pair();
      t.both(0, 'x');
      t.s(1, { flags: 'RA' });
      if (follows) t.p(1, { flags: 'RA' });
      t.h.engine.tick(t.h.now + 3000);
      expect(t.h.requests).toEqual(follows ? [] : ['timeout_primary_silent']);
    }
  });
  test('one that is ahead but followed is not', () => {
    const t = new Pair();
    t.s(0, { payload: 'x' });
    for (let i = 0; i < 50; i++) {
      t.s(i + 1, { payload: 'x' });
      expect(t.left(t.p(i, { payload: 'x' }))).toEqual([true]);
      t.h.now += 1000;
      t.h.engine.tick(t.h.now);
    }
    expect(t.h.requests).toEqual([]);
  });
});

describe('the list of flows in which the SVM is ahead', () => {
  test('a malformed packet behind the end of a flow changes nothing', () => {
    const h = new PrimaryHarness();
    h.s(buildUdp({ payload: 'ahead' }));
    h.engine.checkpoint(h.now);
    for (let s = 0; s < 200; s++) h.engine.tick(h.now + s * 1000);
    expect(h.engine.flowCount).toBe(0);
    h.p(buildTcp({ seq: 1, ack: 1, options: [2, 0, 0, 0] }));
    h.engine.tick(h.now + 300_000);
    expect(h.requests).toEqual([]);
  });
});

describe('positions half the sequence space apart', () => {
  const HALF = 2 ** 31;
  test.each([HALF, HALF - 1, HALF + 1, 2 ** 28])('of the PVM: %d', (away) => {
    const t = new Pair();
    const ids = [0, away, away - 2, away + 1, 4].map((at) => t.p(at, { payload: 'abcd' }));
    t.s(0, { payload: 'abcd' });
    t.checkpoint();
    expect(t.left(...ids)).toEqual([true, true, true, true, true]);
    t.p(8, { payload: 'more' });
    t.checkpoint();
    t.both(12, 'and on');
  });
  test.each([HALF, HALF - 1, HALF + 1])('of the SVM: %d', (away) => {
    const t = new Pair();
    for (const at of [4, away, away - 2, away + 1, 8]) t.s(at, { payload: 'abcd' });
    t.both(0, 'efgh');
    expect(t.left(t.p(4, { payload: 'abcd' }))).toEqual([true]);
  });
  test('of the SVM before the PVM has said anything', () => {
    const h = new PrimaryHarness();
    for (const seq of [1000, 1000 + HALF, 998 + HALF, 1004]) h.s(buildTcp({ seq, ack: 1, payload: 'abcd' }));
    expect(h.state(h.p(buildTcp({ seq: 1000, ack: 1, payload: 'abcdabcd' })))).toBe('accept');
  });
  test('of the PVM, by many steps back', () => {
    const h = new PrimaryHarness();
    for (let i = 0; i < 60; i++) h.p(buildTcp({ seq: (5 - i * 2 ** 26) >>> 0, ack: 1, payload: 'abcd' }));
    h.engine.checkpoint(h.now);
    expect(h.engine.heldPackets).toBe(0);
  });
});

describe('bounds and modes', () => {
  test('fragments beyond the bound ask for a checkpoint', () => {
    const h = new PrimaryHarness({ limits: { maxHeldPackets: 1 } });
    const fragment = buildUdp({ payload: 'fragment' });
    fragment[6] = 0x20;
    expect([h.p(fragment), h.p(fragment)].map((id) => h.state(id))).toEqual(['held', 'drop']);
    // The first has asked for the one checkpoint that helps both.
    expect(h.requests).toEqual(['not_comparable']);
  });
  test.each(['forgetPair', 'setProtected'] as const)('%s with held packets leaves none without a verdict', (how) => {
    const t = new Pair();
    const held = t.p(0, { payload: 'held' });
    if (how === 'forgetPair') t.h.engine.forgetPair(t.h.now);
    else {
      t.h.engine.setProtected(false);
      t.h.engine.setProtected(true);
    }
    expect(t.h.state(held)).toBe('drop');
    expect([t.h.engine.heldPackets, t.h.engine.heldBytes]).toEqual([0, 0]);
  });
});

describe('cost', () => {
  test('what the SVM said before a late start is kept within bounds', () => {
    const h = new PrimaryHarness();
    for (let i = 0; i < 400; i++) h.s(buildTcp({ seq: 1000 + 2 * i, ack: 1, payload: 'x' }));
    h.p(buildTcp({ seq: 5000, ack: 1, payload: 'late' }));
    h.s(buildTcp({ seq: 5000, ack: 1, payload: 'late' }));
    expect(h.engine.heldBytes).toBeLessThanOrEqual(100);
    expect(h.requests).toEqual([]);
  });
});
