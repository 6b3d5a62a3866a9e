// A Chardev without a socket: the test is the peer.

import type { StreamFactory } from '../../../src/chardev/device';
import type { Chardev, ChardevEvents } from '../../../src/io/stream/chardev';

export class FakeChardev {
  connected = false;
  readonly out = Buffer.alloc(1 << 16);
  backlogBytes = 0;
  onDrain: (() => void) | undefined;
  readonly counters = { bytesIn: 0, bytesOut: 0, reads: 0, writes: 0, connections: 0 };
  paused = false;
  closed = false;
  /** Why it was disconnected by its owner. */
  dropped: string | undefined;
  private committed = 0;
  private sent = '';
  private rest = Buffer.alloc(0);
  private events!: ChardevEvents;

  /** For constructors that take a StreamFactory. */
  readonly factory: StreamFactory = (_endpoint, events) => {
    this.events = events;
    return this as unknown as Chardev;
  };

  async open(): Promise<void> {}

  reserve(bytes: number): number {
    return this.connected && this.committed + bytes <= this.out.length ? this.committed : -1;
  }

  commit(bytes: number): void {
    this.committed += bytes;
  }

  flush(): void {
    this.sent += this.out.toString('utf8', 0, this.committed);
    this.committed = 0;
  }

  pause(paused: boolean): void {
    this.paused = paused;
  }

  disconnect(why: string): void {
    if (!this.connected) return;
    this.dropped = why;
    this.hangUp(why);
  }

  close(): void {
    this.connected = false;
    this.closed = true;
  }

  // What the test does

  connect(): void {
    this.connected = true;
    this.dropped = undefined;
    this.rest = Buffer.alloc(0);
    this.events.onOpen();
  }

  hangUp(why = 'the peer has closed the connection'): void {
    if (!this.connected) return;
    this.connected = false;
    this.events.onClose(why);
  }

  /** In one piece, behind what its owner has left. */
  says(text: string): void {
    const all = Buffer.concat([this.rest, Buffer.from(text)]);
    const taken = this.events.onData(all, 0, all.length);
    this.rest = Buffer.from(all.subarray(taken));
  }

  /** What was sent since the last time, as objects. */
  heard(): Record<string, unknown>[] {
    const lines = this.sent.split('\n').filter((line) => line !== '');
    this.sent = '';
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

/** Lets everything that is due happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
