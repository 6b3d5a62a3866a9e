// Unix sockets that keep message borders (unix(7), SOCK_SEQPACKET), with the credentials of whoever is at the other
// end.

import { constants } from 'node:os';
import { OperatorError } from '../core/errors';
import { addon } from '../native/addon';
import { systemError } from '../native/errno';
import { Descriptor, MESSAGES_PER_TURN } from './descriptor';
import { isEnd, SENDER_WORDS, type Sender, senderOf, wasTruncated } from './sender';

/** A longer message is refused, and its connection closed. */
export const SEQPACKET_MAX_BYTES = 64 << 10;
/**
 * Messages that wait for a slow reader; beyond it the connection is closed, because answers must not be lost silently.
 */
const MAX_WAITING = 256;
const BACKLOG = 16;

const { EAGAIN } = constants.errno;

export interface SeqpacketEvents {
  /** `buf` is valid during the call only. `sender` is who sent this very message. */
  onMessage(buf: Buffer, sender: Sender): void;
  /** The connection has ended: by the peer (no error), or by the error given. Not called after close(). */
  onClose(error?: OperatorError): void;
}

/** One end of a connection. */
export class SeqpacketConnection {
  private readonly descriptor: Descriptor;
  private readonly buffer = Buffer.allocUnsafeSlow(SEQPACKET_MAX_BYTES);
  private readonly sender = new Uint32Array(SENDER_WORDS);
  private readonly waiting: Uint8Array[] = [];
  private events: SeqpacketEvents | undefined;

  /** Made by SeqpacketServer and connectSeqpacket. `peer` as it was when the connection was made (SO_PEERCRED). */
  constructor(
    fd: number,
    readonly peer: Sender,
  ) {
    this.descriptor = new Descriptor(
      fd,
      () => this.receive(),
      () => this.sendWaiting(),
    );
  }

  /** Must be called in the turn in which the connection came. */
  handle(events: SeqpacketEvents): void {
    this.events = events;
  }

  /** False = closed, or closed now because the peer does not read. The bytes may not be changed afterwards. */
  send(buf: Uint8Array): boolean {
    if (this.descriptor.closed) return false;
    if (this.waiting.length === 0) {
      const n = this.descriptor.native.messageSend(this.descriptor.fd, buf, 0, buf.length);
      if (n >= 0) return true;
      if (n !== -EAGAIN) return this.fail(systemError(n, 'sending to a Unix socket'));
    }
    if (this.waiting.length >= MAX_WAITING) {
      return this.fail(
        new OperatorError('ESLOW', `the peer (pid ${this.peer.pid}) has left ${MAX_WAITING} messages unread`),
      );
    }
    this.waiting.push(buf);
    this.descriptor.watchWritable(true);
    return true;
  }

  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** Reads nothing for so many ms: the peer's messages wait, and soon the peer does. */
  rest(ms: number): void {
    this.descriptor.rest(ms);
  }

  /** Whether the connection keeps the process alive; it does at first. */
  reference(keep: boolean): void {
    this.descriptor.reference(keep);
  }

  /** Idempotent. What waits is not sent. */
  close(): void {
    this.descriptor.close();
    this.waiting.length = 0;
  }

  private receive(): void {
    for (let i = 0; i < MESSAGES_PER_TURN && !this.descriptor.closed && !this.descriptor.resting; i++) {
      const n = this.descriptor.native.seqpacketReceive(this.descriptor.fd, this.buffer, this.sender);
      if (n === -EAGAIN) return;
      if (n < 0) {
        this.fail(systemError(n, 'receiving from a Unix socket'));
      } else if (isEnd(this.sender)) {
        this.close();
        this.events?.onClose();
      } else if (wasTruncated(this.sender)) {
        this.fail(new OperatorError('EMSGSIZE', `a message is longer than ${SEQPACKET_MAX_BYTES} bytes`));
      } else {
        this.events?.onMessage(this.buffer.subarray(0, n), senderOf(this.sender));
      }
    }
  }

