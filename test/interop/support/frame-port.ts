// The test's end of a chardev socket: frames with a big-endian length before each.

import { createConnection, type Socket } from 'node:net';
import { until } from '../../netns/support/wait';

export class FramePort {
  /** Everything that has come. */
  readonly frames: Buffer[] = [];
  private rest = Buffer.alloc(0);

  private constructor(private readonly socket: Socket) {
    socket.on('data', (bytes) => this.take(bytes));
    socket.on('error', () => {});
  }

  /** Dials until the server is there, or `alive` says that it never will be. */
  static connect(path: string, alive: () => boolean): Promise<FramePort> {
    return until(`server at ${path}`, async () => {
      if (!alive()) throw new Error(`nobody serves ${path}`);
      const socket = await dial(path);
      return socket && new FramePort(socket);
    });
  }

  /** `vnetWord`: the peer has vnet_hdr_support, so a second word says how long the virtio-net header is: here 0. */
  send(frame: Buffer, vnetWord = false): void {
    const head = Buffer.alloc(vnetWord ? 8 : 4);
    head.writeUInt32BE(frame.length);
    this.socket.write(Buffer.concat([head, frame]));
  }

  close(): void {
    this.socket.destroy();
  }

  private take(bytes: Buffer): void {
    this.rest = Buffer.concat([this.rest, bytes]);
    while (this.rest.length >= 4 && this.rest.length >= 4 + this.rest.readUInt32BE(0)) {
      const end = 4 + this.rest.readUInt32BE(0);
      this.frames.push(this.rest.subarray(4, end));
      this.rest = this.rest.subarray(end);
    }
  }
}

function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}
