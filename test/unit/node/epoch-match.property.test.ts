// Both hosts hear of the same checkpoints, each in its own time; connections break, the primary's process is restarted.
// Whatever comes, held packets are released for a checkpoint that both have obeyed, and only packets of the same epoch
// are compared.

import fc from 'fast-check';
import { EpochMatch, MATCH_MS, Matched } from '../../../src/node/epoch-match';

const ID = '00112233-4455-6677-8899-aabbccddeeff';

type Sent = { kind: 'frame' | 'mark'; epoch: number; obeyed: number };

class Hosts {
  match = new EpochMatch();
  now = 0;
  /** Checkpoints that each has obeyed. */
  primary = 0;
  secondary = 0;
  epoch = 7;
  up = false;
  wire: Sent[] = [];
  released = 0;
  compared = 0;
  /** Of the mark that the state AHEAD or EVEN speaks of. */
  private marked = 0;

  connect(): void {
    if (this.up) return;
    this.up = true;
    this.wire = [];
    const before = this.match.state;
    const matched = this.match.connected(ID, this.epoch, this.now);
    this.marked = this.secondary;
    this.act(matched);
    // The first time of all: nothing was sent yet, or a checkpoint is needed.
    if (before === 'unknown' && this.primary === 0 && this.secondary === 0) this.match.align(this.epoch);
  }

  cut(): void {
    this.up = false;
    this.act(this.match.disconnected(this.now));
    this.wire = [];
  }

  restart(): void {
    this.cut();
    this.match = new EpochMatch();
  }

  doPrimary(): void {
    if (this.primary > this.secondary) return;
    this.primary++;
    this.act(this.match.checkpoint(this.now));
  }

  doSecondary(): void {
    if (this.secondary > this.primary) return;
    this.secondary++;
    this.epoch = (this.epoch + 1) >>> 0;
    if (this.up) this.wire.push({ kind: 'mark', epoch: this.epoch, obeyed: this.secondary });
  }

  frame(): void {
    if (this.up) this.wire.push({ kind: 'frame', epoch: this.epoch, obeyed: this.secondary });
  }

  receive(): void {
    const next = this.wire[0];
    if (next === undefined || this.match.state === 'ahead') return;
    this.wire.shift();
    if (next.kind === 'mark') {
      this.marked = next.obeyed;
      this.act(this.match.mark(next.epoch, this.now));
    } else if (this.match.isPresent(next.epoch)) {
      this.compared++;
      const wanted = this.match.state === 'behind' ? this.primary - 1 : this.primary;
      expect(next.obeyed).toBe(wanted);
    }
  }

  /**
   * No checkpoint takes so long that it is given up while the other host has obeyed it, and a connection over which
   * nothing comes has ended by then.
   */
  pass(ms: number): void {
    if (this.wire.length > 0 && this.match.state !== 'ahead') this.cut();
    const under = this.primary !== this.secondary;
    this.now += under ? Math.min(ms, 10) : ms;
    this.act(this.match.tick(this.now));
  }

  private act(matched: Matched): void {
    if (matched !== Matched.RELEASE) return;
    this.released++;
    expect(this.marked).toBeGreaterThanOrEqual(this.primary);
  }
}

const STEPS = ['connect', 'cut', 'restart', 'doPrimary', 'doSecondary', 'frame', 'receive', 'pass'] as const;

test('what is released and compared is of the same checkpoint', () => {
  let released = 0;
  let compared = 0;
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...STEPS), { minLength: 20, maxLength: 120 }), (steps) => {
      const hosts = new Hosts();
      hosts.connect();
      for (const step of steps) {
        if (step === 'pass') hosts.pass(MATCH_MS);
        else hosts[step]();
      }
      released += hosts.released;
      compared += hosts.compared;
    }),
    { numRuns: 2000 },
  );
  expect(released).toBeGreaterThan(100);
  expect(compared).toBeGreaterThan(100);
});

test('whatever has been, two checkpoints over a whole link bring the hosts together', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...STEPS), { maxLength: 60 }), (steps) => {
      const hosts = new Hosts();
      hosts.connect();
      for (const step of steps) {
        if (step === 'pass') hosts.pass(MATCH_MS);
        else hosts[step]();
      }
      hosts.connect();
      const all = (): void => {
        for (let i = 0; i < 200; i++) hosts.receive();
      };
      if (hosts.primary < hosts.secondary) hosts.doPrimary();
      if (hosts.secondary < hosts.primary) hosts.doSecondary();
      all();
      // What was not matched is given up, and then forgotten.
      for (let i = 0; i < 4; i++) hosts.pass(MATCH_MS);
      all();
      for (let i = 0; i < 2; i++) {
        hosts.doPrimary();
        hosts.doSecondary();
        all();
      }
      expect(hosts.match.state).toBe('even');
      const { compared } = hosts;
      hosts.frame();
      all();
      expect(hosts.compared).toBe(compared + 1);
    }),
    { numRuns: 1000 },
  );
});
