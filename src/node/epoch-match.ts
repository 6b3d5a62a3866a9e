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
//      UNKNOWN: nothing is compared. When neither has come for MATCH_MS a checkpoint is asked for, and what comes first
//      leads to BEHIND or AHEAD as above: it is no straggler of one before. Checkpoints that follow one another faster
//      are not matched until a controller begins anew.
//
//   EVEN     the secondary's packets are compared
//   BEHIND   those of its old epoch still are; the PVM's new ones wait unread
//   AHEAD    the secondary's wait unread behind the mark
//
// The secondary numbers its epochs one after the other, so that marks can be counted where some have not been received.
// All of it stands in memory that outlives the process: otherwise a mark of before a restart could be matched with a
// checkpoint of after it.

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

// Words of the memory.
const MAGIC_AT = 0;
/** 0: unknown. SURE: the engine's epoch is known, ASSUMED: it will be when the next is released. */
const KNOWN_AT = 1;
/** The secondary's number of the epoch that the engine is in. */
const PRESENT_AT = 2;
/** And of the one that the last own checkpoint has begun. */
const WANTED_AT = 3;
/** What the other side has said last. */
const HEARD_AT = 4;
/** Which memory the other side has. */
const PEER_AT = 5;
const PEER_WORDS = 4;
export const MATCH_WORDS = PEER_AT + PEER_WORDS;

const SURE = 1;
const ASSUMED = 2;
const NEVER = Number.POSITIVE_INFINITY;
const MAGIC = 0x45504d31;

export class EpochMatch implements SecondaryEpochs {
  /** When the present state, but EVEN, is given up. */
  private untilMs = NEVER;
  private up = false;
  /** UNKNOWN: what comes next is no straggler. */
  private quiet = false;
  /** As the engine counts. */
  private engines = 0;
  /** Of the packet that is handed in. */
  private handed = 0;

  /** `words`: MATCH_WORDS of them, zeros or what an earlier process has left. */
  constructor(private readonly words: Uint32Array = new Uint32Array(MATCH_WORDS)) {
    if (words[MAGIC_AT] !== MAGIC) words.fill(0, 0, MATCH_WORDS);
    words[MAGIC_AT] = MAGIC;
  }

  get state(): MatchState {
    const { words } = this;
    if (words[KNOWN_AT] === 0) return 'unknown';
    const marks = (words[HEARD_AT]! - words[WANTED_AT]!) | 0;
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
    const { words } = this;
    if (words[KNOWN_AT] !== SURE || epoch !== words[PRESENT_AT] || this.state === 'ahead') return false;
    // After a second own checkpoint the PVM's packets of two epochs are held.
    return (words[WANTED_AT]! - words[PRESENT_AT]!) >>> 0 <= 1;
  }

  // What happens

  /** Both begin now: a new pair, of which nothing was lost. */
  align(epoch: number): void {
    this.number(SURE, epoch);
    this.untilMs = NEVER;
  }

  /** Which epoch of the other side is this one's is not known any more. */
  lose(nowMs: number): Matched {
    this.words[KNOWN_AT] = 0;
    this.quiet = false;
    this.untilMs = nowMs + MATCH_MS;
    return Matched.HOLD;
  }

  /**
   * A connection was made, to this memory (a UUID), which is in this epoch. A checkpoint that was obeyed there
   * meanwhile counts as a mark.
   */
  connected(memory: string, epoch: number, nowMs: number): Matched {
    const { words } = this;
    const peer = idWords(memory);
    this.up = true;
    const known = words[KNOWN_AT] !== 0;
    if (known && peer.every((word, i) => word === words[PEER_AT + i])) {
      return epoch === words[HEARD_AT] ? Matched.NOTHING : this.mark(epoch, nowMs);
    }
    words.set(peer, PEER_AT);
    words[HEARD_AT] = epoch;
    return this.lose(nowMs);
  }

  /** Marks may have been sent since that are not received. */
  disconnected(nowMs: number): Matched {
    this.up = false;
    return this.words[KNOWN_AT] === SURE ? Matched.NOTHING : this.lose(nowMs);
  }

  /** DO_CHECKPOINT here. */
  checkpoint(nowMs: number): Matched {
    const { words } = this;
    if (!this.follows(words[HEARD_AT]!)) return this.lose(nowMs);
    const were = this.state;
    words[WANTED_AT]!++;
    // What was held then is covered, though the other side has obeyed more than this one since.
    return this.moved(were === 'ahead', nowMs);
  }

  /** The secondary has obeyed one, and is in this epoch now. */
  mark(epoch: number, nowMs: number): Matched {
    const { words } = this;
    const follows = this.follows((epoch - 1) >>> 0);
    words[HEARD_AT] = epoch;
    return follows ? this.moved(this.state === 'even', nowMs) : this.lose(nowMs);
  }

  tick(nowMs: number): Matched {
    const { state } = this;
    if (state === 'even' || this.quiet) return Matched.NOTHING;
    // What an earlier process has left has waited for some time; without a connection nothing can come.
    if (this.untilMs === NEVER || !this.up) this.untilMs = nowMs + MATCH_MS;
    if (nowMs < this.untilMs) return Matched.NOTHING;
    if (state !== 'unknown') return this.lose(nowMs);
    this.quiet = true;
    return Matched.ASK;
  }

  /** May what comes now be counted? In UNKNOWN it decides that the other side's epoch `epoch` ends here. */
  private follows(epoch: number): boolean {
    if (this.words[KNOWN_AT] !== 0) return true;
    if (!this.quiet) return false;
    this.quiet = false;
    this.number(ASSUMED, epoch);
    return true;
  }

  private number(known: typeof SURE | typeof ASSUMED, epoch: number): void {
    const { words } = this;
    words[KNOWN_AT] = known;
    words[PRESENT_AT] = epoch;
    words[WANTED_AT] = epoch;
    words[HEARD_AT] = epoch;
  }

  private moved(release: boolean, nowMs: number): Matched {
    const { words } = this;
    this.untilMs = this.state === 'even' ? NEVER : nowMs + MATCH_MS;
    if (!release) return Matched.NOTHING;
    words[KNOWN_AT] = SURE;
    words[PRESENT_AT] = words[WANTED_AT]!;
    return Matched.RELEASE;
  }
}

/** 128 bits in hexadecimal digits. */
function idWords(uuid: string): Uint32Array {
  const digits = uuid.replaceAll('-', '').padEnd(8 * PEER_WORDS, '0');
  return Uint32Array.from({ length: PEER_WORDS }, (_, i) => Number.parseInt(digits.slice(8 * i, 8 * i + 8), 16));
}
