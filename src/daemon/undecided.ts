// While it is not known after a failover in which numbers the guest lives (seccolo/numbering.ts): what its peers send waits in the kernel's
// queue, the guest is asked, and the first answer lets everything go on.

import { PacketSocket } from '../io/packet-socket';
import { askGuest } from '../seccolo/ask-guest';
import type { SecondaryEngine } from '../seccolo/engine';
import type { Logger } from './log';

const ASK_MS = 20;
/** A guest that runs answers in a millisecond; one that does not is believed to be what the controller has said. */
const ASK_TIMES = 15;
/** More are dropped, and repeated by their senders. */
const MAX_WAITING = 1024;

/** A packet of a peer: a copy, and what came with it. */
export interface WaitingPacket {
  id: number;
  bytes: Buffer;
  partial: boolean;
  macHigh: number;
  macLow: number;
}

export class Undecided {
  private waiting: WaitingPacket[] = [];
  private timer: NodeJS.Timeout | undefined;
  /** Of the asking that is under way. */
  private asked: Promise<void> | undefined;
  private ended: () => void = () => {};

  constructor(
    private readonly engine: SecondaryEngine,
    private readonly guestPort: string,
    private readonly log: Logger,
    private readonly handIn: (packet: WaitingPacket) => void,
  ) {}

  /** False when there is no room: the packet is to be dropped. What waits is reason to ask, whoever has made the engine fail over. */
  hold(packet: WaitingPacket): boolean {
    void this.begin();
    if (this.waiting.length === MAX_WAITING) return false;
    this.waiting.push(packet);
    return true;
  }

  /** Asks until it is known, if nobody does yet; resolves then, mostly at once. */
  begin(): Promise<void> {
    if (this.asked === undefined && this.engine.undecided) {
      this.log.warn('whether the last checkpoint came about the guest has to show first: it is asked');
      this.asked = new Promise((resolve) => {
        this.ended = resolve;
      });
      this.ask(-1, 0);
    }
    return this.asked ?? Promise.resolve();
  }

  /** To be called when the guest has spoken. */
  settle(): void {
    if (this.timer === undefined || this.engine.undecided) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.asked = undefined;
    const { checkpoints_missed: missed } = this.engine.counters.snapshot();
    this.log.warn({ missed: missed! > 0, waited: this.waiting.length }, 'the numbers in which the guest lives are known');
    this.ended();
    for (const packet of this.waiting.splice(0)) this.handIn(packet);
  }

  close(): void {
    clearTimeout(this.timer);
    this.ended();
  }

  private ask(behind: number, times: number): void {
    let next = -1;
    if (times === ASK_TIMES) {
      this.log.error('the guest does not answer: the last checkpoint is believed to have come about');
      this.engine.decide(false);
    } else {
      next = this.send(behind);
    }
    this.timer = setTimeout(() => this.ask(next, times + 1), ASK_MS);
    this.settle();
  }

  private send(behind: number): number {
    try {
      const socket = new PacketSocket({ interface: this.guestPort }, { onFrame: () => {} });
      try {
        return askGuest(this.engine, behind, (frame) => socket.send(frame));
      } finally {
        socket.close();
      }
    } catch (error) {
      this.log.warn({ error: String(error) }, 'the guest could not be asked');
      return -1;
    }
  }
}
