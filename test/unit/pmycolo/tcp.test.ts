import { buildTcp, buildUdp, checksumsAreRight, MSS_WSCALE_SACK_TS, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const P_ISN = 0xffff_fff0;
const S_ISN = 5000;
const CLIENT = 777;

/** A PVM and an SVM packet with the same content, each in its own numbers. `at` counts from the first payload byte. */
class Pair {
  readonly h: PrimaryHarness;
  constructor(config: ConstructorParameters<typeof PrimaryHarness>[0] = {}) {
    this.h = new PrimaryHarness(config);
  }
  p(at: number, f: TcpFields = {}, partial = false): number {
    return this.h.p(buildTcp({ ack: CLIENT + 1, ...f, seq: (P_ISN + 1 + at) >>> 0 }), partial);
  }
  s(at: number, f: TcpFields = {}): void {
    this.h.s(buildTcp({ ack: CLIENT + 1, ttl: 63, id: 9, ...f, seq: (S_ISN + 1 + at) >>> 0 }));
  }
  open(): this {
    const p = this.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) });
    expect(this.h.state(p)).toBe('held');
    this.s(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(99) });
    expect(this.h.state(p)).toBe('accept');
    return this;
  }
}

describe('handshake', () => {
  test('a SYN/ACK waits for the other side', () => {
    new Pair().open();
  });
  test('the SVM may be first', () => {
    const t = new Pair();
    t.s(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(99) });
    expect(t.h.state(t.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(1) }))).toBe('accept');
  });
  test('other options are a divergence', () => {
    const t = new Pair();
    const p = t.p(-1, { flags: 'SA', options: [2, 4, 5, 0xb4] });
    t.s(-1, { flags: 'SA', options: [2, 4, 5, 0xa0] });
    expect(t.h.requests).toEqual(['syn_options']);
    expect(t.h.state(p)).toBe('held');
  });
  test('a repeated SYN/ACK leaves at once when the first did', () => {
    const t = new Pair().open();
    expect(t.h.state(t.p(-1, { flags: 'SA', options: MSS_WSCALE_SACK_TS(5) }))).toBe('accept');
  });
  test('the window of a SYN/ACK is not above the SVM', () => {
    const t = new Pair();
    t.s(-1, { flags: 'SA', window: 500 });
    const p = t.p(-1, { flags: 'SA', window: 900 });
    expect(t.h.left(p)!.readUInt16BE(34)).toBe(500);
    expect(checksumsAreRight(t.h.left(p)!)).toBe(true);
  });
  test('MPTCP is taken off', () => {
    const t = new Pair();
    const mp = [30, 4, 0, 1, 30, 3, 9, 1];
    t.s(-1, { flags: 'SA' });
    const p = t.p(-1, { flags: 'SA', options: mp });
    expect([...t.h.left(p)!.subarray(40, 48)]).toEqual(Array(8).fill(1));
    expect(checksumsAreRight(t.h.left(p)!)).toBe(true);
  });
  test('a reused tuple starts clean', () => {
    const t = new Pair().open();
    const old = t.p(0, { payload: 'old words' });
    const p = t.h.p(buildTcp({ flags: 'SA', seq: 123456, ack: 4243 }));
    expect(t.h.state(old)).toBe('drop');
    expect(t.h.state(p)).toBe('held');
    t.s(0, { payload: 'old word of the SVM' });
    t.h.s(buildTcp({ flags: 'SA', seq: 654321, ack: 4243 }));
    expect(t.h.state(p)).toBe('accept');
    const d = t.h.p(buildTcp({ seq: 123457, ack: 4243, payload: 'new' }));
    t.h.s(buildTcp({ seq: 654322, ack: 4243, payload: 'new' }));
    expect(t.h.state(d)).toBe('accept');
    expect(t.h.requests).toEqual([]);
  });
});

