// Finds out which epoch of the secondary is the present one when that is not known, though checkpoints follow one
// another fast. Each checkpoint is obeyed by both hosts while both guests stand still; so whenever either guest runs,
// both hosts have obeyed the same ones.
//
//     own checkpoint --- the PVM speaks --- the secondary is asked --- it answers: n --- next own checkpoint
//                                                   the SVM has spoken in epoch n, and it was read here
//
// The PVM has run since the own checkpoint, so the secondary had obeyed no less when it was asked: n is not too old.
// The SVM has run in n, so this host had obeyed no less: n is not too new.

const NONE = -1;

export class EpochInquiry {
  /** Tells the present question from earlier ones. */
  serial = 0;
  private asked = false;
  private answered = NONE;
  private heard = NONE;
  private spokenBefore = 0;

  /** A checkpoint was obeyed here, or what was known has become void. `spoken`: packets of the PVM read until now. */
  begin(spoken: number): void {
    this.serial = (this.serial + 1) >>> 0;
    this.asked = false;
    this.answered = NONE;
    this.heard = NONE;
    this.spokenBefore = spoken;
  }

  /** Is it time to ask? */
  wants(spoken: number): boolean {
    return !this.asked && spoken !== this.spokenBefore;
  }

  asks(): void {
    this.asked = true;
  }

  /** True: `epoch` is the present one. */
  answer(serial: number, epoch: number): boolean {
    if (!this.asked || serial !== this.serial) return false;
    this.answered = epoch;
    return this.heard === epoch;
  }

  /** A packet of the SVM of this epoch has come. True: that is the present one. */
  hears(epoch: number): boolean {
    this.heard = epoch;
    return this.answered === epoch;
  }
}
