import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, OFF, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS } from './bench';

const w = (n: number) => n >>> 0;

describe.each([4, 6] as const)('a connection that the client opened, IPv%i', (family) => {
  test("the peer's first ACK is translated already: ack, TSecr", () => {
    const t = new Bench();
    const c = { family };
    expect(t.peer({ ...c, flags: 'S', seq: CLIENT_ISN, ts: [900, 0] }).verdict).toBe(SecondaryVerdict.Accept);
    const synAck = t.guest({ ...c, flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900], window: 0xffff });
    expect(synAck.verdict).toBe(SecondaryVerdict.Accept);
    const first = t.peer({ ...c, seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS] });
    expect([first.ack, first.seq, first.ts]).toEqual([SVM_ISN + 1, CLIENT_ISN + 1, [901, SVM_TS]]);
    expect(t.count.learned_client_opened).toBe(1);
  });

  test.each([0, 1, 2, 3])(
    'every SACK edge and TSecr, with options at offset +%i; D-SACK below the ack too',
    (shift) => {
      const t = new Bench();
      clientOpens(t, { family });
      const sack = [
        [PVM_ISN - 50, PVM_ISN - 20],
        [PVM_ISN + 300, PVM_ISN + 400],
      ] as [number, number][];
      const out = t.peer({
        family,
        seq: CLIENT_ISN + 1,
        ack: w(PVM_ISN + 100),
        ts: [950, w(PVM_TS + 30)],
        sack,
        shift,
      });
      expect(out.ack).toBe(SVM_ISN + 100);
      expect(out.sack).toEqual([
        [w(SVM_ISN - 50), w(SVM_ISN - 20)],
        [SVM_ISN + 300, SVM_ISN + 400],
      ]);
      expect(out.ts).toEqual([950, w(SVM_TS + 30)]);
      const four = t.peer({ family, ack: PVM_ISN, sack: [...sack, ...sack] });
      expect(four.sack).toHaveLength(4);
      expect(four.sack[3]).toEqual([SVM_ISN + 300, SVM_ISN + 400]);
    },
  );

  test('before the failover the guest’s packets pass untouched; after it, seq and TSval are the PVM’s', () => {
    const t = new Bench();
    clientOpens(t, { family });
    const data = {
      family,
      seq: SVM_ISN + 1,
      ack: CLIENT_ISN + 1,
      ts: [SVM_TS + 40, 901] as [number, number],
      data: 'x',
    };
    expect(t.guest(data).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.engine.failover(t.now)).toBe(true);
    const out = t.guest({ ...data, sack: [[CLIENT_ISN + 9, CLIENT_ISN + 20]] });
    expect([out.verdict, out.seq, out.ack]).toEqual([SecondaryVerdict.AcceptRewritten, w(PVM_ISN + 1), CLIENT_ISN + 1]);
    expect(out.ts).toEqual([w(PVM_TS + 40), 901]);
    expect(out.sack).toEqual([[CLIENT_ISN + 9, CLIENT_ISN + 20]]);
    const back = t.peer({ family, seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 2), ts: [990, w(PVM_TS + 40)] });
    expect([back.ack, back.ts]).toEqual([SVM_ISN + 2, [990, w(SVM_TS + 40)]]);
  });

  test('always translated, where the receiver expects it', () => {
    const t = new Bench('always');
    clientOpens(t, { family });
    const out = t.guest({ family, seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 40, 901], data: 'x' });
    expect([out.seq, out.ts]).toEqual([w(PVM_ISN + 1), [w(PVM_TS + 40), 901]]);
  });

  test('a partial checksum is left as it is, translated or not', () => {
    const t = new Bench('always');
    clientOpens(t, { family, partial: true });
    const out = t.guest({ family, partial: true, seq: SVM_ISN + 1, ts: [SVM_TS, 1], data: 'abc' });
    expect([out.verdict, out.seq]).toEqual([SecondaryVerdict.AcceptRewritten, w(PVM_ISN + 1)]);
    const back = t.peer({ family, partial: true, ack: w(PVM_ISN + 4), sack: [[PVM_ISN + 9, PVM_ISN + 12]], shift: 1 });
    expect(back.ack).toBe(SVM_ISN + 4);
  });
});