describe('payload', () => {
  test('PVM first, SVM first', () => {
    const t = new Pair().open();
    const a = t.p(0, { payload: 'hello' });
    expect(t.h.state(a)).toBe('held');
    t.s(0, { payload: 'hello' });
    expect(t.h.state(a)).toBe('accept');
    t.s(5, { payload: 'world' });
    expect(t.h.state(t.p(5, { payload: 'world' }))).toBe('accept');
    expect(t.h.requests).toEqual([]);
  });
  test('any segmentation on either side, across the wrap of the sequence space', () => {
    const t = new Pair().open();
    const text = 'the quick brown fox jumps over the lazy dog';
    const ids = [t.p(0, { payload: text.slice(0, 10) }), t.p(10, { payload: text.slice(10) })];
    t.s(0, { payload: text.slice(0, 4) });
    t.s(4, { payload: text.slice(4, 12) });
    expect(ids.map((id) => t.h.state(id))).toEqual(['accept', 'held']);
    t.s(12, { payload: text.slice(12) });
    expect(ids.map((id) => t.h.state(id))).toEqual(['accept', 'accept']);
  });
  test('the SVM out of order', () => {
    const t = new Pair().open();
    const id = t.p(0, { payload: 'abcdefghij' });
    t.s(5, { payload: 'fghij' });
    expect(t.h.state(id)).toBe('held');
    t.s(0, { payload: 'abcde' });
    expect(t.h.state(id)).toBe('accept');
    expect(t.h.requests).toEqual([]);
  });
  test('the PVM out of order', () => {
    const t = new Pair().open();
    const b = t.p(5, { payload: 'fghij' });
    t.s(0, { payload: 'abcdefghij' });
    expect(t.h.state(b)).toBe('held');
    const a = t.p(0, { payload: 'abcde' });
    expect([t.h.state(a), t.h.state(b)]).toEqual(['accept', 'accept']);
  });
  test('different bytes: one request, nothing leaves, nothing is compared until the checkpoint', () => {
    const t = new Pair().open();
    const a = t.p(0, { payload: 'hello' });
    t.s(0, { payload: 'hexlo' });
    expect(t.h.requests).toEqual(['payload']);
    const b = t.p(5, { payload: 'world' });
    t.s(5, { payload: 'world' });
    expect([t.h.state(a), t.h.state(b)]).toEqual(['held', 'held']);
    expect(t.h.requests).toEqual(['payload']);
    t.h.engine.checkpoint(t.h.now);
    expect([t.h.state(a), t.h.state(b)]).toEqual(['accept', 'accept']);
    // From now on the SVM speaks in the PVM's numbers.
    const c = t.p(10, { payload: '!' });
    expect(t.h.state(c)).toBe('held');
    t.h.s(buildTcp({ seq: (P_ISN + 11) >>> 0, ack: CLIENT + 1, payload: '!' }));
    expect(t.h.state(c)).toBe('accept');
  });
  test('the same bytes at different places are a divergence', () => {
    const t = new Pair().open();
    t.p(0, { payload: 'aab' });
    t.s(0, { payload: 'ab' });
    expect(t.h.requests).toEqual(['payload']);
  });
  test('a repetition of verified bytes leaves at once, but only with the same bytes', () => {
    const t = new Pair().open();
    t.p(0, { payload: 'hello' });
    t.s(0, { payload: 'hello' });
    t.s(5, { payload: 'world' });
    t.p(5, { payload: 'world' });
    expect(t.h.state(t.p(0, { payload: 'hello' }))).toBe('accept');
    expect(t.h.state(t.p(2, { payload: 'llowor' }))).toBe('accept');
    expect(t.h.state(t.p(3, { payload: 'loXor' }))).toBe('held');
    expect(t.h.requests).toEqual(['retransmission']);
  });
  test('a repetition of held bytes with another segmentation leaves with them', () => {
    const t = new Pair().open();
    const ids = [t.p(0, { payload: 'hello' }), t.p(0, { payload: 'hel' }), t.p(3, { payload: 'lo world' })];
    t.s(0, { payload: 'hello world' });
    expect(ids.map((id) => t.h.state(id))).toEqual(['accept', 'drop', 'accept']);
    t.p(10, { payload: 'd' });
    expect(t.h.requests).toEqual([]);
  });
  test('a checkpoint covers: what the PVM repeats of the time before leaves at once', () => {
    const t = new Pair().open();
    t.p(0, { payload: 'secret' });
    t.s(0, { payload: 'SECRET' });
    t.h.engine.checkpoint(t.h.now);
    expect(t.h.state(t.p(0, { payload: 'secret' }))).toBe('accept');
  });
  test('bytes behind the IP length are not payload, and do not leave', () => {
    const t = new Pair().open();
    const seq = (P_ISN + 1) >>> 0;
    const packet = buildTcp({ seq, ack: CLIENT + 1, payload: 'ab' });
    const arena = Buffer.concat([packet, Buffer.alloc(4, 1)]);
    t.h.sent.set(99, packet);
    t.h.engine.primary(99, arena, 0, arena.length, false, t.h.now);
    t.s(0, { payload: 'ab' });
    expect(t.h.verdicts.get(99)).toEqual({ kind: 'rewrite', bytes: packet, partial: false });
  });
  test('IPv6', () => {
    const t = new Pair();
    t.p(-1, { family: 6, flags: 'SA' });
    t.s(-1, { family: 6, flags: 'SA' });
    const id = t.p(0, { family: 6, payload: 'six' });
    t.s(0, { family: 6, payload: 'six' });
    expect(t.h.state(id)).toBe('accept');
  });
});

