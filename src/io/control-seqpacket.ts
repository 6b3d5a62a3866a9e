// The control channel over a Unix SEQPACKET socket: one datagram is one record, and a controller that dies is noticed
// at once.

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno } from '../netlink/errno';
import type { ControlChannel } from '../nfnetlink-colo/control';
import type { Address, Carrier } from '../nfnetlink-colo/peer';
import { NO_ID } from './sender';
import { type SeqpacketConnection, SeqpacketServer } from './seqpacket';
import { UserBudget } from './user-budget';

export interface SeqpacketCarrierOptions {
  readonly path: string;
  /**
   * Users beside root may speak. Otherwise the kernel keeps everybody else out; with them it cannot distinguish
   * senders.
   */
  readonly othersMaySpeak?: boolean;
}

/** Access is decided by the credentials that the kernel attaches to each message; a refused sender gets an error. */
const SOCKET_MODE = 0o666;
const ROOT_ONLY_MODE = 0o600;

/** Connections at once, of root and of all others: neither can shut the other out. */
const MAX_ROOT_CONNECTIONS = 64;
const MAX_OTHER_CONNECTIONS = 64;
/** Of them, of one user who may speak, and of all who may not. */
const MAX_USER_CONNECTIONS = 16;
const MAX_FOREIGN_CONNECTIONS = 8;

/** Connections taken, messages read and refusals answered in 100 ms, of one user but root and of all of them. */
const ACCEPTS = [32, 64] as const;
const MESSAGES = [128, 256] as const;
const REFUSALS = [16, 16] as const;

export class SeqpacketCarrier implements Carrier {
  private readonly server: SeqpacketServer;
  private readonly connections = new Map<number, SeqpacketConnection>();
  private readonly accepts = new UserBudget(...ACCEPTS);
  private readonly messages = new UserBudget(...MESSAGES);
  private readonly refusals = new UserBudget(...REFUSALS);
  private channel: ControlChannel | undefined;
  private lastConnection = 0;

  /** Listens at once; connections wait for start(). Throws OperatorError. */
  constructor({ path, othersMaySpeak = true }: SeqpacketCarrierOptions) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const mode = othersMaySpeak ? SOCKET_MODE : ROOT_ONLY_MODE;
    const maxConnections = MAX_ROOT_CONNECTIONS + MAX_OTHER_CONNECTIONS;
    this.server = new SeqpacketServer({ path, mode, maxConnections, admit: (peer) => this.admit(peer) }, (connection) =>
      this.accept(connection),
    );
  }

  /** To be called in the turn of the constructor. */
  start(channel: ControlChannel): void {
    this.channel = channel;
  }

  /** Never throws, and never reports a loss to the channel before it returns. */
  send(to: Address, bytes: Uint8Array): number {
    if (to.carrier !== 'unix') return -Errno.EINVAL;
    // The connection keeps what it cannot send at once, hence the copy.
    return this.connections.get(to.connection)?.send(Uint8Array.from(bytes)) ? 0 : -Errno.EPIPE;
  }

  /** Connections closed because too many were open, or came. */
  get refused(): number {
    return this.server.refused;
  }

  close(): void {
    this.channel = undefined;
    this.server.close();
  }

  private admit({ uid }: { readonly uid: number }): boolean {
    if (!this.accepts.take(uid)) {
      this.server.rest(this.accepts.restMs);
      return false;
    }
    let same = 0;
    let roots = 0;
    let foreign = 0;
    for (const { peer } of this.connections.values()) {
      if (peer.uid === uid) same++;
      if (peer.uid === 0) roots++;
      else if (!this.allows(peer.uid)) foreign++;
    }
    if (uid === 0) return roots < MAX_ROOT_CONNECTIONS;
    if (this.connections.size - roots >= MAX_OTHER_CONNECTIONS) return false;
    return this.allows(uid) ? same < MAX_USER_CONNECTIONS : foreign < MAX_FOREIGN_CONNECTIONS;
  }

  private allows(uid: number): boolean {
    return this.channel?.allows(uid) === true;
  }

  private accept(connection: SeqpacketConnection): void {
    const id = ++this.lastConnection;
    this.connections.set(id, connection);
    const gone = (): void => {
      this.connections.delete(id);
      // Not at once: the connection may have failed under a send(), in the midst of what the loss would change.
      setImmediate(() => this.channel?.connectionClosed(id));
    };
    connection.handle({
      onMessage: (buf, { uid, pid }) => {
        const sender = {
          address: { carrier: 'unix', connection: id } as const,
          uid: uid === NO_ID ? undefined : uid,
          pid,
        };
        if (!this.allows(uid) && !this.refusals.take(uid)) {
          // He does not listen.
          this.channel?.leaveUnread(sender);
          connection.close();
          gone();
          return;
        }
        if (!this.messages.take(uid)) connection.rest(this.messages.restMs);
        this.channel?.receive(buf, 0, buf.length, sender);
      },
      onClose: gone,
    });
  }
}
