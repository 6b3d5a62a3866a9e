// The listening side of the link, one for all VMs of a daemon: whoever dials says first who it is, and gets the channel
// of its VM and kind. Those who have not said it yet are bounded in number and time, as anybody can be one.
//
//                HELLO fits, and the channel is free, or its peer is the same process
//     HALF OPEN ----------------------------------------------------------------------> TAKEN
//        |  |     HELLO fits, but another process has the channel                         ^
//        |  '-----------------------------------------------> CLAIMING -------------------'
//        |                                                        |   that one has ended, or says nothing for CLAIM_MS
//        '-- 5 s, crowded, refused: ended                         '-- it answers: refused (busy)

import { OperatorError } from '../core/errors';
import type { Log } from '../core/log';
import type { ChannelEvents, OpenChannel } from '../link/channel';
import { LinkCounters } from '../link/counters';
import { type Hello, type Refusal, refusalOf } from '../link/hello';
import { LinkChannel, type LinkEnd } from '../link/link-channel';
import { Session, type SessionOwner } from '../link/session';
import { nowMs } from './clock';
import { StrangersLog } from './link-log';
import type { MakeTransport, TransportListener, Transports } from './link-transports';

/** Who has not said by then who it is, or was not answered, is disconnected. */
export const HANDSHAKE_MS = 5000;
/** Connections that have not said who they are; one more makes the oldest give way. */
const MAX_HALF_OPEN = 64;
/** Of one address; one more makes its oldest give way. */
const MAX_HALF_OPEN_OF_ONE = 16;
/** So long the peer that has a channel may take for a sign of life when another process claims it. */
const CLAIM_MS = 500;

interface HalfOpen {
  from: string;
  timer: NodeJS.Timeout;
}

interface Claim {
  session: Session;
  hello: Hello;
  timer: NodeJS.Timeout;
}

export class LinkServer {
  private readonly listener: TransportListener;
  private readonly channels = new Map<string, LinkChannel>();
  /** Those who are up, and whose channel they have. */
  private readonly taken = new Map<Session, LinkChannel>();
  private readonly halfOpen = new Map<Session, HalfOpen>();
  private readonly claims = new Map<LinkChannel, Claim>();
  private readonly strangers: StrangersLog;
  /** Of those who have no channel. */
  private readonly door = new LinkCounters();

  constructor(
    transports: Transports,
    private readonly process: string,
    private readonly log: Log,
    private readonly handshakeMs = HANDSHAKE_MS,
  ) {
    this.strangers = new StrangersLog(log, nowMs);
    this.listener = transports.listen((make, from) => this.found(make, from));
  }

  /** Rejects with OperatorError. */
  open(): Promise<void> {
    return this.listener.open();
  }

  get port(): number {
    return this.listener.port;
  }

  /** Of connections that have not said who they are. */
  counters(): Record<string, number> {
    this.listener.countInto?.(this.door);
    return this.door.snapshot();
  }

  /** Opening it throws OperatorError when another node has the same. */
  channel(end: LinkEnd): OpenChannel {
    return (events) => this.openChannel(end, events);
  }

  /** For good, with all its connections. Idempotent. */
  close(): void {
    this.listener.close();
    for (const channel of [...this.channels.values()]) channel.close();
    for (const [session, { timer }] of this.halfOpen) {
      clearTimeout(timer);
      session.close();
    }
    this.halfOpen.clear();
  }

  private openChannel(end: LinkEnd, events: ChannelEvents): LinkChannel {
    const name = nameOf(end);
    if (this.channels.has(name)) {
      const hint = 'give each virtual machine a name of its own';
      throw new OperatorError('ELINKNAME', `two nodes listen for the ${end.kind} of '${end.vm}'`, hint);
    }
    const channel: LinkChannel = new LinkChannel(end, this.process, events, {
      onLost: (why) => this.log.warn({ node: end.vm, kind: end.kind }, `link: the connection has ended: ${why}`),
      onClosed: () => {
        clearInterval(beats);
        this.channels.delete(name);
        this.forgetTaken(channel);
        this.forgetClaim(channel)?.session.disconnect('the node has gone');
      },
    });
    const beats = setInterval(() => channel.beat(), channel.beats.periodMs);
    this.channels.set(name, channel);
    return channel;
  }

