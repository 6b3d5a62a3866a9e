import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, GUEST, PEER, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS } from './bench';
import type { Segment } from './wire';

const w = (n: number) => n >>> 0;
const PEER_ISN = 31_000;
const out: Partial<Segment> = { sport: 50000, dport: 443 };
const back: Partial<Segment> = { sport: 443, dport: 50000 };

function syn(t: Bench, over: Partial<Segment> = {}) {
  return t.guest({ ...out, flags: 'S', seq: SVM_ISN, ts: [SVM_TS, 0], ...over });
}

function synAck(t: Bench, over: Partial<Segment> = {}) {
  return t.peer({ ...back, flags: 'SA', seq: PEER_ISN, ack: PVM_ISN + 1, ts: [700, PVM_TS], ...over });
}

describe.each([4, 6] as const)('a connection that the guest opened, IPv%i', (family) => {
  test("the peer's SYN/ACK is translated already: the guest accepts it as the answer to its own SYN", () => {
    const t = new Bench();
    expect(syn(t, { family }).verdict).toBe(SecondaryVerdict.Accept);
    const answer = synAck(t, { family });
    expect([answer.ack, answer.ts, answer.seq]).toEqual([SVM_ISN + 1, [700, SVM_TS], PEER_ISN]);
    expect(t.count.learned_guest_opened).toBe(1);
    t.guest({ ...out, family, seq: SVM_ISN + 1, ack: PEER_ISN + 1, ts: [SVM_TS + 3, 700] });
    t.engine.failover(t.now);
    const data = t.guest({ ...out, family, seq: SVM_ISN + 1, ack: PEER_ISN + 1, ts: [SVM_TS + 9, 700], data: 'hello' });
    expect([data.seq, data.ts]).toEqual([w(PVM_ISN + 1), [PVM_TS + 9, 700]]);
  });

  test('repeated SYNs: the echo is never older than the first, whichever the peer answers', () => {
    const t = new Bench();
    syn(t, { family });
    syn(t, { family, ts: [SVM_TS + 1000, 0] });
    expect(synAck(t, { family, ts: [700, PVM_TS + 1000] }).ts).toEqual([700, SVM_TS]);
    expect(synAck(t, { family, ts: [1700, PVM_TS + 1000] }).ts).toEqual([1700, SVM_TS]);
  });
});

