// What a hypervisor does on the control channel, as small as it can be: says INIT, counts the notices, sends commands.

import { ask } from '../../../src/cli/control-client';
import { connectSeqpacket, type SeqpacketConnection } from '../../../src/io/seqpacket';
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation2, own, readDatagram } from '../../../src/nfnetlink-colo/client';

export const NODE_INDEX = 1;

export interface NodeStats {
  counters: Record<string, number>;
  /** Checkpoint requests by cause. */
  requests: Record<string, number>;
  gauges: Record<string, number>;
}

export class Controller {
  /** KERNEL_NOTIFYs that have come. */
  notices = 0;
  closed = false;
  onNotice: (() => void) | undefined;
  private readonly connection: SeqpacketConnection;
  private readonly waiting: ((result: number) => void)[] = [];

  constructor(
    readonly path: string,
    readonly role: 'primary' | 'secondary',
  ) {
    this.connection = connectSeqpacket(path, {
      onMessage: (bytes) => {
        for (const event of readDatagram(Uint8Array.from(bytes))) {
          if (event.kind === 'result') this.waiting.shift()?.(event.result);
          if (event.kind === 'notice' && event.wanted) {
            this.notices++;
            this.onNotice?.();
          }
        }
      },
      onClose: () => {
        this.closed = true;
        for (const answer of this.waiting.splice(0)) answer(Number.NaN);
      },
    });
  }

  get mode(): ColoMode {
    return this.role === 'primary' ? ColoMode.PRIMARY : ColoMode.SECONDARY;
  }

  /** Gives the errno of the answer. */
  init(): Promise<number> {
    return this.exchange(generation2.init(this.mode, { pid: NODE_INDEX, ack: true }));
  }

  async checkpoint(): Promise<void> {
    await this.command(generation2.checkpoint(this.mode, { pid: NODE_INDEX, ack: true }), 'DO_CHECKPOINT');
  }

  async failover(): Promise<void> {
    await this.command(generation2.failover(this.mode, { pid: NODE_INDEX, ack: true }), 'DO_FAILOVER');
  }

  async reset(): Promise<void> {
    await this.command(generation2.reset(this.mode, { pid: NODE_INDEX, ack: true }), 'PROXY_RESET');
  }

  async bypassAdd(rule: object): Promise<void> {
    await ask(this.path, own.bypassAdd(rule, { node: NODE_INDEX }));
  }

  async stats(): Promise<NodeStats> {
    const reply = (await ask(this.path, own.stats({ node: NODE_INDEX }))) as { nodes: NodeStats[] };
    return reply.nodes[0]!;
  }

  async status(): Promise<Record<string, unknown> & { state: string; heldPackets: number }> {
    const reply = (await ask(this.path, own.status({ node: NODE_INDEX }))) as { nodes: never[] };
    return reply.nodes[0]!;
  }

  /** As a controller that dies: the connection ends without a word. */
  close(): void {
    this.connection.close();
    this.closed = true;
  }

  private async command(request: Uint8Array, name: string): Promise<void> {
    const result = await this.exchange(request);
    if (result !== 0) throw new Error(`${this.role}: ${name} was answered with ${result}`);
  }

  private exchange(request: Uint8Array): Promise<number> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (!this.connection.send(request)) resolve(Number.NaN);
    });
  }
}