  private found(make: MakeTransport, from: string): void {
    const owner: SessionOwner = {
      onHello: (session, hello) => this.greeted(session, hello),
      onRefused: (_session, { text }) => this.strangers.warn({ from }, `link: the other side refuses: ${text}`),
      onEnd: (session, why) => this.ended(session, why),
    };
    const session = new Session(owner, this.door);
    const timer = setTimeout(() => {
      this.door.add('link_slow');
      session.disconnect(`no HELLO within ${this.handshakeMs / 1000} s`);
    }, this.handshakeMs);
    this.door.add('link_accepted');
    this.halfOpen.set(session, { from, timer });
    session.open(make(session));
    this.makeWay(from);
  }

  private makeWay(from: string): void {
    const ofOne = from === '' ? [] : [...this.halfOpen].filter(([, one]) => one.from === from);
    let oldest: Session | undefined;
    if (ofOne.length > MAX_HALF_OPEN_OF_ONE) oldest = ofOne[0]![0];
    else if (this.halfOpen.size > MAX_HALF_OPEN) [oldest] = this.halfOpen.keys();
    if (oldest === undefined) return;
    this.door.add('link_crowded');
    oldest.disconnect('too many connections have not said who they are');
  }

  private greeted(session: Session, hello: Hello): void {
    const channel = this.channels.get(nameOf(hello));
    const refusal = channel === undefined ? unknown(hello) : refusalOf(channel.hello(), hello);
    if (refusal !== undefined) this.refuse(session, hello, refusal, channel?.counters);
    else if (channel!.claim(hello) === 'free') this.take(channel!, session, hello);
    else this.claimed(channel!, session, hello);
  }

  private claimed(channel: LinkChannel, session: Session, hello: Hello): void {
    const before = this.forgetClaim(channel);
    if (before !== undefined) this.refuse(before.session, before.hello, BUSY, channel.counters);
    const timer = setTimeout(() => {
      this.claims.delete(channel);
      if (channel.lively) this.refuse(session, hello, BUSY, channel.counters);
      else this.take(channel, session, hello);
    }, CLAIM_MS);
    this.claims.set(channel, { session, hello, timer });
  }

  private forgetClaim(channel: LinkChannel): Claim | undefined {
    const claim = this.claims.get(channel);
    clearTimeout(claim?.timer);
    this.claims.delete(channel);
    return claim;
  }

  private refuse(session: Session, { vm, kind }: Hello, refusal: Refusal, counters = this.door): void {
    counters.refused(refusal.word);
    this.strangers.warn({ node: vm, kind }, `link: a connection is refused: ${refusal.text}`);
    session.refuse(refusal);
  }

  private take(channel: LinkChannel, session: Session, hello: Hello): void {
    this.settled(session);
    this.forgetTaken(channel);
    this.taken.set(session, channel);
    this.log.info({ node: hello.vm, kind: hello.kind }, 'link: the other side is connected');
    channel.take(session, hello, true);
  }

  private forgetTaken(channel: LinkChannel): void {
    for (const [session, of] of this.taken) if (of === channel) this.taken.delete(session);
  }

  private ended(session: Session, why: string): void {
    const from = this.settled(session)?.from;
    if (from !== undefined) this.strangers.warn({ from }, `link: a connection has ended in its handshake: ${why}`);
    for (const [channel, claim] of this.claims) if (claim.session === session) this.forgetClaim(channel);
    const channel = this.taken.get(session);
    this.taken.delete(session);
    if (channel === undefined) return;
    channel.ended(session, why);
    const claim = channel.up ? undefined : this.forgetClaim(channel);
    if (claim !== undefined) this.take(channel, claim.session, claim.hello);
  }

  private settled(session: Session): HalfOpen | undefined {
    const one = this.halfOpen.get(session);
    clearTimeout(one?.timer);
    this.halfOpen.delete(session);
    return one;
  }
}

const BUSY: Refusal = {
  word: 'busy',
  text: 'another process has this connection, and it is alive: is the other role of this VM configured on two hosts?',
};

function nameOf({ vm, kind }: Pick<LinkEnd, 'vm' | 'kind'>): string {
  return `${vm} ${kind}`;
}

function unknown({ vm, kind }: Hello): Refusal {
  return { word: 'vm', text: `no node here has '${kind}' of a VM '${vm}': use the same name on both hosts` };
}
