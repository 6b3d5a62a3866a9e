// A netlink socket of any protocol, for kernel events and for messages between processes (netlink(7)).

import { constants } from 'node:os';
import type { OperatorError } from '../core/errors';
import { addon } from '../native/addon';
import { netnsHints, systemError } from '../native/errno';
import { Descriptor, MESSAGES_PER_TURN } from './descriptor';
import { SENDER_WORDS, type Sender, senderOf, wasTruncated } from './sender';

export const NETLINK_ROUTE = 0; // NETLINK_ROUTE
export const NETLINK_USERSOCK = 2; // NETLINK_USERSOCK
export const NETLINK_NETFILTER = 12; // NETLINK_NETFILTER

export interface NetlinkSocketOptions {
  /** NETLINK_*. */
  protocol: number;
  /** Port id to bind; without it the kernel chooses. */
  portId?: number;
  /** Multicast group numbers (not masks) to join. */
  groups?: readonly number[];
  receiveBufferBytes?: number;
  netns?: string;
}

export interface NetlinkSocketEvents {
  /** A datagram, which may hold several netlink messages. `buf` is valid during the call only. */
  onMessage(buf: Buffer, sender: Sender): void;
  /** Messages were lost: the buffer ran over (ENOBUFS), or one was longer than MAX_MESSAGE_BYTES. */
  onLost?(): void;
  /** The socket has failed and is closed. Not called after close(). */
  onClose?(error: OperatorError): void;
}

/** Larger than what the kernel sends in one datagram (32 KiB, NLMSG_GOODSIZE and dumps). */
const MAX_MESSAGE_BYTES = 64 << 10;

const { ENOBUFS, EAGAIN, ECONNREFUSED } = constants.errno;

export class NetlinkSocket {
  readonly portId: number;
  private readonly descriptor: Descriptor;
  private readonly buffer = Buffer.allocUnsafeSlow(MAX_MESSAGE_BYTES);
  private readonly sender = new Uint32Array(SENDER_WORDS);
  private listFd = -1;

  /** Binds at once. Throws OperatorError. */
  constructor(
    private readonly options: NetlinkSocketOptions,
    private readonly events: NetlinkSocketEvents,
  ) {
    const bound = new Uint32Array(1);
    const fd = addon().netlinkOpen(
      options.protocol,
      options.portId ?? 0,
      Uint32Array.from(options.groups ?? []),
      options.receiveBufferBytes ?? 0,
      options.netns,
      bound,
    );
    if (fd < 0) throw openError(fd, options);
    this.portId = bound[0]!;
    this.descriptor = new Descriptor(fd, () => this.receive());
  }

  /**
   * Sends to a port id (0 = the kernel). True = delivered into the receiver's buffer; false = nobody has that port id,
   * or its buffer is full, which for a unicast means that the message is gone. Throws OperatorError for everything
   * else.
   */
  send(buf: Uint8Array, portId: number): boolean {
    if (this.descriptor.closed) return false;
    const n = this.descriptor.native.netlinkSend(this.descriptor.fd, buf, 0, buf.length, portId, 0);
    if (n >= 0) return true;
    if (n === -ECONNREFUSED || n === -EAGAIN || n === -ENOBUFS) return false;
    throw systemError(n, `sending ${buf.length} bytes to netlink port ${portId}`);
  }

  /**
   * Asks the kernel a question that it answers with one message, before send() returns. undefined: it has not answered,
   * or with an error. The answer is valid until the next question. Not for a socket that other messages come to.
   */
  ask(buf: Uint8Array): Buffer | undefined {
    if (!this.send(buf, 0)) return undefined;
    const n = this.descriptor.native.netlinkReceive(this.descriptor.fd, this.buffer, this.sender);
    return n > 0 && !wasTruncated(this.sender) ? this.buffer.subarray(0, n) : undefined;
  }

  /** Whether any process has this port id bound, in this socket's protocol and namespace (/proc/net/netlink). */
  portBound(portId: number): boolean {
    const native = this.descriptor.native;
    if (this.listFd < 0) {
      this.listFd = native.netlinkListOpen(this.options.netns);
      if (this.listFd < 0) throw systemError(this.listFd, 'opening /proc/net/netlink');
    }
    const bound = native.netlinkPortBound(this.listFd, this.options.protocol, portId);
    if (bound < 0) throw systemError(bound, 'reading /proc/net/netlink');
    return bound === 1;
  }

  /** Reads nothing for so many ms: what comes waits in the kernel's buffer, and when that is full, its sender does. */
  rest(ms: number): void {
    this.descriptor.rest(ms);
  }

  /** Whether the socket keeps the process alive; it does at first. */
  reference(keep: boolean): void {
    this.descriptor.reference(keep);
  }

  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** Idempotent. */
  close(): void {
    this.descriptor.close();
    if (this.listFd >= 0) this.descriptor.native.closeDescriptor(this.listFd);
    this.listFd = -1;
  }

  private receive(): void {
    for (let i = 0; i < MESSAGES_PER_TURN && !this.descriptor.closed && !this.descriptor.resting; i++) {
      const n = this.descriptor.native.netlinkReceive(this.descriptor.fd, this.buffer, this.sender);
      if (n === -EAGAIN) return;
      if (n === -ENOBUFS) this.events.onLost?.();
      else if (n < 0) this.fail(n);
      else if (wasTruncated(this.sender)) this.events.onLost?.();
      else this.events.onMessage(this.buffer.subarray(0, n), senderOf(this.sender));
    }
  }

  private fail(errno: number): void {
    this.close();
    this.events.onClose?.(systemError(errno, 'receiving from netlink'));
  }
}

function openError(errno: number, options: NetlinkSocketOptions): OperatorError {
  const what = options.portId === undefined ? '' : ` at port id ${options.portId}`;
  return systemError(errno, `opening netlink protocol ${options.protocol}${what}`, {
    EADDRINUSE: 'another process has this port id (see /proc/net/netlink): end it or choose another port id',
    EPERM: 'it needs CAP_NET_ADMIN (and, for another network namespace, CAP_SYS_ADMIN): run as root',
    EPROTONOSUPPORT: 'this kernel does not have that netlink protocol',
    ...netnsHints(options.netns),
  });
}
