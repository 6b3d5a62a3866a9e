// The control channel over NETLINK_USERSOCK: processes send to a well-known port id, as they would to the kernel (netlink(7)).

import { readFileSync } from 'node:fs';
import { OperatorError } from '../core/errors';
import { Errno } from '../netlink/errno';
import type { ControlChannel } from '../nfnetlink-colo/control';
import type { Address, Carrier, PortProbe } from '../nfnetlink-colo/peer';
import { NETLINK_USERSOCK, NetlinkSocket } from './netlink-socket';
import { NO_ID } from './sender';

export interface NetlinkCarrierOptions {
  readonly portId: number;
  /** The socket has failed and is closed: no controller can be heard over netlink any more. */
  readonly onFailure?: (error: OperatorError) => void;
}

/** Lists the netlink sockets of the network namespace that this process is in, whatever its rights. */
const PORT_LIST = '/proc/self/net/netlink';

export class NetlinkCarrier implements Carrier, PortProbe {
  private readonly socket: NetlinkSocket;
  private channel: ControlChannel | undefined;

  /** Binds at once; datagrams wait for start(). Throws OperatorError. */
  constructor(options: NetlinkCarrierOptions) {
    this.socket = new NetlinkSocket(
      { protocol: NETLINK_USERSOCK, portId: options.portId },
      {
        onMessage: (buf, { portId, uid, pid }) => {
          const sender = {
            address: { carrier: 'netlink', portId } as const,
            uid: uid === NO_ID ? undefined : uid,
            pid,
          };
          this.channel?.receive(buf, 0, buf.length, sender);
        },
        onClose: (error) => options.onFailure?.(error),
      },
    );
  }

  /** To be called in the turn of the constructor. */
  start(channel: ControlChannel): void {
    this.channel = channel;
  }

  /** Never throws: it may be called from where a packet is handled. */
  send(to: Address, bytes: Uint8Array): number {
    if (to.carrier !== 'netlink') return -Errno.EINVAL;
    try {
      if (this.socket.send(bytes, to.portId)) return 0;
      return this.socket.portBound(to.portId) ? -Errno.EAGAIN : -Errno.ECONNREFUSED;
    } catch (error) {
      if (error instanceof OperatorError) return -Errno.EIO;
      throw error;
    }
  }

  ports(): ReadonlyMap<number, number> | undefined {
    let text: string;
    try {
      text = readFileSync(PORT_LIST, 'utf8');
    } catch {
      return undefined;
    }
    const ports = parsePortList(text, NETLINK_USERSOCK);
    // A list without ourselves is that of another namespace, or none.
    return ports.has(this.socket.portId) ? ports : undefined;
  }

  close(): void {
    this.socket.close();
  }
}

/** Port id to inode of the sockets of one protocol. Columns: sk, Eth, Pid (the port id), Groups, Rmem, Wmem, Dump, Locks, Drops, Inode. */
export function parsePortList(text: string, protocol: number): Map<number, number> {
  const ports = new Map<number, number>();
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words.length < 10 || Number(words[1]) !== protocol) continue;
    ports.set(Number(words[2]), Number(words[9]));
  }
  return ports;
}
