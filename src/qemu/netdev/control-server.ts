// The control socket of a netdev: a Unix stream socket of mode 0600, one JSON object a line, answered in order.

import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { OperatorError } from '../../core/errors';
import { type Controlled, execute } from './control-commands';

/** A longer line ends the connection. */
export const MAX_LINE_BYTES = 64 << 10;
/** Bytes of answers that a client has not read; more end its connection. */
const MAX_UNREAD_BYTES = 1 << 20;
const MAX_CONNECTIONS = 16;

export class ControlServer {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  constructor(
    private readonly path: string,
    private readonly netdev: Controlled,
  ) {
    this.server = createServer((socket) => this.serve(socket));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /** Throws OperatorError. A socket file left by a dead server is replaced. */
  async open(): Promise<void> {
    const found = lstatSync(this.path, { throwIfNoEntry: false });
    if (found !== undefined) {
      if (!found.isSocket()) {
        throw new OperatorError(
          'EEXIST',
          `listening at ${this.path}: there is a file that is no socket`,
          'remove it or choose another path',
        );
      }
      if (!(await isServed(this.path))) unlinkSync(this.path);
    }
    // bind() makes the file within this call: nobody else can ever open it.
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.server.once('error', reject);
        this.server.listen(this.path, () => resolve());
      });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new OperatorError(
        code ?? 'EBIND',
        `listening at ${this.path}: ${message}`,
        code === 'EADDRINUSE'
          ? 'end the program that serves it, or choose another path'
          : 'choose a path in an existing directory in which this user may write',
        { cause: error },
      );
    } finally {
      process.umask(mask);
    }
  }

  /** Idempotent; removes the path. */
  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let rest = '';
    socket.setEncoding('utf8').on('data', (piece) => {
      const lines = (rest + String(piece)).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (socket.destroyed) return;
        if (line.trim() !== '') socket.write(`${JSON.stringify(execute(this.netdev, line))}\n`);
        if (line.length > MAX_LINE_BYTES || socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
      }
      if (rest.length > MAX_LINE_BYTES) socket.destroy();
    });
  }
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}