describe('a connection that the guest opened', () => {
  test('a refusal acknowledges the SYN that the SVM sent, and teaches nothing', () => {
    const t = new Bench();
    syn(t);
    const refused = t.peer({ ...back, flags: 'RA', seq: 0, ack: PVM_ISN + 1 });
    expect(refused.ack).toBe(SVM_ISN + 1);
    expect([t.count.refusals, t.count.learned_guest_opened]).toEqual([1, 0]);
    // The next attempt from the same port is a new connection.
    syn(t, { seq: 500, ts: [SVM_TS + 50, 0] });
    expect(synAck(t, { ack: 90_001, ts: [800, 4000] }).ack).toBe(501);
    expect(t.count.reopened).toBe(1);
  });

  test('an ACK without SYN does not teach: it is not an answer to this SYN', () => {
    const t = new Bench();
    syn(t);
    expect(t.peer({ ...back, seq: 5, ack: 123 }).verdict).toBe(SecondaryVerdict.Accept);
    expect(synAck(t).ack).toBe(SVM_ISN + 1);
  });

  test('a handshake that the PVM began outlives the failover, though the peer takes the repeated SYN for a stray', () => {
    const t = new Bench();
    syn(t);
    t.engine.failover(t.now);
    // The peer gets the time to repeat its SYN/ACK before the SVM's SYN confuses it.
    expect(syn(t, { ts: [SVM_TS + 1000, 0] }).verdict).toBe(SecondaryVerdict.Drop);
    t.now += 2500;
    expect(syn(t, { ts: [SVM_TS + 3000, 0] }).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.count.handshake_syns).toBe(1);
    // The peer's challenge acknowledges the PVM's SYN; the guest answers it with a reset, in the peer's own terms.
    t.peer({ ...back, seq: PEER_ISN + 1, ack: PVM_ISN + 1, ts: [701, PVM_TS] });
    expect(t.guest({ ...out, flags: 'R', seq: PVM_ISN + 1 }).verdict).toBe(SecondaryVerdict.Drop);
    expect(t.count.handshake_resets).toBe(1);
    expect(synAck(t, { ts: [1700, PVM_TS] }).ack).toBe(SVM_ISN + 1);
    const ack = t.guest({ ...out, seq: SVM_ISN + 1, ack: PEER_ISN + 1, ts: [SVM_TS + 1009, 1700] });
    expect([ack.verdict, ack.seq]).toEqual([SecondaryVerdict.AcceptRewritten, w(PVM_ISN + 1)]);
    expect(t.guest({ ...out, flags: 'RA', seq: SVM_ISN + 1, ack: PEER_ISN + 1 }).seq).toBe(w(PVM_ISN + 1));
  });

  test('simultaneous open', () => {
    const t = new Bench();
    syn(t);
    t.peer({ ...back, flags: 'S', seq: PEER_ISN, ts: [650, 0] });
    t.guest({ ...out, flags: 'SA', seq: SVM_ISN, ack: PEER_ISN + 1, ts: [SVM_TS + 2, 650] });
    const answer = synAck(t);
    expect([answer.ack, answer.ts]).toEqual([SVM_ISN + 1, [700, SVM_TS]]);
  });

  test('a handshake that the failover interrupts still finishes, with the PVM’s numbers', () => {
    const t = new Bench();
    syn(t);
    t.engine.failover(t.now);
    // The SVM repeats its SYN in its own numbers; the peer answers the PVM's.
    expect(syn(t, { ts: [SVM_TS + 1000, 0] }).seq).toBe(SVM_ISN);
    expect(synAck(t).ack).toBe(SVM_ISN + 1);
    expect(t.guest({ ...out, seq: SVM_ISN + 1, ack: PEER_ISN + 1 }).seq).toBe(w(PVM_ISN + 1));
  });

  test('Fast Open with data on the SYN: the peer’s ack may count the data or not, so nothing is translated', () => {
    const t = new Bench('always');
    syn(t, { raw: [34, 6, 1, 2, 3, 4], ts: undefined, data: 'early' });
    expect(synAck(t, { ack: PVM_ISN + 6 }).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.guest({ ...out, seq: SVM_ISN + 6, data: 'x' }).verdict).toBe(SecondaryVerdict.Accept);
    expect([t.count.ambiguous, t.count.fast_open, t.count.learned_guest_opened]).toEqual([1, 1, 0]);
    // Asking for a cookie is harmless, and the option passes.
    const asking = t.guest({ ...out, sport: 50001, flags: 'S', seq: 9, raw: [34, 2] });
    expect(asking.kinds).toContain(34);
    expect(t.peer({ ...back, dport: 50001, flags: 'SA', seq: 1, ack: 101 }).ack).toBe(10);
  });

  test('two connections do not touch each other', () => {
    const t = new Bench('always');
    for (const [sport, isn] of [
      [50000, 1000],
      [50001, 2000],
    ] as const) {
      t.guest({ ...out, sport, flags: 'S', seq: isn });
      t.peer({ ...back, dport: sport, flags: 'SA', seq: PEER_ISN, ack: isn * 3 + 1 });
    }
    expect(t.guest({ ...out, sport: 50000, seq: 1001 }).seq).toBe(3001);
    expect(t.guest({ ...out, sport: 50001, seq: 2001 }).seq).toBe(6001);
    expect(t.guest({ ...out, sport: 50002, seq: 2001 }).seq).toBe(2001);
    expect([GUEST, PEER]).toHaveLength(2);
  });
});
