// A guest's port, whose frames are read beside whatever becomes of them, and put in: by a packet socket (packet(7)), of
// one direction, whole as they are with their virtio-net headers, many in one call. What is read here is a copy; who
// does not read fast enough slows nobody down and loses frames, which are counted.

import { constants } from 'node:os';
import type { OperatorError } from '../core/errors';
import { addon } from '../native/addon';
import { netnsHints, systemError } from '../native/errno';
import { Descriptor } from './descriptor';

export interface FramePortOptions {
  /** A tap, or any other interface of Ethernet (on a veth the headers are those of the stack at its other end). */
  interface: string;
  /** What comes in by it (from a tap: what the guest sends), or what leaves by it (to the guest). */
  direction: 'incoming' | 'outgoing';
  netns?: string;
  /** What the kernel may keep for us meanwhile. */
  receiveBufferBytes?: number;
}

export interface FramePortEvents {
  /**
   * `count` frames came: port.offset(i) and port.bytes(i) in port.arena, valid during the call. One that throws ends
   * the process.
   */
  onFrames(count: number): void;
  /** The interface is down or gone, and the port closed. Not called after close(). */
  onClose?(error: OperatorError): void;
}

/** struct virtio_net_hdr (uapi/linux/virtio_net.h), in this host's byte order, before each frame, both ways. */
export const FRAME_PORT_HEADER_BYTES = 10;

/** Frames per call, so that timers and other ports get their turn. */
const BATCH_FRAMES = 64; // FRAMEPORT_BATCH
/** Of each frame in the arena: most is never touched. */
const SLOT_BYTES = 69824; // FRAMEPORT_SLOT
/** More than the buffer holds of shortest frames; who goes on talking does not keep a drain from its end. */
const DRAIN_BATCHES = 512;
/** 0.1 s of 1 Gbit/s; the kernel counts a short frame as 768 bytes. */
const DEFAULT_RECEIVE_BUFFER_BYTES = 16 << 20;

const { EAGAIN, ENETDOWN, ENOBUFS, ENXIO } = constants.errno;

export class FramePort {
  readonly arena = Buffer.allocUnsafeSlow(BATCH_FRAMES * SLOT_BYTES);
  readonly counters = {
    framesIn: 0,
    bytesIn: 0,
    batches: 0,
    framesOut: 0,
    bytesOut: 0,
    /** Not sent: the port's queue is full. */
    droppedBusy: 0,
    /** Not sent: the port is down or gone. */
    droppedDown: 0,
    /** Not sent: no frame that the port takes. */
    droppedInvalid: 0,
  };
  private readonly table = new Uint32Array(2 * BATCH_FRAMES); // FRAMEPORT_D_OFFSET, FRAMEPORT_D_BYTES
  private readonly unread = new Uint32Array(1);
  private readonly descriptor: Descriptor;
  private dropped = 0;

  /** Opens at once. Throws OperatorError. */
  constructor(
    private readonly options: FramePortOptions,
    private readonly events: FramePortEvents,
  ) {
    const { direction, netns, receiveBufferBytes = DEFAULT_RECEIVE_BUFFER_BYTES } = options;
    const fd = addon().framePortOpen(options.interface, netns, direction === 'outgoing' ? 1 : 0, receiveBufferBytes);
    if (fd < 0) throw portError(fd, `opening ${options.interface} for frames`, options.interface, netns);
    this.descriptor = new Descriptor(fd, () => this.receive(), undefined, true);
  }

  /** Of frame i of the batch: of its virtio-net header. */
  offset(i: number): number {
    return this.table[2 * i]!;
  }

  /** Of virtio-net header and frame. */
  bytes(i: number): number {
    return this.table[2 * i + 1]!;
  }

  /**
   * Puts in one frame, with its virtio-net header, past the interface's queueing discipline: only so a full queue is
   * noticed. False = it was dropped, and counted; a segment larger than what the port takes in one piece (a tap whose
   * hypervisor has not switched TSO on) as by a full queue, as nobody cuts it there. Packet sockets do not see it.
   */
  send(buf: Uint8Array, off: number, bytes: number): boolean {
    if (this.descriptor.closed) return false;
    const n = this.descriptor.native.framePortSend(this.descriptor.fd, buf, off, bytes);
    if (n >= 0) {
      this.counters.framesOut++;
      this.counters.bytesOut += bytes;
      return true;
    }
    if (n === -ENOBUFS || n === -EAGAIN) this.counters.droppedBusy++;
    else if (n === -ENETDOWN || n === -ENXIO) this.counters.droppedDown++;
    else this.counters.droppedInvalid++;
    return false;
  }

  /**
   * Hands over what has come until now, for an owner that must have seen all earlier frames first. What a guest has
   * sent and its hypervisor not yet given to the port is not among it.
   */
  drain(): void {
    for (let i = 0; i < DRAIN_BATCHES && !this.closed && this.receive(); i++);
  }

  /**
   * Frames that have come and were not handed over, as they did not fit the kernel's buffer or a virtio-net header
   * cannot tell of them (tunnels' segments).
   */
  get lost(): number {
    const more = this.closed ? 0 : this.descriptor.native.framePortLost(this.descriptor.fd);
    if (more > 0) this.dropped += more;
    return this.dropped + this.unread[0]!;
  }

  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** Idempotent. */
  close(): void {
    this.descriptor.close();
  }

  /** False: there was nothing. */
  private receive(): boolean {
    const count = this.descriptor.native.framePortRead(this.descriptor.fd, this.arena, this.table, this.unread);
    if (count > 0) {
      this.counters.batches++;
      this.counters.framesIn += count;
      for (let i = 0; i < count; i++) this.counters.bytesIn += this.bytes(i);
      this.events.onFrames(count);
    } else if (count < 0 && count !== -EAGAIN) {
      this.close();
      this.events.onClose?.(systemError(count, `reading the frames of ${this.options.interface}`));
    }
    return count >= 0;
  }
}

/**
 * Throws away what waits in a tap's own queue for the hypervisor: sets its `txqueuelen` to 0 and back. Nothing happens
 * on a port without a queue of its own. Throws OperatorError.
 */
export function emptyPort(name: string, netns?: string): void {
  const err = addon().framePortEmpty(name, netns);
  if (err < 0) throw portError(err, `emptying the queue of ${name}`, name, netns);
}

function portError(errno: number, doing: string, name: string, netns: string | undefined): OperatorError {
  return systemError(errno, doing, {
    EPERM: 'it needs CAP_NET_RAW and CAP_NET_ADMIN (and, for another network namespace, CAP_SYS_ADMIN): run as root',
    ENODEV: `there is no interface '${name}': see \`ip link\``,
    ...netnsHints(netns),
  });
}