  private sendWaiting(): void {
    while (this.waiting.length > 0) {
      const next = this.waiting[0]!;
      const n = this.descriptor.native.messageSend(this.descriptor.fd, next, 0, next.length);
      if (n === -EAGAIN) return;
      if (n < 0) {
        this.fail(systemError(n, 'sending to a Unix socket'));
        return;
      }
      this.waiting.shift();
    }
    this.descriptor.watchWritable(false);
  }

  private fail(error: OperatorError): false {
    this.close();
    this.events?.onClose(error);
    return false;
  }
}

export interface SeqpacketServerOptions {
  path: string;
  /** Mode of the socket file. */
  mode?: number;
  /** Connections at once; more are closed at once, and counted in `refused`. */
  maxConnections?: number;
  /** Asked for each connection; those it refuses are closed at once, and counted, too. */
  admit?(peer: Sender): boolean;
}

export class SeqpacketServer {
  /** Connections closed because there were too many. */
  refused = 0;
  private readonly descriptor: Descriptor;
  private readonly file = new Float64Array(2);
  private readonly connections = new Set<SeqpacketConnection>();
  private readonly peer = new Uint32Array(SENDER_WORDS);
  private readonly path: string;
  private readonly maxConnections: number;
  private readonly admit: (peer: Sender) => boolean;

  /**
   * Listens at once; a socket file left by a dead server is replaced. `onConnection` gives each connection its events
   * by `handle()`. Throws OperatorError.
   */
  constructor(
    options: SeqpacketServerOptions,
    private readonly onConnection: (connection: SeqpacketConnection) => void,
  ) {
    this.path = options.path;
    this.maxConnections = options.maxConnections ?? 64;
    this.admit = options.admit ?? (() => true);
    const fd = addon().seqpacketListen(this.path, options.mode ?? 0o600, BACKLOG, this.file);
    if (fd < 0) throw pathError(fd, `listening at ${this.path}`);
    this.descriptor = new Descriptor(fd, () => this.accept());
  }

  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** Takes no connection for so many ms: who connects waits. */
  rest(ms: number): void {
    this.descriptor.rest(ms);
  }

  /** Closes the connections too, without their onClose, and removes the socket file. Idempotent. */
  close(): void {
    if (this.descriptor.closed) return;
    this.descriptor.native.unixUnlink(this.path, this.file);
    this.descriptor.close();
    for (const connection of this.connections) connection.close();
    this.connections.clear();
  }

  private accept(): void {
    for (let i = 0; i < BACKLOG && !this.descriptor.closed && !this.descriptor.resting; i++) {
      const fd = this.descriptor.native.seqpacketAccept(this.descriptor.fd, this.peer);
      // EAGAIN: none waits. Anything else (EMFILE) concerns this one; the listener stays.
      if (fd < 0) return;
      for (const connection of this.connections) if (connection.closed) this.connections.delete(connection);
      const peer = senderOf(this.peer);
      if (this.connections.size >= this.maxConnections || !this.admit(peer)) {
        this.refused++;
        this.descriptor.native.closeDescriptor(fd);
        continue;
      }
      const connection = new SeqpacketConnection(fd, peer);
      this.connections.add(connection);
      this.onConnection(connection);
    }
  }
}

/**
 * Connects to a server; blocks for up to `waitMs` when too many others are waiting to be let in. Throws OperatorError.
 */
export function connectSeqpacket(path: string, events: SeqpacketEvents, waitMs = 0): SeqpacketConnection {
  const fd = addon().seqpacketConnect(path, waitMs);
  if (fd < 0) throw pathError(fd, `connecting to ${path}`);
  const connection = new SeqpacketConnection(fd, { portId: 0, group: 0, pid: 0, uid: 0, gid: 0 });
  connection.handle(events);
  return connection;
}

function pathError(errno: number, doing: string): OperatorError {
  return systemError(errno, doing, {
    EADDRINUSE: 'another process serves this socket: end it or choose another path',
    EEXIST: 'something that is no socket stands there: remove it or choose another path',
    ENOENT: 'the directory (or, for a client, the socket) does not exist: is the daemon running?',
    ECONNREFUSED: 'nobody serves this socket: is the daemon running?',
    EACCES: 'this user may not use that path',
    ENAMETOOLONG: 'a socket path holds at most 107 bytes',
    EAGAIN: 'the server has too many connections waiting: try again',
  });
}
