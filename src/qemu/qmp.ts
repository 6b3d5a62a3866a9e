// A client of QEMU's machine protocol (QMP): one JSON object a line both ways, a greeting, commands with ids, events between the
// answers. Over any socket that a character device can be; with `reconnect` it lives through restarts of QEMU.

import { openChardev, type StreamFactory } from '../chardev/device';
import { OperatorError } from '../core/errors';
import type { Log } from '../core/log';
import { type Chardev, type Endpoint, formatEndpoint } from '../io/stream/chardev';

/** A longer message ends the connection; the longest that is asked for here has some kilobytes. */
export const MAX_MESSAGE_BYTES = 256 << 10;
const RECEIVE_BYTES = 1 << 20;
const SEND_BYTES = 64 << 10;
/** Commands without an answer at once; a further one is refused. */
const MAX_PENDING = 64;
const NEWLINE = 0x0a;

/** QEMU's answer was an error. */
export class QmpError extends Error {
  constructor(
    readonly errorClass: string,
    desc: string,
  ) {
    super(desc);
    this.name = 'QmpError';
  }
}

export interface QmpEvents {
  /** Greeted and negotiated: commands may be executed. */
  onReady(): void;
  onEvent(name: string, data: Record<string, unknown>): void;
  /** Only after onReady. */
  onClose(why: string): void;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class QmpClient {
  private readonly stream: Chardev;
  private readonly pending = new Map<number, Pending>();
  private state: 'closed' | 'greeting' | 'negotiating' | 'ready' = 'closed';
  private nextId = 1;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly events: QmpEvents,
    private readonly log: Log,
    open: StreamFactory = openChardev,
  ) {
    this.stream = open(
      endpoint,
      {
        onOpen: () => {
          this.state = 'greeting';
        },
        onData: (buf, from, to) => this.receive(buf, from, to),
        onClose: (why) => this.ended(why),
      },
      { receiveBytes: RECEIVE_BYTES, sendBytes: SEND_BYTES },
    );
  }

  /** See Chardev.open(). */
  open(): Promise<void> {
    return this.stream.open();
  }

  get ready(): boolean {
    return this.state === 'ready';
  }

  /** Rejects with QmpError for QEMU's refusal, and with OperatorError when there is no connection or it ends before the answer. */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    if (this.state !== 'ready') return Promise.reject(this.gone('it is not connected'));
    return this.send(command, args);
  }

  /** For good. Commands without an answer are rejected, onClose does not come. */
  close(): void {
    this.stream.close();
    this.state = 'closed';
    this.rejectAll('it was closed');
  }

  private send(command: string, args?: Record<string, unknown>): Promise<unknown> {
    if (this.pending.size >= MAX_PENDING)
      return Promise.reject(this.gone(`${MAX_PENDING} commands have no answer yet`));
    const id = this.nextId++;
    const text = `${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id })}\n`;
    const bytes = Buffer.byteLength(text);
    const at = bytes > SEND_BYTES ? -1 : this.stream.reserve(bytes);
    if (at < 0) return Promise.reject(this.gone(`${command} does not fit into what is still to be sent`));
    this.stream.out.write(text, at);
    this.stream.commit(bytes);
    this.stream.flush();
    return new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
  }

  private receive(buf: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const found = buf.indexOf(NEWLINE, at);
      const end = found < 0 || found >= to ? -1 : found;
      if ((end < 0 ? to : end) - at > MAX_MESSAGE_BYTES)
        return this.giveUp(`a message of more than ${MAX_MESSAGE_BYTES} bytes`, to - from);
      if (end < 0) break;
      const text = buf.toString('utf8', at, end).trim();
      at = end + 1;
      if (text === '') continue;
      const wrong = this.message(text);
      if (wrong !== undefined) return this.giveUp(wrong, to - from);
    }
    return at - from;
  }

  /** What is wrong with the message, if anything. */
  private message(text: string): string | undefined {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(text) as Record<string, unknown>;
    } catch {
      return 'a line that is no JSON';
    }
    if (typeof message !== 'object' || message === null) return 'a line that is no object';
    if (this.state === 'greeting') {
      if (message.QMP === undefined) return 'no greeting: is it a QMP socket?';
      this.state = 'negotiating';
      this.send('qmp_capabilities').then(
        () => {
          this.state = 'ready';
          this.events.onReady();
        },
        (error: Error) =>
          this.log.error({ qmp: formatEndpoint(this.endpoint), error: error.message }, 'QMP refuses to begin'),
      );
    } else if (typeof message.event === 'string') {
      // Before the negotiation's end there are none.
      this.events.onEvent(message.event, (message.data ?? {}) as Record<string, unknown>);
    } else {
      this.answer(message);
    }
    return undefined;
  }

  private answer(message: Record<string, unknown>): void {
    const waiting = this.pending.get(message.id as number);
    // Without an id it is about a line that QEMU could not read; ours it can.
    if (waiting === undefined) return;
    this.pending.delete(message.id as number);
    const error = message.error as { class?: string; desc?: string } | undefined;
    if (error === undefined) waiting.resolve(message.return);
    else waiting.reject(new QmpError(String(error.class), String(error.desc)));
  }

  private giveUp(why: string, all: number): number {
    this.log.warn({ qmp: formatEndpoint(this.endpoint), why }, 'the QMP connection is closed');
    this.stream.disconnect(why);
    return all;
  }

  private ended(why: string): void {
    const was = this.state;
    this.state = 'closed';
    this.rejectAll(why);
    if (was === 'ready') this.events.onClose(why);
  }

  private rejectAll(why: string): void {
    const all = [...this.pending.values()];
    this.pending.clear();
    for (const { reject } of all) reject(this.gone(why));
  }

  private gone(why: string): OperatorError {
    return new OperatorError('EQMP', `QMP at ${formatEndpoint(this.endpoint)}: ${why}`);
  }
}
