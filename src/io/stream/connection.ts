// One connected stream socket, Unix or TCP. Bytes come in place out of one buffer and go out of another. Who wants
// bytes pulls them (fill, unread, consume); that they are also pushed (onData) is the same pull, done by the event
// loop.
//
// The socket:
//
//           it takes no more
//       .---------------------.
//       |                     v       OPEN, BLOCKED: bytes go both ways.
//     OPEN <--all has left-- BLOCKED  FAILED: nothing is sent any more. What the peer had sent before is still read;
//       |                     |               then, from the event loop, the connection ends.
//       '---> sending fails <-'       CLOSED: the descriptor is gone. From every state: the peer has ended,
//                   v                         disconnect(), close(). A peer that has ended its sending alone
//                                             (shutdown) has ended.
//                FAILED
//
// What is unread:
//
//               more comes, deliverUnread()
//       .----------------------------------.
//       |                                  v        SEEN: left by the consumer; comes again with more.
//     SEEN <------onData returns------- SHOWING     OWED: comes again before anything more is read.
//       |                                |  ^       SHOWING: onData has not returned. Nothing is shown again or taken
//   a pause ends           a pause ends  |  |                from elsewhere; fill() puts more behind it.
//       v                                v  |       SHOWING_OWED: as SHOWING, but what is left then is owed.
//     OWED <--onData returns-- SHOWING_OWED |
//       '-----------------------------------'

import { constants } from 'node:os';
import { invariant } from '../../core/errors';
import type { Addon } from '../../native/addon';
import { errnoName, errnoText } from '../../native/errno';
import type { Descriptor } from '../descriptor';
import { ReceiveBuffer } from './receive-buffer';
import { SendRing } from './send-ring';

/**
 * Called from the event loop, never from within a call of the Connection but disconnect() (onClose), deliverUnread()
 * and drain().
 */
export interface ConnectionEvents {
  /**
   * buf[from, to) are unread bytes, in place, valid during the call. Returns how many were consumed; the rest stays and
   * comes again with more, or when a pause has ended.
   */
  onData(buf: Buffer, from: number, to: number): number;
  /**
   * The peer has shut down sending: unread bytes are taken now, by deliverUnread() or consume(), or lost. onClose
   * follows.
   */
  onEnd?(): void;
  /** The connection has ended. Not called after close(). */
  onClose(why: string): void;
  /** All that waited has left, after reserve() gave -1 or a flush was partial. */
  onDrain?(): void;
}

export interface StreamCounters {
  bytesIn: number;
  bytesOut: number;
  reads: number;
  writes: number;
}

/** What a connection needs of its descriptor. */
export type StreamDescriptor = Pick<
  Descriptor,
  'fd' | 'handOver' | 'watchReadable' | 'watchWritable' | 'soon' | 'close'
> & { readonly native: Pick<Addon, 'streamSend' | 'streamReceive' | 'streamSpin'> };

export interface StreamBuffers {
  /** Must hold more than a consumer ever leaves unread. */
  readonly input: ReceiveBuffer;
  readonly output: SendRing;
}

export interface ConnectionOptions {
  /** Of 1 MiB each without it. A connection leaves them empty for the next. */
  buffers?: StreamBuffers;
  counters?: StreamCounters;
  /** See pause(). */
  paused?: boolean;
  /** Called once when the descriptor is gone, before onClose, and by close() too. */
  onGone?: () => void;
}

const DEFAULT_BYTES = 1 << 20;
/** Reads per turn of the event loop while they fill the buffer, so that one talker cannot starve the rest. */
const READS_PER_TURN = 4;
/** Turns in which a consumer may leave a full buffer: it waits for what is to be read before. */
const FULL_TURNS = 100;

const { EAGAIN } = constants.errno;

export function streamBuffers(receiveBytes = DEFAULT_BYTES, sendBytes = DEFAULT_BYTES): StreamBuffers {
  return { input: new ReceiveBuffer(receiveBytes), output: new SendRing(sendBytes) };
}

export function streamCounters(): StreamCounters {
  return { bytesIn: 0, bytesOut: 0, reads: 0, writes: 0 };
}

export class Connection {
  readonly counters: StreamCounters;
  private readonly input: ReceiveBuffer;
  private readonly output: SendRing;
  private state: 'open' | 'blocked' | 'failed' | 'closed' = 'open';
  private unreadIs: 'seen' | 'owed' | 'showing' | 'showing-owed' = 'seen';
  /** The owner's wish. */
  private paused: boolean;
  /** How often in a row the consumer has left a full buffer. */
  private fullTurns = 0;
  /** Within drain(): a pause does not count. */
  private draining = false;
  private readonly onGone: (() => void) | undefined;

