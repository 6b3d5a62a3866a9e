// While it is not known after a failover in which numbers the guest lives (seccolo/numbering.ts): what its peers send
// waits under its verdict, the guest is asked, and the first answer lets everything go on.

import type { Log } from '../core/log';
import { askGuest } from '../seccolo/ask-guest';
import type { SecondaryEngine } from '../seccolo/engine';
import type { Clock, QueuedPacket, Timer } from './ports';

const ASK_MS = 20;
/** A guest that runs answers in a millisecond; for one that does not the controller's word counts. */
const ASK_TIMES = 15;
/** More are dropped, and retransmitted by their senders. */
const MAX_WAITING = 1024;

export type AskedEngine = Pick<SecondaryEngine, 'undecided' | 'decide' | 'nextToAsk' | 'writeQuestion'> & {
  readonly counters: { snapshot(): Record<string, number> };
};

export interface AskingPorts {
  clock: Clock;
  log: Log;
  /** Calls `ask` with a way of sending Ethernet frames to the guest. Throws when there is none now. */
  toGuest(ask: (send: (frame: Uint8Array) => void) => void): void;
  /** The packet is to be translated now. */
  handIn(packet: QueuedPacket): void;
}

export class Undecided {
  private waiting: QueuedPacket[] = [];
  /** What is assumed of the last checkpoint when the guest sends nothing: true = it did not come about. */
  private missed = false;
  private tasks: (() => void)[] = [];
  private timer: Timer | undefined;

  constructor(
    private readonly engine: AskedEngine,
    private readonly ports: AskingPorts,
  ) {}

  /**
   * Keeps a copy. False when there is no room: the packet is to be dropped. What waits is reason to ask, whoever has
   * made the engine fail over.
   */
  hold(packet: QueuedPacket): boolean {
    this.begin();
    if (this.waiting.length === MAX_WAITING) return false;
    const { buf, off, originalLen } = packet;
    this.waiting.push({ ...packet, buf: Buffer.from(buf.subarray(off, off + originalLen)), off: 0 });
    return true;
  }

  /** Asks until it is known, if nobody does yet. `missed`: what is believed when there is no answer. */
  begin(missed = false): void {
    if (this.timer !== undefined || !this.engine.undecided) return;
    this.missed = missed;
    this.ports.log.warn({}, 'whether the last checkpoint came about the guest has to show first: it is asked');
    this.ask(-1, 0);
  }

  /** Calls the task when it is known: mostly at once. */
  whenDecided(task: () => void): void {
    this.begin();
    if (this.timer === undefined) task();
    else this.tasks.push(task);
  }

  /** To be called when the guest has spoken. */
  settle(): void {
    if (this.timer === undefined || this.engine.undecided) return;
    this.timer.cancel();
    this.timer = undefined;
    const { checkpoints_missed: missed } = this.engine.counters.snapshot();
    this.ports.log.warn(
      { missed: missed! > 0, waited: this.waiting.length },
      'the numbers in which the guest lives are known',
    );
    for (const task of this.tasks.splice(0)) task();
    for (const packet of this.waiting.splice(0)) this.ports.handIn(packet);
  }

  /** Nothing more is asked; waiting tasks go on without the answer. */
  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
    for (const task of this.tasks.splice(0)) task();
  }

  private ask(behind: number, times: number): void {
    let next = -1;
    if (times === ASK_TIMES) {
      const { missed } = this;
      this.ports.log.error({ missed }, 'the guest does not answer: what is likely is believed of the last checkpoint');
      this.engine.decide(missed);
    } else {
      next = this.send(behind);
    }
    this.timer = this.ports.clock.after(ASK_MS, () => this.ask(next, times + 1));
    this.settle();
  }

  private send(behind: number): number {
    let next = -1;
    try {
      this.ports.toGuest((send) => {
        next = askGuest(this.engine, behind, send);
      });
    } catch (error) {
      this.ports.log.warn({ error: String(error) }, 'the guest could not be asked');
    }
    return next;
  }
}
