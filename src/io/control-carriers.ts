// What carries the control channel: NETLINK_USERSOCK at a well-known port id, and a Unix SEQPACKET socket.

import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno } from '../netlink/errno';
import type { ControlChannel } from '../nfnetlink-colo/control';
import type { Address, Carrier, PortProbe } from '../nfnetlink-colo/peer';
import { NETLINK_USERSOCK, NetlinkSocket } from './netlink-socket';
import { NO_ID, type Sender } from './sender';
import { type SeqpacketConnection, SeqpacketServer } from './seqpacket';

export interface ControlCarriers {
  readonly carriers: Record<Address['carrier'], Carrier>;
  readonly probe: PortProbe;
  /** Datagrams go to the channel from now on. */
  start(channel: ControlChannel): void;
  close(): void;
}

/** The control socket may be opened by root and its group; who may speak is decided by the kernel's word on each message. */
const SOCKET_MODE = 0o660;

/** Opens both. Throws OperatorError. */
export function openControlCarriers(options: { netlinkPort: number; unixPath: string }): ControlCarriers {
  let channel: ControlChannel | undefined;
  const connections = new Map<number, SeqpacketConnection>();
  let lastConnection = 0;

  const netlink = new NetlinkSocket(
    { protocol: NETLINK_USERSOCK, portId: options.netlinkPort },
    {
      onMessage: (buf, sender) => channel?.receive(buf, 0, buf.length, from({ carrier: 'netlink', portId: sender.portId }, sender)),
    },
  );
  mkdirSync(dirname(options.unixPath), { recursive: true, mode: 0o755 });
  const unix = new SeqpacketServer({ path: options.unixPath, mode: SOCKET_MODE }, (connection) => {
    const id = ++lastConnection;
    connections.set(id, connection);
    connection.handle({
      onMessage: (buf, sender) => channel?.receive(buf, 0, buf.length, from({ carrier: 'unix', connection: id }, sender)),
      onClose: () => {
        connections.delete(id);
        channel?.connectionClosed(id);
      },
    });
  });

  return {
    carriers: {
      netlink: {
        send: (to, bytes) => {
          if (to.carrier !== 'netlink') return -Errno.EINVAL;
          if (netlink.send(bytes, to.portId)) return 0;
          return netlink.portBound(to.portId) ? -Errno.EAGAIN : -Errno.ECONNREFUSED;
        },
      },
      unix: {
        send: (to, bytes) => {
          if (to.carrier !== 'unix') return -Errno.EINVAL;
          const sent = connections.get(to.connection)?.send(Uint8Array.from(bytes)) ?? false;
          return sent ? 0 : -Errno.ECONNREFUSED;
        },
      },
    },
    probe: { ports: boundPorts },
    start: (to) => {
      channel = to;
    },
    close: () => {
      netlink.close();
      unix.close();
    },
  };
}

function from(address: Address, sender: Sender): { address: Address; uid: number | undefined; pid: number } {
  return { address, uid: sender.uid === NO_ID ? undefined : sender.uid, pid: sender.pid };
}

/** Ports bound in NETLINK_USERSOCK, with the inode of each one's socket; undefined when procfs does not tell. */
function boundPorts(): ReadonlyMap<number, number> | undefined {
  let text: string;
  try {
    text = readFileSync('/proc/self/net/netlink', 'utf8');
  } catch {
    return undefined;
  }
  const ports = new Map<number, number>();
  // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
  for (const line of text.split('\n').slice(1)) {
    const words = line.trim().split(/\s+/);
    if (Number(words[1]) === NETLINK_USERSOCK) ports.set(Number(words[2]), Number(words[9]));
  }
  return ports;
}
