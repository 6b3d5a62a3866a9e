// A QEMU as its monitor (QMP) shows it: greeting, negotiation, commands in and out of band, a guest that stops and goes
// on, COLO with its checkpoints and its end. It does nothing by itself: bytes and commands move only by run() and
// deliver(), so a test or a simulated world can produce every order.
//
// As in QEMU (docs/interop/qmp-spec): commands of one connection are executed in order by the main loop; out of band at
// once, if that was offered and taken; with eight commands waiting for the loop nothing more is read.

import type { ByteStream, ByteStreamEvents, ConnectStream } from '../core/byte-stream';
import { invariant } from '../core/errors';

const COMMANDS_READ_AHEAD = 8;
const BAD = 'GenericError';
const NOT_FOUND = 'CommandNotFound';
/** QEMU has few more. */
const OUT_OF_BAND: ReadonlySet<string> = new Set(['yank', 'query-yank']);

type Values = Record<string, unknown>;
export type ColoMode = 'none' | 'primary' | 'secondary';

interface Request {
  execute: string;
  arguments: Values;
  id: unknown;
}

class Refused extends Error {
  constructor(
    readonly errorClass: string,
    desc: string,
  ) {
    super(desc);
  }
}

export class FakeQemu {
  /** Whether it offers the execution out of band. */
  offersOutOfBand = true;
  /** The main loop is blocked: nothing in band is executed. */
  stuck = false;
  /** Commands that are executed, but answered only at answerWithheld(). */
  readonly withheld = new Set<string>();
  /** Commands that it refuses, and why. */
  readonly refusals = new Map<string, string>();
  /** Executed commands, in order. */
  readonly executed: string[] = [];
  /** Parameters set by migrate-set-parameters. */
  readonly set: Values[] = [];
  colo = { mode: 'none' as ColoMode, 'last-mode': 'none' as ColoMode, reason: 'none' };
  running = true;
  /** A checkpoint was asked for while COLO runs. */
  onCheckpointRequest = (): void => {};
  /** Called when there may be something to run or to deliver. */
  onWork = (): void => {};
  private client: ByteStreamEvents | undefined;
  private connected = false;
  private negotiated = false;
  private outOfBand = false;
  private readonly parameters: Values = { 'x-checkpoint-delay': 20_000 };
  private input = '';
  private readonly waiting: Request[] = [];
  private readonly unanswered: (() => void)[] = [];
  private output = '';
  /** Delivered bytes that the client has not read. */
  private unread = Buffer.alloc(0);

  /** The client's side. */
  readonly connect: ConnectStream = (events) => {
    this.client = events;
    const stream: ByteStream = {
      name: 'a false QEMU',
      open: () => Promise.resolve(),
      send: (text) => {
        if (!this.connected) return false;
        this.hear(text);
        return true;
      },
      disconnect: (why) => this.hangUp(why),
      close: () => {
        this.forget();
        this.client = undefined;
      },
    };
    return stream;
  };

  get isConnected(): boolean {
    return this.connected;
  }

  /** A command of this name waits for the main loop. */
  isAsked(command: string): boolean {
    return this.waiting.some(({ execute }) => execute === command);
  }

  /** Takes the client's connection. */
  accept(): void {
    invariant(this.client !== undefined && !this.connected, 'one client at a time');
    this.connected = true;
    this.client.onOpen();
    this.say({ QMP: { version: {}, capabilities: this.offersOutOfBand ? ['oob'] : [] } });
  }

  /** The connection ends, with what was under way on it. */
  hangUp(why = 'the peer has closed the connection'): void {
    if (!this.connected) return;
    this.forget();
    this.client?.onClose(why);
  }

  /** Bytes of the client. */
  hear(text: string): void {
    this.input += text;
    this.read();
    this.onWork();
  }

  /** Executes up to `most` of the commands that wait for the main loop. */
  run(most = Number.POSITIVE_INFINITY): void {
    while (most-- > 0 && !this.stuck && this.waiting.length > 0) {
      this.execute(this.waiting.shift()!);
      this.read();
    }
  }

  /** Delivers the next `bytes` of QEMU's output to the client. False: there was none. */
  deliver(bytes = Number.POSITIVE_INFINITY): boolean {
    const { client } = this;
    if (this.output === '' || client === undefined) return false;
    const all = Buffer.from(this.output);
    this.output = all.subarray(Math.min(bytes, all.length)).toString();
    const given = Buffer.concat([this.unread, all.subarray(0, bytes)]);
    this.unread = Buffer.alloc(0);
    const taken = client.onData(given, 0, given.length);
    if (this.connected) this.unread = Buffer.from(given.subarray(taken));
    return true;
  }

  /** Runs and delivers until nothing is left. */
  settle(): void {
    do this.run();
    while (this.deliver());
  }

  answerWithheld(): void {
    for (const answer of this.unanswered.splice(0)) answer();
  }

