// A character device on a stream socket, as QEMU has them (-chardev socket): one peer at a time over Unix or TCP, as a
// server that takes the next when one has gone, or as a client that dials again. It outlives its peers: its buffers,
// its counters, a pause.
//
//                      a peer is there: onOpen
//     NEW --open()--> ALONE --------------> CONNECTED
//                     | ^                       |
//                     | |                       | the peer has gone: onClose
//                     | '--- a server, or with -+
//                     |      `reconnect`        |
//    nobody is found, |                         | a client without
//    and no reconnect v                         |
//                   CLOSED <--------------------'     From every state: close(), without onClose.

import { invariant, type OperatorError } from '../../core/errors';
import { Connection, type StreamBuffers, type StreamDescriptor, streamBuffers, streamCounters } from './connection';
import { Dialer } from './dialer';
import type { Endpoint } from './endpoint';
import { Listener } from './listener';

export { type Endpoint, formatEndpoint, parseEndpoint } from './endpoint';

/**
 * Called from the event loop, never from within a call of the Chardev but disconnect() (onClose), deliverUnread() and
 * drain(). One that throws ends the process.
 */
export interface ChardevEvents {
  /** A peer is there. */
  onOpen(): void;
  /** See ConnectionEvents. */
  onData(buf: Buffer, from: number, to: number): number;
  /**
   * The peer has shut down sending: unread bytes are taken now, by deliverUnread() or consume(), or lost. onClose
   * follows.
   */
  onEnd?(): void;
  /** The peer is gone. A server goes on listening, a client with `reconnect` dials again. Not called after close(). */
  onClose(why: string): void;
  /** A client could not reach its server; it dials again. For a log line: it may come every `reconnectMs`. */
  onUnreachable?(why: string): void;
}

export interface ChardevOptions {
  /** Both 1 MiB without it. The receive buffer must hold more than a consumer ever leaves unread. */
  receiveBytes?: number;
  sendBytes?: number;
  /** Brings peers in place of the endpoint. */
  peers?: (onPeer: (socket: StreamDescriptor, onGone: () => void) => void) => PeerSource;
}

export type PeerSource = Pick<Listener, 'open' | 'close' | 'port'>;

export class Chardev {
  readonly counters = { ...streamCounters(), connections: 0 };
  /**
   * Called when the backlog has gone after reserve() gave -1 or a flush was partial. Not after the peer has gone:
   * onClose tells.
   */
  onDrain: (() => void) | undefined;
  private state: 'new' | 'alone' | 'connected' | 'closed' = 'new';
  /** CONNECTED */
  private peer: Connection | undefined;
  private paused = false;
  private readonly buffers: StreamBuffers;
  private readonly listener: PeerSource | undefined;
  private readonly dialer: Dialer | undefined;
  /** Settles a client's open(). */
  private firstDial: { resolve(): void; reject(error: OperatorError): void } | undefined;

  constructor(
    readonly endpoint: Endpoint,
    private readonly events: ChardevEvents,
    options: ChardevOptions = {},
  ) {
    this.buffers = streamBuffers(options.receiveBytes, options.sendBytes);
    if (options.peers !== undefined) {
      this.listener = options.peers((socket, gone) => this.opened(socket, gone));
      return;
    }
    if (endpoint.server) {
      this.listener = new Listener(endpoint, (socket, gone) => this.opened(socket, gone), { maxPeers: 1 });
      return;
    }
    const { reconnectMs } = endpoint;
    this.dialer = new Dialer(
      endpoint,
      { onPeer: (socket) => this.opened(socket), onUnreachable: (why) => this.unreachable(why) },
      reconnectMs > 0 ? { firstMs: reconnectMs, mostMs: reconnectMs } : undefined,
    );
  }

