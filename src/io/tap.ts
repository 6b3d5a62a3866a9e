// A tap device as a port for Ethernet frames: what the machine (or a bridge) sends comes in batches, and what is
// written arrives there.

import { constants } from 'node:os';
import type { OperatorError } from '../core/errors';
import { addon } from '../native/addon';
import { netnsHints, systemError } from '../native/errno';
import { Descriptor } from './descriptor';

export interface TapOptions {
  /** Up to 15 bytes. A device of that name is made if there is none, and then goes with the port. */
  name: string;
  netns?: string;
  /** Of the virtio-net header before each frame, both ways; 0: there is none. */
  vnetHeaderBytes?: 0 | 10 | 12;
}

export interface TapEvents {
  /**
   * `count` frames came: tap.offset(i) and tap.bytes(i) in tap.arena, valid during the call. One that throws ends the
   * process.
   */
  onFrames(count: number): void;
  /** The device has gone. Not called after close(). */
  onClose?(error: OperatorError): void;
}

/** Frames per call, so that timers and other ports get their turn. */
const BATCH_FRAMES = 256;
/** More than a queue of the kernel's usual length holds; who goes on talking does not keep a drain from its end. */
const DRAIN_BATCHES = 16;
/**
 * A full batch of 1500-byte packets, with as much to spare; it ends earlier when less is left than a largest frame may
 * take.
 */
const ARENA_BYTES = 1 << 20;

const { EAGAIN, EIO } = constants.errno;

export class Tap {
  /** As the kernel calls it. */
  readonly name: string;
  readonly vnetHeaderBytes: number;
  readonly arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
  readonly counters = {
    framesIn: 0,
    bytesIn: 0,
    batches: 0,
    framesOut: 0,
    bytesOut: 0,
    /** Not written: the device took no more. */
    droppedBusy: 0,
    /** Not written: the device is down. */
    droppedDown: 0,
    /** Not written: no frame that the kernel takes. */
    droppedInvalid: 0,
  };
  private readonly table = new Uint32Array(2 * BATCH_FRAMES); // TAP_D_OFFSET, TAP_D_BYTES
  private readonly descriptor: Descriptor;

  /** Attaches at once. Throws OperatorError. */
  constructor(
    options: TapOptions,
    private readonly events: TapEvents,
  ) {
    this.vnetHeaderBytes = options.vnetHeaderBytes ?? 0;
    const name = new Uint8Array(16);
    const fd = addon().tapOpen(options.name, options.netns, this.vnetHeaderBytes, name);
    if (fd < 0) throw openError(fd, options);
    this.name = Buffer.from(name.subarray(0, name.indexOf(0))).toString();
    this.descriptor = new Descriptor(fd, () => this.receive(), undefined, true);
  }

  /** Of frame i of the batch, with its virtio-net header if there is one. */
  offset(i: number): number {
    return this.table[2 * i]!;
  }

  bytes(i: number): number {
    return this.table[2 * i + 1]!;
  }

  /** One frame, with its virtio-net header if there is one. False = it was dropped, and counted. */
  write(buf: Uint8Array, off: number, bytes: number): boolean {
    if (this.descriptor.closed) return false;
    const n = this.descriptor.native.tapWrite(this.descriptor.fd, buf, off, bytes);
    if (n >= 0) {
      this.counters.framesOut++;
      this.counters.bytesOut += bytes;
      return true;
    }
    if (n === -EAGAIN) this.counters.droppedBusy++;
    else if (n === -EIO) this.counters.droppedDown++;
    else this.counters.droppedInvalid++;
    return false;
  }

  /** While paused nothing is read; the kernel keeps up to `txqueuelen` frames and drops the rest. */
  pause(paused: boolean): void {
    this.descriptor.watchReadable(!paused);
  }

  /**
   * Hands over what the device holds now, paused or not. For an owner that must have seen all earlier frames first.
   */
  drain(): void {
    for (let i = 0; i < DRAIN_BATCHES && !this.closed && this.receive(); i++);
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
    const count = this.descriptor.native.tapRead(this.descriptor.fd, this.arena, this.table);
    if (count > 0) {
      this.counters.batches++;
      this.counters.framesIn += count;
      for (let i = 0; i < count; i++) this.counters.bytesIn += this.bytes(i);
      this.events.onFrames(count);
    } else if (count !== -EAGAIN) {
      this.close();
      this.events.onClose?.(systemError(count, `reading from ${this.name}`, { ENODEV: 'the device was deleted' }));
    }
    return count > 0;
  }
}

function openError(errno: number, options: TapOptions): OperatorError {
  return systemError(errno, `opening tap device ${options.name}`, {
    ENODEV: 'a name has 1 to 15 bytes',
    ENOENT: 'there is no /dev/net/tun: load the module tun',
    EBUSY: 'another process has it: end that, or choose another name',
    EINVAL: 'there is an interface of that name that is no tap, or a tap of another kind (multi_queue, vnet_hdr)',
    EPERM: 'it needs CAP_NET_ADMIN, or a device made for this user: ip tuntap add mode tap user NAME',
    EACCES: 'this user may not open /dev/net/tun',
    ...(errnoIsNetns(errno, options) ? netnsHints(options.netns) : {}),
  });
}

/** A missing namespace and a missing /dev/net/tun have the same errno; the first is the likelier by far. */
function errnoIsNetns(errno: number, options: TapOptions): boolean {
  return errno === -constants.errno.ENOENT && options.netns !== undefined;
}
