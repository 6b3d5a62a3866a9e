// A control channel between a recording daemon and carriers that are arrays.
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { type ClientEvent, JsonReply, readDatagram } from '../../../src/nfnetlink-colo/client';
import { ControlChannel, type ControlOptions } from '../../../src/nfnetlink-colo/control';
import type { NodeConfig } from '../../../src/nfnetlink-colo/node-table';
import { type Address, addressName, type Sender } from '../../../src/nfnetlink-colo/peer';
import type { Answer, InitContext, LostController, NodeControl, NodeMode, Reply } from '../../../src/node/controller';

export const PRIMARY_1: NodeConfig = { index: 1, name: 'web', role: ColoMode.PRIMARY };
export const PRIMARY_2: NodeConfig = { index: 2, name: 'mail', role: ColoMode.PRIMARY };
export const SECONDARY_1: NodeConfig = { index: 1, name: 'web', role: ColoMode.SECONDARY };

export class RecordingDaemon implements NodeControl {
  readonly calls: string[] = [];
  /** What the next actions answer. */
  result: Answer;
  /** While it is there, what can be answered later is: with the result of then. */
  later: Promise<void> | undefined;
  rules: unknown[] = [];
  hasTakenOver = false;
  /** Runs inside of checkpoint(). */
  duringCheckpoint: () => void = () => {};
  statusFields: Record<string, unknown> = {};

  init(node: number, mode: NodeMode, { how, failedOver }: InitContext): Answer {
    return this.call(
      `init ${node} mode ${['unprotected', 'primary', 'secondary'].indexOf(mode)} ${how}${failedOver ? ' failed-over' : ''}`,
    );
  }
  checkpoint(node: number): Reply {
    this.duringCheckpoint();
    return this.reply(`checkpoint ${node}`);
  }
  failover(node: number): Reply {
    return this.reply(`failover ${node}`);
  }
  reset(node: number): Reply {
    return this.reply(`reset ${node}`);
  }
  failedOver(): boolean {
    return this.hasTakenOver;
  }
  release(node: number): Reply {
    return this.reply(`release ${node}`);
  }
  controllerLost(node: number, { reason, mode, failedOver }: LostController): void {
    this.call(
      `lost ${node} mode ${['unprotected', 'primary', 'secondary'].indexOf(mode)} ${reason}${failedOver ? ' failed-over' : ''}`,
    );
  }
  status(node: number | undefined): Record<string, unknown> {
    return node === undefined ? { daemon: 'test' } : this.statusFields;
  }
  stats(node: number | undefined): Record<string, unknown> {
    return node === undefined ? {} : { pairs: 7 };
  }
  bypassList(): readonly unknown[] {
    return this.rules;
  }
  bypassAdd(node: number, rule: unknown): Answer {
    return this.call(`bypass ${node} + ${JSON.stringify(rule)}`);
  }
  bypassRemove(node: number, rule: unknown): Answer {
    return this.call(`bypass ${node} - ${JSON.stringify(rule)}`);
  }
  bypassFlush(node: number): Answer {
    return this.call(`bypass ${node} flush`);
  }

  /** The calls since the last time. */
  take(): string[] {
    return this.calls.splice(0);
  }

  private reply(what: string): Reply {
    const answer = this.call(what);
    return this.later === undefined ? answer : this.later.then(() => this.result);
  }

  private call(what: string): Answer {
    this.calls.push(what);
    return this.result;
  }
}

export class Bench {
  readonly daemon: RecordingDaemon;
  readonly channel: ControlChannel;
  /** Datagrams sent, in order. */
  readonly sent: { to: string; bytes: Buffer }[] = [];
  /** Port ids and the inodes behind them; undefined: cannot be known. */
  ports: Map<number, number> | undefined = new Map();
  /** What the carriers answer. */
  sendResult = 0;
  changes = 0;
  nowMs = 1000;

  constructor(
    nodes: readonly NodeConfig[] = [PRIMARY_1],
    options: Partial<ControlOptions> = {},
    daemon = new RecordingDaemon(),
  ) {
    this.daemon = daemon;
    const carrier = {
      send: (to: Address, bytes: Uint8Array): number => {
        if (this.sendResult === 0) this.sent.push({ to: addressName(to), bytes: Buffer.from(bytes) });
        return this.sendResult;
      },
    };
    this.channel = new ControlChannel({
      nodes,
      actions: this.daemon,
      carriers: { netlink: carrier, unix: carrier },
      probe: { ports: () => this.ports },
      allowUids: [],
      onChange: () => this.changes++,
      ...options,
    });
  }

  /** A sender on a netlink port, which exists from now on. */
  port(portId: number, uid: number | undefined = 0): Sender {
    if (this.ports !== undefined && !this.ports.has(portId)) this.ports.set(portId, 5000 + portId);
    return { address: { carrier: 'netlink', portId }, uid, pid: 100000 + portId };
  }

  unix(connection: number, uid: number | undefined = 0, pid = 200000 + connection): Sender {
    return { address: { carrier: 'unix', connection }, uid, pid };
  }

  /** Delivers a datagram, and gives the answers to it. */
  say(sender: Sender, bytes: Uint8Array | string): Buffer[] {
    const before = this.sent.length;
    // At an odd offset, so that nobody takes offset 0 for granted.
    const data = typeof bytes === 'string' ? Buffer.from(bytes.replace(/[\s|]/g, ''), 'hex') : bytes;
    const buf = Buffer.concat([Buffer.from('a5', 'hex'), data, Buffer.from('a5a5', 'hex')]);
    this.channel.receive(buf, 1, data.length, sender);
    // A carrier's buffer is the next datagram's at once.
    buf.fill(0xee);
    const answers = this.sent.slice(before);
    for (const answer of answers) expect(answer.to).toBe(addressName(sender.address));
    return answers.map((answer) => answer.bytes);
  }

  /** The same, with the answers understood. */
  ask(sender: Sender, bytes: Uint8Array | string): ClientEvent[] {
    return this.say(sender, bytes).flatMap((answer) => readDatagram(answer));
  }

  /** The same for a request whose answer is one result: its errno and words. */
  result(sender: Sender, bytes: Uint8Array | string): number | undefined {
    const events = this.ask(sender, bytes);
    if (events.length === 0) return undefined;
    expect(events.map((event) => event.kind)).toEqual(['result']);
    return (events[0] as Extract<ClientEvent, { kind: 'result' }>).result;
  }

  /** The same for a request whose answer is JSON. */
  json(sender: Sender, bytes: Uint8Array): unknown {
    const reply = new JsonReply();
    for (const event of this.ask(sender, bytes)) {
      if (event.kind === 'part') reply.add(event);
      else expect(event.kind).toBe('done');
    }
    return reply.finish();
  }

  /** Notices sent since the given number of datagrams. */
  notices(since = 0): string[] {
    return this.sent
      .slice(since)
      .filter(({ bytes }) => readDatagram(bytes)[0]?.kind === 'notice')
      .map(({ to, bytes }) => `${to} ${bytes.toString('hex')}`);
  }

  tick(ms: number): void {
    this.nowMs += ms;
    this.channel.tick(this.nowMs);
  }
}
