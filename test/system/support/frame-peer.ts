// The other end of a socket that carries frames: sends and collects them, with code of its own.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export function frame(data: Buffer | string, vnet?: number): Buffer {
  const bytes = Buffer.from(data);
  const head = Buffer.alloc(vnet === undefined ? 4 : 8);
  head.writeUInt32BE(bytes.length, 0);
  if (vnet !== undefined) head.writeUInt32BE(vnet, 4);
  return Buffer.concat([head, bytes]);
}

export class FramePeer {
  /** Whole frames that have arrived, oldest first, with the vnet word where there is one. */
  readonly frames: Buffer[] = [];
  readonly vnets: number[] = [];
  closed = false;
  private rest = Buffer.alloc(0);

  constructor(
    readonly socket: Socket,
    private readonly headBytes: 4 | 8 = 4,
  ) {
    socket.on('data', (piece: Buffer) => this.take(piece));
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', () => {});
  }

  static connect(path: string, headBytes: 4 | 8 = 4): Promise<FramePeer> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new FramePeer(socket, headBytes));
      });
    });
  }

  send(data: Buffer | string, vnet?: number): void {
    this.socket.write(frame(data, vnet));
  }

  raw(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  texts(): string[] {
    return this.frames.map((f) => f.toString('latin1'));
  }

  /** Stops reading, so that whoever sends fills the socket. */
  stall(): void {
    this.socket.pause();
  }

  close(): void {
    this.socket.destroy();
  }

  private take(piece: Buffer): void {
    this.rest = Buffer.concat([this.rest, piece]);
    const { headBytes } = this;
    while (this.rest.length >= headBytes) {
      const end = headBytes + this.rest.readUInt32BE(0);
      if (this.rest.length < end) return;
      this.frames.push(Buffer.from(this.rest.subarray(headBytes, end)));
      if (headBytes === 8) this.vnets.push(this.rest.readUInt32BE(4));
      this.rest = Buffer.from(this.rest.subarray(end));
    }
  }
}

/** A TCP or Unix server for one peer after another. */
export class FrameServer {
  readonly peers: FramePeer[] = [];
  private readonly server: Server;

  constructor() {
    this.server = createServer((socket) => this.peers.push(new FramePeer(socket)));
  }

  listen(where: string | number): Promise<number> {
    return new Promise((resolve) => {
      const ready = () => resolve(typeof where === 'string' ? 0 : (this.server.address() as AddressInfo).port);
      if (typeof where === 'string') this.server.listen(where, ready);
      else this.server.listen(where, '127.0.0.1', ready);
    });
  }

  close(): void {
    this.server.close();
    for (const peer of this.peers) peer.close();
  }
}
