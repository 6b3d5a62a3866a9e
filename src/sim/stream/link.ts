// The stream link between the two hosts' processes: the sessions and channels that ship, over simulated connections.
// The secondary's process dials until the primary's is there.

import type { ChannelEvents, OpenChannel } from '../../link/channel';
import { LinkCounters } from '../../link/counters';
import { type Hello, refusalOf } from '../../link/hello';
import { LinkChannel, type LinkEnd } from '../../link/link-channel';
import { Session } from '../../link/session';
import type { Clock } from '../../node/ports';
import type { Prng } from '../prng';
import type { Scheduler } from '../scheduler';
import { PipeEnd, type PipePlan } from './pipe';

export interface StreamPlan extends PipePlan {
  /** Frames that the SVM's port holds. */
  portFrames: number;
  /** Mean time between two breaks of the connection; 0: none. */
  breakUs: number;
}

const DIAL_US = 50_000;
const CLAIM_US = 500_000;
const HANDSHAKE_US = 5_000_000;
/** An end hears within that time that the network has lost the connection. */
const NOTICED_US = 300_000;

/** One process's end. */
interface Process {
  channel: LinkChannel;
  ends: Set<PipeEnd>;
  dead: boolean;
}

export class StreamLink {
  stalledUntilUs = 0;
  /** No connection comes to be before this time. */
  private closedUntilUs = 0;
  private calmed = false;
  private listening: Process | undefined;
  private dialling: Process | undefined;
  private ids = 0;
  readonly counts = { connections: 0, breaks: 0, silentBreaks: 0, noRoom: 0 };

  constructor(
    readonly plan: StreamPlan,
    readonly prng: Prng,
    readonly scheduler: Scheduler,
  ) {
    this.breakLater();
  }

  uuid(): string {
    return `00000000-0000-4000-8000-${(++this.ids).toString(16).padStart(12, '0')}`;
  }

  /** Of the primary's process that starts now. */
  listen(end: LinkEnd, clock: Clock): OpenChannel {
    return (events) => {
      const host = this.made(end, clock, events);
      this.listening = host;
      return host.channel;
    };
  }

  /** Of the secondary's. */
  dial(end: LinkEnd, clock: Clock): OpenChannel {
    return (events) => {
      const host = this.made(end, clock, events);
      this.dialling = host;
      this.dialLater(host);
      return host.channel;
    };
  }

  primaryDies(): void {
    this.dies(this.listening);
    this.listening = undefined;
  }

  secondaryDies(): void {
    this.dies(this.dialling);
    this.dialling = undefined;
  }

  /** The network does not carry for a while: connections wait, or are lost. */
  outage(forUs: number): void {
    const untilUs = this.scheduler.nowUs + forUs;
    if (this.prng.chance(0.5)) this.stalledUntilUs = untilUs;
    else {
      this.closedUntilUs = untilUs;
      this.break();
    }
  }

  /** The connection and what is on its way are lost; told: both ends hear of it at once. */
  break(told = false): void {
    this.counts.breaks++;
    const { prng } = this;
    const noticed = (): number | undefined => {
      if (told) return 0;
      if (prng.chance(0.2)) {
        this.counts.silentBreaks++;
        return undefined;
      }
      return prng.below(prng.chance(0.5) ? 1000 : NOTICED_US);
    };
    for (const host of [this.listening, this.dialling]) {
      for (const end of host?.ends ?? []) end.cut(noticed());
    }
  }

  calm(): void {
    this.calmed = true;
  }

  private breakLater(): void {
    const { breakUs } = this.plan;
    if (breakUs === 0) return;
    this.scheduler.after(this.prng.below(2 * breakUs), () => {
      if (this.calmed) return;
      this.break();
      this.breakLater();
    });
  }

  private made(end: LinkEnd, clock: Clock, events: ChannelEvents): Process {
    const host: Process = {
      channel: new LinkChannel(end, this.uuid(), events, { onLost: () => {}, onClosed: () => this.dies(host) }),
      ends: new Set(),
      dead: false,
    };
    const beat = (): void => {
      if (host.dead) return;
      host.channel.beat();
      clock.after(host.channel.beats.periodMs, beat);
    };
    clock.after(host.channel.beats.periodMs, beat);
    return host;
  }

  private dies(host: Process | undefined): void {
    if (host === undefined || host.dead) return;
    host.dead = true;
    for (const end of host.ends) end.kill();
    host.ends.clear();
  }

  private dialLater(host: Process): void {
    this.scheduler.after(this.prng.range(1000, DIAL_US), () => {
      if (host.dead || host.channel.up) return;
      const { listening } = this;
      if (listening === undefined || this.scheduler.nowUs < this.closedUntilUs) this.dialLater(host);
      else this.connect(host, listening);
    });
  }

  private connect(dialler: Process, listener: Process): void {
    const [near, far] = PipeEnd.pair(this);
    dialler.ends.add(near);
    listener.ends.add(far);
    this.counts.connections++;
    const dialled = new Session(
      {
        onHello: (session, hello) => {
          if (refusalOf(dialler.channel.hello(), hello) === undefined) dialler.channel.take(session, hello, false);
          else session.disconnect('another peer');
        },
        onRefused: () => {},
        onEnd: (session, why, wasUp) => {
          dialler.ends.delete(near);
          if (wasUp) dialler.channel.ended(session, why);
          if (!dialler.dead && !dialler.channel.up) this.dialLater(dialler);
        },
      },
      new LinkCounters(),
    );
    const taken = new Session(
      {
        onHello: (session, hello) => this.greeted(listener, session, hello),
        onRefused: () => {},
        onEnd: (session, why) => {
          listener.ends.delete(far);
          listener.channel.ended(session, why);
        },
      },
      new LinkCounters(),
    );
    this.scheduler.after(HANDSHAKE_US, () => {
      for (const session of [dialled, taken]) if (!session.up) session.disconnect('no HELLO');
    });
    taken.open(far.take(taken));
    dialled.open(near.take(dialled), dialler.channel.hello());
  }

  private greeted(listener: Process, session: Session, hello: Hello): void {
    const { channel } = listener;
    const refusal = refusalOf(channel.hello(), hello);
    if (refusal !== undefined) session.refuse(refusal);
    else if (channel.claim(hello) === 'free') channel.take(session, hello, true);
    else {
      this.scheduler.after(CLAIM_US, () => {
        if (listener.dead || session.ended) return;
        if (channel.lively) session.refuse({ word: 'busy', text: 'another process has it' });
        else channel.take(session, hello, true);
      });
    }
  }
}
