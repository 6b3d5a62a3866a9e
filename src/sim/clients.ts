// The client's applications in a run: sessions that it opens, calls that it answers, datagrams, and what is still open.

import { ClientSession, type SessionObserver } from './app/client';
import { askDatagram, askEcho, checkAnswer } from './app/datagram';
import type { Request } from './app/protocol';
import { Note } from './daemon';
import type { SimPacket } from './packet';
import { CALL_PORT, type Scenario, type SessionStart } from './scenario';
import type { World } from './world';

/** The parts of the world that they need. */
export type ClientWorld = Pick<World, 'client' | 'scheduler' | 'side' | 'after' | 'note' | 'broken'> & {
  readonly scenario: Pick<Scenario, 'sessions' | 'datagrams' | 'calls'>;
};

const RULE = 'the client is served';
/**
 * A handshake of a connection that the guest opens may be lost in a failover: the peer knows the PVM's SYN, and if its
 * SYN/ACK is lost again and again the SVM's SYN comes through, which a Linux peer answers with a reset when the two
 * numbers lie close together.
 */
const MAX_LOST_HANDSHAKES = 1;
/** A port's earlier connection is not over yet, here or on the guest: how long to wait before it is asked for again. */
const PORT_BUSY_US = 100_000;
const REFUSED_US = 300_000;

export class Clients {
  readonly sessions: ClientSession[] = [];
  readonly counts = { datagrams: 0, unreachable: 0, lostHandshakes: 0 };
  private started = 0;
  private readonly called = new Set<number>();
  private readonly awaitedCalls = new Set<number>();

  constructor(private readonly world: ClientWorld) {}

  begin(): void {
    const { client, scenario, scheduler } = this.world;
    client.listeners.set(CALL_PORT, () => this.calledBack());
    client.onDatagram = (packet) => this.answered(packet);
    for (const start of scenario.sessions) scheduler.at(start.atUs, () => this.startSession(start));
    for (const d of scenario.datagrams) {
      scheduler.at(d.atUs, () => {
        if (d.kind === 'udp') askDatagram(client, d.question);
        else askEcho(client, d.family, d.id, d.sequence, d.size);
      });
    }
  }

  get done(): boolean {
    if (this.started < this.world.scenario.sessions.length) return false;
    for (const session of this.sessions) if (!session.done) return false;
    return this.missingCalls().length <= this.counts.lostHandshakes;
  }

  /** Open work, for a failure's report. */
  get unfinished(): string {
    const left = this.sessions.filter((session) => !session.done).map((session) => session.progress);
    for (const seed of this.missingCalls()) left.push(`call ${seed} did not come`);
    const late = this.world.scenario.sessions.length - this.started;
    if (late > 0) left.push(`${late} not started`);
    return left.join('; ');
  }

  private missingCalls(): number[] {
    return [...this.awaitedCalls].filter((seed) => !this.called.has(seed));
  }

  private startSession(start: SessionStart): void {
    const name = `session ${this.world.scenario.sessions.indexOf(start)} (port ${start.localPort})`;
    const session = new ClientSession(name, start.plan, null, this.observer);
    session.mayAskAgain = start.usesPortAgain;
    if (!this.world.client.connect(start.family, start.localPort, start.peerPort, '', session)) {
      // The port's earlier connection is not over yet.
      this.world.after(PORT_BUSY_US, () => this.startSession(start));
      return;
    }
    this.world.note(Note.CLIENT, start.localPort, 0, () => `client: ${name} opens`);
    this.sessions.push(session);
    this.started++;
  }

  private readonly observer: SessionObserver = {
    fail: (what) => this.world.broken(RULE, what),
    called: (seed) => this.awaitedCalls.add(seed),
    refused: (session) => {
      const i = this.sessions.indexOf(session);
      this.sessions.splice(i, 1);
      this.started--;
      const start = this.world.scenario.sessions.find((one) => one.plan === session.plan)!;
      this.world.after(REFUSED_US, () => this.startSession(start));
    },
    handshakeLost: (what) => {
      this.counts.lostHandshakes++;
      if (this.world.side !== 'secondary' || this.counts.lostHandshakes > MAX_LOST_HANDSHAKES) {
        this.world.broken(RULE, what);
      }
    },
  };

  /** A connection that the guest opens; its HELLO identifies the call. */
  private calledBack(): ClientSession {
    const findPlan = (hello: Request) => {
      const plan = this.world.scenario.calls.get(hello.seed);
      if (!plan || this.called.has(hello.seed)) this.world.broken(RULE, `a call that nobody asked for: ${hello.seed}`);
      this.called.add(hello.seed);
      this.sessions.push(session);
      return plan;
    };
    const session = new ClientSession(
      'call',
      { steps: [], ending: 'client-closes', slowReader: false },
      findPlan,
      this.observer,
    );
    return session;
  }

  private answered(packet: SimPacket): void {
    const answer = checkAnswer(packet);
    if (answer === 'bad') this.world.broken(RULE, 'a datagram with wrong content');
    if (answer === 'good') this.counts.datagrams++;
    else this.counts.unreachable++;
  }
}
