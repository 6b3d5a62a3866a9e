// A character device on a stream socket, as QEMU has them (-chardev socket): one peer at a time over Unix or TCP, as a server that
// takes the next when one has gone, or as a client that dials again. Bytes come in place out of one buffer, and go out of another.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { constants } from 'node:os';
import { invariant, OperatorError } from '../../core/errors';
import { addon } from '../../native/addon';
import { errnoName, errnoText, systemError } from '../../native/errno';
import { Descriptor } from '../descriptor';
import { type Endpoint, formatEndpoint } from './endpoint';
import { SendRing } from './send-ring';

export { type Endpoint, formatEndpoint, parseEndpoint } from './endpoint';

/** Called from the event loop, never from within a call of the Chardev but disconnect() (onClose). One that throws ends the process. */
export interface ChardevEvents {
  /** A peer is there. */
  onOpen(): void;
  /**
   * buf[from, to) are unread bytes, in place, valid during the call. Returns how many were consumed; the rest stays and comes
   * again with more, or when a pause has ended.
   */
  onData(buf: Buffer, from: number, to: number): number;
  /** The peer will say no more: what is unread is taken now, by deliverUnread() or consume(), or lost. onClose follows. */
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
}

const DEFAULT_BYTES = 1 << 20;
/** Reads per turn of the event loop while they fill the buffer, so that one talker cannot starve the rest. */
const READS_PER_TURN = 4;
/** Connections that wait while one is served. */
const LISTEN_BACKLOG = 4;
const SOCKET_MODE = 0o600;
/** A server that drops the SYN is given up, and perhaps dialled again. */
const DIAL_TIMEOUT_MS = 10_000;
/** When the server's backlog is full (EAGAIN), or this process has no descriptor left for a peer. */
const BUSY_RETRY_MS = 200;

const { EAGAIN, EINPROGRESS } = constants.errno;

export class Chardev {
  readonly counters = { bytesIn: 0, bytesOut: 0, reads: 0, writes: 0, connections: 0 };
  /** Called when the backlog has gone after reserve() gave -1 or a flush was partial. Not after the peer has gone: onClose tells. */
  onDrain: (() => void) | undefined;
  private readonly native = addon();
  private readonly ring: SendRing;
  private readonly input: Buffer;
  /** Unread: input[from, to). */
  private from = 0;
  private to = 0;
  private listener: Descriptor | undefined;
  private readonly file = new Float64Array(2);
  private peer: Descriptor | undefined;
  /** The peer is there; otherwise `peer` is a connection under way. */
  private isOpen = false;
  /** The socket took no more: it will be writable. */
  private blocked = false;
  private wantsDrain = false;
  /** Sending has failed. What the peer said before is still read, then it is dropped. */
  private broken = false;
  private paused = false;
  /** The consumer is being called. */
  private delivering = false;
  /** A pause has left bytes unread that must come without new ones. */
  private again = false;
  private closed = false;
  private started = false;
  private timer: NodeJS.Timeout | undefined;
  /** Addresses of the host that are still to be tried in this attempt, and why the last did not answer. */
  private addresses: string[] = [];
  private reason: OperatorError | undefined;
  /** Settles open(). */
  private firstDial: { resolve(): void; reject(error: OperatorError): void } | undefined;

  constructor(
    readonly endpoint: Endpoint,
    private readonly events: ChardevEvents,
    options: ChardevOptions = {},
  ) {
    this.input = Buffer.allocUnsafeSlow(options.receiveBytes ?? DEFAULT_BYTES);
    this.ring = new SendRing(options.sendBytes ?? DEFAULT_BYTES);
  }

  /**
   * Listens, or dials for the first time. A server is ready when it resolves; a client has found its peer (and onOpen was called)
   * or, with `reconnect`, will go on looking. Rejects with OperatorError. To be called once.
   */
  async open(): Promise<void> {
    invariant(!this.started, 'a character device is opened once');
    this.started = true;
    if (this.endpoint.server) return this.listen();
    await new Promise<void>((resolve, reject) => {
      this.firstDial = { resolve, reject };
      this.dial();
    });
  }

