import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS } from './bench';

const w = (n: number) => n >>> 0;
const { Accept } = SecondaryVerdict;

describe('DO_CHECKPOINT', () => {
  test('drops every offset: the SVM numbers as the PVM does from here on', () => {
    const t = new Bench('always');
    clientOpens(t);
    expect(t.engine.checkpoint(t.now)).toBe(true);
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 5), ts: [950, PVM_TS + 9] }).verdict).toBe(Accept);
    expect(t.guest({ seq: w(PVM_ISN + 5), ts: [PVM_TS + 10, 950], data: 'x' }).verdict).toBe(Accept);
    expect(t.engine.status()).toMatchObject({ flows: 1, epoch: 2 });
  });

  test('the tuple starts clean when it is used again', () => {
    const t = new Bench('always');
    clientOpens(t);
    t.engine.checkpoint(t.now);
    t.peer({ flags: 'FA', seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) });
    t.guest({ flags: 'FA', seq: w(PVM_ISN + 1), ack: CLIENT_ISN + 2 });
    t.peer({ flags: 'A', seq: CLIENT_ISN + 2, ack: w(PVM_ISN + 2) });
    expect(t.engine.status()).toMatchObject({ finished: 1 });
    t.peer({ flags: 'S', seq: 5_000, ts: [2000, 0] });
    t.guest({ flags: 'SA', seq: 100, ack: 5_001, ts: [7, 2000] });
    expect(t.peer({ seq: 5_001, ack: 4_001, ts: [2001, 1_000_007] })).toMatchObject({ ack: 101, ts: [2001, 7] });
    expect(t.guest({ seq: 101, ts: [9, 2001], data: 'y' })).toMatchObject({ seq: 4_001, ts: [1_000_009, 2001] });
    expect(t.count.reopened).toBe(1);
  });

  test('a handshake under way is forgotten too: the copy has the PVM’s ISN', () => {
    const t = new Bench('always');
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900] });
    t.engine.checkpoint(t.now);
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS] }).verdict).toBe(Accept);
    t.guest({ flags: 'SA', seq: PVM_ISN, ack: CLIENT_ISN + 1, ts: [PVM_TS + 1000, 900] });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS + 1000] }).verdict).toBe(Accept);
    expect(t.guest({ seq: PVM_ISN + 1, ts: [PVM_TS + 1100, 901], data: 'z' }).verdict).toBe(Accept);
  });

  test('a new connection on the tuple may have the very ISN that the SVM had there before', () => {
    const t = new Bench('always');
    clientOpens(t);
    t.engine.checkpoint(t.now);
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: 5_001, window: 0xffff });
    expect(t.peer({ seq: 5_001, ack: 4_001 }).ack).toBe(SVM_ISN + 1);
  });

  test('again and again, with connections opened in between', () => {
    const t = new Bench('always', 64);
    for (let round = 0; round < 20; round++) {
      const port = { sport: 41_000 + round, dport: 80 };
      const isn = round * 1000;
      t.guest({ sport: 80, dport: port.sport, flags: 'SA', seq: isn, ack: 1 });
      expect(t.peer({ ...port, seq: 1, ack: isn + 501 }).ack).toBe(isn + 1);
      for (let old = 0; old < round; old++) {
        expect(t.peer({ sport: 41_000 + old, seq: 1, ack: old * 1000 + 501 }).verdict).toBe(Accept);
      }
      t.engine.checkpoint(t.now);
    }
    expect(t.engine.status()).toMatchObject({ flows: 20, epoch: 21 });
  });

  test('is refused after a failover: there is no PVM to be a copy of, and the offsets are for life', () => {
    const t = new Bench();
    clientOpens(t);
    t.engine.failover(t.now);
    expect(t.engine.checkpoint(t.now)).toBe(false);
    expect(t.guest({ seq: SVM_ISN + 1, data: 'x' }).seq).toBe(w(PVM_ISN + 1));
  });
});

describe('port reuse within an epoch', () => {
  test('by the client, on a finished and on a live tuple', () => {
    for (const end of ['RA', 'FA', 'A']) {
      const t = new Bench('always');
      clientOpens(t);
      t.guest({ flags: end, seq: SVM_ISN + 1, ack: CLIENT_ISN + 1 });
      t.peer({ flags: 'S', seq: 600_000, ts: [3000, 0] });
      // The guest's SYN/ACK of the new connection bears its own numbers, not the old offset.
      expect(t.guest({ flags: 'SA', seq: 800, ack: 600_001, ts: [50, 3000] }).verdict).toBe(Accept);
      expect(t.peer({ seq: 600_001, ack: 901, ts: [3001, 51] })).toMatchObject({ ack: 801, ts: [3001, 50] });
      expect(t.guest({ seq: 801, ts: [60, 3001], data: 'x' })).toMatchObject({ seq: 901, ts: [61, 3001] });
    }
  });

  test('by the guest', () => {
    const t = new Bench('always');
    clientOpens(t);
    expect(t.guest({ flags: 'S', seq: 800, ts: [50, 0] }).verdict).toBe(Accept);
    expect(t.peer({ flags: 'SA', seq: 1, ack: 901, ts: [3001, 70] })).toMatchObject({ ack: 801, ts: [3001, 50] });
  });

  test("a forged SYN on a live connection hurts nothing: the guest's challenge ACK is translated as ever", () => {
    const t = new Bench('always');
    clientOpens(t);
    t.peer({ flags: 'S', seq: 0x55555555, ack: 0 });
    expect(t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1 }).seq).toBe(w(PVM_ISN + 1));
    expect(t.count.reopened).toBe(0);
  });
});
