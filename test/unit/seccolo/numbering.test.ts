// A checkpoint that was told and may not have come about: which numbers the SVM lives in, it shows itself.

import fc from 'fast-check';
import { askGuest } from '../../../src/seccolo/ask-guest';
import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, CLIENT_ISN, clientOpens, GUEST, PEER, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS, TS_OFF } from './bench';
import { build, checksumOk, type Read, read, segment } from './wire';

const w = (n: number) => n >>> 0;
const { Accept, AcceptRewritten, Drop, Wait } = SecondaryVerdict;

function questions(t: Bench): Read[] {
  const asked: Read[] = [];
  askGuest(t.engine, -1, (frame) => {
    const ip = Buffer.from(frame.subarray(14));
    expect(checksumOk(ip)).toBe(true);
    asked.push(read(ip));
  });
  return asked;
}

function bench(mode: 'failover' | 'always' = 'failover'): Bench {
  const t = new Bench(mode);
  t.engine.link.macHigh = 0x525400c0;
  t.engine.link.macLow = 0x1001;
  return t;
}

/** What the client says after the failover, on its own account. */
const CLIENT = { seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), ts: [950, PVM_TS] as [number, number] };

describe('the primary dies before the SVM has loaded the state', () => {
  test('an idle guest is asked; its answer brings the old offsets back, and what waited is translated by them', () => {
    const t = bench();
    clientOpens(t);
    t.engine.checkpoint(t.now);
    expect(t.engine.undecided).toBe(false);
    t.engine.failover(t.now);
    expect(t.engine.undecided).toBe(true);
    expect(t.peer(CLIENT).verdict).toBe(Wait);
    expect(questions(t)).toMatchObject([{ flags: 0x10, data: '', seq: w(CLIENT_ISN + 1 - (1 << 20)), sack: [] }]);
    // Whatever a TCP answers to that: its next byte, its acknowledgement.
    expect(t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 9, 901] })).toMatchObject({
      seq: w(PVM_ISN + 1),
      ts: [PVM_TS + 9, 901],
    });
    expect(t.engine.undecided).toBe(false);
    expect(t.peer(CLIENT)).toMatchObject({ verdict: AcceptRewritten, ack: SVM_ISN + 1, ts: [950, w(PVM_TS - TS_OFF)] });
    expect(t.count).toMatchObject({ checkpoints_missed: 1, checkpoints_confirmed: 0, peer_waited: 1 });
  });

  test('a busy one decides by itself, before the failover or after it', () => {
    for (const early of [true, false]) {
      const t = bench();
      clientOpens(t);
      t.peer({ ...CLIENT, data: 'question' });
      t.engine.checkpoint(t.now);
      if (!early) t.engine.failover(t.now);
      t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 9, ts: [SVM_TS + 9, 950], data: 'answer' });
      if (early) t.engine.failover(t.now);
      expect(t.engine.undecided).toBe(false);
      expect(t.peer({ ...CLIENT, ack: w(PVM_ISN + 7) }).ack).toBe(SVM_ISN + 7);
    }
  });

  test('a handshake whose answer by the PVM was out learns from the client’s acknowledgement after it', () => {
    const t = bench();
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900], window: 0xffff });
    t.engine.checkpoint(t.now);
    t.engine.failover(t.now);
    // No connection is there to be asked on: the guest's own timer speaks.
    expect(questions(t)).toEqual([]);
    expect(t.peer(CLIENT).verdict).toBe(Wait);
    t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS + 1000, 900], window: 0xffff });
    expect(t.peer(CLIENT)).toMatchObject({ ack: SVM_ISN + 1, ts: [950, SVM_TS] });
    expect(t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 1001, 950] }).seq).toBe(w(PVM_ISN + 1));
  });

  test('one that the guest opened, too, whether its SYN or the answer is repeated first', () => {
    const guest = { sport: 50000, dport: 443 };
    const peer = { sport: 443, dport: 50000 };
    const t = bench();
    clientOpens(t);
    t.guest({ ...guest, flags: 'S', seq: 10, ts: [300, 0] });
    t.engine.checkpoint(t.now);
    t.engine.failover(t.now);
    const answer = { ...peer, flags: 'SA', seq: 99, ack: 1011, ts: [7, 1300] as [number, number] };
    expect(t.peer(answer).verdict).toBe(Wait);
    t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 9, 901] });
    expect(t.peer(answer)).toMatchObject({ ack: 11, ts: [7, 300] });
  });
});

