// The other end of a character device, as QEMU or libxl would be it: a plain socket that keeps the frames it gets.

import { connect, createServer, type Socket } from 'node:net';
import { onTheWire } from './build-frame';

const STEP_MS = 5;
const PATIENCE_MS = 60_000;

/** Waits until it is so; no time is asserted, a test that waits in vain fails. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}

export class ChardevPeer {
  closed = false;
  bytes = Buffer.alloc(0);
  private chunks: Buffer[] = [];

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk) => this.chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  static async dial(where: { path: string } | { port: number }): Promise<ChardevPeer> {
    const socket = 'path' in where ? connect(where.path) : connect(where.port, '127.0.0.1');
    const peer = new ChardevPeer(socket);
    await until(() => !socket.connecting || peer.closed, 'a connection');
    return peer;
  }

  /** Listens, and gives the first that dials. */
  static serve(path: string): { first: Promise<ChardevPeer>; close(): void } {
    const server = createServer();
    const first = new Promise<ChardevPeer>((resolve) => {
      server.on('connection', (socket) => resolve(new ChardevPeer(socket)));
    });
    server.listen(path);
    return { first, close: () => server.close() };
  }

  write(...frames: Buffer[]): this {
    this.socket.write(Buffer.concat(frames.map((frame) => onTheWire(frame))));
    return this;
  }

  raw(bytes: Buffer): this {
    this.socket.write(bytes);
    return this;
  }

  say(text: string): this {
    return this.write(Buffer.from(text));
  }

  /** Puts all that has come into `bytes`; returns how many they are. */
  heard(): number {
    this.bytes = Buffer.concat([this.bytes, ...this.chunks]);
    this.chunks = [];
    return this.bytes.length;
  }

  /** Whole frames that have come so far; those of this and earlier calls stay. */
  frames(): Buffer[] {
    this.heard();
    const out: Buffer[] = [];
    for (let at = 0; at + 4 <= this.bytes.length; ) {
      const len = this.bytes.readUInt32BE(at);
      if (at + 4 + len > this.bytes.length) break;
      out.push(this.bytes.subarray(at + 4, at + 4 + len));
      at += 4 + len;
    }
    return out;
  }

  texts(): string[] {
    return this.frames().map((frame) => frame.toString('latin1'));
  }

  async end(): Promise<void> {
    this.socket.destroy();
    await until(() => this.closed, 'the end of a connection');
  }
}
