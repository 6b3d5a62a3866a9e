import fc from 'fast-check';
import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS, TS_OFF } from './bench';

const w = (n: number) => n >>> 0;
const signed = (a: number, b: number) => (a - b) | 0;
const { Accept, AcceptRewritten } = SecondaryVerdict;

describe('DO_FAILOVER', () => {
  test('a connection that opens afterwards passes untouched, both ways, MPTCP and all', () => {
    const t = new Bench();
    t.engine.failover(t.now);
    const mptcp = [30, 4, 1, 2];
    expect(t.peer({ flags: 'S', seq: 1, raw: mptcp }).verdict).toBe(Accept);
    expect(t.guest({ flags: 'SA', seq: SVM_ISN, ack: 2, raw: mptcp }).verdict).toBe(Accept);
    expect(t.peer({ seq: 2, ack: 99_999 }).verdict).toBe(Accept);
    expect(t.peer({ seq: 2, ack: SVM_ISN + 1 }).verdict).toBe(Accept);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [1, 2] }).verdict).toBe(Accept);
    expect(t.engine.status()).toMatchObject({ flows: 0, failedOver: true });
  });

  test('and so does one that uses the tuple of a translated connection again', () => {
    const t = new Bench();
    clientOpens(t);
    t.engine.failover(t.now);
    t.peer({ flags: 'S', seq: 600_000 });
    expect(t.guest({ flags: 'SA', seq: 800, ack: 600_001, ts: [50, 3000] }).verdict).toBe(Accept);
    // Not even a client that acknowledges nonsense gets an offset.
    expect(t.peer({ seq: 600_001, ack: 12_345 }).verdict).toBe(Accept);
    expect(t.peer({ seq: 600_001, ack: 801, ts: [3001, 50] }).verdict).toBe(Accept);
    expect(t.guest({ seq: 801, ts: [60, 3001] }).verdict).toBe(Accept);
  });

  test('a client that had the PVM’s SYN/ACK only finishes its handshake with the SVM', () => {
    const t = new Bench();
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900], window: 0xffff });
    t.engine.failover(t.now);
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS] }).ack).toBe(SVM_ISN + 1);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 1, 901] }).seq).toBe(w(PVM_ISN + 1));
  });

  test('a client that had no SYN/ACK yet takes the SVM’s, and nothing is translated', () => {
    const t = new Bench();
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900] });
    t.engine.failover(t.now);
    expect(t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS + 1000, 900] }).verdict).toBe(Accept);
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: SVM_ISN + 1, ts: [901, w(SVM_TS + 1000)] }).ack).toBe(SVM_ISN + 1);
    expect(t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, data: 'x' }).verdict).toBe(Accept);
  });

  test('done twice it is done once', () => {
    const t = new Bench();
    expect([t.engine.failover(1), t.engine.failover(2), t.count.failovers_done]).toEqual([true, false, 1]);
    t.engine.reset();
    expect(t.engine.status()).toMatchObject({ failedOver: false, flows: 0 });
  });
});