describe('a handshake that lasts longer than an epoch goes on with the ISN of the PVM, and tells nothing', () => {
  const synAck = { flags: 'SA', ack: CLIENT_ISN + 1, window: 0xffff };
  const other = { guest: { dport: 40001 }, peer: { sport: 40001 } };
  const opened = { guest: { sport: 50000, dport: 443 }, flags: 'S' };
  const ways: [string, object][] = [
    ['one that the client opened', synAck],
    ['one that the guest opened', { ...opened.guest, flags: 'S' }],
  ];

  /** The SVM is a copy, then opens a connection of its own, then is a copy again. */
  function copiedTwice(handshake: object, restart: boolean): Bench {
    const t = bench();
    t.guest({ ...handshake, seq: SVM_ISN, ts: [SVM_TS, 900] });
    t.engine.checkpoint(t.now);
    t.guest({ ...handshake, seq: PVM_ISN, ts: [PVM_TS, 900] });
    if (restart) t.restart();
    t.guest({ ...synAck, ...other.guest, seq: 77 });
    t.peer({ ...other.peer, seq: CLIENT_ISN + 1, ack: 5_000_078 });
    t.guest({ ...other.guest, seq: 78, ack: CLIENT_ISN + 1, data: 'hello' });
    t.engine.checkpoint(t.now);
    return t;
  }

  for (const [what, handshake] of ways) {
    test.each([false, true])(`before a failover or after it, %s: ${what}`, (failedOver) => {
      for (const restart of [false, true]) {
        const t = copiedTwice(handshake, restart);
        if (failedOver) t.engine.failover(t.now);
        t.guest({ ...handshake, seq: PVM_ISN, ts: [PVM_TS + 1000, 900] });
        if (!failedOver) t.engine.failover(t.now);
        expect(t.count.checkpoints_missed).toBe(0);
        t.guest({ ...other.guest, seq: 5_000_083, ack: CLIENT_ISN + 1 });
        expect(t.engine.undecided).toBe(false);
        expect(t.peer({ ...other.peer, seq: CLIENT_ISN + 1, ack: 5_000_083 }).ack).toBe(5_000_083);
      }
    });

    test(`nor when nobody answers: ${what}`, () => {
      const t = copiedTwice(handshake, false);
      t.guest({ ...handshake, seq: PVM_ISN, ts: [PVM_TS + 1000, 900] });
      t.engine.failover(t.now);
      t.engine.decide(false);
      expect(t.peer({ ...other.peer, seq: CLIENT_ISN + 1, ack: 5_000_083 }).ack).toBe(5_000_083);
    });
  }

  test.each(ways)('nor where its first packets were missed, and it has ended since: %s', (_, handshake) => {
    for (const repeatsLater of [false, true]) {
      for (const restart of [false, true]) {
        const t = bench();
        t.engine.checkpoint(t.now);
        // The copy repeats what its secondary's daemon sees for the first time.
        t.guest({ ...handshake, seq: PVM_ISN, ts: [PVM_TS, 900] });
        t.guest({ ...handshake, dport: 40003, seq: 5, ts: [PVM_TS, 900] });
        t.guest({ ...synAck, ...other.guest, seq: 77 });
        t.peer({ ...other.peer, seq: CLIENT_ISN + 1, ack: 5_000_078 });
        t.engine.checkpoint(t.now);
        if (restart) t.restart();
        t.guest({ ...handshake, seq: PVM_ISN, ts: [PVM_TS + 1000, 900] });
        const ends = { ...handshake, flags: 'A', ack: CLIENT_ISN + 1 };
        t.guest({ ...ends, seq: w(PVM_ISN + 1), ts: [PVM_TS + 1001, 950], data: 'hello' });
        if (repeatsLater) t.guest({ ...handshake, dport: 40003, seq: 5, ts: [PVM_TS + 1001, 900] });
        t.engine.failover(t.now);
        t.guest({ ...ends, seq: w(PVM_ISN + 6), ts: [PVM_TS + 1002, 950] });
        if (t.engine.undecided) t.engine.decide(false);
        expect(t.count.checkpoints_missed).toBe(0);
        expect(t.peer({ ...other.peer, seq: CLIENT_ISN + 1, ack: 5_000_078 }).ack).toBe(5_000_078);
      }
    }
  });

  test.each([true, false])('the answer to a question in the handshake is likely to be its repetition: %s', (missed) => {
    for (const before of [true, false]) {
      const t = bench();
      clientOpens(t);
      // Missed until the guest was a copy; or of this epoch.
      const isn = missed ? SVM_ISN : PVM_ISN;
      const flow = { guest: { dport: 40002 }, peer: { sport: 40002 } };
      if (!missed) t.engine.checkpoint(t.now);
      t.guest({ ...synAck, ...flow.guest, seq: isn });
      if (before && !missed) t.peer({ ...flow.peer, seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) });
      t.engine.checkpoint(t.now);
      if (!before || missed) t.peer({ ...flow.peer, seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) });
      t.engine.failover(t.now);
      t.guest({ ...flow.guest, seq: w(isn + 1), ack: CLIENT_ISN + 1 });
      if (t.engine.undecided) t.engine.decide(false);
      expect(t.count.checkpoints_missed).toBe(missed ? 1 : 0);
      expect(t.peer({ ...flow.peer, seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) }).ack).toBe(w(isn + 1));
    }
  });

  test.each(ways)('of one of the last epoch it is likely that the checkpoint was missed: %s', (_, handshake) => {
    for (const repeats of [false, true]) {
      for (const overtaken of [false, true]) {
        const t = bench();
        clientOpens(t);
        t.guest({ ...handshake, dport: 40002, seq: 5, ts: [7, 900] });
        t.engine.checkpoint(t.now);
        if (overtaken) t.engine.failover(t.now);
        if (repeats) t.guest({ ...handshake, dport: 40002, seq: 5, ts: [1007, 900] });
        if (!overtaken) t.engine.failover(t.now);
        // Who can be asked knows better.
        expect(t.engine.undecided).toBe(true);
        t.engine.decide(false);
        expect(t.count.checkpoints_missed).toBe(repeats ? 1 : 0);
      }
    }
  });

  test.each(ways)('where nobody can be asked it decides, in a daemon that was restarted, too: %s', (_, handshake) => {
    for (const restart of [false, true]) {
      const t = bench();
      t.guest({ ...handshake, seq: 5, ts: [7, 900] });
      if (restart) t.restart();
      t.engine.checkpoint(t.now);
      t.engine.failover(t.now);
      t.guest({ ...handshake, seq: 5, ts: [1007, 900] });
      expect([t.engine.undecided, t.count.checkpoints_missed]).toEqual([false, 1]);
    }
  });

  test('what was likely of one checkpoint is nothing to the next', () => {
    const t = bench();
    clientOpens(t);
    t.guest({ ...synAck, dport: 40002, seq: 5, ts: [7, 900] });
    t.engine.checkpoint(t.now);
    t.guest({ ...synAck, dport: 40002, seq: 5, ts: [1007, 900] });
    t.guest({ ...synAck, dport: 40003, seq: 6, ts: [8, 900] });
    t.engine.checkpoint(t.now);
    t.engine.failover(t.now);
    t.engine.decide(false);
    expect(t.count).toMatchObject({ checkpoints_missed: 0, checkpoints_confirmed: 1 });
  });
});

