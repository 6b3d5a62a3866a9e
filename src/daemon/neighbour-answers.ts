// Answers what the SVM asks for on its port with what came to the PVM over the forward port. The primary is shown each
// answer, so that it does not take the question for a lost address.

import { OperatorError } from '../core/errors';
import { neighbourFilter } from '../io/frame-filter';
import { PacketSocket } from '../io/packet-socket';
import type { GuestAddresses } from '../seccolo/guest-addresses';
import { NeighbourAnswers } from '../seccolo/neighbour-answers';
import { nowMs } from './clock';
import type { Logger } from './log';
import { watchFrames } from './watch-frames';

/** Sends frames; a port that goes is opened again with the next of them. */
class Outlet {
  private socket: PacketSocket | undefined;

  constructor(private readonly port: string) {}

  /** False: it could not leave. Who asked will ask again. */
  send(frame: Uint8Array): boolean {
    try {
      if (this.socket === undefined || this.socket.closed) {
        this.socket = new PacketSocket({ interface: this.port }, { onFrame: () => {} });
      }
      return this.socket.send(frame);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.close();
      return false;
    }
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}

export class AnsweringPort {
  readonly answers: NeighbourAnswers;
  /** Answers that did not reach the SVM. */
  unsent = 0;
  private readonly watches: { close(): void }[];
  private readonly guest: Outlet;
  private readonly forward: Outlet;

  /**
   * `active`: false after a failover, when the SVM asks the network itself. Throws OperatorError when the forward port
   * is not there; the guest's may come later.
   */
  constructor(guestPort: string, forwardPort: string, addresses: GuestAddresses, active: () => boolean, log: Logger) {
    this.answers = new NeighbourAnswers((family, address) => addresses.has(family, address));
    this.guest = new Outlet(guestPort);
    this.forward = new Outlet(forwardPort);
    const filter = neighbourFilter();
    this.watches = [
      watchFrames(
        { interface: forwardPort, filter },
        (frame, { vlan }) => this.send(active() ? this.answers.heard(frame, frame.length, vlan, nowMs()) : undefined),
        "what the PVM's neighbours answer",
        log,
      ),
      watchFrames(
        { interface: guestPort, filter },
        (frame, { vlan }) =>
          this.send(active() ? this.answers.question(frame, frame.length, vlan, nowMs()) : undefined),
        "the SVM's questions for neighbours",
        log,
        true,
      ),
    ];
  }

  counters(): Record<string, number> {
    const { asked, answered } = this.answers;
    return { neighbour_questions: asked, neighbour_answers: answered, neighbour_answers_unsent: this.unsent };
  }

  close(): void {
    for (const watch of this.watches) watch.close();
    this.guest.close();
    this.forward.close();
  }

  private send(frame: Uint8Array | undefined): void {
    if (frame === undefined) return;
    if (!this.guest.send(frame)) this.unsent++;
    else this.forward.send(frame);
  }
}