  get connected(): boolean {
    return this.isOpen && !this.broken;
  }

  /** The TCP port of a server, which differs from the endpoint's when that is 0. */
  get port(): number {
    return this.listener === undefined ? this.endpoint.port : this.native.streamPort(this.listener.fd);
  }

  /** The send buffer. */
  get out(): Buffer {
    return this.ring.buf;
  }

  /**
   * Offset in `out` where `bytes` contiguous bytes may be written, or -1: not connected, or the backlog is full. Must be followed by
   * commit() before anything else is asked of this device; without it the place is given up.
   */
  reserve(bytes: number): number {
    if (!this.connected) return -1;
    let at = this.ring.reserve(bytes);
    if (at >= 0) return at;
    invariant(bytes <= this.ring.buf.length, 'a reservation fits into the send buffer');
    this.flush();
    if (this.connected) at = this.ring.reserve(bytes);
    if (at < 0) this.wantsDrain = true;
    return at;
  }

  /** So many of the reserved bytes are written; they leave at flush(). */
  commit(bytes: number): void {
    if (this.connected) this.ring.commit(bytes);
  }

  /** One send for all that was committed; what the socket does not take waits until it is writable. */
  flush(): void {
    const ring = this.ring;
    const waiting = ring.waiting;
    if (waiting === 0 || this.blocked || !this.connected) return;
    const n = this.native.streamSend(this.peer!.fd, ring.buf, ring.head, ring.tail - ring.head, ring.wrapped);
    this.counters.writes++;
    if (n === waiting) {
      this.counters.bytesOut += n;
      ring.clear();
      return;
    }
    if (n < 0 && n !== -EAGAIN) {
      this.sendFailed(n);
      return;
    }
    if (n > 0) {
      this.counters.bytesOut += n;
      ring.consume(n);
    }
    this.waitForRoom();
  }

  private waitForRoom(): void {
    this.blocked = true;
    this.wantsDrain = true;
    this.peer!.watchWritable(true);
  }

  /**
   * Reads once, for a consumer who wants more than onData brought: it is found in `unread`. False: there was nothing, or nothing may
   * be read. Within this device's own onData the bytes are behind those that it was called with, and may be taken with them.
   */
  fill(): boolean {
    if (!this.connected || this.paused) return false;
    // The consumer's offsets hold while it is called.
    if (!this.delivering) this.makeRoom();
    if (this.to === this.input.length) return false;
    const n = this.native.streamReceive(this.peer!.fd, this.input, this.to, this.input.length - this.to);
    // The end of the stream is met again by the next read from the event loop.
    if (n <= 0) return false;
    this.counters.reads++;
    this.counters.bytesIn += n;
    this.to += n;
    return true;
  }

  /** Waits without sleeping, so long at most, until this device or another has something to be read. False: neither has. */
  spin(other: Chardev, microseconds: number): boolean {
    if (!this.isOpen || !other.isOpen || this.paused || other.paused) return false;
    return this.native.streamSpin(this.peer!.fd, other.peer!.fd, microseconds) === 1;
  }

  /** The receive buffer; unread[unreadFrom, unreadTo) is what was read and not consumed. */
  get unread(): Buffer {
    return this.input;
  }

  get unreadFrom(): number {
    return this.from;
  }

  get unreadTo(): number {
    return this.to;
  }

  /** Takes so many unread bytes. Not from within this device's own onData, which says so by what it returns. */
  consume(bytes: number): void {
    invariant(bytes >= 0 && bytes <= this.to - this.from, 'a consumer takes no more than there is');
    this.from += bytes;
    if (this.from === this.to) {
      this.from = 0;
      this.to = 0;
    }
  }

