// A small controller that speaks NFCOLO over the daemons' Unix sockets, as a hypervisor's would.

import { connectSeqpacket, type SeqpacketConnection } from '../src/io/seqpacket';
import { ColoMode } from '../src/netlink/colo-generation2';
import { generation2, readDatagram } from '../src/nfnetlink-colo/client';

export class Controller {
  private readonly connections = new Map<'primary' | 'secondary', SeqpacketConnection>();
  private readonly answers: (() => void)[] = [];
  /** Called when a daemon asks for a checkpoint. */
  onNotice: () => void = () => {};
  notices = 0;

  constructor(private readonly index: number) {}

  /** Connects and says PROXY_INIT; resolves with its acknowledgement. */
  async init(role: 'primary' | 'secondary', path: string): Promise<void> {
    const connection = connectSeqpacket(path, {
      onMessage: (bytes) => {
        for (const event of readDatagram(Uint8Array.from(bytes))) {
          if (event.kind === 'notice') {
            this.notices++;
            this.onNotice();
          } else if (event.kind === 'result') {
            if (event.result !== 0) throw new Error(`${role}: the daemon refused: ${event.why ?? event.result}`);
            this.answers.shift()?.();
          }
        }
      },
      onClose: () => this.connections.delete(role),
    });
    this.connections.set(role, connection);
    await this.say(role, generation2.init(modeOf(role), { pid: this.index }));
  }

  /**
   * A checkpoint, both guests standing: `load` gives the SVM the PVM's state. Only when it has it both daemons are
   * told, the secondary's first, and only then may the guests go on: what PN lets out by it, an SVM that takes over
   * must have.
   */
  async checkpoint(load: () => Promise<void> = async () => {}): Promise<void> {
    await load();
    for (const role of ['secondary', 'primary'] as const) {
      await this.say(role, generation2.checkpoint(modeOf(role), { pid: this.index, ack: true }));
    }
  }

  async failover(): Promise<void> {
    await this.say('secondary', generation2.failover(ColoMode.SECONDARY, { pid: this.index, ack: true }));
  }

  close(): void {
    for (const connection of this.connections.values()) connection.close();
  }

  private say(role: 'primary' | 'secondary', message: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.answers.push(resolve);
      this.connections.get(role)?.send(message);
    });
  }
}

function modeOf(role: 'primary' | 'secondary'): ColoMode {
  return role === 'primary' ? ColoMode.PRIMARY : ColoMode.SECONDARY;
}