describe('the SVM has loaded it', () => {
  test.each(['failover', 'always'] as const)(
    'its first segment confirms that, and the old offsets are gone: %s',
    (mode) => {
      const t = bench(mode);
      clientOpens(t);
      t.engine.checkpoint(t.now);
      expect(t.guest({ seq: w(PVM_ISN + 1), ack: CLIENT_ISN + 1, ts: [PVM_TS + 9, 901] }).verdict).toBe(Accept);
      expect(t.count).toMatchObject({ checkpoints_missed: 0, checkpoints_confirmed: 1 });
      t.engine.failover(t.now);
      expect(t.engine.undecided).toBe(false);
      expect(t.peer(CLIENT).verdict).toBe(Accept);
    },
  );

  test('the answer to the question does so, too', () => {
    const t = bench();
    clientOpens(t);
    t.engine.checkpoint(t.now);
    t.engine.failover(t.now);
    expect(t.peer(CLIENT).verdict).toBe(Wait);
    expect(t.guest({ seq: w(PVM_ISN + 1), ack: CLIENT_ISN + 1, ts: [PVM_TS + 9, 901] }).verdict).toBe(Accept);
    expect(t.peer(CLIENT).verdict).toBe(Accept);
  });

  test('without an offset nothing is in doubt; a guest that never answers is what the controller said', () => {
    const t = bench();
    t.guest({ seq: 5, ack: 9, window: 500 });
    t.engine.checkpoint(t.now);
    t.engine.failover(t.now);
    expect(t.engine.undecided).toBe(false);
    const mute = bench();
    clientOpens(mute);
    mute.engine.checkpoint(mute.now);
    mute.engine.failover(mute.now);
    mute.engine.decide(false);
    expect(mute.peer(CLIENT).verdict).toBe(Accept);
  });

  test('a PROXY_RESET ends the doubt', () => {
    const t = bench();
    clientOpens(t);
    t.engine.checkpoint(t.now);
    t.engine.failover(t.now);
    t.engine.reset();
    expect(t.engine.undecided).toBe(false);
    expect(t.peer(CLIENT).verdict).toBe(Accept);
  });
});

