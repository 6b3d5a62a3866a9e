// A client of QEMU's machine protocol (QMP): one JSON object a line both ways, a greeting, commands with ids, events
// between the answers. A stream that reconnects lives through restarts of QEMU. Source: QEMU's docs/interop/qmp-spec.
//
//            onOpen              greeting: {"QMP": ...}           answer to qmp_capabilities
//   closed ---------> greeting ------------------------> negotiating ------------------------> ready
//      ^                                                                                         |
//      +-------------- the connection ends, or says what is no QMP: from any state <-------------+
//
// Commands are executed in order by QEMU's main loop, which may stand still for seconds (a disk that is flushed). One
// sent *out of band* is executed at once, beside the loop, and its answer may come before those of earlier commands.
// Few commands can be (`yank`).

import type { ByteStream, ConnectStream } from '../core/byte-stream';
import { OperatorError } from '../core/errors';
import { MAX_QMP_IN_BAND, MAX_QMP_MESSAGE_BYTES, MAX_QMP_OUT_OF_BAND } from '../core/limits';
import type { Log } from '../core/log';

const NEWLINE = 0x0a;
/** The capability that QEMU offers in its greeting. */
const OOB = 'oob';

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

/** Called once: with what QEMU returned, or with QmpError or OperatorError. May be called before ask() returns. */
export type Answered = (error: Error | undefined, value: unknown) => void;

export interface QmpCommand {
  execute: string;
  arguments?: Record<string, unknown> | undefined;
  /** To be executed even while QEMU's main loop stands still; refused where `outOfBand` is false. */
  outOfBand?: boolean;
}

export class QmpClient {
  private readonly stream: ByteStream;
  private readonly inBand = new Map<number, Answered>();
  private readonly outBand = new Map<number, Answered>();
  private state: 'closed' | 'greeting' | 'negotiating' | 'ready' = 'closed';
  private oob = false;
  private nextId = 1;

  constructor(
    connect: ConnectStream,
    private readonly events: QmpEvents,
    private readonly log: Log,
  ) {
    this.stream = connect({
      onOpen: () => {
        this.state = 'greeting';
        this.oob = false;
      },
      onData: (buf, from, to) => this.receive(buf, from, to),
      onClose: (why) => this.ended(why),
    });
  }

  /** See ByteStream.open(). */
  open(): Promise<void> {
    return this.stream.open();
  }

  get ready(): boolean {
    return this.state === 'ready';
  }

  /** This QEMU executes commands out of band. */
  get outOfBand(): boolean {
    return this.ready && this.oob;
  }

  /**
   * Rejects with QmpError for QEMU's refusal, and with OperatorError when there is no connection or it ends before the
   * answer.
   */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    return this.promised({ execute: command, arguments: args });
  }

  /** As execute(), out of band. */
  executeOutOfBand(command: string, args?: Record<string, unknown>): Promise<unknown> {
    return this.promised({ execute: command, arguments: args, outOfBand: true });
  }

  /** As execute(), answered within the turn of the event loop in which the answer is read. */
  ask(command: QmpCommand, answered: Answered): void {
    if (this.state !== 'ready') answered(this.gone('it is not connected'), undefined);
    else if (command.outOfBand === true && !this.oob) {
      answered(
        this.gone(`this QEMU executes nothing out of band, so ${command.execute} would wait for its main loop`),
        undefined,
      );
    } else this.send(command, answered);
  }

  /** For good. Commands without an answer are rejected, onClose does not come. */
  close(): void {
    this.stream.close();
    this.state = 'closed';
    this.rejectAll('it was closed');
  }

  private promised(command: QmpCommand): Promise<unknown> {
    return new Promise((resolve, reject) =>
      this.ask(command, (error, value) => (error === undefined ? resolve(value) : reject(error))),
    );
  }

  private send({ execute, arguments: args, outOfBand = false }: QmpCommand, answered: Answered): void {
    const [waiting, most] = outOfBand ? [this.outBand, MAX_QMP_OUT_OF_BAND] : [this.inBand, MAX_QMP_IN_BAND];
    if (waiting.size >= most) {
      answered(this.gone(`${most} commands have no answer yet`), undefined);
      return;
    }
    const id = this.nextId++;
    const command = { [outOfBand ? 'exec-oob' : 'execute']: execute, arguments: args, id };
    // The answer may come while it is being sent.
    waiting.set(id, answered);
    if (this.stream.send(`${JSON.stringify(command)}\n`) || !waiting.delete(id)) return;
    answered(this.gone(`${execute} does not fit into what is still to be sent`), undefined);
  }

  private receive(buf: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const found = buf.indexOf(NEWLINE, at);
      const end = found < 0 || found >= to ? -1 : found;
      if ((end < 0 ? to : end) - at > MAX_QMP_MESSAGE_BYTES)
        return this.giveUp(`a message of more than ${MAX_QMP_MESSAGE_BYTES} bytes`, to - from);
      if (end < 0) break;
      const text = buf.toString('utf8', at, end).trim();
      at = end + 1;
      if (text === '') continue;
      const wrong = this.message(text);
      if (wrong !== undefined) return this.giveUp(wrong, to - from);
      // The event's handler has ended the connection: the rest is dropped.
      if (this.state === 'closed') return to - from;
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
    if (this.state === 'greeting') return this.greeted(message);
    if (typeof message.event !== 'string') this.answer(message);
    // Before the negotiation's end there are no events.
    else if (this.state === 'ready') this.events.onEvent(message.event, record(message.data));
    return undefined;
  }

  private greeted(message: Record<string, unknown>): string | undefined {
    if (message.QMP === undefined) return 'no greeting: is it a QMP socket?';
    this.state = 'negotiating';
    const { capabilities } = record(message.QMP);
    const offered = Array.isArray(capabilities) && capabilities.includes(OOB);
    this.send({ execute: 'qmp_capabilities', arguments: offered ? { enable: [OOB] } : undefined }, (error) => {
      if (error !== undefined) {
        this.log.error({ qmp: this.stream.name, error: error.message }, 'QMP refuses to begin');
        return;
      }
      this.oob = offered;
      this.state = 'ready';
      this.events.onReady();
    });
    return undefined;
  }

  private answer(message: Record<string, unknown>): void {
    const id = message.id as number;
    const answered = this.inBand.get(id) ?? this.outBand.get(id);
    // Without an id it is about a line that QEMU could not read; ours it can.
    if (answered === undefined) return;
    if (!this.inBand.delete(id)) this.outBand.delete(id);
    if (message.error === undefined) {
      answered(undefined, message.return);
      return;
    }
    const error = record(message.error);
    answered(new QmpError(String(error.class), String(error.desc)), undefined);
  }

  private giveUp(why: string, all: number): number {
    this.log.warn({ qmp: this.stream.name, why }, 'the QMP connection is closed');
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
    const all = [...this.inBand.values(), ...this.outBand.values()];
    this.inBand.clear();
    this.outBand.clear();
    for (const answered of all) answered(this.gone(why), undefined);
  }

  private gone(why: string): OperatorError {
    return new OperatorError('EQMP', `QMP at ${this.stream.name}: ${why}`);
  }
}

/** QEMU's value where an object is expected; anything else has no properties. */
function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