  /** Takes over `descriptor`, connected and watched for readable. */
  constructor(
    private readonly descriptor: StreamDescriptor,
    private readonly events: ConnectionEvents,
    options: ConnectionOptions = {},
  ) {
    const { input, output } = options.buffers ?? streamBuffers();
    this.input = input;
    this.output = output;
    this.counters = options.counters ?? streamCounters();
    this.paused = options.paused ?? false;
    this.onGone = options.onGone;
    descriptor.handOver(
      () => this.readable(),
      () => this.writable(),
    );
    if (this.paused) descriptor.watchReadable(false);
  }

  /** Bytes go both ways. */
  get connected(): boolean {
    return this.state === 'open' || this.state === 'blocked';
  }

  get closed(): boolean {
    return this.state === 'closed';
  }

  // Sending

  /** The send buffer. */
  get out(): Buffer {
    return this.output.buf;
  }

  get backlogBytes(): number {
    return this.output.waiting;
  }

  /**
   * Offset in `out` where `bytes` contiguous bytes may be written, or -1: not connected, or the backlog is full. Must
   * be followed by commit() before anything else is asked of this connection; without it the place is given up.
   */
  reserve(bytes: number): number {
    if (!this.connected) return -1;
    const at = this.output.reserve(bytes);
    if (at >= 0) return at;
    invariant(bytes <= this.output.buf.length, 'a reservation fits into the send buffer');
    this.flush();
    return this.connected ? this.output.reserve(bytes) : -1;
  }

  /** So many of the reserved bytes are written; they leave at flush(). */
  commit(bytes: number): void {
    if (this.connected) this.output.commit(bytes);
  }

  /** One send for all that was committed; what the socket does not take waits until it is writable. */
  flush(): void {
    const { output } = this;
    if (this.state !== 'open' || output.waiting === 0) return;
    const n = this.send(output.buf, output.head, output.tail - output.head, output.wrapped);
    if (n > 0) output.consume(n);
  }

  /**
   * Sends bytes from elsewhere as they stand there, without a copy where the socket takes them at once. They may be as
   * many as the send buffer holds. False: not connected, or there is no room for all of them; then none was taken.
   */
  write(buf: Buffer, off: number, bytes: number): boolean {
    if (!this.connected) return false;
    const { output } = this;
    invariant(bytes <= output.buf.length, 'what is written fits into the send buffer');
    this.flush();
    let sent = 0;
    if (this.state === 'open') sent = this.send(buf, off, bytes, 0);
    if (sent === bytes) return true;
    const at = this.connected ? output.reserve(bytes - sent) : -1;
    if (at < 0) return false;
    buf.copy(output.buf, at, off + sent, off + bytes);
    output.commit(bytes - sent);
    return true;
  }

  /** How many bytes the socket has taken; fewer than all when it is blocked from now on, or failed. */
  private send(buf: Buffer, off: number, bytes: number, wrapped: number): number {
    const { counters, descriptor } = this;
    const n = descriptor.native.streamSend(descriptor.fd, buf, off, bytes, wrapped);
    counters.writes++;
    if (n === bytes + wrapped) {
      counters.bytesOut += n;
      return n;
    }
    if (n < 0 && n !== -EAGAIN) {
      this.fail(n);
      return 0;
    }
    this.state = 'blocked';
    descriptor.watchWritable(true);
    if (n < 0) return 0;
    counters.bytesOut += n;
    return n;
  }

  private writable(): void {
    if (this.state !== 'blocked') return;
    this.state = 'open';
    this.flush();
    if (this.backlogBytes > 0 || !this.connected) return;
    this.descriptor.watchWritable(false);
    this.events.onDrain?.();
  }

  /** The sender may be in the middle of something: the end is reported from the event loop. */
  private fail(errno: number): void {
    this.state = 'failed';
    this.output.clear();
    this.descriptor.watchWritable(false);
    this.descriptor.soon(() => {
      // A peer that has gone may have spoken before; how much is bounded by the socket's buffer.
      if (this.unreadIs === 'owed' && !this.paused && this.state === 'failed') this.deliver();
      while (this.state === 'failed' && !this.paused && this.read());
      if (this.state === 'failed') this.end(`sending: ${errnoText(errno)} (${errnoName(errno)})`);
    });
  }

  // Receiving, pulled

  /** The receive buffer; unread[unreadFrom, unreadTo) is what was read and not consumed. */
  get unread(): Buffer {
    return this.input.buf;
  }

  get unreadFrom(): number {
    return this.input.from;
  }

  get unreadTo(): number {
    return this.input.to;
  }

  /**
   * Reads once, for a consumer who wants more than onData brought: it is found in `unread`. False: there was nothing,
   * or nothing may be read. Within this connection's own onData the bytes are behind those that it was called with, and
   * may be taken with them.
   */
  fill(): boolean {
    if (!this.connected || !this.mayRead) return false;
    // The consumer's offsets hold while it is called.
    if (!this.isShowing) this.input.makeRoom();
    // The end of the stream is met again by the next read from the event loop.
    return this.input.room > 0 && this.receive() > 0;
  }