  /** Sends any ASCII text as it is: half lines, or no JSON at all. */
  sayRaw(text: string): void {
    if (!this.connected) return;
    this.output += text;
    this.onWork();
  }

  event(name: string, data: Values = {}): void {
    if (this.negotiated) this.say({ event: name, data, timestamp: { seconds: 0, microseconds: 0 } });
  }

  /** Undelivered output is lost. */
  drop(): void {
    this.output = '';
  }

  // The guest

  enterColo(mode: ColoMode): void {
    this.colo = { mode, 'last-mode': 'none', reason: 'none' };
  }

  stopGuest(): void {
    if (!this.running) return;
    this.running = false;
    this.event('STOP');
  }

  resumeGuest(): void {
    if (this.running) return;
    this.running = true;
    this.event('RESUME');
  }

  /** The other side is gone. COLO goes on until somebody decides. */
  loseOther(): void {
    this.event('COLO_EXIT', { mode: this.colo.mode, reason: 'error' });
  }

  /** It goes on alone (x-colo-lost-heartbeat). */
  goAlone(): void {
    const { mode } = this.colo;
    this.stopGuest();
    this.colo = { mode: 'none', 'last-mode': mode, reason: 'request' };
    this.resumeGuest();
    this.event('COLO_EXIT', { mode, reason: 'request' });
  }

  // The monitor

  private say(message: Values): void {
    this.sayRaw(`${JSON.stringify(message)}\r\n`);
  }

  private read(): void {
    while (this.waiting.length < COMMANDS_READ_AHEAD) {
      const end = this.input.indexOf('\n');
      if (end < 0) return;
      const line = this.input.slice(0, end);
      this.input = this.input.slice(end + 1);
      this.request(line);
    }
  }

  private request(line: string): void {
    let message: Values;
    try {
      message = JSON.parse(line) as Values;
    } catch {
      this.say({ error: { class: BAD, desc: 'JSON parse error' } });
      return;
    }
    const { id } = message;
    const given = (message.arguments ?? {}) as Values;
    if (message['exec-oob'] === undefined) {
      this.waiting.push({ execute: String(message.execute), arguments: given, id });
    } else if (!this.outOfBand || !OUT_OF_BAND.has(String(message['exec-oob']))) {
      this.say({ error: { class: BAD, desc: 'it cannot be executed out of band' }, id });
    } else this.execute({ execute: String(message['exec-oob']), arguments: given, id });
  }

  private execute({ execute, arguments: given, id }: Request): void {
    this.executed.push(execute);
    let answer: Values;
    try {
      answer = { return: this.result(execute, given), id };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      answer = { error: { class: error.errorClass, desc: error.message }, id };
    }
    if (this.withheld.has(execute)) this.unanswered.push(() => this.say(answer));
    else this.say(answer);
  }

  private result(command: string, given: Values): unknown {
    const refusal = this.refusals.get(command);
    if (refusal !== undefined) throw new Refused(BAD, refusal);
    if (command === 'qmp_capabilities') return this.negotiate(given.enable);
    if (!this.negotiated) throw new Refused(NOT_FOUND, "Expecting capabilities negotiation with 'qmp_capabilities'");
    switch (command) {
      case 'query-status':
        return {
          running: this.running,
          status: this.running ? 'running' : this.colo.mode === 'none' ? 'paused' : 'colo',
        };
      case 'query-colo-status':
        return { ...this.colo };
      case 'query-migrate-parameters':
        return { ...this.parameters };
      case 'migrate-set-parameters':
        this.set.push(given);
        Object.assign(this.parameters, given);
        if (given['x-checkpoint-delay'] !== undefined && this.colo.mode === 'primary') this.onCheckpointRequest();
        return {};
      case 'x-colo-lost-heartbeat':
        if (this.colo.mode === 'none') throw new Refused(BAD, "The feature 'colo' is not enabled");
        this.goAlone();
        return {};
      case 'stop':
        this.stopGuest();
        return {};
      case 'cont':
        this.resumeGuest();
        return {};
      case 'xen-colo-do-checkpoint':
      case 'x-blockdev-change':
      case 'yank':
        return {};
      case 'query-yank':
        return [];
      default:
        throw new Refused(NOT_FOUND, `The command ${command} has not been found`);
    }
  }

  private negotiate(enable: unknown): Values {
    if (this.negotiated) throw new Refused(NOT_FOUND, 'Capabilities negotiation is already complete, command ignored');
    const wanted = Array.isArray(enable) ? enable : [];
    if (wanted.includes('oob') && !this.offersOutOfBand) throw new Refused(BAD, 'Capability oob is not available');
    this.outOfBand = wanted.includes('oob');
    this.negotiated = true;
    return {};
  }

  private forget(): void {
    this.connected = false;
    this.negotiated = false;
    this.outOfBand = false;
    this.input = '';
    this.output = '';
    this.waiting.length = 0;
    this.unanswered.length = 0;
    this.unread = Buffer.alloc(0);
  }
}
