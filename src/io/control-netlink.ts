// The control channel over NETLINK_USERSOCK: processes send to a well-known port id, as they would to the kernel
// (netlink(7)).

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { OperatorError } from '../core/errors';
import { Errno } from '../netlink/errno';
import type { ControlChannel } from '../nfnetlink-colo/control';
import type { Address, Carrier, PortProbe } from '../nfnetlink-colo/peer';
import { NETLINK_USERSOCK, NetlinkSocket } from './netlink-socket';
import { type Sender as KernelSender, NO_ID } from './sender';
import { UserBudget } from './user-budget';

export interface NetlinkCarrierOptions {
  readonly portId: number;
  /**
   * No controller can be heard over netlink: the socket has failed, or somebody else has the port id. It is tried
   * again.
   */
  readonly onFailure?: (error: OperatorError) => void;
  /** After a failure: the port id is ours again. */
  readonly onRecovery?: () => void;
}

/** Lists the netlink sockets of the network namespace that this process is in, whatever its rights. */
const PORT_LIST = '/proc/self/net/netlink';
const RETRY_MS = 1000;

/**
 * Messages read and refusals answered in 100 ms, of one user but root and of all of them. The port has one buffer for
 * everybody.
 */
const MESSAGES = [256, 256] as const;
const REFUSALS = [16, 16] as const;

export class NetlinkCarrier implements Carrier, PortProbe {
  private readonly messages = new UserBudget(...MESSAGES);
  private readonly refusals = new UserBudget(...REFUSALS);
  /** Why nobody can be heard over netlink at the moment. */
  failure: string | undefined;
  private socket: NetlinkSocket | undefined;
  private channel: ControlChannel | undefined;
  private retry: NodeJS.Timeout | undefined;

  /**
   * Binds at once; datagrams wait for start(). Anybody may take the port id, so it is no reason not to start that
   * somebody has: see `failure`. Throws OperatorError for everything else.
   */
  constructor(private readonly options: NetlinkCarrierOptions) {
    try {
      this.socket = this.open();
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code !== 'EADDRINUSE') throw error;
      this.lost(error);
    }
  }

  /** To be called in the turn of the constructor. */
  start(channel: ControlChannel): void {
    this.channel = channel;
  }

  /** Never throws: it may be called from where a packet is handled. */
  send(to: Address, bytes: Uint8Array): number {
    if (to.carrier !== 'netlink') return -Errno.EINVAL;
    const { socket } = this;
    if (socket === undefined) return -Errno.EAGAIN;
    try {
      if (socket.send(bytes, to.portId)) return 0;
      return socket.portBound(to.portId) ? -Errno.EAGAIN : -Errno.ECONNREFUSED;
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
    return this.socket !== undefined && ports.has(this.socket.portId) ? ports : undefined;
  }

  close(): void {
    clearTimeout(this.retry);
    this.socket?.close();
  }

  private open(): NetlinkSocket {
    return new NetlinkSocket(
      { protocol: NETLINK_USERSOCK, portId: this.options.portId },
      { onMessage: (buf, sender) => this.take(buf, sender), onClose: (error) => this.lost(error) },
    );
  }

  private take(buf: Buffer, { portId, uid, pid }: KernelSender): void {
    const { channel } = this;
    if (channel === undefined) return;
    const sender = { address: { carrier: 'netlink', portId } as const, uid: uid === NO_ID ? undefined : uid, pid };
    if (!this.messages.take(uid)) this.socket?.rest(this.messages.restMs);
    if (!channel.allows(uid) && !this.refusals.take(uid)) channel.leaveUnread(sender);
    else channel.receive(buf, 0, buf.length, sender);
  }

  private lost(error: OperatorError): void {
    this.socket = undefined;
    if (this.failure === undefined) this.options.onFailure?.(error);
    this.failure = error.message;
    this.retry = setTimeout(() => {
      try {
        this.socket = this.open();
      } catch (again) {
        if (!(again instanceof OperatorError)) throw again;
        this.lost(again);
        return;
      }
      this.failure = undefined;
      this.options.onRecovery?.();
    }, RETRY_MS);
    this.retry.unref();
  }
}

/**
 * Port id to inode of the sockets of one protocol. Columns: sk, Eth, Pid (the port id), Groups, Rmem, Wmem, Dump,
 * Locks, Drops, Inode.
 */
export function parsePortList(text: string, protocol: number): Map<number, number> {
  const ports = new Map<number, number>();
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words.length < 10 || Number(words[1]) !== protocol) continue;
    ports.set(Number(words[2]), Number(words[9]));
  }
  return ports;
}

/**
 * Who has a port id, in words, for people. A process of another user shows its sockets to a root with all capabilities
 * only.
 */
export function portHolder(portId: number): string {
  let inode: number | undefined;
  try {
    inode = parsePortList(readFileSync(PORT_LIST, 'utf8'), NETLINK_USERSOCK).get(portId);
  } catch {
    // Without /proc the holder is unknown.
  }
  if (inode === undefined) return 'unknown';
  const see = `inode ${inode}: ss -f netlink -p, or ls -l /proc/[0-9]*/fd | grep ${inode}`;
  for (const pid of processes()) {
    try {
      const descriptors = readdirSync(`/proc/${pid}/fd`);
      if (!descriptors.some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`)) continue;
      return `pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
    } catch {
      // It has ended, or is another user's.
    }
  }
  return see;
}

function processes(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}
