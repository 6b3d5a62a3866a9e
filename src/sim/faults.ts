// Carries out a run's faults: at their times, or between two steps of a checkpoint.

import { Note } from './daemon';
import type { Fault, FaultKind } from './fault-plan';
import type { World } from './world';

/** Pause before a fault that could not show anything yet is tried again. */
const AGAIN_US = 3_000;
/** Chance that a fault which waits for a checkpoint strikes at its next step. */
const AMBUSH_CHANCE = 0.4;
/** Or so long after both guests were resumed, at most. */
const AFTER_RESUME_US = 50_000;
/** Longest life of a host after its guest's death. */
const DEATH_NOTICED_US = 100_000;
/** Longest wait for a guest's packet, where a message is to meet a queue that is not empty. */
export const BUSY_US = 300_000;
/**
 * A daemon of SN that is younger may not have seen the peers' packets whose numbers show which epoch its guest is in.
 */
const DEAF_MS = 1000;
const LOST_ADDRESS = 0x0a000001;
const AGED_ADDRESS = 0x0a000002;

export class Faults {
  /** How often each kind has happened. */
  readonly counts: Record<string, number> = {};
  connectionsAtFailover = 0;
  private left: number;
  /** Outages that will end. */
  private outage = 0;
  /** Faults that wait for a checkpoint to be under way. */
  private readonly waylaid = new Set<Fault>();

  constructor(private readonly world: World) {
    this.left = world.scenario.faults.length;
  }

  begin(): void {
    for (const fault of this.world.scenario.faults) this.world.scheduler.at(fault.atUs, () => this.fault(fault));
  }

  /** Whether one of this kind has happened, in a checkpoint or not. */
  has(kind: FaultKind): boolean {
    return Object.keys(this.counts).some((name) => name.split(' ')[0] === kind);
  }

  /** No fault is left, and no outage. */
  get over(): boolean {
    return this.left === 0 && this.outage === 0;
  }

  get unfinished(): string {
    return `${this.left} faults left, ${this.outage} to be mended`;
  }

  /** Called between two steps of a checkpoint: a fault that waits for one may strike. */
  ambush(): void {
    for (const fault of [...this.waylaid]) {
      if (!this.world.prng.chance(AMBUSH_CHANCE) || !this.mayHappen(fault)) continue;
      this.waylaid.delete(fault);
      this.strike(fault);
    }
  }

  /** Called when both guests go on after a checkpoint: a waiting fault may strike soon after it, too. */
  resumed(): void {
    for (const fault of [...this.waylaid]) {
      if (!this.world.prng.chance(AMBUSH_CHANCE)) continue;
      this.waylaid.delete(fault);
      this.world.after(this.world.prng.below(AFTER_RESUME_US), () => this.fault({ ...fault, inCheckpoint: false }));
    }
  }

  private fault(fault: Fault): void {
    if (fault.inCheckpoint && this.world.side === 'primary' && this.world.nowUs < this.world.scenario.calmUs) {
      this.waylaid.add(fault);
      this.world.scheduler.at(this.world.scenario.calmUs, () => {
        if (this.waylaid.delete(fault)) this.fault(fault);
      });
      return;
    }
    if (!this.mayHappen(fault)) {
      this.world.after(AGAIN_US, () => this.fault(fault));
      return;
    }
    this.strike(fault);
  }

  private strike(fault: Fault): void {
    this.left--;
    if (this.cannotHappen(fault)) return;
    const within = this.world.controller.checkpointing ? ' in a checkpoint' : '';
    this.world.note(
      Note.FAULT,
      fault.forUs,
      fault.atUs,
      () => `FAULT ${fault.kind}${within}, ${fault.forUs / 1000} ms`,
    );
    const name = `${fault.kind}${within}`;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    switch (fault.kind) {
      case 'failover':
      case 'guest-death':
        this.killPrimary(fault);
        break;
      case 'primary-daemon':
        this.world.pn.kill();
        this.world.forgetPace();
        if (fault.losesFiles) this.world.pn.replaceFiles(this.world.makers.primaryFiles());
        this.restart(fault.forUs, () => {
          if (this.world.side !== 'primary' || this.world.pn.engine) return;
          this.world.pn.start(this.world.isProtected ? 'resumed' : 'unprotected');
          // Its controller does not come back to it.
          if (this.world.controller.gone && this.world.isProtected) this.world.pn.controllerLost();
        });
        break;
      case 'secondary-daemon':
        this.world.sn.kill();
        this.restart(fault.forUs, () => {
          if (this.world.svm.alive && !this.world.sn.engine) this.world.sn.start();
        });
        break;
      case 'controller-loss':
        this.loseController(fault.forUs);
        break;
      case 'secondary-death':
        this.killSecondary(fault.forUs);
        break;
      case 'forward-down':
        this.world.stream?.outage(fault.forUs);
        this.world.forwardOut.up = false;
        this.world.forwardBack.up = false;
        this.restart(fault.forUs, () => {
          this.world.forwardOut.up = true;
          this.world.forwardBack.up = true;
        });
        break;
      case 'address-aged':
        this.ask(false, AGED_ADDRESS);
        this.restart(fault.forUs, () => this.ask(true, AGED_ADDRESS));
        break;
      default:
        this.ask(false, LOST_ADDRESS);
        this.ask(false, LOST_ADDRESS);
    }
  }