  /** Takes so many unread bytes. Not from within this connection's own onData, which returns the count instead. */
  consume(bytes: number): void {
    invariant(!this.isShowing, 'unread bytes are not consumed from within the onData that they are shown to');
    this.input.take(bytes);
    if (this.input.unread === 0) this.unreadIs = 'seen';
  }

  /**
   * Waits without sleeping, so long at most, until this connection or another has something to be read. False: neither
   * has.
   */
  spin(other: Connection, microseconds: number): boolean {
    if (this.closed || other.closed || this.paused || other.paused) return false;
    return this.descriptor.native.streamSpin(this.descriptor.fd, other.descriptor.fd, microseconds) === 1;
  }

  /** Bytes, 0 at the end of the stream, or -errno. */
  private receive(): number {
    const { counters, descriptor, input } = this;
    const n = descriptor.native.streamReceive(descriptor.fd, input.buf, input.to, input.room);
    if (n <= 0) return n;
    counters.reads++;
    counters.bytesIn += n;
    input.add(n);
    return n;
  }

  private get mayRead(): boolean {
    return !this.paused || this.draining;
  }

  private get isShowing(): boolean {
    return this.unreadIs === 'showing' || this.unreadIs === 'showing-owed';
  }

  // Receiving, pushed

  /** Hands what is unread to onData. Not from within this connection's own. */
  deliverUnread(): void {
    if (!this.closed && this.mayRead && this.input.unread > 0) this.deliver();
  }

  /** While paused nothing is read, so that in the end the peer's sends block. */
  pause(paused: boolean): void {
    if (paused === this.paused || this.closed) return;
    this.paused = paused;
    this.descriptor.watchReadable(!paused);
    if (paused || this.input.unread === 0) return;
    this.unreadIs = this.isShowing ? 'showing-owed' : 'owed';
    this.descriptor.soon(() => {
      if (!this.closed && this.unreadIs === 'owed' && !this.paused) this.deliver();
    });
  }

  /**
   * Hands over what is unread and what the socket holds now, paused or not; `bytes` bounds it where the peer goes on
   * talking. For an owner that must have read all that the peer has sent until now. Not from within this connection's
   * own onData.
   */
  drain(bytes: number): void {
    if (this.closed) return;
    invariant(!this.isShowing, 'a connection is not drained from within its own onData');
    const { counters } = this;
    const end = counters.bytesIn + bytes;
    this.draining = true;
    if (this.input.unread > 0) this.deliver();
    for (let before = -1; !this.closed && before < counters.bytesIn && counters.bytesIn < end; ) {
      before = counters.bytesIn;
      this.read();
    }
    this.draining = false;
  }

  private readable(): void {
    for (let i = 0; i < READS_PER_TURN && !this.closed && !this.paused; i++) if (!this.advance()) return;
  }

  /** What is owed, or one read. True: there may be more at once. */
  private advance(): boolean {
    return this.unreadIs === 'owed' ? this.deliver() : this.read();
  }

  /** True: it has filled the buffer, and there may be more. */
  private read(): boolean {
    const { input } = this;
    input.makeRoom();
    const { room } = input;
    if (room === 0) return this.deliver();
    const n = this.receive();
    if (n > 0) return this.deliver() && n === room;
    if (n === -EAGAIN) return false;
    this.counters.reads++;
    if (input.unread > 0) this.events.onEnd?.();
    if (!this.closed) {
      this.end(n === 0 ? 'the peer has closed the connection' : `receiving: ${errnoText(n)} (${errnoName(n)})`);
    }
    return false;
  }

  /** False: the connection has ended, or is paused. */
  private deliver(): boolean {
    invariant(!this.isShowing, 'unread bytes are not delivered from within the onData that they are shown to');
    const { input } = this;
    this.unreadIs = 'showing';
    const consumed = this.events.onData(input.buf, input.from, input.to);
    const wasResumed = this.unreadIs !== 'showing';
    this.unreadIs = 'seen';
    if (this.closed) return false;
    input.take(consumed);
    if (wasResumed && input.unread > 0) this.unreadIs = 'owed';
    input.makeRoom();
    if (this.paused) return false;
    if (input.room === 0) {
      // A consumer may leave all of it for a while, until something else has had its turn.
      invariant(++this.fullTurns <= FULL_TURNS, 'a consumer leaves less unread than the receive buffer holds');
      return false;
    }
    this.fullTurns = 0;
    return true;
  }

  // The end

  /** Ends the connection, with onClose(why). Nothing when it has ended. */
  disconnect(why: string): void {
    if (!this.closed) this.end(why);
  }

  /** Ends it without a word. Idempotent. What waits is not sent. */
  close(): void {
    if (this.closed) return;
    this.state = 'closed';
    this.descriptor.close();
    this.input.clear();
    this.output.clear();
    this.onGone?.();
  }

  private end(why: string): void {
    this.close();
    this.events.onClose(why);
  }
}
