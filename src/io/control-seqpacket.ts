// The control channel over a Unix SEQPACKET socket: one datagram is one record, and a controller that dies is noticed at once.

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno } from '../netlink/errno';
import type { ControlChannel } from '../nfnetlink-colo/control';
import type { Address, Carrier } from '../nfnetlink-colo/peer';
import { NO_ID } from './sender';
import { type SeqpacketConnection, SeqpacketServer } from './seqpacket';

export interface SeqpacketCarrierOptions {
  readonly path: string;
}

/** Everybody may connect: who may speak is decided by the kernel's word on each message, and who may not is told so. */
const SOCKET_MODE = 0o666;

/** Connections of users who may not speak; more are closed at once, so that they cannot use up those of the others. */
const MAX_FOREIGN_CONNECTIONS = 8;

export class SeqpacketCarrier implements Carrier {
  private readonly server: SeqpacketServer;
  private readonly connections = new Map<number, SeqpacketConnection>();
  private readonly foreign = new Set<number>();
  private channel: ControlChannel | undefined;
  private lastConnection = 0;
  private foreignRefused = 0;

  /** Listens at once; connections wait for start(). Throws OperatorError. */
  constructor({ path }: SeqpacketCarrierOptions) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    this.server = new SeqpacketServer({ path, mode: SOCKET_MODE }, (connection) => this.accept(connection));
  }

  /** To be called in the turn of the constructor. */
  start(channel: ControlChannel): void {
    this.channel = channel;
  }

  /** Never throws, and never tells the channel of a loss before it returns. */
  send(to: Address, bytes: Uint8Array): number {
    if (to.carrier !== 'unix') return -Errno.EINVAL;
    // The connection keeps what it cannot send at once, hence the copy.
    return this.connections.get(to.connection)?.send(Uint8Array.from(bytes)) ? 0 : -Errno.EPIPE;
  }

  /** Connections closed because too many were open, of all users or of those who may not speak. */
  get refused(): number {
    return this.foreignRefused + this.server.refused;
  }

  close(): void {
    this.channel = undefined;
    this.server.close();
  }

  private accept(connection: SeqpacketConnection): void {
    const { channel } = this;
    const foreign = channel === undefined || !channel.allows(connection.peer.uid);
    if (foreign && this.foreign.size >= MAX_FOREIGN_CONNECTIONS) {
      this.foreignRefused++;
      connection.close();
      return;
    }
    const id = ++this.lastConnection;
    this.connections.set(id, connection);
    if (foreign) this.foreign.add(id);
    connection.handle({
      onMessage: (buf, { uid, pid }) => {
        const sender = {
          address: { carrier: 'unix', connection: id } as const,
          uid: uid === NO_ID ? undefined : uid,
          pid,
        };
        this.channel?.receive(buf, 0, buf.length, sender);
      },
      onClose: () => {
        this.connections.delete(id);
        this.foreign.delete(id);
        // Not at once: the connection may have failed under a send(), in the midst of what the loss would change.
        setImmediate(() => this.channel?.connectionClosed(id));
      },
    });
  }
}
