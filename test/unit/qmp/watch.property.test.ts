// A guest in COLO whose frames arrive at once, and the watch over its QEMU, whose bytes arrive when they do. The guest
// stops and goes on, fails to make a checkpoint, goes alone, begins anew; its QMP connection ends and comes again; this
// process stands still.

import fc from 'fast-check';
import { Watched } from './watched';

type Act = (w: World) => void;

class World {
  /** Frames that the guest has sent, that the last checkpoint covers, and that were read. */
  sent = 0;
  covered = 0;
  read = 0;
  private held = false;
  /** The watch's words, as states: who may follow whom. */
  readonly wrong: string[] = [];
  private failed = false;
  readonly t: Watched;

  constructor(outOfBand: boolean) {
    this.t = new Watched('primary', {
      onStopped: () => {
        this.expect(!this.held, 'stopped twice');
        this.readAll();
        this.held = true;
      },
      onCheckpoint: (exact) => {
        if (exact) this.expect(this.read <= this.covered, `${this.read} frames released, ${this.covered} covered`);
      },
      onFailover: () => this.expect(this.t.qemu.colo.mode === 'none', 'a failover that was none'),
      onRunning: () => {
        this.expect(this.held, 'running twice');
        this.held = false;
      },
    });
    this.t.qemu.offersOutOfBand = outOfBand;
    this.t.begin();
  }

  expect(holds: boolean, what: string): void {
    if (!holds) this.wrong.push(what);
  }

  get isHeld(): boolean {
    return this.held;
  }

  readAll(): void {
    if (!this.held) this.read = this.sent;
  }

  send(): void {
    if (this.t.qemu.running) this.sent++;
  }

  /** A checkpoint begins. */
  stop(): void {
    if (this.t.qemu.colo.mode === 'primary' && !this.failed) this.t.qemu.stopGuest();
  }

  complete(): void {
    if (this.t.qemu.running) return;
    this.covered = this.sent;
    this.t.qemu.resumeGuest();
  }

  wholeCheckpoint(): void {
    this.t.qemu.settle();
    this.stop();
    this.t.qemu.settle();
    this.complete();
    this.t.qemu.settle();
  }

  fail(): void {
    if (this.t.qemu.running) return;
    this.t.qemu.resumeGuest();
    this.t.qemu.loseOther();
    this.failed = true;
  }

  goAlone(): void {
    if (this.t.qemu.colo.mode === 'none') return;
    this.t.qemu.goAlone();
    this.failed = true;
  }

  /** Its first checkpoint is a STOP and a RESUME, like all. */
  beginAnew(): void {
    if (this.t.qemu.colo.mode !== 'none') return;
    this.failed = false;
    this.t.qemu.enterColo('primary');
    this.t.qemu.stopGuest();
    this.complete();
  }

  /** Nothing is on its way any more. */
  settle(): void {
    if (!this.t.qemu.isConnected) this.t.qemu.accept();
    this.t.qemu.settle();
    this.t.clock.pass(1000);
    this.t.qemu.settle();
  }
}

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Act>((w) => w.send()) },
  { weight: 4, arbitrary: fc.constant<Act>((w) => w.readAll()) },
  { weight: 6, arbitrary: fc.constant<Act>((w) => w.stop()) },
  { weight: 6, arbitrary: fc.constant<Act>((w) => w.complete()) },
  { weight: 6, arbitrary: fc.constant<Act>((w) => w.wholeCheckpoint()) },
  { weight: 1, arbitrary: fc.constant<Act>((w) => w.fail()) },
  { weight: 1, arbitrary: fc.constant<Act>((w) => w.goAlone()) },
  { weight: 1, arbitrary: fc.constant<Act>((w) => w.beginAnew()) },
  { weight: 1, arbitrary: fc.constant<Act>((w) => w.t.qemu.hangUp()) },
  { weight: 1, arbitrary: fc.constant<Act>((w) => w.t.qemu.isConnected || w.t.qemu.accept()) },
  { weight: 2, arbitrary: fc.constant<Act>((w) => w.t.clock.pass(300)) },
  { weight: 4, arbitrary: fc.constant<Act>((w) => w.t.qemu.settle()) },
  {
    weight: 2,
    arbitrary: fc.boolean().map(
      (stuck): Act =>
        (w) =>
          void Object.assign(w.t.qemu, { stuck }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.nat(3).map(
      (most): Act =>
        (w) =>
          w.t.qemu.run(most),
    ),
  },
  {
    weight: 8,
    arbitrary: fc.integer({ min: 1, max: 120 }).map(
      (bytes): Act =>
        (w) =>
          void w.t.qemu.deliver(bytes),
    ),
  },
);

test('a checkpoint is exact only if it covers all that was read; in the end the watch knows what the guest is', () => {
  let exact = 0;
  fc.assert(
    fc.property(fc.boolean(), fc.array(act, { minLength: 1, maxLength: 60 }), (outOfBand, acts) => {
      const w = new World(outOfBand);
      for (const one of acts) one(w);
      w.t.qemu.stuck = false;
      w.settle();
      w.expect(!w.isHeld || !w.t.qemu.running, 'held though the guest runs');
      const alone = w.t.qemu.colo.mode === 'none';
      const last = w.t.said.filter((word) => word === 'failover' || /checkpoint/.test(word)).at(-1);
      if (alone) w.expect(last === 'failover', `alone, and told ${last}`);
      else if (w.t.said.includes('failover')) w.expect(last !== 'failover', 'in COLO anew, and never told');
      exact += w.t.said.filter((word) => word === 'checkpoint').length;
      expect(w.wrong).toEqual([]);
    }),
    { numRuns: 2000 },
  );
  expect(exact).toBeGreaterThan(500);
});