test('a daemon killed in doubt: both numberings are in the memory', () => {
  for (const missed of [true, false]) {
    const t = bench();
    clientOpens(t);
    t.engine.checkpoint(t.now);
    t.restart();
    t.peer(CLIENT);
    t.engine.failover(t.now);
    t.restart();
    expect(t.engine.undecided).toBe(true);
    expect(t.peer(CLIENT).verdict).toBe(Wait);
    const isn = missed ? SVM_ISN : PVM_ISN;
    // The restarted one has not heard the peer's acknowledgement: it is told at the end of its patience, or learns by a
    // SYN/ACK.
    t.engine.decide(missed);
    expect(t.peer(CLIENT).ack).toBe(w(isn + 1));
    t.restart();
    expect(t.engine.undecided).toBe(false);
    expect(t.peer(CLIENT).ack).toBe(w(isn + 1));
  }
});

test('guests with close numbers: the answer to the question decides, though the guest has retransmitted something in doubt', () => {
  for (const off of [9922, 1220, 60_000]) {
    for (const missed of [true, false]) {
      const t = bench();
      const svm = 4_294_930_000;
      t.guest({ flags: 'SA', seq: svm, ack: 1001, window: 0xffff });
      t.peer({ seq: 1001, ack: w(svm + off + 1) });
      t.guest({ seq: w(svm + 1), ack: 1001, data: 'd'.repeat(20_000) });
      t.peer({ seq: 1001, ack: w(svm + off + 1 + 12_000) });
      t.engine.checkpoint(t.now);
      // The copy stands where the primary stood, which the secondary's own stream tells nothing of.
      const isn = w(svm + (missed ? 0 : off));
      const end = w(isn + 1 + (missed ? 20_000 : 21_000));
      t.guest({ seq: w(end - 8000), ack: 1001, data: 'd'.repeat(1000) });
      t.engine.failover(t.now);
      t.guest({ seq: end, ack: 1001 });
      if (!missed && t.engine.undecided) t.engine.decide(false);
      expect([off, t.engine.undecided, t.count.checkpoints_missed]).toEqual([off, false, missed ? 1 : 0]);
    }
  }
});

