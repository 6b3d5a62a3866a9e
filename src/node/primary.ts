// One protected VM on the primary node: in which order queues are read, held packets released or dropped, and
// checkpoints made. The daemon, the comparison behind QEMU's sockets and the simulator all run this class; they differ
// in the ports around it.
//
// Both safety rules depend on the order. Packets that a guest sent before a message was sent stand in its queue when
// the message comes, so queues are read empty before the message is obeyed.
//
//   protect (fresh)   drain both, drop, forget the pair          an old SVM's words are not the new one's
//   protect (resume)  numbers lost: ask for a checkpoint         nothing can be compared before it, so the sooner the better
//   checkpoint        drain both, release, next epoch
//                     over a link with marks: drain the guest's and read it no further until the other side has
//                     obeyed it, too (epoch-match)
//   unprotect         drain the guest's, release, stop comparing
//   guest dead        drain the guest's, drop                    a dead guest's output must not appear
//   policy `drop`     drop now, and at each tick what waits for a checkpoint

import type { Log } from '../core/log';
import type { BypassRule } from '../pmycolo/bypass';
import type { PrimaryEngine } from '../pmycolo/engine';
import { ControllerLoss, type ControllerLossPolicy, LossDecision } from './controller-loss';
import { Matched } from './epoch-match';
import type { Clock, Drainable, GuestWatch } from './ports';

/** Resets reported between two ticks that are acted on; for the others the timeout asks for a checkpoint. */
const MAX_RESETS = 4096;
/** How often the guest's port is looked at when the controller has gone, in ms. */
const PORT_POLL_MS = 50;

/** The engine as a node uses it. */
export type PrimaryEngineFace = Pick<
  PrimaryEngine,
  | 'boundExhausted'
  | 'checkpoint'
  | 'doubtCheckpoint'
  | 'doubtEpoch'
  | 'dropAll'
  | 'endBatch'
  | 'forgetPair'
  | 'awaitsCheckpoint'
  | 'heldPackets'
  | 'isProtected'
  | 'nextDeadlineMs'
  | 'peerReset'
  | 'releaseAll'
  | 'secondaryUnknown'
  | 'setBypass'
  | 'setProtected'
  | 'tick'
>;

/** Of a way to the secondary that tells in band which epoch a packet is of. */
export interface EpochMarks {
  /** A new pair (fresh), or the one that there was. False: nothing can be compared until a checkpoint. */
  begins(fresh: boolean): boolean;
  /**
   * DO_CHECKPOINT was obeyed here. RELEASE: there, too. NOTHING: covered() of the node is called when it has been, or
   * unmatched(). HOLD: nobody can tell.
   */
  checkpointed(nowMs: number): Matched;
  /** The next epoch has begun here. */
  goOn(): void;
  tick(nowMs: number): void;
  /** What of the other side's has waited for the guest's is handed in. */
  endBatchOf(nowMs: number): void;
  /** When that wants to be called at the latest. */
  readonly deadlineMs: number;
}

export interface PrimaryPorts {
  clock: Clock;
  /** The PVM's packets. `pause`: they wait in the queue, unless it is drained; called where epochs have marks. */
  guest: Drainable & { flush(): void; pause(paused: boolean): void };
  /** The SVM's. */
  forward: Drainable & { flush(): void };
  /** Without them epochs are told apart by time (SettledEpochs). */
  marks?: EpochMarks;
  watch: GuestWatch;
  log: Log;
  /** The engine wants to be called at this time, by the clock; Infinity: at no time. Told once a batch. */
  arm(atMs: number): void;
}

export interface PrimaryNodeSettings {
  /** For messages. */
  guestPort: string;
  onControllerLoss: ControllerLossPolicy;
  /** An earlier process may have known how connections are numbered, and this one does not. */
  numbersLost: boolean;
}

export type PrimaryState = 'guest-dead' | 'controller-lost' | 'unprotected' | 'waiting-for-checkpoint' | 'comparing';