describe('learning from the client’s first ACK', () => {
  test('a repeated SYN/ACK keeps the first timestamp; a repeated one after learning changes nothing', () => {
    const t = new Bench();
    t.peer({ flags: 'S', seq: CLIENT_ISN, ts: [900, 0] });
    const synAck = { flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1 };
    t.guest({ ...synAck, ts: [SVM_TS, 900] });
    t.guest({ ...synAck, ts: [SVM_TS + 1000, 900] });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS] }).ts).toEqual([901, SVM_TS]);
    t.guest({ ...synAck, ts: [SVM_TS + 2000, 900] });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [902, PVM_TS + 7] }).ts).toEqual([902, SVM_TS + 7]);
    t.engine.failover(t.now);
    // Repeated once more after the failover, it is the PVM's SYN/ACK that the peer sees.
    const again = t.guest({ ...synAck, ts: [SVM_TS + 3000, 900] });
    expect([again.seq, again.ts]).toEqual([PVM_ISN, [w(PVM_TS + 3000), 900]]);
  });

  test('the first ACK may be one with data, or one with FIN', () => {
    for (const flags of ['A', 'AP', 'AF']) {
      const t = new Bench();
      t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, window: 0xffff });
      expect(t.peer({ flags, seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, data: 'GET' }).ack).toBe(SVM_ISN + 1);
    }
  });

  test('when the handshake’s ACK was lost, later data tells as well; an ACK outside the window does not', () => {
    const t = new Bench();
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, window: 0xffff });
    expect(t.peer({ seq: CLIENT_ISN - 5, ack: 123_456 }).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.peer({ seq: CLIENT_ISN + 1 + 70_000, ack: 123_456 }).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.peer({ seq: CLIENT_ISN + 1 + 3000, ack: PVM_ISN + 1, data: 'x' }).ack).toBe(SVM_ISN + 1);
  });

  test('without timestamps on either side only numbers are translated', () => {
    const t = new Bench('always');
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1 });
    t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1 });
    expect(t.guest({ seq: SVM_ISN + 1, data: 'x' }).seq).toBe(w(PVM_ISN + 1));
    const late = t.guest({ seq: SVM_ISN + 2, ts: [5, 6] });
    expect([late.seq, late.ts]).toEqual([w(PVM_ISN + 2), [5, 6]]);
  });

  test('equal ISNs need nothing', () => {
    const t = new Bench('always');
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1 });
    expect(t.peer({ seq: CLIENT_ISN + 1, ack: SVM_ISN + 1 }).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.guest({ seq: SVM_ISN + 1, data: 'x' }).verdict).toBe(SecondaryVerdict.Accept);
  });

  test('resets: with ACK and without, from either side', () => {
    const t = new Bench();
    clientOpens(t);
    expect(t.peer({ flags: 'R', seq: CLIENT_ISN + 1, ack: 0 }).verdict).toBe(SecondaryVerdict.Accept);
    expect(t.peer({ flags: 'RA', seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 9) }).ack).toBe(SVM_ISN + 9);
    t.engine.failover(t.now);
    expect(t.guest({ flags: 'RA', seq: SVM_ISN + 9, ack: CLIENT_ISN + 1 }).seq).toBe(w(PVM_ISN + 9));
    // In answer to a stray segment: the number comes from the (translated) ack that the guest saw.
    const stray = t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 30) });
    expect(t.guest({ flags: 'R', seq: stray.ack, ack: 0 }).seq).toBe(w(PVM_ISN + 30));
  });

  test('off is what the counters and the status say', () => {
    const t = new Bench();
    clientOpens(t);
    expect(t.engine.status()).toMatchObject({ flows: 1, translated: 1, halfOpen: 0, failedOver: false, origin: 'new' });
    expect(OFF).toBe(w(PVM_ISN - SVM_ISN));
  });
});
