// The false QEMU behind a socket, for what an installed QEMU does only with a guest in COLO.

import { createServer, type Server, type Socket } from 'node:net';
import { type ColoMode, FakeQemu } from '../../../src/sim/fake-qemu';
import { until } from '../../netns/support/wait';

export class FakeQmp {
  private readonly qemu = new FakeQemu();
  private readonly server: Server;
  private socket: Socket | undefined;

  constructor(path: string) {
    const stream = this.qemu.connect({
      onOpen: () => {},
      onData: (buf, from, to) => {
        this.socket!.write(Buffer.from(buf.subarray(from, to)));
        return to - from;
      },
      onClose: () => this.socket!.destroy(),
    });
    this.qemu.onWork = () => this.qemu.settle();
    this.server = createServer((socket) => {
      this.socket = socket;
      socket.on('error', () => {});
      socket.on('close', () => this.qemu.hangUp());
      socket.setEncoding('utf8').on('data', (text) => stream.send(String(text)));
      this.qemu.accept();
    }).listen(path);
  }

  /** Commands in the order in which they were executed, and what was set. */
  get asked(): readonly string[] {
    return this.qemu.executed;
  }

  get set(): readonly Record<string, unknown>[] {
    return this.qemu.set;
  }

  /** The main loop stands still: nothing in band is answered. */
  stall(): void {
    this.qemu.stuck = true;
  }

  /** What it is in COLO from now on, or was. Questions are answered. */
  is(mode: ColoMode, last: ColoMode = 'none'): void {
    this.qemu.colo = { mode, 'last-mode': last, reason: 'none' };
    this.qemu.stuck = false;
    this.qemu.settle();
  }

  event(name: string, data: Record<string, unknown> = {}): void {
    this.qemu.event(name, data);
  }

  /** As is(), of what it was asked before. */
  async status(mode: ColoMode, last: ColoMode = 'none'): Promise<void> {
    await until('question', () => this.qemu.isAsked('query-colo-status'));
    this.is(mode, last);
  }

  /** The connection ends; the next one is served. */
  hangUp(): void {
    this.socket!.destroy();
  }

  close(): void {
    this.server.close();
    this.socket?.destroy();
  }
}
