// What a failover tells the peers: the guest's own last acknowledgement and window, and a question, in the numbers that
// the peer knows.

import fc from 'fast-check';
import { MAX_ACK_FRAME_BYTES } from '../../../src/seccolo/frame-head';
import { Bench, CLIENT_ISN, clientOpens, GUEST, PEER, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS } from './bench';
import { checksumOk, type Read, read } from './wire';

const w = (n: number) => n >>> 0;

interface Told extends Read {
  which: number;
  window: number;
  frame: Buffer;
}

function reminders(t: Bench): Told[] {
  const told: Told[] = [];
  for (let base = t.engine.nextToRemind(-1); base >= 0; base = t.engine.nextToRemind(base)) {
    for (const which of [0, 1] as const) {
      const buf = Buffer.alloc(MAX_ACK_FRAME_BYTES + 2, 0xa5);
      const bytes = t.engine.writeReminder(base, which, buf, 1);
      expect(buf[0]).toBe(0xa5);
      expect(buf.subarray(1 + bytes).every((b) => b === 0xa5)).toBe(true);
      if (bytes === 0) continue;
      const frame = buf.subarray(1, 1 + bytes);
      const ip = frame.subarray(14);
      expect(checksumOk(ip)).toBe(true);
      const l4 = ip[0]! >>> 4 === 6 ? 40 : 20;
      told.push({ ...read(ip), which, window: ip.readUInt16BE(l4 + 14), frame });
    }
  }
  return told;
}

function bench(mode: 'failover' | 'always' = 'failover'): Bench {
  const t = new Bench(mode);
  t.engine.link.macHigh = 0x525400c0;
  t.engine.link.macLow = 0x1001;
  return t;
}

test.each(['failover', 'always'] as const)(
  'the present acknowledgement and window, and a question from below what the peer has: %s',
  (mode) => {
    const t = bench(mode);
    clientOpens(t);
    t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 21), ts: [950, PVM_TS + 500], data: 'upload' });
    t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 7, window: 321, ts: [SVM_TS + 400, 950], data: 'x'.repeat(50) });
    // An older segment that comes late says nothing new.
    t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, window: 9, ts: [SVM_TS + 300, 950] });
    t.engine.failover(t.now);
    const [tell, ask, ...more] = reminders(t);
    expect(more).toEqual([]);
    // The peer has echoed PVM_TS + 500, and the guest's last word was at PVM_TS + 400.
    expect(tell).toMatchObject({
      seq: w(PVM_ISN + 51),
      ack: CLIENT_ISN + 7,
      window: 321,
      flags: 0x10,
      ts: [PVM_TS + 500, 950],
      data: '',
      sack: [],
    });
    expect(ask).toMatchObject({
      seq: w(PVM_ISN + 20),
      ack: CLIENT_ISN + 7,
      window: 321,
      flags: 0x10,
      ts: [PVM_TS + 500, 950],
      data: '',
      sack: [],
    });
    expect(tell!.frame.subarray(0, 14).toString('hex')).toBe('525400c01001525400c010010800');
    expect(tell!.frame.readUInt32BE(14 + 12)).toBe(GUEST);
    expect(tell!.frame.readUInt32BE(14 + 16)).toBe(PEER);
    expect(t.count.reminders).toBe(2);
    // Nothing that follows is older.
    expect(t.guest({ seq: SVM_ISN + 51, ack: CLIENT_ISN + 7, ts: [SVM_TS + 400, 950] }).ts![0]).toBe(PVM_TS + 500);
  },
);

test('over IPv6, of a connection that the guest opened, without timestamps', () => {
  const t = bench();
  const guest = { family: 6 as const, sport: 50000, dport: 443 };
  const peer = { family: 6 as const, sport: 443, dport: 50000 };
  t.guest({ ...guest, flags: 'S', seq: 10, wscale: 7 });
  t.peer({ ...peer, flags: 'SA', seq: 99, ack: 1011 });
  t.guest({ ...guest, seq: 11, ack: 100, window: 700 });
  t.engine.failover(t.now);
  expect(reminders(t)).toMatchObject([
    { seq: 1011, ack: 100, window: 700, kinds: [] },
    { seq: 1010, ack: 100, window: 700, kinds: [] },
  ]);
});