  private ask(primary: boolean, target: number): void {
    const { pn } = this.world;
    pn.engine?.addressQuestion(primary, 0, 4, pn.nowMs, target);
  }

  /** A fault that would show the controller's weakness only waits until it tests the proxy. */
  private mayHappen(fault: Fault): boolean {
    const c = this.world.controller;
    // A process that begins in doubt has heard no peer and cannot ask the guest: it believes the controller.
    if (
      fault.kind === 'secondary-daemon' &&
      c.missed &&
      !(this.world.side === 'secondary' && this.world.sn.engine?.undecided === false)
    ) {
      return false;
    }
    if (this.world.side !== 'primary') return true;
    switch (fault.kind) {
      case 'failover':
      case 'guest-death':
        return c.ready && !c.promised && !(c.inDoubt && this.world.sn.nowMs - this.world.sn.startedMs < DEAF_MS);
      case 'controller-loss':
        return !c.checkpointing && c.ready;
      case 'secondary-death':
        return c.ready;
      default:
        return true;
    }
  }

  private cannotHappen(fault: Fault): boolean {
    if (fault.kind === 'secondary-daemon') return !this.world.sn.engine;
    if (fault.kind === 'primary-daemon') return this.world.side !== 'primary' || !this.world.pn.engine;
    // Nobody outlives both guests.
    return this.world.side !== 'primary' || !this.world.svm.alive || !this.world.pvm.alive;
  }

  private restart(afterUs: number, task: () => void): void {
    this.outage++;
    this.world.after(afterUs, () => {
      this.outage--;
      task();
    });
  }

  private killPrimary(fault: Fault): void {
    this.connectionsAtFailover += this.world.client.open;
    this.world.pvm.kill();
    this.world.controller.primaryDied();
    if (fault.kind === 'failover' || !this.world.pn.engine) {
      this.hostDies(fault);
      return;
    }
    // The hypervisor was the controller. The daemon lives, and its host for a while: packets of the guest that are on
    // their way must not leave once its death was noticed.
    this.world.pn.controllerLost();
    this.restart(this.world.prng.below(DEATH_NOTICED_US), () => this.hostDies(fault));
  }

  private hostDies(fault: Fault): void {
    this.world.pn.kill();
    this.world.side = 'nobody';
    this.world.forwardOut.cut();
    this.world.forwardBack.cut();
    this.world.stream?.break(true);
    this.world.controller.failover(fault.forUs);
  }

  private loseController(forUs: number): void {
    this.world.controller.lose();
    this.world.pn.controllerLost();
    this.restart(forUs, () => {
      if (this.world.prng.chance(0.3)) this.world.protect();
      else {
        // While packets of the present SVM are on their way.
        this.outage++;
        this.world.pn.forwardQueue.whenNext(BUSY_US, () => {
          this.outage--;
          this.world.protect();
        });
      }
    });
  }

  private killSecondary(forUs: number): void {
    this.world.svm.kill();
    // No SVM is left to take over: until there is a new copy, nothing that the PVM sends can be contradicted.
    this.world.ledger.judging = false;
    this.world.sn.kill();
    this.world.controller.lose();
    this.world.controller.giveUp();
    this.restart(Math.floor(forUs / 2), () => this.world.unprotect());
    this.restart(forUs, () => {
      // Another host takes its place.
      this.world.svm.alive = true;
      this.world.sn.replaceFiles(this.world.makers.secondaryFiles());
      this.world.sn.start();
      this.world.protect();
    });
  }
}
