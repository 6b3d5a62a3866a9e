// Both ends of a connection without sockets, and a node that writes down what it is told.

import type { ChannelEvents, Peer } from '../../../src/link/channel';
import { LinkCounters } from '../../../src/link/counters';
import type { Hello } from '../../../src/link/hello';
import { RECORD_HEADER_BYTES, type RecordType, writeHeader } from '../../../src/link/record';
import { Session, type SessionOwner } from '../../../src/link/session';
import type { Transport, TransportEvents } from '../../../src/link/transport';

export const PROCESS = '01234567-89ab-cdef-0123-456789abcdef';

export function hello(changes: Partial<Hello> = {}): Hello {
  return {
    versions: { min: 1, max: 1 },
    features: [],
    vm: 'web',
    kind: 'packets',
    role: 'secondary',
    generation: 0,
    epoch: 0,
    process: PROCESS,
    ...changes,
  };
}

/** A send buffer of `room` bytes whose content the test carries on. */
export class FakeTransport implements Transport {
  readonly out: Buffer;
  /** Flushed, and not carried on. */
  flushed = Buffer.alloc(0);
  paused = false;
  connected = true;
  /** What was asked of disconnect(). */
  why = '';
  private filled = 0;
  private isFull = false;

  constructor(
    private readonly events: TransportEvents,
    room = 1 << 20,
  ) {
    this.out = Buffer.alloc(room);
  }

  reserve(bytes: number): number {
    if (this.connected && this.filled + bytes <= this.out.length) return this.filled;
    this.isFull = true;
    return -1;
  }

  commit(bytes: number): void {
    this.filled += bytes;
  }

  flush(): void {
    this.flushed = Buffer.from(this.out.subarray(0, this.filled));
  }

  /** Takes what was flushed, as a socket does. */
  carry(): Buffer {
    const bytes = this.flushed;
    this.flushed = Buffer.alloc(0);
    this.filled = 0;
    if (this.isFull && this.connected) this.events.onDrain();
    this.isFull = false;
    return bytes;
  }

  pause(paused: boolean): void {
    this.paused = paused;
  }

  disconnect(why: string): void {
    if (!this.connected) return;
    this.connected = false;
    this.why = why;
    this.events.onClose(why);
  }

  close(): void {
    this.connected = false;
  }
}

/** Bytes on their way into a session, cut as the test likes. */
export class Wire {
  private rest = Buffer.alloc(0);

  constructor(
    private readonly session: Session,
    private readonly transport: FakeTransport,
  ) {}

  bring(bytes: Uint8Array): void {
    this.rest = Buffer.concat([this.rest, bytes]);
    this.again();
  }

  /** What is unread comes again, if it may. */
  again(): void {
    if (this.transport.paused || !this.transport.connected || this.rest.length === 0) return;
    this.rest = this.rest.subarray(this.session.onData(this.rest, 0, this.rest.length));
  }

  get unread(): number {
    return this.rest.length;
  }
}

export function session(owner: Partial<SessionOwner> = {}, room?: number) {
  const happened: string[] = [];
  const counters = new LinkCounters();
  const all: SessionOwner = {
    onHello: () => void happened.push('hello'),
    onRefused: (_session, { word, text }) => void happened.push(`refused ${word}: ${text}`),
    onEnd: (_session, why, wasUp) => void happened.push(`${wasUp ? 'down' : 'end'}: ${why}`),
    ...owner,
  };
  const made = new Session(all, counters);
  const transport = new FakeTransport(made, room);
  return { session: made, counters, transport, wire: new Wire(made, transport), happened };
}

export class FakeNode implements ChannelEvents {
  readonly happened: string[] = [];
  peer: Peer | undefined;
  /** Records that it takes. */
  takes = Number.POSITIVE_INFINITY;

  onUp(peer: Peer): void {
    this.peer = peer;
    this.happened.push('up');
  }

  onDown(why: string): void {
    this.happened.push(`down: ${why}`);
  }

  onRecord(type: RecordType, epoch: number, buf: Buffer, off: number, bytes: number): boolean {
    if (this.takes === 0) return false;
    this.takes--;
    this.happened.push(`${type} ${epoch} ${buf.toString('latin1', off, off + bytes)}`);
    return true;
  }

  onBatch(): void {
    this.happened.push('batch');
  }

  onRoom(): void {
    this.happened.push('room');
  }
}

export function record(type: number, payload: Uint8Array | string = '', epoch = 0, flags = 0): Buffer {
  const bytes = Buffer.from(payload);
  const made = Buffer.alloc(RECORD_HEADER_BYTES + bytes.length);
  writeHeader(made, 0, bytes.length, type as RecordType, flags, epoch);
  bytes.copy(made, RECORD_HEADER_BYTES);
  return made;
}
