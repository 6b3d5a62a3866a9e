// The simulated TCP: honest enough that streams survive bad links, and that wrong numbers kill a connection as they
// would with Linux.

import { ClientSession, type SessionPlan } from '../../../src/sim/app/client';
import { DIVERGENT_CONTENT, Op, type Request, SLOW_READER } from '../../../src/sim/app/protocol';
import { serve } from '../../../src/sim/app/server';
import { Link } from '../../../src/sim/link';
import { Machine } from '../../../src/sim/machine';
import { Origin, type SimPacket } from '../../../src/sim/packet';
import { Prng } from '../../../src/sim/prng';
import { makeScenario } from '../../../src/sim/scenario';
import { Scheduler } from '../../../src/sim/scheduler';
import { writeChecksum } from '../../../src/sim/wire';

const TS_AT = 20 + 20 + 4;

/** A client and a server on a link each way; `meddle` may change or drop what the server sends. */
class Pair {
  readonly scheduler = new Scheduler();
  readonly client: Machine;
  server: Machine;
  readonly failures: string[] = [];
  readonly up: Link;

  constructor(seed: number, change: Partial<ReturnType<typeof makeScenario>['guestImage']> = {}, loss = 0) {
    const s = makeScenario(seed);
    const image = { ...s.guestImage, layout: 'linux' as const, ...change };
    this.client = new Machine(
      Origin.CLIENT,
      image,
      { ...s.clientHabits, partialChance: 0 },
      new Prng(1),
      this.scheduler,
    );
    this.server = new Machine(Origin.PVM, image, { ...s.primaryHabits, partialChance: 0 }, new Prng(2), this.scheduler);
    this.server.listeners.set(80, serve);
    const plan = { ...s.clientUp, loss, reorder: loss, duplicate: loss / 2, delayUs: 500, reorderUs: 900, rate: 125 };
    this.up = new Link('up', plan, new Prng(3), this.scheduler, (p) => this.server.deliver(p));
    const down = new Link('down', plan, new Prng(4), this.scheduler, (p) => this.client.deliver(p));
    this.client.send = (p) => this.up.send(p);
    this.send = (p) => down.send(p);
    this.meddle((p) => p);
  }

  private readonly send: (p: SimPacket) => void;

  meddle(change: (p: SimPacket) => SimPacket | null): void {
    this.server.send = (p) => {
      const out = change(p);
      if (out) this.send(out);
    };
  }

  open(plan: Partial<SessionPlan> & { steps: SessionPlan['steps'] }, port = 5000): ClientSession {
    const whole: SessionPlan = { ending: 'client-closes', slowReader: false, ...plan };
    const session = new ClientSession('s', whole, null, {
      fail: (what) => this.failures.push(what),
      called: () => {},
      handshakeLost: () => {},
      refused: () => {},
    });
    this.client.connect(4, port, 80, '', session);
    return session;
  }

  run(untilUs: number): void {
    while (this.scheduler.nowUs < untilUs && this.scheduler.step());
  }
}

const ask = (op: Request['op'], size: number, flags = 0): SessionPlan['steps'][number] => ({
  request: { op, flags, port: 0, size, seed: 12345 },
  thinkUs: 0,
});

describe('streams survive', () => {
  test.each([0, 0.02, 0.1])('with %d of all packets lost and reordered, up, down and both ways', (loss) => {
    for (let seed = 1; seed <= 12; seed++) {
      const t = new Pair(seed, {}, loss);
      const plan = [
        ask(Op.GET, 120_000),
        ask(Op.PUT, 60_000),
        ask(Op.ECHO, 40_000),
        ask(Op.GET, 5000, DIVERGENT_CONTENT),
      ];
      const session = t.open({ steps: plan, ending: seed % 2 ? 'client-closes' : 'guest-closes' });
      t.run(300_000_000);
      expect([t.failures, session.done, session.progress]).toEqual([[], true, expect.stringContaining('step 4')]);
      expect(t.client.counts.badPackets + t.server.counts.badPackets).toBe(0);
      if (loss === 0.1) expect(t.server.counts.retransmissions).toBeGreaterThan(0);
    }
  });

  test('slow readers on both sides close the window, and open it again', () => {
    let shut = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const t = new Pair(seed, { receiveBytes: 8192 }, 0.01);
      const session = t.open({ steps: [ask(Op.GET, 60_000), ask(Op.PUT, 60_000, SLOW_READER)], slowReader: true });
      t.run(300_000_000);
      expect([t.failures, session.done]).toEqual([[], true]);
      shut += t.client.counts.zeroWindows + t.server.counts.zeroWindows;
    }
    expect(shut).toBeGreaterThan(0);
  });

  test('resets, refusals', () => {
    const t = new Pair(1);
    const reset = t.open({ steps: [ask(Op.GET, 10)], ending: 'guest-resets' });
    const aborted = t.open({ steps: [ask(Op.GET, 10)], ending: 'client-resets' }, 5001);
    const refused = new ClientSession('r', { steps: [], ending: 'refused', slowReader: false }, null, {
      fail: (what) => t.failures.push(what),
      called: () => {},
      handshakeLost: () => {},
      refused: () => {},
    });
    t.client.connect(4, 5002, 81, '', refused);
    t.run(20_000_000);
    expect([t.failures, reset.done, aborted.done, refused.done]).toEqual([[], true, true, true]);
    expect([t.client.open, t.server.open]).toEqual([0, 0]);
  });
});

