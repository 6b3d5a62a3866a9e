// A TLS connection in the shape of Connection: bytes come in place out of one buffer and go out of another. Node's own
// TLS socket carries them.
//
//     HANDSHAKE --secured()--> OPEN --disconnect(), close()--> CLOSED     what waits is still sent
//         |                     |                                ^
//         '---------------------'--the peer ends, or a fault-----'
//
// One write is under way at a time, of all that waits: the socket encrypts out of the ring as it stands there, and the
// next write takes what has come meanwhile.

import type { TLSSocket } from 'node:tls';
import { invariant } from '../../core/errors';
import { type ConnectionEvents, type StreamBuffers, type StreamCounters, streamCounters } from './connection';

export interface TlsConnectionOptions {
  /** Made when the peer has proved itself: whoever has not costs little. */
  buffers: () => StreamBuffers;
  /** Called once when it has ended, before onClose, and by close() too. */
  onGone?: () => void;
  /** What to say of a handshake that failed; its message without it. */
  explain?: (error: NodeJS.ErrnoException) => string;
}

/** Who does not take what was flushed before the end is not waited for any longer. */
const LINGER_MS = 1000;
/** Bytes of one write, so that room comes back while there is still something to be sent. */
const WRITE_BYTES = 256 << 10;

export class TlsConnection {
  readonly counters: StreamCounters = streamCounters();
  private buffers: StreamBuffers | undefined;
  private state: 'handshake' | 'open' | 'closed' = 'handshake';
  private paused = false;
  private showing = false;
  /** Of the write that is under way. */
  private writing = 0;
  /** More room was asked for than there was, or more flushed than one write takes. */
  private owesDrain = false;
  private fault: NodeJS.ErrnoException | undefined;
  private readonly written = (error?: Error | null) => this.onWritten(error);

  /** Takes over `socket`, which nobody has read from. A client's is secured already. */
  constructor(
    private readonly socket: TLSSocket,
    private readonly events: ConnectionEvents,
    private readonly options: TlsConnectionOptions,
  ) {
    // Of a server's own socket the first is where a failed handshake is told, and both may come.
    socket.on('_tlsError', (error: Error) => this.failed(error));
    socket.on('error', (error) => this.failed(error));
    socket.on('data', (bytes) => this.read(bytes));
    socket.on('end', () => this.end('the peer has closed the connection'));
    socket.on('close', () => this.end('the connection was closed'));
  }

  /** The handshake has succeeded. */
  secured(): void {
    if (this.state !== 'handshake') return;
    this.buffers = this.options.buffers();
    this.state = 'open';
  }

  get connected(): boolean {
    return this.state === 'open';
  }

  get closed(): boolean {
    return this.state === 'closed';
  }

  // Sending

  get out(): Buffer {
    return this.buffers!.output.buf;
  }

  get backlogBytes(): number {
    return this.buffers?.output.waiting ?? 0;
  }

  reserve(bytes: number): number {
    if (this.state !== 'open') return -1;
    const { output } = this.buffers!;
    const at = output.reserve(bytes);
    if (at >= 0) return at;
    invariant(bytes <= output.buf.length, 'a reservation fits into the send buffer');
    this.owesDrain = true;
    this.flush();
    return -1;
  }

  commit(bytes: number): void {
    if (this.state === 'open') this.buffers!.output.commit(bytes);
  }

  flush(): void {
    if (this.state !== 'open' || this.writing > 0) return;
    const { output } = this.buffers!;
    if (output.waiting === 0) return;
    this.writing = Math.min(output.tail - output.head, WRITE_BYTES);
    this.owesDrain ||= this.writing < output.waiting;
    this.counters.writes++;
    this.socket.write(output.buf.subarray(output.head, output.head + this.writing), this.written);
  }

  private onWritten(error?: Error | null): void {
    if (this.state !== 'open' || error) return;
    this.buffers!.output.consume(this.writing);
    this.counters.bytesOut += this.writing;
    this.writing = 0;
    this.flush();
    // Not when all has left: the owner would be heard of only when there is nothing more to be encrypted.
    if (!this.owesDrain || this.backlogBytes > this.out.length / 2) return;
    this.owesDrain = false;
    this.events.onDrain?.();
  }

  // Receiving

  /** While paused nothing is read, so that in the end the peer's sends wait. */
  pause(paused: boolean): void {
    if (paused === this.paused || this.closed) return;
    this.paused = paused;
    if (paused) {
      this.socket.pause();
      return;
    }
    // What is unread comes before anything else.
    setImmediate(() => {
      if (this.paused || this.closed) return;
      this.deliver();
      if (!this.paused && !this.closed) this.socket.resume();
    });
  }

  private read(bytes: Buffer): void {
    if (this.closed) return;
    const { input } = this.buffers!;
    this.counters.reads++;
    this.counters.bytesIn += bytes.length;
    input.makeRoom();
    invariant(bytes.length <= input.room, 'a consumer leaves less unread than the receive buffer holds');
    bytes.copy(input.buf, input.to);
    input.add(bytes.length);
    if (!this.paused) this.deliver();
  }

  private deliver(): void {
    const { input } = this.buffers!;
    if (this.showing || input.unread === 0) return;
    this.showing = true;
    const consumed = this.events.onData(input.buf, input.from, input.to);
    this.showing = false;
    if (!this.closed) input.take(consumed);
  }

  // The end

  /** Ends the connection, with onClose(why). Nothing when it has ended. */
  disconnect(why: string): void {
    this.end(why);
  }

  /** Ends it without a word. Idempotent. What waits is still sent, within LINGER_MS. */
  close(): void {
    if (this.closed) return;
    const wasOpen = this.state === 'open';
    this.state = 'closed';
    if (wasOpen && this.fault === undefined) this.linger();
    else this.socket.destroy();
    this.options.onGone?.();
  }

  private linger(): void {
    const { socket } = this;
    const { output } = this.buffers!;
    const from = output.head + this.writing;
    if (from < output.tail) socket.write(output.buf.subarray(from, output.tail));
    if (output.wrapped > 0) socket.write(output.buf.subarray(0, output.wrapped));
    socket.end();
    // What the peer still says is thrown away, so that its end is heard.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  private failed(error: NodeJS.ErrnoException): void {
    if (this.closed) return;
    this.fault = error;
    const { code = '', message } = error;
    if (this.state === 'handshake') this.end(this.options.explain?.(error) ?? message);
    else this.end(code.startsWith('ERR_SSL_') ? `what came was altered on the way (${code})` : message);
  }

  private end(why: string): void {
    if (this.closed) return;
    this.close();
    this.events.onClose(why);
  }
}
