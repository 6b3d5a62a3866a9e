// Stream sockets of a comparison in virtual time, under the connections that ship. Reads and sends are cut anywhere,
// and a slow reader blocks them.

import { constants } from 'node:os';
import type { PeerSource } from '../../io/stream/chardev';
import type { StreamDescriptor } from '../../io/stream/connection';
import type { Prng } from '../prng';
import type { SimLoop, Source } from './loop';

const { EAGAIN } = constants.errno;

export interface SocketPlan {
  /** Most bytes of one read. */
  readBytes: number;
  /** Bytes that the socket keeps for a peer that does not read. */
  sendBytes: number;
}

/** The comparison's end. The peer's end is says(), ends() and onSent. */
export class SimSocket implements StreamDescriptor, Source {
  readonly fd: number;
  readonly native: StreamDescriptor['native'];
  /** There is something to read (take). */
  onSent = (): void => {};
  onClosed = (): void => {};
  closed = false;
  private incoming: Buffer[] = [];
  private ended = false;
  private sent: Buffer[] = [];
  private sentBytes = 0;
  private watchesReadable = true;
  private watchesWritable = false;
  private onReadable = (): void => {};
  private onWritable: (() => void) | undefined;

  constructor(
    all: SimSocket[],
    private readonly loop: SimLoop,
    private readonly prng: Prng,
    private readonly plan: SocketPlan,
  ) {
    this.fd = all.length;
    all.push(this);
    this.native = {
      streamSend: (_fd, buf, off, bytes, wrapped) => this.send(buf as Buffer, off, bytes, wrapped),
      streamReceive: (_fd, buf, off, room) => this.receive(buf as Buffer, off, room),
      streamSpin: (_fd, other) => (this.hasMore || all[other]!.hasMore ? 1 : 0),
    };
    loop.watch(this);
  }

  // The comparison's side

  handOver(onReadable: () => void, onWritable?: () => void): void {
    this.onReadable = onReadable;
    this.onWritable = onWritable;
    this.loop.wake();
  }

  watchReadable(wanted: boolean): void {
    this.watchesReadable = wanted;
    this.loop.wake();
  }

  watchWritable(wanted: boolean): void {
    this.watchesWritable = wanted;
    this.loop.wake();
  }

  soon(task: () => void): void {
    this.loop.soon(task);
  }

  close(): void {
    this.closed = true;
    this.loop.forget(this);
    this.onClosed();
  }

  isReady(): boolean {
    return (this.watchesReadable && this.hasMore) || (this.watchesWritable && this.sentBytes < this.plan.sendBytes);
  }

  handle(): void {
    if (this.watchesWritable && this.sentBytes < this.plan.sendBytes) this.onWritable?.();
    if (!this.closed && this.watchesReadable && this.hasMore) this.onReadable();
  }

  // The peer's

  says(bytes: Buffer): void {
    if (this.closed) return;
    this.incoming.push(bytes);
    this.loop.wake();
  }

  /** The peer closes its direction. */
  ends(): void {
    this.ended = true;
    this.loop.wake();
  }

  /** Bytes sent to the peer and not taken yet. */
  take(): Buffer {
    const bytes = Buffer.concat(this.sent);
    this.sent = [];
    this.sentBytes = 0;
    this.loop.wake();
    return bytes;
  }

  /** Bytes from the peer that are not read yet. */
  get unreadBytes(): number {
    return this.incoming.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  private get hasMore(): boolean {
    return this.incoming.length > 0 || this.ended;
  }

  private receive(buf: Buffer, off: number, room: number): number {
    if (this.incoming.length === 0) return this.ended ? 0 : -EAGAIN;
    const most = Math.min(room, this.prng.range(1, this.plan.readBytes));
    let n = 0;
    while (n < most && this.incoming.length > 0) {
      const first = this.incoming[0]!;
      const bytes = Math.min(first.length, most - n);
      first.copy(buf, off + n, 0, bytes);
      n += bytes;
      if (bytes === first.length) this.incoming.shift();
      else this.incoming[0] = first.subarray(bytes);
    }
    return n;
  }

  private send(buf: Buffer, off: number, bytes: number, wrapped: number): number {
    const room = this.plan.sendBytes - this.sentBytes;
    if (room <= 0) return -EAGAIN;
    const n = Math.min(bytes + wrapped, room);
    this.sent.push(Buffer.from(buf.subarray(off, off + Math.min(bytes, n))));
    if (n > bytes) this.sent.push(Buffer.from(buf.subarray(0, n - bytes)));
    this.sentBytes += n;
    this.onSent();
    return n;
  }
}

/** The peers of a listening device, one at a time. */
export class SimPeers implements PeerSource {
  readonly port = 0;
  /** The present peer. */
  present: SimSocket | undefined;
  private closed = false;
  private onPeer: (socket: SimSocket, gone: () => void) => void = () => {};

  constructor(private readonly make: () => SimSocket) {}

  /** For ChardevOptions. */
  readonly bring = (onPeer: (socket: StreamDescriptor, gone: () => void) => void): PeerSource => {
    this.onPeer = onPeer;
    return this;
  };

  open(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
  }

  /** A peer connects. Undefined: the device is closed, or has a peer. */
  connect(): SimSocket | undefined {
    if (this.closed || this.present !== undefined) return undefined;
    const socket = this.make();
    this.present = socket;
    this.onPeer(socket, () => {
      this.present = undefined;
    });
    return socket;
  }
}