describe('timestamps after a failover never run backwards', () => {
  test('a learned connection whose echo is ahead of the SVM: ts_off is raised by the difference', () => {
    const t = new Bench();
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [950, PVM_TS + 500] });
    t.engine.failover(t.now);
    const first = t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 400, 901], data: 'x' });
    expect(first.ts).toEqual([PVM_TS + 500, 901]);
    expect(t.guest({ seq: SVM_ISN + 2, ts: [SVM_TS + 410, 901] }).ts).toEqual([PVM_TS + 510, 901]);
    // The echo of a raised timestamp comes back as the guest's own.
    expect(t.peer({ ack: PVM_ISN, ts: [960, PVM_TS + 510] }).ts).toEqual([960, w(SVM_TS + 410)]);
    expect(t.count.timestamps_raised).toBe(1);
  });

  test('not before the failover, nor when the SVM is ahead', () => {
    const t = new Bench('always');
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [950, PVM_TS + 500] });
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 400, 901] }).ts).toEqual([PVM_TS + 400, 901]);
    t.engine.failover(t.now);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 600, 901] }).ts).toEqual([PVM_TS + 600, 901]);
    expect(t.count.timestamps_raised).toBe(0);
  });

  test('connections from before the checkpoint too: no offset, but the SVM resumed later', () => {
    const t = new Bench();
    clientOpens(t);
    t.engine.checkpoint(t.now);
    t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [950, 90_000] });
    t.engine.failover(t.now);
    expect(t.guest({ seq: w(PVM_ISN + 1), ts: [89_900, 901] })).toMatchObject({
      seq: w(PVM_ISN + 1),
      ts: [90_000, 901],
    });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [951, 90_000] }).ts).toEqual([951, 89_900]);
  });

  test('and ones whose handshake was never seen', () => {
    const t = new Bench();
    t.guest({ seq: 5, ack: 9, ts: [89_000, 1], window: 500 });
    t.peer({ seq: 9, ack: 5, ts: [2, 90_000] });
    t.engine.failover(t.now);
    expect(t.guest({ seq: 5, ack: 9, ts: [89_900, 1] }).ts).toEqual([90_000, 1]);
  });

  test('the newest echo is the newest across the wrap too', () => {
    const t = new Bench();
    t.guest({ seq: 5, ack: 9, ts: [0xfffffff0, 1], window: 500 });
    t.peer({ seq: 9, ack: 5, ts: [2, 0xfffffff8] });
    t.peer({ seq: 9, ack: 5, ts: [2, 4] });
    t.peer({ seq: 9, ack: 5, ts: [2, 0xfffffffc] });
    t.engine.failover(t.now);
    expect(t.guest({ seq: 5, ack: 9, ts: [0xfffffffe, 1] }).ts).toEqual([4, 1]);
    expect(t.guest({ seq: 5, ack: 9, ts: [0, 1] }).ts).toEqual([6, 1]);
  });

  test('an echo that arrives after the first translated packet raises again', () => {
    const t = new Bench();
    clientOpens(t);
    t.engine.failover(t.now);
    t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 10, 901] });
    t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [950, PVM_TS + 30] });
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 11, 901] }).ts).toEqual([PVM_TS + 30, 901]);
  });

  test('whatever the clocks, across the wrap: at least the newest echo, and monotone', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    const steps = fc.array(
      fc.record({ ms: fc.integer({ min: 0, max: 1 << 24 }), echo: fc.boolean(), guest: fc.boolean() }),
      { minLength: 1, maxLength: 30 },
    );
    fc.assert(
      fc.property(word, word, fc.integer({ min: -100_000, max: 100_000 }), steps, (pvm, svm, skew, list) => {
        const t = new Bench();
        const clock = { pvm, svm };
        t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [clock.svm, 900], window: 0xffff });
        let newest = clock.pvm;
        t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, newest] });
        clock.svm += skew;
        for (const { ms, echo } of list) {
          clock.pvm += ms;
          clock.svm += ms;
          if (!echo) continue;
          newest = w(clock.pvm);
          t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [901, newest] });
        }
        t.engine.failover(t.now);
        let last = newest;
        for (const { ms, guest } of list) {
          clock.svm += ms;
          if (!guest) continue;
          const out = t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [w(clock.svm), 901] }).ts![0];
          expect(signed(out, last)).toBeGreaterThanOrEqual(0);
          last = out;
          expect(t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [902, out] }).ts![1]).toBe(w(clock.svm));
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('forged segments', () => {
  test('a RST or FIN outside the guest’s window does not end a connection', () => {
    const t = new Bench();
    clientOpens(t);
    t.peer({ flags: 'R', seq: CLIENT_ISN + 1_000_000_000 });
    t.peer({ flags: 'FA', seq: CLIENT_ISN - 1_000_000_000, ack: 0 });
    for (let s = 0; s < 600; s += 20) t.engine.tick(t.now + s * 1000);
    t.now += 600_000;
    expect(t.count.stray_ends).toBe(2);
    t.engine.failover(t.now);
    expect(t.guest({ seq: SVM_ISN + 1, data: 'x' }).seq).toBe(w(PVM_ISN + 1));
  });

  test('an echo on such a segment is not believed', () => {
    const t = new Bench();
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1_000_000_000, ack: 5, ts: [1, PVM_TS + 1_000_000] });
    expect(t.count.stray_echoes).toBe(1);
    t.engine.failover(t.now);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 5, 901] }).ts).toEqual([PVM_TS + 5, 901]);
  });

  test('a signature in a packet of the peer does not end the translation of an unsigned connection', () => {
    const t = new Bench();
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1, ack: 1, raw: [19, 18, ...new Array(16).fill(7)] });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1 }).ack).toBe(SVM_ISN + 1);
  });
});

