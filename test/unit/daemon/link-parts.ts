// Links of this process over its own sockets, and what stands between them.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { createLink, type Link } from '../../../src/daemon/link';
import { parseEndpoint } from '../../../src/io/stream/endpoint';
import type { Channel } from '../../../src/link/channel';
import type { LinkEnd } from '../../../src/link/link-channel';
import type { RecordType } from '../../../src/link/record';

export const NOTHING = new Uint8Array(0);

export class TestLinks {
  readonly said: string[] = [];
  private readonly links: Link[] = [];

  open(text: string, listens: boolean, key?: Buffer, handshakeMs?: number): Link {
    const say = (_fields: unknown, line: string) => void this.said.push(line);
    const log = { info: say, warn: say, error: say };
    const endpoint = parseEndpoint(`${text}${listens ? ',server' : ''}`);
    const made = createLink({ endpoint, key, bufferBytes: 1 << 20, handshakeMs, log });
    this.links.push(made);
    return made;
  }

  close(): void {
    for (const link of this.links) link.close();
  }
}

export function end(role: LinkEnd['role'], changes: Partial<LinkEnd> = {}): LinkEnd {
  return { vm: 'web', kind: 'packets', role, generation: 0, features: [], epoch: () => 0, ...changes };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export function say(channel: Channel, type: RecordType, text: string): void {
  const bytes = Buffer.from(text);
  expect(channel.send(type, 5, NOTHING, 0, bytes, 0, bytes.length)).toBe(true);
  channel.flush();
}

/** Stands between a dialer and its listener, as somebody on the network can. */
export class Relay {
  /** What goes on of what comes towards the listener; undefined: nothing more, the connection ends. */
  up: (bytes: Buffer) => Buffer | undefined = (bytes) => bytes;
  /** All that dialers have said, by connection. */
  readonly recorded: Buffer[][] = [];
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  constructor(private readonly target: number) {
    this.server = createServer((from) => this.between(from));
  }

  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    return typeof address === 'object' ? address!.port : 0;
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private between(from: Socket): void {
    const to = connect(this.target, '127.0.0.1');
    const said: Buffer[] = [];
    this.recorded.push(said);
    for (const socket of [from, to]) {
      this.sockets.add(socket);
      socket.on('error', () => {});
    }
    from.on('data', (bytes) => {
      said.push(bytes);
      const rest = this.up(bytes);
      if (rest === undefined) to.end();
      else to.write(rest);
    });
    to.on('data', (bytes) => from.write(bytes));
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
  }
}
