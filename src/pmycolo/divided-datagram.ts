// A datagram in fragments that a checkpoint may have divided. The kernel puts them together before they are queued. The
// PVM had sent a part when it stopped, and sends the rest as the first when it goes on. So does the SVM then; but what
// it had sent of its own before bears another identification, so its datagram never gets whole, and nothing tells of
// that. Such a one asks soon.

import { X_HELD_HEAD } from '../compare/flow-words';
import { DIVIDED_GRACE_MS, LARGEST_UNDIVIDED_BYTES } from '../core/limits';
import type { PacketView } from '../packet/view';
import type { PrimaryContext } from './context';
import { H_ID } from './holds';

export class DividedDatagram {
  /** No datagram of the PVM has come in this epoch. */
  private open = false;
  /** Of the held one: its slot (0 = none), flow and id, and when it came. */
  private slot = 0;
  private flow = 0;
  private id = 0;
  private sinceMs = 0;

  constructor(private readonly x: PrimaryContext) {}

  newEpoch(): void {
    this.open = true;
    this.slot = 0;
  }

  /** A UDP datagram of the PVM, which is held or has left. */
  note(id: number, flow: number, v: PacketView, held: boolean, nowMs: number): void {
    if (!this.open) return;
    this.open = false;
    if (!held || v.end - v.start <= LARGEST_UNDIVIDED_BYTES) return;
    this.slot = this.x.holds.newest;
    this.flow = flow;
    this.id = id;
    this.sinceMs = nowMs;
  }

  /** It still waits, and the SVM has had the time to send it. */
  overdue(nowMs: number): boolean {
    if (this.slot === 0 || ((nowMs - this.sinceMs) | 0) < DIVIDED_GRACE_MS) return false;
    const { holds, flows } = this.x;
    const waits =
      flows.words[this.flow + X_HELD_HEAD] === this.slot && holds.words[holds.index(this.slot) + H_ID] === this.id;
    this.slot = 0;
    return waits;
  }
}