  /** Hands what is unread to onData. Not from within this device's own. */
  deliverUnread(): void {
    if (this.isOpen && !this.paused && this.from < this.to) this.deliver();
  }

  /**
   * Sends bytes from elsewhere as they stand there, without a copy where the socket takes them at once. They may be as many as the
   * send buffer holds. False: not connected, or there is no room for all of them; then none was taken.
   */
  write(buf: Buffer, off: number, bytes: number): boolean {
    const { ring } = this;
    if (!this.connected) return false;
    invariant(bytes <= ring.buf.length, 'what is written fits into the send buffer');
    this.flush();
    if (ring.waiting === 0 && !this.blocked && this.connected) {
      const n = this.native.streamSend(this.peer!.fd, buf, off, bytes, 0);
      this.counters.writes++;
      if (n < 0 && n !== -EAGAIN) {
        this.sendFailed(n);
        return false;
      }
      if (n > 0) {
        this.counters.bytesOut += n;
        if (n === bytes) return true;
        off += n;
        bytes -= n;
      }
      this.waitForRoom();
    }
    const at = this.connected ? ring.reserve(bytes) : -1;
    if (at < 0) {
      this.wantsDrain = true;
      return false;
    }
    buf.copy(ring.buf, at, off, off + bytes);
    ring.commit(bytes);
    return true;
  }

  get backlogBytes(): number {
    return this.ring.waiting;
  }

  /** While paused nothing is read, so that in the end the peer's sends block. It outlives the peer. */
  pause(paused: boolean): void {
    if (paused === this.paused) return;
    this.paused = paused;
    if (!this.isOpen) return;
    this.peer!.watchReadable(!paused);
    if (paused || this.from === this.to) return;
    const peer = this.peer;
    this.again = true;
    setImmediate(() => {
      if (this.peer === peer && this.again && !this.paused) this.deliver();
    });
  }

  /**
   * Hands over what is unread and what the socket holds now, paused or not; `bytes` bounds it where the peer goes on talking. For who has to know all
   * that was said before something else. Not from within this device's own onData.
   */
  drain(bytes: number): void {
    const { peer, counters } = this;
    const end = counters.bytesIn + bytes;
    let wanted = this.paused;
    if (this.from < this.to) this.again = true;
    for (let before = -1; this.isOpen && this.peer === peer && before < counters.bytesIn && counters.bytesIn < end; ) {
      // What was left comes before more is read.
      before = this.again ? -1 : counters.bytesIn;
      this.paused = false;
      if (this.again) this.deliver();
      else this.read();
      wanted ||= this.paused;
    }
    this.paused = wanted;
  }

  /** Drops this peer, with onClose(why): a server accepts the next, a client dials again. Nothing without a peer. */
  disconnect(why: string): void {
    if (this.isOpen) this.drop(why);
  }

