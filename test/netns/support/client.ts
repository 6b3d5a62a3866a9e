// The client program of a laboratory (guest/client.js): one process, many transfers.

import { join } from 'node:path';
import { ROOT } from '../../lib/root';
import type { Lab, LabProcess } from '../lab';
import { until } from './wait';

/** What the client program says of a transfer; which fields depends on the operation. */
export interface Outcome {
  event: 'done' | 'failed';
  error?: string;
  bytes?: number;
  sha256?: string;
  /** Longest time between two pieces, in ms, the pauses of a limited rate left out. */
  gapMs?: number;
  text?: string;
  answers?: string[];
  good?: number;
  connections?: number;
}

export interface Order {
  op: 'get' | 'dial' | 'upload' | 'keepalive' | 'text' | 'udp' | 'send';
  host: string;
  port: number;
  bytes?: number;
  /** Bytes per second. */
  rate?: number;
  /** Port that the guest calls from and to. */
  local?: number;
  count?: number;
  path?: string;
  messages?: string[];
  text?: string;
}

export interface Transfer {
  readonly order: Order;
  begun: boolean;
  outcome: Outcome | undefined;
}

export class Client {
  private readonly transfers = new Map<number, Transfer>();
  private rest = '';
  private serial = 0;
  private ready = false;

  private constructor(private readonly process: LabProcess) {
    process.child.stdout!.on('data', (chunk: Buffer) => this.take(chunk.toString()));
  }

  static async start(lab: Lab): Promise<Client> {
    const program = join(ROOT, 'test', 'netns', 'guest', 'client.js');
    const client = new Client(lab.spawn('client', 'node', [program], { stdio: ['pipe', 'pipe', 'pipe'] }));
    await until('client program', () => client.ready);
    return client;
  }

  /** Begins a transfer. */
  begin(order: Order): Transfer {
    const id = ++this.serial;
    const transfer: Transfer = { order, begun: false, outcome: undefined };
    this.transfers.set(id, transfer);
    this.process.child.stdin!.write(`${JSON.stringify({ id, ...order })}\n`);
    return transfer;
  }

  /** Its end. Throws when it does not end in time, or ends badly. */
  async finish(transfer: Transfer, timeoutMs = 90_000): Promise<Outcome> {
    const { order } = transfer;
    const outcome = await until(`end of ${JSON.stringify(order)}`, () => transfer.outcome, timeoutMs);
    if (outcome.event === 'failed') throw new Error(`${JSON.stringify(order)}: ${outcome.error}`);
    return outcome;
  }

  run(order: Order, timeoutMs?: number): Promise<Outcome> {
    return this.finish(this.begin(order), timeoutMs);
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    for (const line of lines) {
      const said = JSON.parse(line) as Omit<Outcome, 'event'> & { id: number; event: string };
      if (said.event === 'ready') this.ready = true;
      const transfer = this.transfers.get(said.id);
      if (transfer === undefined) continue;
      if (said.event === 'begun') transfer.begun = true;
      else {
        transfer.outcome = said as Outcome;
        this.transfers.delete(said.id);
      }
    }
  }
}