test('not of what is half open, has ended, is signed, or of which the guest’s state is not known', () => {
  const t = bench();
  clientOpens(t);
  t.guest({ flags: 'RA', seq: SVM_ISN + 1, ack: CLIENT_ISN + 1 });
  t.guest({ dport: 40001, flags: 'SA', seq: 70, ack: CLIENT_ISN + 1 });
  const signature = [19, 18, ...new Array(16).fill(7)];
  t.guest({ dport: 40002, flags: 'SA', seq: 70, ack: CLIENT_ISN + 1, raw: signature });
  t.peer({ sport: 40002, seq: CLIENT_ISN + 1, ack: 171, raw: signature });
  t.guest({ dport: 40002, seq: 71, ack: CLIENT_ISN + 1, raw: signature });
  t.engine.failover(t.now);
  expect(reminders(t)).toEqual([]);

  const silent = bench();
  clientOpens(silent);
  silent.engine.checkpoint(silent.now);
  silent.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [950, 90_000] });
  silent.engine.failover(silent.now);
  expect(reminders(silent)).toEqual([]);

  const unknown = new Bench();
  clientOpens(unknown);
  unknown.engine.failover(unknown.now);
  expect(reminders(unknown)).toEqual([]);
});

test('a SYN/ACK’s window is told scaled', () => {
  const t = bench();
  t.peer({ flags: 'S', seq: CLIENT_ISN, wscale: 7 });
  t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, wscale: 7, window: 0xffff });
  t.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1 });
  t.engine.failover(t.now);
  expect(reminders(t)[0]).toMatchObject({ ack: CLIENT_ISN + 1, window: 0xffff >> 7 });
});

test('whatever was said: never more acknowledged than the guest has, never a byte, never an older timestamp', () => {
  const step = fc.record({
    guest: fc.boolean(),
    bytes: fc.nat(3000),
    got: fc.nat(3000),
    ms: fc.nat(500),
    late: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: -5000, max: 5000 }),
      (steps, skew) => {
        const t = bench();
        clientOpens(t);
        let [sent, acked, peerSent, clock, echoed] = [1, 1, 1, 1, PVM_TS];
        for (const { guest, bytes, got, ms, late } of steps) {
          clock += ms;
          if (guest) {
            const taken = late ? acked : Math.min(peerSent, acked + got);
            acked = Math.max(acked, taken);
            t.guest({
              seq: w(SVM_ISN + sent),
              ack: CLIENT_ISN + taken,
              window: 500,
              ts: [w(SVM_TS + clock), 901],
              data: 'g'.repeat(bytes),
            });
            sent += bytes;
          } else {
            echoed = Math.max(echoed, PVM_TS + clock + skew);
            t.peer({ seq: CLIENT_ISN + peerSent, ack: w(PVM_ISN + sent), ts: [902, echoed], data: 'p'.repeat(bytes) });
            peerSent += bytes;
          }
        }
        t.engine.failover(t.now);
        const told = reminders(t);
        expect(told).toHaveLength(2);
        for (const { ack, seq, ts, data, which } of told) {
          expect(ack).toBe(CLIENT_ISN + acked);
          expect(data).toBe('');
          expect(w(seq - PVM_ISN)).toBeLessThanOrEqual(which === 0 ? sent : sent - 1);
          expect((ts![0] - echoed) | 0).toBeGreaterThanOrEqual(0);
          const next = t.guest({ seq: w(SVM_ISN + sent), ack: CLIENT_ISN + acked, ts: [w(SVM_TS + clock), 902] });
          expect((next.ts![0] - ts![0]) | 0).toBeGreaterThanOrEqual(0);
        }
      },
    ),
    { numRuns: 200 },
  );
});