test('what tells nothing of the numbers leaves when they are known, not before: no byte at a wrong place', () => {
  for (const off of [27_442, 1220, 60_000]) {
    for (const missed of [true, false]) {
      const t = bench();
      const svm = 4_294_930_000;
      t.guest({ flags: 'SA', seq: svm, ack: 1001, window: 0xffff });
      t.peer({ seq: 1001, ack: w(svm + off + 1) });
      t.guest({ seq: w(svm + 1), ack: 1001, data: 'd'.repeat(20_000) });
      t.peer({ seq: 1001, ack: w(svm + off + 1 + 12_000) });
      t.engine.checkpoint(t.now);
      t.engine.failover(t.now);
      const isn = w(svm + (missed ? 0 : off));
      // Near the peer's last acknowledgement in both numberings, next to nothing that is known.
      const lost = { seq: w(isn + 1 + 13_000), ack: 1001, data: 'd'.repeat(1000) };
      for (const way of [lost, { ...lost, flags: 'FA' }]) expect(t.guest(way).verdict).toBe(Drop);
      const fragment = build(segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, ...lost }));
      fragment.writeUInt16BE(0x2000, 6);
      expect(t.raw(fragment, false).verdict).toBe(Drop);
      const answer = build(segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, seq: 1001, ack: w(isn + 1) }));
      answer.writeUInt16BE(0x2000, 6);
      expect(t.raw(answer, true).verdict).toBe(Wait);
      expect(t.count).toMatchObject({ guest_undecided: 3, peer_waited: 1 });
      // Another connection is not touched by that.
      expect(t.guest({ flags: 'S', sport: 50000, dport: 443, seq: 5 }).verdict).toBe(Accept);
      t.engine.decide(missed);
      expect(t.guest(lost).seq).toBe(w(svm + off + 1 + 13_000));
    }
  }
});

test('several connections, any numbers, idle or busy: the first word of the guest decides rightly for all', () => {
  const far = fc.integer({ min: 1 << 22, max: 0xffffffff - (1 << 22) });
  const flow = fc.record({
    svm: fc.integer({ min: 0, max: 0xffffffff }),
    off: far,
    sent: fc.nat(60_000),
    lost: fc.nat(20_000),
    halfOpen: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(flow, { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      fc.boolean(),
      fc.nat(4),
      fc.boolean(),
      (flows, missed, restart, who, idle) => {
        const t = bench();
        const port = (i: number) => ({ guest: { dport: 40000 + i }, peer: { sport: 40000 + i } });
        for (const [i, { svm, off, sent, halfOpen }] of flows.entries()) {
          t.guest({ ...port(i).guest, flags: 'SA', seq: svm, ack: 1001, window: 0xffff });
          if (halfOpen && i > 0) continue;
          t.peer({ ...port(i).peer, seq: 1001, ack: w(svm + off + 1) });
          t.guest({ ...port(i).guest, seq: w(svm + 1), ack: 1001, data: 'd'.repeat(sent) });
        }
        t.engine.checkpoint(t.now);
        t.engine.failover(t.now);
        if (restart && flows[0]!.sent > 0) {
          t.restart();
          t.engine.link.macHigh = 1;
        }
        const speaks = who % flows.length;
        const chosen = flows[speaks]!;
        if (chosen.halfOpen && speaks > 0) {
          const isn = w(chosen.svm + (missed ? 0 : chosen.off));
          t.guest({ ...port(speaks).guest, flags: 'SA', seq: isn, ack: 1001, window: 0xffff });
          // That it is as old as its record tells is likely only: another is asked.
          if (t.engine.undecided) t.guest({ seq: w(flows[0]!.svm + 1 + flows[0]!.sent), ack: 1001 });
        } else if (!restart || flows[0]!.sent === 0) {
          const isn = w(chosen.svm + (missed ? 0 : chosen.off));
          // Idle: its next byte. Busy: from anywhere in what it has in flight.
          const at = idle ? chosen.sent : Math.max(0, chosen.sent - chosen.lost);
          t.guest({ ...port(speaks).guest, seq: w(isn + 1 + at), ack: 1001, data: idle ? '' : 'x' });
        } else t.engine.decide(missed);
        expect(t.engine.undecided).toBe(false);
        for (const [i, { svm, off, halfOpen }] of flows.entries()) {
          if (halfOpen && i > 0 && !missed) continue;
          expect(t.peer({ ...port(i).peer, seq: 1001, ack: w(svm + off + 1) }).ack).toBe(
            w(svm + (missed ? 0 : off) + 1),
          );
        }
      },
    ),
    { numRuns: 300 },
  );
});
