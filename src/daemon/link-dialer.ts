// The dialing side of the link: for each channel it looks for the other host until it is there, and again when it has
// gone.
//
//                  the peer answers            its HELLO fits: the channel has it
//     DIALLING -------------------> GREETING -------------------------------------> UP
//        ^   nobody there, or refused | |                                            |
//        |   .------------------------' '-- 5 s, a refusal, another VM               |
//        |   v                               |                                       |
//        WAITING <---------------------------+---------------------------------------'
//          50 ms first, twice as long each time, at most 1 s; anew when one was up      CLOSED: from every state

import type { Log } from '../core/log';
import type { ChannelEvents, OpenChannel } from '../link/channel';
import { type Hello, refusalOf } from '../link/hello';
import { LinkChannel, type LinkEnd } from '../link/link-channel';
import { Session, type SessionOwner } from '../link/session';
import { HANDSHAKE_MS } from './link-server';
import type { MakeTransport, TransportDialer, Transports } from './link-transports';

const FIRST_DELAY_MS = 50;
const MOST_DELAY_MS = 1000;

export class LinkDialer {
  private readonly opened = new Set<Dialled>();

  constructor(
    private readonly transports: Transports,
    private readonly process: string,
    private readonly log: Log,
  ) {}

  channel(end: LinkEnd): OpenChannel {
    return (events) => {
      const { transports, process, log } = this;
      const dialled = new Dialled(transports, end, process, events, log, () => this.opened.delete(dialled));
      this.opened.add(dialled);
      return dialled.channel;
    };
  }

  /** For good, with all its connections. Idempotent. */
  close(): void {
    for (const { channel } of [...this.opened]) channel.close();
  }
}

class Dialled {
  readonly channel: LinkChannel;
  private readonly dialer: TransportDialer;
  private session: Session | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly beats: NodeJS.Timeout;
  private delayMs = FIRST_DELAY_MS;
  private said = '';

  constructor(
    transports: Transports,
    private readonly end: LinkEnd,
    process: string,
    events: ChannelEvents,
    private readonly log: Log,
    private readonly onClosed: () => void,
  ) {
    this.channel = new LinkChannel(end, process, events, {
      onLost: (why) => this.log.warn(this.who, `link: the connection has ended: ${why}`),
      onClosed: () => this.close(),
    });
    this.beats = setInterval(() => this.channel.beat(), this.channel.beats.periodMs);
    this.dialer = transports.dial({
      onFound: (make) => this.found(make),
      onFailed: (why) => {
        this.channel.counters.add('link_unreachable');
        this.failed(why.hint === undefined ? why.message : `${why.message}: ${why.hint}`);
      },
    });
    this.dialer.dial();
  }

  private get who(): Record<string, unknown> {
    return { node: this.end.vm, kind: this.end.kind };
  }

  private found(make: MakeTransport): void {
    const owner: SessionOwner = {
      onHello: (_session, hello) => this.greeted(session, hello),
      onRefused: () => this.channel.counters.add('link_refused_there'),
      onEnd: (_session, why, wasUp) => this.ended(session, why, wasUp),
    };
    const session = new Session(owner, this.channel.counters);
    this.session = session;
    this.timer = setTimeout(() => session.disconnect(`no HELLO within ${HANDSHAKE_MS / 1000} s`), HANDSHAKE_MS);
    session.open(make(session), this.channel.hello());
  }

  private greeted(session: Session, hello: Hello): void {
    const refusal = refusalOf(this.channel.hello(), hello);
    if (refusal !== undefined) {
      this.channel.counters.refused(refusal.word);
      session.refuse(refusal);
      return;
    }
    clearTimeout(this.timer);
    this.delayMs = FIRST_DELAY_MS;
    this.said = '';
    this.log.info(this.who, 'link: the other side is connected');
    this.channel.take(session, hello, false);
  }

  private ended(session: Session, why: string, wasUp: boolean): void {
    clearTimeout(this.timer);
    this.session = undefined;
    if (!wasUp) {
      this.channel.counters.add('link_not_established');
      this.failed(why);
      return;
    }
    this.wait();
    this.channel.ended(session, why);
  }

  /** The same is said once. */
  private failed(why: string): void {
    if (why !== this.said) this.log.warn(this.who, `link: no connection, it is looked for again: ${why}`);
    this.said = why;
    this.wait();
  }

  private wait(): void {
    this.timer = setTimeout(() => this.dialer.dial(), this.delayMs);
    this.delayMs = Math.min(2 * this.delayMs, MOST_DELAY_MS);
  }

  private close(): void {
    clearTimeout(this.timer);
    clearInterval(this.beats);
    this.session?.close();
    this.dialer.close();
    this.onClosed();
  }
}
