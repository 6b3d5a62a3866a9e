// The addon's stream sockets and its event loop without a kernel: the test is the peer, and says how much a socket
// takes, what fails and when the loop turns. For jest.mock of native/addon.

import { constants } from 'node:os';

const { EAGAIN, EINPROGRESS } = constants.errno;
const READABLE = 1;
const WRITABLE = 2;

interface Watch {
  fd: number;
  onReady: (events: number) => void;
  events: number;
}

export class FakeSocket {
  /** Said by the peer, not read. */
  incoming = Buffer.alloc(0);
  /** After that: the peer has ended (0), or an errno. */
  end: number | undefined;
  /** Bytes that the socket takes until it is full. */
  room = Number.POSITIVE_INFINITY;
  sendError = 0;
  sent: Buffer[] = [];
  closed = false;
  /** Of a socket that dials: the result of streamConnected, negative. */
  connected = 0;

  says(bytes: Uint8Array | string): void {
    this.incoming = Buffer.concat([this.incoming, Buffer.from(bytes)]);
  }

  get heard(): string {
    return Buffer.concat(this.sent).toString();
  }
}

export class FakeKernel {
  readonly sockets = new Map<number, FakeSocket>();
  /** What the next calls give instead of a descriptor, each once: -errno. */
  acceptErrors: number[] = [];
  connectErrors: number[] = [];
  /** Of whoever has dialled, by whom a listener is met. */
  waiting: FakeSocket[] = [];
  /** Made by connect calls, in their order, with what was dialled. */
  dialled: { where: string; socket: FakeSocket }[] = [];
  /** What a new outgoing socket says to streamConnected. */
  answer = 0;
  unlinked: string[] = [];
  private readonly watches = new Set<Watch>();
  private listeners = new Set<number>();
  private nextFd = 3;

  /** The addon's face, as far as it is needed here. */
  readonly addon = {
    pollStart: (fd: number, onReady: (events: number) => void): Watch => {
      const watch = { fd, onReady, events: READABLE };
      this.watches.add(watch);
      return watch;
    },
    pollEvents: (watch: Watch, events: number): number => {
      watch.events = events;
      return 0;
    },
    pollClose: (watch: Watch): void => {
      this.watches.delete(watch);
      const socket = this.sockets.get(watch.fd);
      if (socket !== undefined) socket.closed = true;
      this.listeners.delete(watch.fd);
    },
    streamListenUnix: (): number => this.listen(),
    streamListenTcp: (): number => this.listen(),
    streamPort: (): number => 4711,
    unixUnlink: (path: string): void => void this.unlinked.push(path),
    streamAccept: (): number => {
      if (this.waiting.length === 0) return -EAGAIN;
      return this.acceptErrors.shift() ?? this.add(this.waiting.shift()!);
    },
    streamConnectUnix: (path: string): number => this.connect(path),
    streamConnectTcp: (address: string, port: number): number => this.connect(`${address} ${port}`),
    streamConnected: (fd: number): number => this.sockets.get(fd)!.connected,
    streamReceive: (fd: number, buf: Uint8Array, off: number, room: number): number => {
      const socket = this.open(fd);
      if (socket.incoming.length === 0) return socket.end === undefined ? -EAGAIN : -socket.end;
      const n = socket.incoming.copy(buf, off, 0, room);
      socket.incoming = socket.incoming.subarray(n);
      return n;
    },
    streamSend: (fd: number, buf: Uint8Array, off: number, bytes: number, wrapped: number): number => {
      const socket = this.open(fd);
      if (socket.sendError !== 0) return -socket.sendError;
      if (socket.room === 0) return -EAGAIN;
      const first = Buffer.from(buf.subarray(off, off + Math.min(bytes, socket.room)));
      const second = Buffer.from(buf.subarray(0, Math.min(wrapped, socket.room - first.length)));
      const all = Buffer.concat([first, second]);
      socket.room -= all.length;
      socket.sent.push(all);
      return all.length;
    },
    streamSpin: (first: number, second: number): number =>
      this.isReadable(this.open(first)) || this.isReadable(this.open(second)) ? 1 : 0,
  };

  /** A connected socket; its descriptor. */
  add(socket: FakeSocket): number {
    const fd = this.nextFd++;
    this.sockets.set(fd, socket);
    return fd;
  }

  /** One turn of the event loop: everything that is watched and ready is called once. */
  turn(): void {
    for (const watch of [...this.watches]) {
      if (!this.watches.has(watch)) continue;
      const ready = this.ready(watch.fd);
      let events = ready & watch.events;
      // A fault shows itself as readable, whatever is watched, if anything is.
      if (watch.events !== 0 && this.sockets.get(watch.fd)?.sendError) events |= READABLE;
      if (events !== 0) watch.onReady(events);
    }
  }

  /** What is watched of a descriptor. */
  watched(fd: number): { readable: boolean; writable: boolean } {
    const events = [...this.watches].find((watch) => watch.fd === fd)?.events ?? 0;
    return { readable: (events & READABLE) !== 0, writable: (events & WRITABLE) !== 0 };
  }

  private ready(fd: number): number {
    if (this.listeners.has(fd)) return this.waiting.length > 0 ? READABLE : 0;
    const socket = this.sockets.get(fd)!;
    // A socket that dials may be called though nothing is known yet.
    if (socket.connected !== 0) return socket.connected === -EINPROGRESS ? WRITABLE : READABLE | WRITABLE;
    // What is wrong with a socket shows itself as both.
    const failed = socket.sendError !== 0 || (socket.end !== undefined && socket.end !== 0);
    return (
      (this.isReadable(socket) || failed ? READABLE : 0) |
      (socket.room > 0 || failed || socket.end === 0 ? WRITABLE : 0)
    );
  }

  private isReadable(socket: FakeSocket): boolean {
    return socket.incoming.length > 0 || socket.end !== undefined;
  }

  private open(fd: number): FakeSocket {
    const socket = this.sockets.get(fd)!;
    if (socket.closed) throw new Error(`descriptor ${fd} is used after its end`);
    return socket;
  }

  private listen(): number {
    const fd = this.nextFd++;
    this.listeners.add(fd);
    return fd;
  }

  private connect(where: string): number {
    const error = this.connectErrors.shift();
    const socket = new FakeSocket();
    socket.connected = this.answer;
    this.dialled.push({ where, socket });
    return error ?? this.add(socket);
  }
}