describe('probes', () => {
  test.each([4, 6] as const)('a repetition of held bytes leaves as a probe without them, IPv%d', (family) => {
    const t = new Pair();
    t.p(-1, { family, flags: 'SA' });
    t.s(-1, { family, flags: 'SA' });
    t.s(0, { family, ack: CLIENT + 11 });
    const first = t.p(0, { family, payload: 'not said yet', ack: CLIENT + 51 });
    expect(t.h.probes).toEqual([]);
    t.p(0, { family, payload: 'not said yet', ack: CLIENT + 51, flags: 'PA' });
    expect(t.h.state(first)).toBe('held');
    const [probe] = t.h.probes;
    const header = family === 4 ? 20 : 40;
    expect(probe!.length).toBe(header + 20);
    expect(probe!.readUInt32BE(header + 4)).toBe(P_ISN);
    expect(probe!.readUInt32BE(header + 8)).toBe(CLIENT + 11);
    expect(probe![header + 13]).toBe(0x10);
    expect(checksumsAreRight(probe!)).toBe(true);
    t.s(0, { family, payload: 'not said yet' });
    expect(t.h.state(first)).not.toBe('held');
  });
  test('other bytes in a repetition are no probe', () => {
    const t = new Pair().open();
    t.p(0, { payload: 'abc' });
    t.p(0, { payload: 'abd' });
    expect([t.h.probes.length, t.h.requests]).toEqual([0, ['retransmission']]);
  });
});

describe('acknowledgements and windows', () => {
  test('a pure ACK waits until the SVM has acknowledged as much', () => {
    const t = new Pair().open();
    const id = t.p(0, { ack: CLIENT + 101 });
    expect(t.h.state(id)).toBe('held');
    t.s(0, { ack: CLIENT + 51 });
    expect(t.h.state(id)).toBe('held');
    t.s(0, { ack: CLIENT + 101 });
    expect(t.h.state(id)).toBe('accept');
    expect(t.h.requests).toEqual([]);
  });
  test('data that is ahead leaves with the lower acknowledgement, never below what was let out', () => {
    const t = new Pair().open();
    t.s(0, { payload: 'data', ack: CLIENT + 11 });
    const id = t.p(0, { payload: 'data', ack: CLIENT + 51 });
    expect(t.h.state(id)).toBe('rewrite');
    expect(t.h.left(id)!.readUInt32BE(28)).toBe(CLIENT + 11);
    expect(checksumsAreRight(t.h.left(id)!)).toBe(true);
  });
  test('a partial checksum stays as it is', () => {
    const t = new Pair().open();
    t.s(0, { payload: 'd', ack: CLIENT + 11 });
    const id = t.p(0, { payload: 'd', ack: CLIENT + 51 }, true);
    expect(t.h.verdicts.get(id)!.partial).toBe(true);
    expect(t.h.left(id)!.readUInt16BE(36)).toBe(t.h.sent.get(id)!.readUInt16BE(36));
  });
  test('a window above the SVM is clamped, one clamped to nothing waits', () => {
    const t = new Pair().open();
    t.s(0, { window: 5 });
    t.s(0, { window: 0, ack: CLIENT + 2 });
    const waiting = t.p(0, { ack: CLIENT + 70001, window: 900 });
    expect(t.h.state(waiting)).toBe('held');
    t.s(0, { window: 300, ack: CLIENT + 70001 });
    expect(t.h.left(waiting)!.readUInt16BE(34)).toBe(300);
  });
  test('SACK blocks become NOPs', () => {
    const t = new Pair().open();
    t.s(0);
    const id = t.p(0, { options: [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9] });
    expect([...t.h.left(id)!.subarray(40, 52)]).toEqual(Array(12).fill(1));
    expect(checksumsAreRight(t.h.left(id)!)).toBe(true);
  });
  test('waiting never lasts for ever', () => {
    const t = new Pair().open();
    t.p(0, { ack: CLIENT + 101 });
    t.h.engine.tick(t.h.now + 2999);
    expect(t.h.requests).toEqual([]);
    t.h.engine.tick(t.h.now + 3000);
    expect(t.h.requests).toEqual(['timeout_secondary_silent']);
  });
  test('a checkpoint aligns acknowledgement and window', () => {
    const t = new Pair().open();
    t.s(0, { window: 10, ack: CLIENT + 1 });
    const held = t.p(0, { ack: CLIENT + 101, window: 800 });
    t.h.engine.checkpoint(t.h.now);
    expect(t.h.state(held)).toBe('accept');
    expect(t.h.state(t.p(0, { ack: CLIENT + 101, window: 800 }))).toBe('accept');
  });
});