describe('a daemon killed and started again over the same memory', () => {
  test('before a failover: learned offsets, half-open handshakes, checkpointed connections, echoes', () => {
    const t = new Bench();
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [950, PVM_TS + 500] });
    t.guest({ dport: 40001, flags: 'SA', seq: 70, ack: CLIENT_ISN + 1, ts: [3000, 5] });
    t.guest({ sport: 50000, dport: 443, flags: 'S', seq: 90, ts: [4000, 0] });
    t.restart();
    expect(t.engine.status()).toMatchObject({ origin: 'resumed', flows: 3, translated: 1, halfOpen: 2 });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 9) }).ack).toBe(SVM_ISN + 9);
    expect(t.peer({ sport: 40001, seq: CLIENT_ISN + 1, ack: 171, ts: [6, 3300] })).toMatchObject({
      ack: 71,
      ts: [6, 3000],
    });
    expect(t.peer({ sport: 443, dport: 50000, flags: 'SA', seq: 1, ack: 291, ts: [6, 4400] })).toMatchObject({
      ack: 91,
      ts: [6, 4000],
    });
    t.engine.failover(t.now);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS, 901] })).toMatchObject({
      seq: w(PVM_ISN + 1),
      ts: [PVM_TS + 500, 901],
    });
  });

  test('after a failover: goes on translating, with raised timestamps, and makes no new offsets', () => {
    const t = new Bench();
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [950, PVM_TS + 500] });
    t.engine.failover(t.now);
    t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 100, 901] });
    t.restart();
    expect(t.engine.failedOver).toBe(true);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 110, 901] })).toMatchObject({
      verdict: AcceptRewritten,
      seq: w(PVM_ISN + 1),
      ts: [PVM_TS + 510, 901],
    });
    expect(t.guest({ dport: 40009, flags: 'SA', seq: 1, ack: 2 }).verdict).toBe(Accept);
    expect(t.engine.status().flows).toBe(1);
  });

  test('offsets from before a checkpoint stay void; a repeated SYN/ACK is still known for one', () => {
    const t = new Bench('always');
    clientOpens(t);
    t.restart();
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900] });
    expect(t.count.reopened).toBe(0);
    expect(t.guest({ seq: SVM_ISN + 1, ts: [SVM_TS + 1, 1] })).toMatchObject({
      seq: w(PVM_ISN + 1),
      ts: [w(SVM_TS + 1 + TS_OFF), 1],
    });
    t.engine.checkpoint(t.now);
    t.restart();
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1 }).verdict).toBe(Accept);
    expect(t.engine.status()).toMatchObject({ flows: 1, epoch: 2, translated: 0 });
  });

  test('garbage in the memory: starts anew and says so', () => {
    const t = new Bench();
    t.memory.fill(0x5a);
    t.restart();
    expect(t.engine.status()).toMatchObject({ origin: 'not-a-table', flows: 0 });
    clientOpens(t);
    expect(t.engine.status()).toMatchObject({ translated: 1 });
  });
});