  /** For good; a Unix server removes its path. Idempotent. What waits is not sent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.timer);
    if (this.listener !== undefined && this.endpoint.kind === 'unix') {
      this.native.unixUnlink(this.endpoint.path, this.file);
    }
    this.listener?.close();
    this.forgetPeer();
    this.firstDial?.resolve();
    this.firstDial = undefined;
  }

  // As a server

  private async listen(): Promise<void> {
    const { kind, path, host, port } = this.endpoint;
    let address = '';
    if (kind === 'tcp' && host !== '') address = (await addressesOf(this.endpoint))[0]!;
    if (this.closed) return;
    const fd =
      kind === 'unix'
        ? this.native.streamListenUnix(path, SOCKET_MODE, LISTEN_BACKLOG, this.file)
        : this.native.streamListenTcp(address, port, LISTEN_BACKLOG);
    if (fd < 0) throw listenError(fd, this.endpoint);
    this.listener = new Descriptor(fd, () => this.accept(), undefined, true);
  }

  private accept(): void {
    const fd = this.native.streamAccept(this.listener!.fd);
    if (fd === -EAGAIN) return;
    this.listener!.watchReadable(false);
    if (fd < 0) {
      // EMFILE and its like: the connection still waits, and would call again at once.
      this.timer = setTimeout(() => this.listener!.watchReadable(true), BUSY_RETRY_MS);
      return;
    }
    this.adopt(fd);
    this.opened();
  }

  // As a client

  private dial(): void {
    this.reason = undefined;
    if (this.endpoint.kind === 'unix') {
      this.addresses = [''];
      this.dialNext();
      return;
    }
    addressesOf(this.endpoint).then(
      (addresses) => {
        this.addresses = addresses;
        this.dialNext();
      },
      (error: OperatorError) => {
        this.reason = error;
        this.dialNext();
      },
    );
  }

  private dialNext(): void {
    if (this.closed) return;
    const { kind, path, port } = this.endpoint;
    for (;;) {
      const address = this.addresses.shift();
      if (address === undefined) {
        this.unreachable();
        return;
      }
      const fd = kind === 'unix' ? this.native.streamConnectUnix(path) : this.native.streamConnectTcp(address, port);
      if (fd >= 0) {
        this.adopt(fd);
        // Even when the peer is there at once, onOpen comes from the event loop.
        this.peer!.watchWritable(true);
        this.timer = setTimeout(() => this.dialFailed(-constants.errno.ETIMEDOUT), DIAL_TIMEOUT_MS);
        return;
      }
      if (fd === -EAGAIN && kind === 'unix') {
        this.timer = setTimeout(() => this.dial(), BUSY_RETRY_MS);
        return;
      }
      this.reason = dialError(fd, this.endpoint);
    }
  }

  private dialled(): void {
    const result = this.native.streamConnected(this.peer!.fd);
    if (result === -EINPROGRESS) return;
    clearTimeout(this.timer);
    if (result < 0) {
      this.dialFailed(result);
      return;
    }
    this.peer!.watchWritable(false);
    this.opened();
  }

  private dialFailed(errno: number): void {
    this.reason = dialError(errno, this.endpoint);
    this.forgetPeer();
    this.dialNext();
  }

  private unreachable(): void {
    const { firstDial, reason } = this;
    this.firstDial = undefined;
    if (this.endpoint.reconnectMs === 0) {
      this.closed = true;
      firstDial?.reject(reason!);
      return;
    }
    this.timer = setTimeout(() => this.dial(), this.endpoint.reconnectMs);
    firstDial?.resolve();
    this.events.onUnreachable?.(reason!.message);
  }

  // With a peer

  private adopt(fd: number): void {
    this.peer = new Descriptor(
      fd,
      () => (this.isOpen ? this.readable() : this.dialled()),
      () => (this.isOpen ? this.writable() : this.dialled()),
      true,
    );
  }

  private opened(): void {
    this.isOpen = true;
    this.counters.connections++;
    if (this.paused) this.peer!.watchReadable(false);
    this.firstDial?.resolve();
    this.firstDial = undefined;
    this.events.onOpen();
  }

  private readable(): void {
    const peer = this.peer;
    for (let i = 0; i < READS_PER_TURN && this.peer === peer && !this.paused; i++) {
      // What a pause has left comes before more is read.
      if (this.again ? !this.deliver() : !this.read()) return;
    }
  }

  /** One read. True: it has filled the buffer, and there may be more. */
  private read(): boolean {
    const { input } = this;
    this.makeRoom();
    const room = input.length - this.to;
    if (room === 0) return this.deliver();
    const n = this.native.streamReceive(this.peer!.fd, input, this.to, room);
    if (n === -EAGAIN) return false;
    this.counters.reads++;
    if (n <= 0) {
      const { peer } = this;
      if (this.from < this.to) this.events.onEnd?.();
      if (this.peer !== peer) return false;
      this.drop(n === 0 ? 'the peer has closed the connection' : `receiving: ${errnoText(n)} (${errnoName(n)})`);
      return false;
    }
    this.counters.bytesIn += n;
    this.to += n;
    return this.deliver() && n === room;
  }

