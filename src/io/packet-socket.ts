// Frames of one interface, whole and raw (packet(7)), of one ethertype or chosen by a filter: ARP in, announcements
// out.

import { constants } from 'node:os';
import type { OperatorError } from '../core/errors';
import { addon } from '../native/addon';
import { netnsHints, systemError } from '../native/errno';
import { Descriptor, MESSAGES_PER_TURN } from './descriptor';
import { type FrameSender, frameSenderOf, SENDER_WORDS, wasTruncated } from './sender';

export const ETH_P_ARP = 0x0806; // ETH_P_ARP

export interface PacketSocketOptions {
  /** Interface name. */
  interface: string;
  /** Ethertype to receive; without it, and without a filter, the socket only sends. */
  ethertype?: number;
  /** Classic BPF that selects the frames to receive, instead of an ethertype (frame-filter.ts). */
  filter?: Uint8Array;
  /** The frames that leave by the interface come, too; by a filter only. */
  outgoing?: boolean;
  netns?: string;
}

export interface PacketSocketEvents {
  /**
   * A frame with its link-layer header, valid during the call only. Frames that leave by the interface are left out,
   * unless asked for.
   */
  onFrame(buf: Buffer, sender: FrameSender): void;
  /** The interface is down or gone, and the socket closed. Not called after close(). */
  onClose?(error: OperatorError): void;
}

export const PACKET_OUTGOING = 4; // PACKET_OUTGOING

const NO_FILTER = new Uint8Array(0);
const MAX_FRAME_BYTES = 65536 + 22;
const { EAGAIN, ENOBUFS, EMSGSIZE } = constants.errno;

export class PacketSocket {
  readonly ifindex: number;
  /** Frames not sent because the interface's queue was full. */
  sendDrops = 0;
  private readonly descriptor: Descriptor;
  private readonly buffer = Buffer.allocUnsafeSlow(MAX_FRAME_BYTES);
  private readonly sender = new Uint32Array(SENDER_WORDS);

  /** Binds at once. Throws OperatorError. */
  constructor(
    private readonly options: PacketSocketOptions,
    private readonly events: PacketSocketEvents,
  ) {
    const index = new Uint32Array(1);
    const fd = addon().packetOpen(
      options.interface,
      options.ethertype ?? 0,
      options.netns,
      index,
      options.filter ?? NO_FILTER,
      options.outgoing === true ? 1 : 0,
    );
    if (fd < 0) throw openError(fd, options);
    this.ifindex = index[0]!;
    this.descriptor = new Descriptor(fd, () => this.receive());
  }

  /**
   * Sends a whole frame, frame[off, off+bytes). False = the interface's queue is full (counted). Throws OperatorError
   * for everything else.
   */
  send(frame: Uint8Array, off = 0, bytes = frame.length): boolean {
    if (this.descriptor.closed) return false;
    const n = this.descriptor.native.messageSend(this.descriptor.fd, frame, off, bytes);
    if (n >= 0) return true;
    if (n === -EAGAIN || n === -ENOBUFS) {
      this.sendDrops++;
      return false;
    }
    throw systemError(n, `sending a frame of ${bytes} bytes on ${this.options.interface}`, {
      ENETDOWN: 'bring the interface up',
      ENXIO: 'the interface does not exist any more',
      ...(n === -EMSGSIZE ? { EMSGSIZE: "the frame is longer than the interface's MTU" } : {}),
    });
  }

  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** Whether the socket keeps the process alive; it does at first. */
  reference(keep: boolean): void {
    this.descriptor.reference(keep);
  }

  /** Idempotent. */
  close(): void {
    this.descriptor.close();
  }

  private receive(): void {
    for (let i = 0; i < MESSAGES_PER_TURN && !this.descriptor.closed; i++) {
      const n = this.descriptor.native.packetReceive(this.descriptor.fd, this.buffer, this.sender);
      if (n === -EAGAIN) return;
      if (n < 0) {
        this.descriptor.close();
        this.events.onClose?.(systemError(n, `receiving on ${this.options.interface}`));
      } else if (!wasTruncated(this.sender)) {
        this.events.onFrame(this.buffer.subarray(0, n), frameSenderOf(this.sender));
      }
    }
  }
}

function openError(errno: number, options: PacketSocketOptions): OperatorError {
  return systemError(errno, `opening ${options.interface} for frames`, {
    EPERM: 'it needs CAP_NET_RAW (and, for another network namespace, CAP_SYS_ADMIN): run as root',
    ENODEV: `there is no interface '${options.interface}': see \`ip link\``,
    ...netnsHints(options.netns),
  });
}