export class PrimaryNode {
  private readonly loss: ControllerLoss;
  private readonly resets: { key: Uint32Array; seq: number }[] = [];
  /** Resets beyond MAX_RESETS. */
  resetsLost = 0;
  private numbersLost: boolean;
  private guestDead = false;
  private dropping = false;
  /** What the guest sends now is of an epoch that has not begun at the other side. */
  private awaitsMark = false;
  /** Of the last loss of a controller: what was asked about an earlier one no longer counts. */
  private turn = 0;

  /** Unprotected until a controller comes: there is nothing to compare with, the guest's packets pass. */
  constructor(
    readonly engine: PrimaryEngineFace,
    private readonly ports: PrimaryPorts,
    private readonly settings: PrimaryNodeSettings,
  ) {
    this.loss = new ControllerLoss(settings.onControllerLoss);
    this.numbersLost = settings.numbersLost;
    engine.setProtected(false);
  }

  get state(): PrimaryState {
    if (this.guestDead) return 'guest-dead';
    if (this.loss.pending) return 'controller-lost';
    if (!this.engine.isProtected) return 'unprotected';
    return this.engine.awaitsCheckpoint ? 'waiting-for-checkpoint' : 'comparing';
  }

  /** A controller has come: a new pair, or (resume) the one that there was before this process was restarted. */
  protect(resume: boolean): void {
    this.loss.regained();
    this.turn++;
    this.guestDead = false;
    this.dropping = false;
    if (!resume) this.forgetPair();
    this.engine.setProtected(true);
    const { marks } = this.ports;
    if (marks?.begins(!resume) === false) this.engine.doubtEpoch();
    if (resume && this.numbersLost) this.engine.boundExhausted();
    this.numbersLost = false;
  }

  /** The controller wants the guest to run without a secondary. */
  unprotect(): void {
    this.release();
    this.engine.setProtected(false);
  }

  /** PROXY_RESET: held packets were never verified and are dropped; their sender retransmits. */
  forgetPair(): void {
    this.readOn();
    this.ports.guest.drain();
    // An old SVM's packets must not be taken for the new one's.
    this.ports.forward.drain();
    this.engine.dropAll();
    this.engine.forgetPair(this.ports.clock.nowMs());
    this.ports.guest.flush();
  }

  /** DO_CHECKPOINT. What is queued was sent before the guests stopped, so it is read first. */
  checkpoint(): void {
    const { guest, marks, clock } = this.ports;
    guest.drain();
    const matched =
      marks === undefined || !this.engine.isProtected ? Matched.RELEASE : marks.checkpointed(clock.nowMs());
    if (matched === Matched.RELEASE) this.covered();
    else if (matched === Matched.HOLD) {
      this.readOn();
      this.engine.doubtCheckpoint(clock.nowMs());
    } else this.awaitMark();
  }

  /** Both sides have obeyed DO_CHECKPOINT. */
  covered(): void {
    // What the guest has sent behind its own checkpoint is not covered by it: it was not read.
    this.ports.forward.drain();
    this.engine.checkpoint(this.ports.clock.nowMs());
    this.ports.guest.flush();
    this.readOn();
    this.ports.marks?.goOn();
  }

  /** Which epoch of the other side is this one's is not known: all is held. */
  unmatched(): void {
    this.readOn();
    this.engine.doubtEpoch();
  }

  /** What the SVM has sent, or what was sent to it, is not all known: a checkpoint mends it. */
  unknown(): void {
    this.engine.secondaryUnknown();
  }

  /** Nothing can be heard of the other side: what differs, and what is equal, waits until it can. */
  unheard(): void {
    this.engine.doubtEpoch();
  }

  release(): void {
    this.readOn();
    this.ports.guest.drain();
    this.engine.releaseAll(this.ports.clock.nowMs());
    this.ports.guest.flush();
  }

  /**
   * Packets of the guest have passed the queue by, so nobody knows how far its streams are: a checkpoint makes both
   * sides equal.
   */
  unseenPassed(): void {
    if (this.engine.isProtected) this.engine.boundExhausted();
  }

