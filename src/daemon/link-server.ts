// The listening side of the link, one for all VMs of a daemon: whoever dials says first who it is, and gets the channel
// of its VM and kind. Those who have not said it yet are bounded in number and time, as anybody can be one.

import { OperatorError } from '../core/errors';
import type { Log } from '../core/log';
import type { ChannelEvents, OpenChannel } from '../link/channel';
import { type Hello, type Refusal, refusalOf } from '../link/hello';
import { LinkChannel, type LinkEnd } from '../link/link-channel';
import { Session, type SessionOwner } from '../link/session';
import type { MakeTransport, TransportListener, Transports } from './link-transports';

/** Who has not said by then who it is, or was not answered, is disconnected. */
export const HANDSHAKE_MS = 5000;
/** Connections that have not said who they are; one more makes the oldest give way. */
const MAX_HALF_OPEN = 64;

export class LinkServer {
  private readonly listener: TransportListener;
  private readonly channels = new Map<string, LinkChannel>();
  /** Those who are up, and whose channel they have. */
  private readonly taken = new Map<Session, LinkChannel>();
  private readonly halfOpen = new Map<Session, NodeJS.Timeout>();

  constructor(
    transports: Transports,
    private readonly process: string,
    private readonly log: Log,
  ) {
    this.listener = transports.listen((make) => this.found(make));
  }

  /** Rejects with OperatorError. */
  open(): Promise<void> {
    return this.listener.open();
  }

  get port(): number {
    return this.listener.port;
  }

  /** Throws OperatorError when another has it. */
  channel(end: LinkEnd): OpenChannel {
    return (events) => this.openChannel(end, events);
  }

  /** For good, with all its connections. Idempotent. */
  close(): void {
    this.listener.close();
    for (const [session, timer] of this.halfOpen) {
      clearTimeout(timer);
      session.close();
    }
    this.halfOpen.clear();
    for (const channel of [...this.channels.values()]) channel.close();
  }

  private openChannel(end: LinkEnd, events: ChannelEvents): LinkChannel {
    const name = nameOf(end);
    if (this.channels.has(name)) {
      const hint = 'give each virtual machine a name of its own';
      throw new OperatorError('ELINKNAME', `two nodes listen for the ${end.kind} of '${end.vm}'`, hint);
    }
    const channel: LinkChannel = new LinkChannel(end, this.process, events, {
      onLost: (why) => this.log.warn({ node: end.vm, kind: end.kind }, `link: the connection has ended: ${why}`),
      onClosed: () => this.channels.delete(name),
    });
    this.channels.set(name, channel);
    return channel;
  }

  private found(make: MakeTransport): void {
    const owner: SessionOwner = {
      onHello: (session, hello) => this.greeted(session, hello),
      onRefused: (_session, { text }) => this.log.warn({}, `link: the other side refuses: ${text}`),
      onEnd: (session, why) => this.ended(session, why),
    };
    const session = new Session(owner);
    const timer = setTimeout(() => session.disconnect(`no HELLO within ${HANDSHAKE_MS / 1000} s`), HANDSHAKE_MS);
    this.halfOpen.set(session, timer);
    session.open(make(session));
    if (this.halfOpen.size <= MAX_HALF_OPEN) return;
    const [oldest] = this.halfOpen.keys();
    oldest!.disconnect('too many connections have not said who they are');
  }

  private greeted(session: Session, hello: Hello): void {
    const channel = this.channels.get(nameOf(hello));
    const refusal = channel === undefined ? unknown(hello) : refusalOf(channel.hello(), hello);
    if (refusal !== undefined) {
      channel?.counters.refused(refusal.word);
      this.log.warn({ node: hello.vm, kind: hello.kind }, `link: a connection is refused: ${refusal.text}`);
      session.refuse(refusal);
      return;
    }
    this.settled(session);
    this.taken.set(session, channel!);
    this.log.info({ node: hello.vm, kind: hello.kind }, 'link: the other side is connected');
    channel!.take(session, hello, true);
  }

  private ended(session: Session, why: string): void {
    this.settled(session);
    const channel = this.taken.get(session);
    this.taken.delete(session);
    channel?.ended(session, why);
  }

  private settled(session: Session): void {
    clearTimeout(this.halfOpen.get(session));
    this.halfOpen.delete(session);
  }
}

function nameOf({ vm, kind }: Pick<LinkEnd, 'vm' | 'kind'>): string {
  return `${vm} ${kind}`;
}

function unknown({ vm, kind }: Hello): Refusal {
  return { word: 'vm', text: `no node here has '${kind}' of a VM '${vm}': use the same name on both hosts` };
}