  /** Moves what is unread to the front when there is little room behind it. */
  private makeRoom(): void {
    const { input } = this;
    if (this.from === 0 || input.length - this.to >= input.length >>> 2) return;
    input.copyWithin(0, this.from, this.to);
    this.to -= this.from;
    this.from = 0;
  }

  /** False: the peer has been dropped, or reading is paused. */
  private deliver(): boolean {
    const { input, peer } = this;
    this.again = false;
    this.delivering = true;
    const consumed = this.events.onData(input, this.from, this.to);
    this.delivering = false;
    if (this.peer !== peer) return false;
    this.consume(consumed);
    this.makeRoom();
    if (this.paused) return false;
    invariant(this.to < input.length, 'a consumer leaves less unread than the receive buffer holds');
    return true;
  }

  private writable(): void {
    this.blocked = false;
    this.flush();
    if (this.blocked || !this.connected) return;
    this.peer!.watchWritable(false);
    if (!this.wantsDrain) return;
    this.wantsDrain = false;
    this.onDrain?.();
  }

  /** Whoever sends is in the midst of something else: the end comes from the event loop. */
  private sendFailed(errno: number): void {
    const peer = this.peer!;
    this.broken = true;
    this.ring.clear();
    peer.watchWritable(false);
    setImmediate(() => {
      // A peer that has gone may have spoken before; how much is bounded by the socket's buffer.
      let left = true;
      while (left && this.peer === peer && !this.paused) left = this.again ? this.deliver() : this.read();
      if (this.peer === peer) this.drop(`sending: ${errnoText(errno)} (${errnoName(errno)})`);
    });
  }

  private drop(why: string): void {
    this.forgetPeer();
    this.events.onClose(why);
    if (this.closed) return;
    if (this.listener !== undefined) this.listener.watchReadable(true);
    else if (this.endpoint.reconnectMs > 0) this.timer = setTimeout(() => this.dial(), this.endpoint.reconnectMs);
    else this.closed = true;
  }

  private forgetPeer(): void {
    this.peer?.close();
    this.peer = undefined;
    this.isOpen = false;
    this.blocked = false;
    this.wantsDrain = false;
    this.broken = false;
    this.again = false;
    this.from = 0;
    this.to = 0;
    this.ring.clear();
  }
}

/** As the system says now: a name may mean another machine after a failover. Rejects with OperatorError. */
async function addressesOf(endpoint: Endpoint): Promise<string[]> {
  if (isIP(endpoint.host) !== 0) return [endpoint.host];
  try {
    return (await lookup(endpoint.host, { all: true, verbatim: true })).map(({ address }) => address);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'ENOTFOUND';
    const hint = 'write an address, or see that the name is in /etc/hosts or in the DNS';
    throw new OperatorError(code, `${formatEndpoint(endpoint)}: ${endpoint.host} has no address (${code})`, hint);
  }
}

function listenError(errno: number, endpoint: Endpoint): OperatorError {
  return systemError(errno, `listening at ${formatEndpoint(endpoint)}`, {
    EADDRINUSE: 'another process serves it: end it or choose another one',
    EADDRNOTAVAIL: 'this machine does not have that address',
    EEXIST: 'something that is no socket stands there: remove it or choose another path',
    ENOENT: 'the directory does not exist: create it or choose another path',
    EACCES: 'this user may not listen there',
  });
}

function dialError(errno: number, endpoint: Endpoint): OperatorError {
  return systemError(errno, `connecting to ${formatEndpoint(endpoint)}`, {
    ENOENT: 'start the server first, or add ,reconnect=SECONDS to wait for it',
    ECONNREFUSED: 'start the server first, or add ,reconnect=SECONDS to wait for it',
    EACCES: 'this user may not connect there: see the mode of the socket and of its directory',
    ETIMEDOUT: 'nothing answers there: see the address, and what filters the packets on the way',
  });
}
