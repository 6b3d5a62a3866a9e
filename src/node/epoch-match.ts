// Which epoch of the secondary is the primary's own. Each host hears of a checkpoint from its own controller, while
// both guests stand still, and either may hear of it first. The secondary tells of it in band (a mark), so that its
// guest's packets before the mark are of the old epoch and those behind it of the next; held packets are released at
// the later of the two.
//
//                        own DO_CHECKPOINT
//               .---------------------------> BEHIND --.    as many marks as own checkpoints: release
//               |                               |      |
//             EVEN <----------------------------+------'
//               |  ^------------------ AHEAD ---'
//               '------- mark -----------^      |           as many own checkpoints as marks: release
//                                               |
//                                               v   neither comes for MATCH_MS; another memory at the other end
//      UNKNOWN: nothing is compared. The other side is asked (epoch-inquiry), and then a checkpoint is asked for. Where
//      the guests say nothing, it is asked for when neither has come for MATCH_MS, and what comes first leads to BEHIND
//      or AHEAD as above: it is no straggler of one before.
//
//   EVEN     the secondary's packets are compared
//   BEHIND   nothing is compared: what is held is covered as soon as the mark comes; the PVM's new ones wait unread
//   AHEAD    the secondary's wait unread behind the mark
//
// The secondary numbers its epochs one after the other, so that marks can be counted where some have not been received.
// A process that begins knows nothing: an own checkpoint may have found none, and nothing held waits for it.

import type { SecondaryEpochs } from '../pmycolo/secondary-epochs';

/**
 * How far apart the two may lie, in ms: both guests stand still from the one to the other. One that comes later would
 * be taken for the next.
 */
export const MATCH_MS = 5000;

export type MatchState = 'even' | 'behind' | 'ahead' | 'unknown';

/** What is to be done now. */
export const Matched = {
  NOTHING: 0,
  /** Both have come: what is held is released, the next epoch begins. */
  RELEASE: 1,
  /** They will not be matched any more: all is held. */
  HOLD: 2,
  /** A checkpoint is asked for. */
  ASK: 3,
} as const;
export type Matched = (typeof Matched)[keyof typeof Matched];

const SURE = 1;
const ASSUMED = 2;
const NEVER = Number.POSITIVE_INFINITY;

export class EpochMatch implements SecondaryEpochs {
  /** When the present state, but EVEN, is given up. */
  private untilMs = NEVER;
  private up = false;
  /** UNKNOWN: what comes next is no straggler. */
  private quiet = false;
  /** As the engine counts. */
  private engines = 0;
  /** Of the packet that is handed in; the present one where something else is told. */
  private handed = 0;
  /** 0: unknown. SURE: the engine's epoch is known, ASSUMED: it will be when the next is released. */
  private known: 0 | typeof SURE | typeof ASSUMED = 0;
  /** The secondary's number of the epoch that the engine is in, */
  private present = 0;
  /** and of the one that the last own checkpoint has begun. */
  private wanted = 0;
  /** What the other side has said last. */
  private heard = 0;
  /** Which memory the other side has. */
  private peer = '';

  get state(): MatchState {
    if (this.known === 0) return 'unknown';
    const marks = (this.heard - this.wanted) | 0;
    if (marks === 0) return 'even';
    return marks < 0 ? 'behind' : 'ahead';
  }

  // What the engine asks

  begins(epoch: number, _nowMs: number): void {
    this.engines = epoch;
  }

  of(_nowMs: number): number {
    return this.isPresent(this.handed) ? this.engines : -1;
  }

  /** A packet of the secondary's guest of this epoch is handed in next. */
  hands(epoch: number): void {
    this.handed = epoch;
  }

  /** Is it to be compared? */
  isPresent(epoch: number): boolean {
    return this.known === SURE && epoch === this.present && this.heard === this.wanted;
  }

  // What happens

  /** Both begin now: a new pair, of which nothing was lost. */
  align(epoch: number): void {
    this.number(SURE, epoch);
    this.untilMs = NEVER;
  }

  /**
   * The other side's epoch that goes with this one's is known again (epoch-inquiry). Nothing is compared before the
   * next checkpoint: what was said in it until now was not read.
   */
  found(epoch: number): Matched {
    this.number(ASSUMED, epoch);
    this.untilMs = NEVER;
    return Matched.ASK;
  }

  /** Which epoch of the other side is this one's is not known any more. */
  lose(nowMs: number): Matched {
    this.known = 0;
    this.quiet = false;
    this.untilMs = nowMs + MATCH_MS;
    return Matched.HOLD;
  }

  /**
   * A connection was made, to this memory (a UUID), which is in this epoch. A checkpoint that was obeyed there
   * meanwhile counts as a mark.
   */
  connected(memory: string, epoch: number, nowMs: number): Matched {
    this.up = true;
    if (this.known !== 0 && memory === this.peer) {
      return epoch === this.heard ? Matched.NOTHING : this.mark(epoch, nowMs);
    }
    this.peer = memory;
    this.heard = epoch;
    return this.lose(nowMs);
  }

  /** Marks may have been sent since that are not received. */
  disconnected(nowMs: number): Matched {
    this.up = false;
    return this.known === SURE ? Matched.NOTHING : this.lose(nowMs);
  }

  /** DO_CHECKPOINT here. */
  checkpoint(nowMs: number): Matched {
    if (!this.follows(this.heard)) return this.lose(nowMs);
    const were = this.state;
    this.wanted = (this.wanted + 1) >>> 0;
    // What was held then is covered, though the other side has obeyed more than this one since.
    return this.moved(were === 'ahead', nowMs);
  }

  /** The secondary has obeyed one, and is in this epoch now. */
  mark(epoch: number, nowMs: number): Matched {
    const follows = this.follows((epoch - 1) >>> 0);
    this.heard = epoch;
    return follows ? this.moved(this.state === 'even', nowMs) : this.lose(nowMs);
  }

  tick(nowMs: number): Matched {
    const { state } = this;
    if (state === 'even' || this.quiet) return Matched.NOTHING;
    // Without a connection nothing can come.
    if (this.untilMs === NEVER || !this.up) this.untilMs = nowMs + MATCH_MS;
    if (nowMs < this.untilMs) return Matched.NOTHING;
    if (state !== 'unknown') return this.lose(nowMs);
    this.quiet = true;
    return Matched.ASK;
  }

  /** May what comes now be counted? In UNKNOWN it decides that the other side's epoch `epoch` ends here. */
  private follows(epoch: number): boolean {
    if (this.known !== 0) return true;
    if (!this.quiet) return false;
    this.quiet = false;
    this.number(ASSUMED, epoch);
    return true;
  }

  private number(known: typeof SURE | typeof ASSUMED, epoch: number): void {
    this.known = known;
    this.handed = epoch;
    this.present = epoch;
    this.wanted = epoch;
    this.heard = epoch;
  }

  private moved(release: boolean, nowMs: number): Matched {
    this.untilMs = this.state === 'even' ? NEVER : nowMs + MATCH_MS;
    if (!release) return Matched.NOTHING;
    this.known = SURE;
    this.present = this.wanted;
    this.handed = this.present;
    return Matched.RELEASE;
  }
}
