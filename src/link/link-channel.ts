// A Channel over sessions that come and go: the newest whose peer is the right one has it.

import { invariant } from '../core/errors';
import type { Channel, ChannelEvents } from './channel';
import { LinkCounters } from './counters';
import { type Hello, LINK_VERSION, type LinkRole } from './hello';
import type { RecordType } from './record';
import type { Session } from './session';

/** This side of a VM's connection of one kind. */
export interface LinkEnd {
  readonly vm: string;
  readonly kind: string;
  readonly role: LinkRole;
  readonly generation: number;
  readonly features: readonly string[];
  /** See Hello. */
  readonly memory?: string;
  /** In hex; see Hello. */
  readonly digestKey?: string;
  /** The present one; 0 of a primary. */
  epoch(): number;
  readonly beats?: Beats;
}

export interface Beats {
  readonly periodMs: number;
  /** The connection ends when nothing was heard for so many periods. */
  readonly dead: number;
}

/** Long enough for a host that is busy, short against what a host's failure costs anyway. */
const DEFAULT_BEATS: Beats = { periodMs: 1000, dead: 5 };

/** Whoever brings sessions. */
export interface ChannelKeeper {
  /** The present one has ended. */
  onLost(why: string): void;
  /** No other is wanted. */
  onClosed(): void;
}

export class LinkChannel implements Channel {
  readonly counters = new LinkCounters();
  private session: Session | undefined;
  private peer: Hello | undefined;
  private closed = false;

  constructor(
    readonly end: LinkEnd,
    private readonly process: string,
    private readonly events: ChannelEvents,
    private readonly keeper: ChannelKeeper,
  ) {}

  /** What is said to the peer. */
  hello(): Hello {
    const { vm, kind, role, generation, features, memory, digestKey } = this.end;
    const { process } = this;
    const hello = { versions: LINK_VERSION, features, vm, kind, role, generation, epoch: this.end.epoch(), process };
    return { ...hello, ...(memory !== undefined && { memory }), ...(digestKey !== undefined && { digestKey }) };
  }

  /** The peer of `session`, which has said `theirs`, is the right one. A listener answers it. */
  take(session: Session, theirs: Hello, answers: boolean): void {
    invariant(!this.closed, 'a channel that is closed takes no connection');
    if (this.session !== undefined) {
      this.counters.add('link_replaced');
      this.session.close();
      this.down('a newer connection of the same peer replaces it');
    }
    this.session = session;
    this.peer = theirs;
    this.counters.add('link_ups');
    session.accept(this.end.role, this.events, this.counters, answers ? this.hello() : undefined);
    this.events.onUp(theirs);
  }

  /** To be called when a session that was taken has ended. */
  ended(session: Session, why: string): void {
    if (session !== this.session) return;
    this.down(why);
    this.keeper.onLost(why);
  }

  get beats(): Beats {
    return this.end.beats ?? DEFAULT_BEATS;
  }

  /** To be called once a period. */
  beat(): void {
    this.session?.beat(this.beats.dead);
  }

  /**
   * Somebody else says that it is the peer, with the process that it names: may it have the channel? 'ask': the present
   * one may still be there, and is asked for a sign of life; see `lively`.
   */
  claim({ process }: Hello): 'free' | 'ask' {
    if (this.session === undefined || this.peer!.process === process) return 'free';
    this.session.ask();
    return 'ask';
  }

  /** The present peer has answered. */
  get lively(): boolean {
    return this.session?.lively === true;
  }

  get up(): boolean {
    return this.session !== undefined;
  }

  send(
    type: RecordType,
    epoch: number,
    head: Uint8Array,
    headBytes: number,
    buf: Uint8Array,
    off: number,
    bytes: number,
  ): boolean {
    return this.session?.send(type, epoch, head, headBytes, buf, off, bytes) === true;
  }

  flush(): void {
    this.session?.flush();
  }

  resume(): void {
    this.session?.resume();
  }

  disconnect(why: string): void {
    this.session?.disconnect(why);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.session?.close();
    this.session = undefined;
    this.keeper.onClosed();
  }

  private down(why: string): void {
    this.session = undefined;
    this.counters.add('link_downs');
    this.events.onDown(why);
  }
}