describe('a checkpoint', () => {
  test('a copy goes on where the original stood', () => {
    const t = new Pair(3, {}, 0.02);
    const session = t.open({ steps: [ask(Op.GET, 150_000), ask(Op.PUT, 50_000)] });
    let copies = 0;
    for (let at = 5_000; at < 200_000; at += 12_345) {
      t.scheduler.at(at, () => {
        const next = new Machine(Origin.PVM, t.server.image, t.server.habits, new Prng(at), t.scheduler);
        t.server.stop();
        next.stop();
        next.copyFrom(t.server);
        next.send = t.server.send;
        t.server.kill();
        t.server = next;
        t.scheduler.after(3_000, () => next.resume());
        copies++;
      });
    }
    t.run(300_000_000);
    expect([t.failures, session.done]).toEqual([[], true]);
    expect(copies).toBeGreaterThan(10);
  });

  test('what the original does afterwards does not show in the copy', () => {
    const t = new Pair(5);
    t.open({ steps: [ask(Op.GET, 100_000)] });
    t.run(3_000);
    t.server.stop();
    const copy = new Machine(Origin.SVM, t.server.image, t.server.habits, new Prng(9), t.scheduler);
    copy.stop();
    copy.copyFrom(t.server);
    const state = (): string => JSON.stringify([copy.open, copy.memory, copy.clockUs(), copy.hasOpen(4, 80, 5000)]);
    const before = state();
    t.server.resume();
    t.run(1_000_000);
    expect(t.server.open).toBeLessThanOrEqual(1);
    expect(state()).toBe(before);
  });

  test('a stopped machine hears nothing and keeps what comes', () => {
    const t = new Pair(5);
    t.server.stop();
    const session = t.open({ steps: [ask(Op.GET, 100)] });
    t.run(600_000);
    expect([t.server.counts.sent, t.server.waiting]).toEqual([0, 1]);
    t.server.resume();
    t.run(5_000_000);
    expect([t.failures, session.done]).toEqual([[], true]);
  });
});

describe('wrong numbers kill a connection', () => {
  const shiftTimestamp = (p: SimPacket, by: number, at: number): SimPacket => {
    if (p.syn && at === 0) return p;
    const out = p.withBytes(Buffer.from(p.buf));
    const where = p.syn ? -1 : TS_AT + at;
    if (where < 0 || out.buf.length < where + 4 || out.buf[TS_AT - 2] !== 8) return p;
    out.buf.writeUInt32BE((out.buf.readUInt32BE(where) + by) >>> 0, where);
    writeChecksum(out.buf, 4, 6, false);
    return out;
  };

  test('timestamps that run backwards: the segments are dropped', () => {
    const t = new Pair(2, { timestamps: true });
    t.meddle((p) => shiftTimestamp(p, -1_000_000, 0));
    const session = t.open({ steps: [ask(Op.GET, 100)] });
    t.run(20_000_000);
    expect(session.done).toBe(false);
    expect(t.client.counts.pawsDrops).toBeGreaterThan(2);
  });

  test('a SYN/ACK that echoes what was never sent is reset', () => {
    const t = new Pair(2, { timestamps: true });
    t.meddle((p) => {
      if (!p.syn) return p;
      const out = p.withBytes(Buffer.from(p.buf));
      for (let i = 40; i < out.buf.length - 9; i++) {
        if (out.buf[i] === 8 && out.buf[i + 1] === 10)
          out.buf.writeUInt32BE((out.buf.readUInt32BE(i + 6) + 77) >>> 0, i + 6);
      }
      writeChecksum(out.buf, 4, 6, false);
      return out;
    });
    const session = t.open({ steps: [ask(Op.GET, 100)] });
    t.run(10_000_000);
    expect([session.done, t.client.counts.badEchoes > 0]).toEqual([false, true]);
  });

  test('sequence numbers off by a little: the client sees other bytes, or none', () => {
    const t = new Pair(2);
    t.meddle((p) => {
      if (p.dataBytes === 0) return p;
      const out = p.withBytes(Buffer.from(p.buf));
      out.buf.writeUInt32BE((out.buf.readUInt32BE(24) + 5) >>> 0, 24);
      writeChecksum(out.buf, 4, 6, false);
      return out;
    });
    const session = t.open({ steps: [ask(Op.GET, 5000)] });
    t.run(10_000_000);
    expect(session.done && t.failures.length === 0).toBe(false);
  });

  test('a reset counts only at the expected place', () => {
    const t = new Pair(2, { timestamps: false });
    let shift = 10;
    t.meddle((p) => {
      if (!p.rst) return p;
      const out = p.withBytes(Buffer.from(p.buf));
      out.buf.writeUInt32BE((out.buf.readUInt32BE(24) + shift) >>> 0, 24);
      writeChecksum(out.buf, 4, 6, false);
      return out;
    });
    const session = t.open({ steps: [ask(Op.GET, 100)], ending: 'guest-resets' });
    t.run(600_000);
    expect(session.done).toBe(false);
    shift = 0;
    t.run(10_000_000);
    expect([session.done, t.failures]).toEqual([true, []]);
  });

  test('wrong bytes are noticed by the client', () => {
    const t = new Pair(2);
    t.meddle((p) => {
      if (p.dataBytes < 500) return p;
      const out = p.withBytes(Buffer.from(p.buf));
      out.buf[out.buf.length - 1]! ^= 1;
      writeChecksum(out.buf, 4, 6, false);
      return out;
    });
    t.open({ steps: [ask(Op.GET, 50_000)] });
    t.run(10_000_000);
    expect(t.failures[0]).toContain('wrong byte');
  });
});