describe('ends', () => {
  test('FIN at the same place', () => {
    const t = new Pair().open();
    const id = t.p(0, { payload: 'bye', flags: 'FA' });
    t.s(0, { payload: 'bye' });
    expect(t.h.state(id)).toBe('held');
    t.s(3, { flags: 'FA' });
    expect(t.h.state(id)).toBe('accept');
    expect(t.h.state(t.p(3, { flags: 'FA' }))).toBe('accept');
  });
  test.each([
    ['early FIN of the SVM', 'b', 'bye'],
    ['early FIN of the PVM', 'bye', 'b'],
  ])('%s is a divergence', (_name, secondary, primary) => {
    const t = new Pair().open();
    t.p(0, { payload: primary, flags: 'FA' });
    t.s(0, { payload: secondary, flags: 'FA' });
    expect(t.h.requests).toEqual(['fin']);
  });
  test('RST waits for the same RST', () => {
    const t = new Pair().open();
    const id = t.p(0, { flags: 'R' });
    expect(t.h.state(id)).toBe('held');
    t.s(0, { flags: 'R' });
    // The window of a segment without an acknowledgement means nothing.
    expect(t.h.state(id)).toBe('rewrite');
  });
  test('one side refuses a connection that the other accepts', () => {
    const t = new Pair();
    t.p(-1, { flags: 'SA' });
    t.h.s(buildTcp({ flags: 'RA', seq: 0, ack: CLIENT + 1 }));
    expect(t.h.requests).toEqual(['rst']);
  });
  test('both refuse', () => {
    const t = new Pair();
    const id = t.h.p(buildTcp({ flags: 'RA', seq: 0, ack: CLIENT + 1 }));
    t.h.s(buildTcp({ flags: 'RA', seq: 0, ack: CLIENT + 1 }));
    expect(t.h.state(id)).toBe('accept');
  });
  test('what the SVM refused before says nothing about the next SYN from the same port', () => {
    const h = new PrimaryHarness();
    h.p(buildTcp({ flags: 'RA', seq: 0, ack: 100 }));
    h.s(buildTcp({ flags: 'RA', seq: 0, ack: 100 }));
    const id = h.p(buildTcp({ flags: 'RA', seq: 0, ack: 7000 }));
    expect(h.state(id)).toBe('held');
    h.s(buildTcp({ flags: 'RA', seq: 0, ack: 7000 }));
    expect(h.state(id)).toBe('accept');
  });
});

