// The simulated QEMU or libxl: makes checkpoints on request and periodically, and calls failovers.
//
//   stop both -> forward link dry -> [early: DO_CHECKPOINT] -> state copied -> [late: DO_CHECKPOINT] -> resume both
//
// SN may be told early although PN is told late; when the checkpoint is then aborted, SN has to find out. In the early
// order (QEMU's fork) the primary releases before the state has arrived: if the PVM dies between the two, released
// bytes are lost, whatever the proxies do. So the simulator lets it die before or after, never between.

import { Note } from './daemon';
import { BUSY_US } from './faults';
import type { ControllerPlan } from './scenario';
import type { World } from './world';

/** Pause before a message that found no daemon is sent again. */
const RETRY_US = 5_000;

export class Controller {
  /** True from the first stop to the last resume. */
  checkpointing = false;
  /** True when the SVM is a copy that could take over. */
  ready = false;
  gone = true;
  /** In the early order: the primary has been told of a checkpoint whose state has not arrived yet. */
  promised = false;
  private committed = false;
  private secondaryTold = false;
  /** Number of the checkpoint under way; steps of an aborted one find another number. */
  attempt = 0;
  private wanted = false;
  /** At the PVM's death: SN had not been told of a completed checkpoint, or had been told of an aborted one. */
  private owed = false;
  missed = false;
  private lastUs = 0;
  private generation = 0;
  readonly counts = { checkpoints: 0, asked: 0, aborted: 0, failovers: 0, lostMessages: 0 };

  constructor(
    private readonly world: World,
    private readonly plan: ControllerPlan,
  ) {}

  /** SN was told of a checkpoint that is not complete yet. */
  get inDoubt(): boolean {
    return this.checkpointing && !this.committed && this.secondaryTold;
  }

  /** KERNEL_NOTIFY from the primary. */
  notified(): void {
    this.counts.asked++;
    this.world.after(this.plan.latencyUs, () => {
      this.wanted = true;
      this.consider();
    });
  }

  /** Starts to watch: at the beginning, or again after a loss. */
  begin(): void {
    this.gone = false;
    const generation = ++this.generation;
    if (this.plan.periodUs === 0) return;
    const period = () => {
      if (generation !== this.generation) return;
      this.wanted = true;
      this.consider();
      this.world.after(this.plan.periodUs, period);
    };
    this.world.after(this.plan.periodUs, period);
  }

  want(): void {
    this.wanted = true;
    this.consider();
  }

  /** The controller is gone; the primary's daemon acts on it when it notices. */
  lose(): void {
    this.gone = true;
    this.ready = false;
    this.wanted = false;
    this.generation++;
  }

  private consider(): void {
    const w = this.world;
    if (!this.wanted || this.checkpointing || this.gone || !w.pvm.alive || !w.svm.alive) return;
    const wait = this.lastUs + this.plan.minPeriodUs - w.nowUs;
    if (wait > 0) {
      w.after(wait, () => this.consider());
      return;
    }
    this.wanted = false;
    this.checkpointing = true;
    this.committed = false;
    this.promised = false;
    this.secondaryTold = false;
    this.run(++this.attempt);
  }

  // A checkpoint in steps; each step is skipped when the checkpoint was aborted meanwhile.

  private run(attempt: number): void {
    const w = this.world;
    const first = w.prng.chance(0.5) ? w.pvm : w.svm;
    w.note(Note.CONTROL, 1, 0, () => `controller: checkpoint, stops ${first.name} first`);
    first.stop();
    this.step(attempt, w.prng.below(this.plan.latencyUs + 1), () => {
      w.pvm.stop();
      w.svm.stop();
      this.drain(attempt);
    });
  }

  private step(attempt: number, delayUs: number, task: () => void): void {
    this.world.after(delayUs, () => {
      if (attempt === this.attempt && this.checkpointing) this.world.faults.ambush();
      // The fault may have ended this checkpoint.
      if (attempt === this.attempt && this.checkpointing) task();
    });
  }

  private drain(attempt: number): void {
    const w = this.world;
    const dry = !this.plan.drains || (w.forwardOut.empty && w.forwardBack.empty && w.queuesAreIdle());
    // The client may never stop sending, so after a while only the SVM's way back has to be dry.
    if (!dry && !(w.forwardBack.empty && w.queuesAreIdle() && w.prng.chance(0.3))) {
      this.step(attempt, Math.max(50, this.plan.latencyUs >> 1), () => this.drain(attempt));
      return;
    }
    if (this.plan.early) this.tellBoth(attempt, () => this.transfer(attempt));
    else if (this.plan.secondaryEarly) this.tellSecondary(attempt, () => this.transfer(attempt));
    else this.transfer(attempt);
  }