  /**
   * Listens, or dials for the first time. A server is ready when it resolves; a client has found its peer (and onOpen
   * was called) or, with `reconnect`, will go on looking. Rejects with OperatorError. To be called once.
   */
  async open(): Promise<void> {
    invariant(this.state === 'new', 'a character device is opened once');
    this.state = 'alone';
    if (this.listener !== undefined) return this.listener.open();
    await new Promise<void>((resolve, reject) => {
      this.firstDial = { resolve, reject };
      this.dialer!.dial();
    });
  }

  /** A peer is there, and sending to it has not failed. */
  get connected(): boolean {
    return this.peer?.connected === true;
  }

  /** The TCP port of a server, which differs from the endpoint's when that is 0. */
  get port(): number {
    return this.listener?.port ?? this.endpoint.port;
  }

  // As Connection has them. Without a peer nothing is taken, and nothing is there.

  get out(): Buffer {
    return this.buffers.output.buf;
  }

  get backlogBytes(): number {
    return this.buffers.output.waiting;
  }

  reserve(bytes: number): number {
    return this.peer === undefined ? -1 : this.peer.reserve(bytes);
  }

  commit(bytes: number): void {
    this.peer?.commit(bytes);
  }

  flush(): void {
    this.peer?.flush();
  }

  write(buf: Buffer, off: number, bytes: number): boolean {
    return this.peer?.write(buf, off, bytes) === true;
  }

  get unread(): Buffer {
    return this.buffers.input.buf;
  }

  get unreadFrom(): number {
    return this.buffers.input.from;
  }

  get unreadTo(): number {
    return this.buffers.input.to;
  }

  fill(): boolean {
    return this.peer?.fill() === true;
  }

  consume(bytes: number): void {
    invariant(this.peer !== undefined || bytes === 0, 'a consumer takes no more than there is');
    this.peer?.consume(bytes);
  }

  spin(other: Chardev, microseconds: number): boolean {
    if (this.peer === undefined || other.peer === undefined) return false;
    return this.peer.spin(other.peer, microseconds);
  }

  deliverUnread(): void {
    this.peer?.deliverUnread();
  }

  drain(bytes: number): void {
    this.peer?.drain(bytes);
  }

  /** While paused nothing is read, so that in the end the peer's sends block. It outlives the peer. */
  pause(paused: boolean): void {
    this.paused = paused;
    this.peer?.pause(paused);
  }

  /** Drops this peer, with onClose(why): a server accepts the next, a client dials again. Nothing without a peer. */
  disconnect(why: string): void {
    this.peer?.disconnect(why);
  }

  /** For good; a Unix server removes its path. Idempotent. What waits is not sent. */
  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.listener?.close();
    this.dialer?.close();
    this.peer?.close();
    this.peer = undefined;
    this.firstDial?.resolve();
    this.firstDial = undefined;
  }

  private opened(socket: StreamDescriptor, onGone?: () => void): void {
    invariant(this.state === 'alone', 'a character device has one peer at a time');
    const { events, buffers, counters, paused } = this;
    this.state = 'connected';
    this.peer = new Connection(
      socket,
      {
        onData: (buf, from, to) => events.onData(buf, from, to),
        onEnd: () => events.onEnd?.(),
        onClose: (why) => this.ended(why),
        onDrain: () => this.onDrain?.(),
      },
      { buffers, counters, paused, ...(onGone === undefined ? {} : { onGone }) },
    );
    counters.connections++;
    this.firstDial?.resolve();
    this.firstDial = undefined;
    events.onOpen();
  }

  private ended(why: string): void {
    this.peer = undefined;
    this.state = 'alone';
    this.events.onClose(why);
    // Its owner may have closed it.
    if (this.stillAlone && this.dialer?.redial() === false) this.state = 'closed';
  }

  private unreachable(why: OperatorError): void {
    const { firstDial } = this;
    this.firstDial = undefined;
    if (this.endpoint.reconnectMs === 0) {
      this.state = 'closed';
      firstDial?.reject(why);
      return;
    }
    firstDial?.resolve();
    this.events.onUnreachable?.(why.message);
  }

  private get stillAlone(): boolean {
    return this.state === 'alone';
  }
}