describe('a connection first seen in its middle', () => {
  const both = (h: PrimaryHarness, seq: number, payload: string): number => {
    const id = h.p(buildTcp({ seq, ack: 1, payload }));
    h.s(buildTcp({ seq, ack: 1, payload }));
    return id;
  };
  test.each(['PVM', 'SVM'])(
    'is forgotten when a new one opens, by the SYN of the %s first: its acknowledgements grant nothing',
    (first) => {
      const h = new PrimaryHarness();
      // Of the old connection only acknowledgements were seen, far ahead of where the new one begins.
      h.p(buildTcp({ seq: 1, ack: 900_000 }));
      h.s(buildTcp({ seq: 1, ack: 900_000 }));
      h.engine.checkpoint(h.now);
      const syn = { flags: 'SA', ack: 1001, options: MSS_WSCALE_SACK_TS(1) };
      const open = [() => h.p(buildTcp({ ...syn, seq: 50 })), () => h.s(buildTcp({ ...syn, seq: 70 }))];
      for (const step of first === 'PVM' ? open : open.reverse()) step();
      const ack = h.p(buildTcp({ seq: 51, ack: 1500 }));
      expect(h.state(ack)).toBe('held');
      h.s(buildTcp({ seq: 71, ack: 1500 }));
      expect(h.state(ack)).toBe('accept');
    },
  );
  test('is compared from its first data segment on', () => {
    const h = new PrimaryHarness();
    expect(h.state(both(h, 1000, 'mid'))).toBe('accept');
  });
  test('repetitions from before the start are verified too', () => {
    const h = new PrimaryHarness();
    both(h, 1000, 'later');
    const early = h.p(buildTcp({ seq: 990, ack: 1, payload: '0123456789later' }));
    expect(h.state(early)).toBe('held');
    h.s(buildTcp({ seq: 990, ack: 1, payload: '0123456789' }));
    expect(h.state(early)).toBe('accept');
    expect(h.state(both(h, 1005, 'go on'))).toBe('accept');
    expect(h.requests).toEqual([]);
  });
  test('the SVM repeats first', () => {
    const h = new PrimaryHarness();
    both(h, 1000, 'later');
    h.s(buildTcp({ seq: 990, ack: 1, payload: '0123456789' }));
    expect(h.state(h.p(buildTcp({ seq: 990, ack: 1, payload: '0123456789' })))).toBe('accept');
  });
});

describe('modes', () => {
  test('unprotected: everything leaves at once', () => {
    const t = new Pair();
    t.h.engine.setProtected(false);
    expect(t.h.state(t.p(0, { payload: 'x' }))).toBe('accept');
  });
  test('releaseAll lets out what is held and goes on comparing', () => {
    const t = new Pair().open();
    const a = t.p(0, { payload: 'abc' });
    t.h.engine.releaseAll(t.h.now);
    expect(t.h.state(a)).toBe('accept');
    const b = t.p(3, { payload: 'def' });
    t.s(0, { payload: 'abc' });
    expect(t.h.state(b)).toBe('held');
    t.s(3, { payload: 'def' });
    expect(t.h.state(b)).toBe('accept');
  });
  test('dropAll drops, and the repetition is compared', () => {
    const t = new Pair().open();
    const a = t.p(0, { payload: 'abc' });
    t.h.engine.dropAll();
    expect(t.h.state(a)).toBe('drop');
    const again = t.p(0, { payload: 'abc' });
    t.s(0, { payload: 'abc' });
    expect(t.h.state(again)).toBe('accept');
  });
  test('the SVM ahead for too long asks for a checkpoint', () => {
    const t = new Pair().open();
    t.s(0, { payload: 'only me' });
    t.h.engine.tick(t.h.now + 3000);
    expect(t.h.requests).toEqual(['timeout_primary_silent']);
  });
  test('malformed packets are dropped and counted', () => {
    const t = new Pair();
    expect(t.h.state(t.h.p(Buffer.from('4500')))).toBe('drop');
    expect(t.h.engine.counters.snapshot().primary_malformed).toBe(1);
  });
  test('bounds: what cannot be held is dropped and a checkpoint is asked for', () => {
    const t = new Pair({ limits: { maxHeldPackets: 2 } }).open();
    const ids = [0, 1, 2].map((at) => t.p(at, { payload: 'x' }));
    expect(ids.map((id) => t.h.state(id))).toEqual(['held', 'held', 'drop']);
    expect(t.h.requests).toEqual(['bound_exhausted']);
  });
});

