// A character device that brings frames, for any user: logs its peers' coming and going, and closes a connection with
// an invalid stream.

import type { Log } from '../core/log';
import { Chardev, type ChardevEvents, type ChardevOptions, type Endpoint, formatEndpoint } from '../io/stream/chardev';
import { BAD_FRAME, type FrameSource } from './frame';

export type StreamFactory = (endpoint: Endpoint, events: ChardevEvents, options?: ChardevOptions) => Chardev;

export const openChardev: StreamFactory = (endpoint, events, options) => new Chardev(endpoint, events, options);

/** The user of the frames. */
export interface FrameUser {
  /** Takes the frames. Without one, the peer's bytes are discarded. */
  source?: FrameSource | undefined;
  /** Before and after the frames of one read. */
  turn: { begin(): void; end(): void };
  onOpen?: (() => void) | undefined;
  /** See ChardevEvents. */
  onEnd?: (() => void) | undefined;
  /** The peer is gone; this was logged. */
  onClose?: (() => void) | undefined;
  /** A frame had an impossible length; the connection is closed. */
  onBadFrame?: (() => void) | undefined;
}

export interface FrameSocketOptions extends ChardevOptions {
  /** Its key in log lines. */
  kind?: 'device' | 'port';
  open?: StreamFactory;
}

export class FrameSocket {
  readonly stream: Chardev;
  /** Bytes that peers sent while there was no source. */
  discardedBytes = 0;
  private readonly where: Record<string, string>;
  private user: FrameUser | undefined;
  /** One log line for all attempts until a peer is there. */
  private saidUnreachable = false;

  constructor(
    /** QEMU's name, such as `primary_in`, or the id of a -chardev. */
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

  /** Gives the frames to `user` from now on. */
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
    this.log.error({ ...this.where, why }, 'invalid stream: the connection is closed');
    this.stream.disconnect(why);
    return to - from;
  }
}