  setBypass(rules: readonly BypassRule[]): void {
    this.engine.setBypass(rules);
  }

  /**
   * A peer has reset the connection with this key (FLOW_KEY_WORDS words). What the guest sent before it heard of that
   * has to be read first: at the next tick.
   */
  peerReset(key: Uint32Array, seq: number): void {
    if (!this.engine.isProtected) return;
    if (this.resets.length < MAX_RESETS) this.resets.push({ key: key.slice(), seq });
    else this.resetsLost++;
  }

  /** The controller is gone without LEAVE. Did the guest die with it? Its port shows it, within PORT_WATCH_MS. */
  controllerLost(): void {
    this.loss.lost(this.ports.clock.nowMs());
    this.decideLoss(++this.turn);
  }

  /** To be called every 50 ms or so, and when the time of arm() has come. */
  tick(): void {
    const { engine, ports } = this;
    const now = ports.clock.nowMs();
    ports.marks?.tick(now);
    if (this.resets.length > 0 && !this.awaitsMark) {
      ports.guest.drain();
      for (const { key, seq } of this.resets) engine.peerReset(key, seq, now);
      this.resets.length = 0;
    }
    engine.tick(now);
    if (this.dropping && engine.awaitsCheckpoint) engine.dropAll();
    ports.forward.flush();
    this.endBatch(now);
  }

  /**
   * What arrived together was handed in: what it verified leaves now, not with the guest's next packet; what of it is
   * held still follows.
   */
  endBatch(nowMs: number): void {
    const { guest, marks } = this.ports;
    marks?.endBatchOf(nowMs);
    guest.flush();
    this.engine.endBatch(nowMs);
    this.ports.arm(Math.min(this.engine.nextDeadlineMs, marks?.deadlineMs ?? Number.POSITIVE_INFINITY));
  }

  /** For good; nothing is let out. */
  close(): void {
    this.turn++;
  }

  /**
   * Nothing is compared meanwhile: what is held is covered when the mark comes, and needs no other checkpoint if it
   * differs; what is read all the same, as the guest has died, must not leave for what was sent before.
   */
  private awaitMark(): void {
    this.awaitsMark = true;
    this.engine.doubtCheckpoint(this.ports.clock.nowMs());
    this.ports.guest.pause(true);
  }

  private readOn(): void {
    if (!this.awaitsMark) return;
    this.awaitsMark = false;
    this.ports.guest.pause(false);
  }

  private decideLoss(turn: number): void {
    const { clock, watch } = this.ports;
    watch.portState((state) => {
      if (turn !== this.turn) return;
      const decision = this.loss.decide(state, clock.nowMs());
      if (decision === LossDecision.WAIT) clock.after(PORT_POLL_MS, () => this.pollLoss(turn));
      else this.applyLoss(decision);
    });
  }

  private pollLoss(turn: number): void {
    if (turn === this.turn) this.decideLoss(turn);
  }

  private applyLoss(decision: Exclude<LossDecision, typeof LossDecision.WAIT>): void {
    const { engine, ports } = this;
    const { log } = ports;
    const held = engine.heldPackets;
    switch (decision) {
      case LossDecision.GUEST_DEAD:
        // Bytes that both have sent may still leave.
        ports.guest.drain();
        engine.dropAll();
        this.guestDead = true;
        log.error(
          { held, port: this.settings.guestPort },
          'the controller and the guest are gone: what was held is dropped',
        );
        break;
      case LossDecision.RELEASE:
        this.unprotect();
        log.error(
          { held },
          'UNPROTECTED: the controller is gone, what was held is released, the guest runs without a secondary',
        );
        break;
      case LossDecision.DROP:
        this.dropping = true;
        engine.dropAll();
        log.error(
          { held },
          'the controller is gone: what was held is dropped, what differs from now on is dropped, too',
        );
        break;
      default:
        log.error({ held }, 'the controller is gone: what is held stays held until one comes back');
    }
    ports.guest.flush();
  }
}