describe('life of a flow', () => {
  test('an ended connection is forgotten, an open one is not, one with held packets waits', () => {
    const t = new Pair().open();
    t.p(0, { flags: 'FA' });
    t.s(0, { flags: 'FA' });
    t.h.p(buildTcp({ sport: 81, seq: 5, ack: 1, payload: 'held' }));
    t.h.p(buildTcp({ sport: 82, seq: 5, ack: 1, payload: 'open' }));
    t.h.s(buildTcp({ sport: 82, seq: 5, ack: 1, payload: 'open' }));
    expect(t.h.engine.flowCount).toBe(3);
    for (let s = 0; s < 400; s++) t.h.engine.tick(t.h.now + s * 1000);
    expect(t.h.engine.flowCount).toBe(2);
    for (let s = 400; s < 440_000; s += 100) t.h.engine.tick(t.h.now + s * 1000);
    expect(t.h.engine.flowCount).toBe(1);
  });
  test("one that the SVM has begun anew waits for the PVM's beginning", () => {
    const t = new Pair().open();
    t.p(0, { flags: 'FA' });
    t.s(0, { flags: 'FA' });
    const next = { flags: 'SA', ack: CLIENT + 70_001, options: MSS_WSCALE_SACK_TS(100) };
    t.h.now += 119_900;
    t.h.engine.tick(t.h.now);
    t.s(65_535, next);
    t.h.now += 2500;
    t.h.engine.tick(t.h.now);
    expect(t.h.state(t.p(65_535, next))).toBe('accept');
    expect(t.h.requests).toEqual([]);
  });
  test("so does one of datagrams of which the SVM's came first", () => {
    const t = new Pair({ compareTimeoutMs: 60_000 });
    t.h.s(buildUdp({ payload: 'answer' }));
    t.h.now += 40_000;
    t.h.engine.tick(t.h.now);
    expect(t.h.state(t.h.p(buildUdp({ payload: 'answer' })))).toBe('accept');
  });
});

describe("a peer's reset", () => {
  const key = (sport: number): Uint32Array =>
    Uint32Array.of(0x0a000001, 0, 0, 0, 0x0a000002, 0, 0, 0, ((sport << 16) | 40000) >>> 0, (4 << 8) | 6);
  test('has what is held dropped, and asks for no checkpoint', () => {
    const t = new Pair().open();
    const id = t.p(0, { payload: 'nobody wants this any more' });
    t.h.engine.peerReset(key(80), CLIENT + 1, t.h.now);
    expect(t.h.state(id)).toBe('drop');
    t.h.engine.tick(t.h.now + 3000);
    expect(t.h.requests).toEqual([]);
    for (let s = 4; s < 30; s++) t.h.engine.tick(t.h.now + s * 1000);
    expect(t.h.engine.flowCount).toBe(0);
  });
  test('that the SVM hears of later: nobody waits for what it has said meanwhile', () => {
    const t = new Pair().open();
    t.h.engine.peerReset(key(80), CLIENT + 1, t.h.now);
    t.s(0, { payload: 'the rest of a long answer' });
    for (let s = 0; s < 40; s++) {
      t.h.now += 1000;
      t.h.engine.tick(t.h.now);
    }
    expect(t.h.requests).toEqual([]);
    expect(t.h.engine.flowCount).toBe(0);
  });
  test('that the guests do not believe: they are waited for as before when the PVM has spoken', () => {
    const t = new Pair().open();
    t.h.engine.peerReset(key(80), CLIENT + 1, t.h.now);
    t.p(0, { payload: 'hello' });
    t.s(0, { payload: 'hello, world' });
    t.h.now += 60_000;
    t.h.engine.tick(t.h.now);
    expect(t.h.requests).toHaveLength(1);
  });
  test('that the guest does not believe costs a repetition, nothing more', () => {
    const t = new Pair().open();
    t.p(0, { payload: 'hello' });
    t.s(2, { payload: 'llo' });
    t.h.engine.peerReset(key(80), CLIENT + 1, t.h.now);
    const again = t.p(0, { payload: 'hello' });
    t.s(0, { payload: 'hello' });
    expect(t.h.state(again)).toBe('accept');
    expect(t.h.requests).toEqual([]);
  });
  test.each([
    ['of the last connection', CLIENT],
    ['of a stranger who does not know the window', CLIENT + 1 + 70_000],
  ])('%s drops nothing', (_whose, seq) => {
    const t = new Pair().open();
    const id = t.p(0, { payload: 'hello', window: 500 });
    t.h.engine.peerReset(key(80), seq, t.h.now);
    expect(t.h.state(id)).toBe('held');
    t.h.engine.peerReset(key(80), CLIENT + 1 + 500, t.h.now);
    expect(t.h.state(id)).toBe('drop');
  });
  test("the guest's own is compared, whatever the peer has sent", () => {
    const t = new Pair().open();
    const id = t.p(0, { flags: 'R' });
    t.h.engine.peerReset(key(80), CLIENT + 1, t.h.now);
    expect(t.h.state(id)).toBe('held');
    t.s(0, { flags: 'R' });
    expect(t.h.state(id)).toBe('rewrite');
  });
});
