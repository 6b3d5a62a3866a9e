// A character device that brings frames, whoever uses it: log lines as its peers come and go, and the end of a
// connection whose stream makes no sense.

import type { Log } from '../core/log';
import { Chardev, type ChardevEvents, type ChardevOptions, type Endpoint, formatEndpoint } from '../io/stream/chardev';
import { BAD_FRAME, type FrameSource } from './frame';

export type StreamFactory = (endpoint: Endpoint, events: ChardevEvents, options?: ChardevOptions) => Chardev;

export const openChardev: StreamFactory = (endpoint, events, options) => new Chardev(endpoint, events, options);

/** What the frames are for. */
export interface FrameUser {
  /** Takes them. Without one, what the peer says is thrown away. */
  source?: FrameSource | undefined;
  /** Before and after the frames of one read. */
  turn: { begin(): void; end(): void };
  onOpen?: (() => void) | undefined;
  /** See ChardevEvents. */
  onEnd?: (() => void) | undefined;
  /** The peer is gone, which was logged. */
  onClose?: (() => void) | undefined;
  /** A length that cannot be; the connection ends for it. */
  onBadFrame?: (() => void) | undefined;
}

export interface FrameSocketOptions extends ChardevOptions {
  /** What log lines call it. */
  kind?: 'device' | 'port';
  open?: StreamFactory;
}

export class FrameSocket {
  readonly stream: Chardev;
  /** Bytes that peers sent while there was nobody to take them. */
  discardedBytes = 0;
  private readonly where: Record<string, string>;
  private user: FrameUser | undefined;
  /** One line for all attempts until somebody is there. */
  private saidUnreachable = false;

  constructor(
    /** QEMU's name of it: `primary_in`; or the id of a -chardev. */
    readonly name: string,
    readonly endpoint: Endpoint,
    private readonly log: Log,
    { kind = 'device', open = openChardev, ...options }: FrameSocketOptions = {},
  ) {
    this.where = { [kind]: name, endpoint: formatEndpoint(endpoint) };
    const events: ChardevEvents = {
      onOpen: () => this.opened(),
      onData: (buf, from, to) => this.read(buf, from, to),
      onEnd: () => this.user?.onEnd?.(),
      onClose: (why) => this.closed(why),
      onUnreachable: (why) => this.unreachable(why),
    };
    this.stream = open(endpoint, events, options);
  }

  /** From now on. */
  use(user: FrameUser): void {
    this.user = user;
  }

  private opened(): void {
    this.saidUnreachable = false;
    this.log.info(this.where, 'connected');
    this.user?.onOpen?.();
  }

  private closed(why: string): void {
    const forGood = !this.endpoint.server && this.endpoint.reconnectMs === 0;
    const text = forGood ? 'disconnected for good: the endpoint has no reconnect' : 'disconnected';
    this.log.warn({ ...this.where, why }, text);
    this.user?.onClose?.();
  }

  private unreachable(why: string): void {
    if (this.saidUnreachable) return;
    this.saidUnreachable = true;
    this.log.warn({ ...this.where, why }, 'not reached, trying again');
  }

  private read(buf: Buffer, from: number, to: number): number {
    const { user } = this;
    if (user?.source === undefined) {
      this.discardedBytes += to - from;
      return to - from;
    }
    user.turn.begin();
    const taken = user.source.read(buf, from, to);
    user.turn.end();
    if (taken !== BAD_FRAME) return taken;
    user.onBadFrame?.();
    const why = user.source.fault;
    this.log.error({ ...this.where, why }, 'the stream makes no sense: the connection is closed');
    this.stream.disconnect(why);
    return to - from;
  }
}
