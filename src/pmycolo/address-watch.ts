// Which addresses the guests ask for, and whether the SVM has lost one that the PVM still knows (address-questions):
// then a checkpoint is asked for, without a pause.

import { CheckpointCause } from '../compare/outcome';
import { readWord } from '../core/big-endian';
import { isNeighbourAdvertisement, isNeighbourRequest, neighbourTarget } from '../packet/infrastructure';
import type { PacketView } from '../packet/view';
import { AddressQuestions } from './address-questions';
import { C_QUESTIONS_FULL, type PrimaryCounters } from './counters';
import type { Phase } from './phase';

export class AddressWatch {
  private readonly questions = new AddressQuestions();

  constructor(
    private readonly phase: Phase,
    private readonly counters: PrimaryCounters,
  ) {}

  /** An infrastructure packet of either guest: is it a neighbour solicitation or an advertisement? */
  notePacket(v: PacketView, primary: boolean): void {
    const request = isNeighbourRequest(v);
    if (!request && (primary || !isNeighbourAdvertisement(v))) return;
    const at = neighbourTarget(v);
    if (at < 0) return;
    const { buf } = v;
    const a0 = readWord(buf, at, 0);
    const a1 = readWord(buf, at, 1);
    const a2 = readWord(buf, at, 2);
    const a3 = readWord(buf, at, 3);
    if (request) this.question(primary, v.zone, 6, this.phase.nowMs, a0, a1, a2, a3);
    else this.answer(v.zone, 6, this.phase.nowMs, a0, a1, a2, a3);
  }

  /** A question of either guest for another's address, which stands in words as in a packet view. */
  question(
    primary: boolean,
    zone: number,
    family: 4 | 6,
    nowMs: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): void {
    const { phase } = this;
    // What was asked before a checkpoint is of no account, and one is coming or was just made.
    if (!phase.protectedNow || phase.paused || phase.isPast(nowMs)) return;
    phase.nowMs = nowMs;
    const question = this.questions.about(zone, family, a0, a1, a2, a3);
    if (primary) question.primaryAsks(nowMs);
    else if (question.secondaryAsks(nowMs)) this.lost();
    this.counters.values[C_QUESTIONS_FULL] = this.questions.overflows;
  }

  /** The SVM has got an answer for this address. */
  answer(zone: number, family: 4 | 6, nowMs: number, a0: number, a1: number, a2: number, a3: number): void {
    if (this.phase.protectedNow && !this.phase.paused) {
      this.questions.about(zone, family, a0, a1, a2, a3).answered(nowMs);
    }
  }

  /** The SVM has lost an address that the PVM still knows. */
  lost(): void {
    // While nothing is compared, a checkpoint comes anyway, and the PVM's questions are not taken down.
    if (this.phase.protectedNow && !this.phase.paused) this.phase.ask(CheckpointCause.ADDRESS_REQUEST, false);
  }

  tick(nowMs: number): void {
    if (this.questions.tick(nowMs)) this.lost();
  }

  startEpoch(): void {
    this.questions.clear();
  }
}
