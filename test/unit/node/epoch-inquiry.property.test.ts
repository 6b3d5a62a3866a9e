// Both hosts obey the same checkpoints, each in its own time while both guests stand still; between them the guests run
// and speak, or do not; questions and answers take any time. What is found is right at that moment.

import fc from 'fast-check';
import { EpochInquiry } from '../../../src/node/epoch-inquiry';

type Said = { kind: 'answer'; serial: number; epoch: number } | { kind: 'frame'; epoch: number };

class Hosts {
  readonly inquiry = new EpochInquiry();
  primary = 0;
  secondary = 0;
  running = true;
  spoken = 0;
  found = 0;
  private questions: number[] = [];
  private said: Said[] = [];

  obey(side: 'primary' | 'secondary'): void {
    if (this.running || this[side] > Math.min(this.primary, this.secondary)) return;
    this[side]++;
    if (side === 'primary') this.inquiry.begin(this.spoken);
  }

  stop(): void {
    this.running = false;
  }

  run(): void {
    if (this.primary === this.secondary) this.running = true;
  }

  pvm(): void {
    if (this.running) this.spoken++;
  }

  svm(): void {
    if (this.running) this.said.push({ kind: 'frame', epoch: this.secondary });
  }

  ask(): void {
    if (!this.inquiry.wants(this.spoken)) return;
    this.inquiry.asks();
    this.questions.push(this.inquiry.serial);
  }

  answer(): void {
    const serial = this.questions.shift();
    if (serial !== undefined) this.said.push({ kind: 'answer', serial, epoch: this.secondary });
  }

  hear(): void {
    const said = this.said.shift();
    if (said === undefined) return;
    const known = said.kind === 'frame' ? this.inquiry.hears(said.epoch) : this.inquiry.answer(said.serial, said.epoch);
    if (!known) return;
    this.found++;
    // The secondary may have obeyed the next one since it answered: its mark is still on its way.
    expect(said.epoch).toBe(this.primary);
  }
}

const STEPS = ['pvm', 'svm', 'ask', 'answer', 'hear', 'hear', 'stop', 'run', 'primary', 'secondary'] as const;

test('what is found is the epoch of this host', () => {
  let found = 0;
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...STEPS), { minLength: 20, maxLength: 200 }), (steps) => {
      const hosts = new Hosts();
      for (const step of steps) {
        if (step === 'primary' || step === 'secondary') hosts.obey(step);
        else hosts[step]();
      }
      found += hosts.found;
    }),
    { numRuns: 3000 },
  );
  expect(found).toBeGreaterThan(500);
});
