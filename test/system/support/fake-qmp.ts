// A QMP server that says what the test says, for what an installed QEMU does only with a guest in COLO.

import { createServer, type Server, type Socket } from 'node:net';
import { until } from '../../netns/support/wait';

interface Request {
  execute: string;
  arguments?: Record<string, unknown>;
  id: number;
}

export class FakeQmp {
  /** What query-colo-status answers; undefined: no answer yet. */
  colo: Record<string, unknown> | undefined;
  /** Commands in the order in which they came, and what was set. */
  readonly asked: string[] = [];
  readonly set: Record<string, unknown>[] = [];
  private socket: Socket | undefined;
  private readonly unanswered: number[] = [];
  private readonly server: Server;

  constructor(path: string) {
    this.server = createServer((socket) => {
      this.socket = socket;
      socket.on('error', () => {});
      socket.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
      let rest = '';
      socket.setEncoding('utf8').on('data', (piece) => {
        const lines = (rest + String(piece)).split('\n');
        rest = lines.pop()!;
        for (const line of lines) this.request(JSON.parse(line) as Request);
      });
    }).listen(path);
  }

  async greeted(): Promise<void> {
    await until('negotiation', () => this.asked.includes('query-colo-status'));
  }

  event(name: string, data: Record<string, unknown> = {}): void {
    this.write({ event: name, data });
  }

  /** Answers the status that was asked for, and from now on at once. */
  async status(mode: string, last = 'none'): Promise<void> {
    await until('question', () => this.unanswered.length > 0);
    this.colo = { mode, 'last-mode': last, reason: 'none' };
    for (const id of this.unanswered.splice(0)) this.write({ return: this.colo, id });
  }

  /** The connection ends; the next one is served. */
  hangUp(): void {
    this.socket!.destroy();
  }

  close(): void {
    this.server.close();
    this.socket?.destroy();
  }

  private request({ execute, arguments: given, id }: Request): void {
    this.asked.push(execute);
    if (execute === 'migrate-set-parameters') this.set.push(given!);
    if (execute === 'query-migrate-parameters') {
      this.write({ return: { 'x-checkpoint-delay': 777 }, id });
      return;
    }
    if (execute !== 'query-colo-status') this.write({ return: {}, id });
    else if (this.colo === undefined) this.unanswered.push(id);
    else this.write({ return: this.colo, id });
  }

  private write(message: unknown): void {
    this.socket!.write(`${JSON.stringify(message)}\r\n`);
  }
}