  private transfer(attempt: number): void {
    this.step(attempt, this.plan.transferUs, () => {
      const w = this.world;
      w.copyState();
      this.committed = true;
      this.promised = false;
      w.note(Note.CONTROL, 2, w.ledger.epoch, () => `controller: the SVM has the PVM's state, epoch ${w.ledger.epoch}`);
      if (this.plan.early) this.resume(attempt);
      else if (this.plan.secondaryEarly) this.tellPrimary(attempt, () => this.resume(attempt));
      else this.tellBoth(attempt, () => this.resume(attempt));
    });
  }

  private tellBoth(attempt: number, then: () => void): void {
    let left = 2;
    const told = () => {
      left--;
      if (left === 0) then();
    };
    const primaryFirst = this.world.prng.chance(0.5);
    const gapUs = this.world.prng.below(this.plan.latencyUs + 1);
    this.promised = this.plan.early;
    if (this.plan.early) this.world.promise();
    this.step(attempt, primaryFirst ? 0 : gapUs, () => this.tellPrimary(attempt, told));
    this.step(attempt, primaryFirst ? gapUs : 0, () => this.tellSecondary(attempt, told));
  }

  private tellPrimary(attempt: number, told: () => void): void {
    const w = this.world;
    if (!w.pn.engine) {
      if (!this.plan.losesMessages) {
        this.step(attempt, RETRY_US, () => this.tellPrimary(attempt, told));
        return;
      }
      this.counts.lostMessages++;
    } else {
      w.note(Note.CONTROL, 3, 0, () => 'controller: DO_CHECKPOINT to PN');
      w.checkpointPrimary();
    }
    told();
  }

  private tellSecondary(attempt: number, told: () => void): void {
    const w = this.world;
    if (!w.sn.engine) {
      this.step(attempt, RETRY_US, () => this.tellSecondary(attempt, told));
      return;
    }
    w.note(Note.CONTROL, 4, 0, () => 'controller: DO_CHECKPOINT to SN');
    w.checkpointSecondary();
    this.secondaryTold = true;
    told();
  }

  private resume(attempt: number): void {
    const w = this.world;
    const settleUs = this.plan.drains ? 0 : w.scenario.primary.forwardSettleMs * 1000;
    const { headStartUs } = this.plan;
    const first = headStartUs === 0 && w.prng.chance(0.5) ? w.pvm : w.svm;
    // The settle time must be over before the SVM sends again.
    this.step(attempt, settleUs + 1000, () => {
      first.resume();
      this.step(attempt, headStartUs === 0 ? w.prng.below(this.plan.latencyUs + 1) : headStartUs, () => {
        w.pvm.resume();
        w.svm.resume();
        this.checkpointing = false;
        this.ready = true;
        this.lastUs = w.nowUs;
        this.counts.checkpoints++;
        w.faults.resumed();
        this.consider();
      });
    });
  }

  /** The PVM and its controller are dead: no step of a checkpoint follows. */
  primaryDied(): void {
    this.generation++;
    this.attempt++;
    this.owed = this.checkpointing && this.committed && !this.secondaryTold;
    this.missed = this.inDoubt;
    if (this.checkpointing) this.counts.aborted++;
    this.checkpointing = false;
    this.wanted = false;
    this.gone = true;
  }

  /** After primaryDied(): gives the SVM a complete state again, and lets it take over when the death is noticed. */
  failover(afterUs: number): void {
    const w = this.world;
    const { owed, missed } = this;
    w.note(
      Note.CONTROL,
      5,
      owed ? 1 : 0,
      () => `controller: the PVM is dead${owed ? ', SN is owed a DO_CHECKPOINT' : ''}`,
    );
    this.whenSecondaryListens(() => {
      if (owed) w.checkpointSecondary();
      // Packets that arrived for the SVM since then have the numbers of the state that never arrived.
      if (missed) {
        w.sn.peerQueue.drain();
        w.svm.loseInbox();
      }
      w.svm.resume();
      w.after(afterUs, () => {
        // Half of the time just after the SVM has sent something.
        if (w.prng.chance(0.5)) this.takeOver();
        else w.sn.guestQueue.whenNext(BUSY_US, () => this.takeOver());
      });
    });
  }

  private takeOver(): void {
    const w = this.world;
    this.whenSecondaryListens(() => {
      w.note(Note.CONTROL, 6, 0, () => 'controller: DO_FAILOVER to SN, the tap moves');
      w.sn.node!.failover();
      this.counts.failovers++;
      w.takeOver();
    });
  }

  /** The SVM is dead: the PVM goes on alone. */
  giveUp(): void {
    if (this.checkpointing) this.counts.aborted++;
    this.checkpointing = false;
    this.attempt++;
    this.ready = false;
    this.promised = false;
    this.world.pvm.resume();
  }

  private whenSecondaryListens(task: () => void): void {
    if (this.world.sn.engine) task();
    else this.world.after(RETRY_US, () => this.whenSecondaryListens(task));
  }
}
