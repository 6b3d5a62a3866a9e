// One NFQUEUE of the kernel: packets in batches, verdicts for any earlier packet in any order
// (linux/netfilter/nfnetlink_queue.h). The packet path allocates nothing: packets lie in `arena`, their descriptors in
// `table`, verdicts in a command table.

import { invariant, OperatorError } from '../core/errors';
import { type Addon, addon, type Handle } from '../native/addon';
import { netnsHints, systemError } from '../native/errno';
import {
  NFQ_ACCEPT,
  NFQ_C_ACTION,
  NFQ_C_ID,
  NFQ_C_LENGTH,
  NFQ_C_MARK,
  NFQ_C_OFFSET,
  NFQ_C_WORDS,
  NFQ_D_WORDS,
  NFQ_DROP,
  NFQ_MAX_COPY,
  NFQ_RECORD_HEAD,
  NFQ_RECORD_MARK,
  NFQ_RECORD_PAYLOAD,
  NFQ_WITH_CHECKSUM,
  NFQ_WITH_MARK,
  NFQ_WITH_PAYLOAD,
} from '../native/layout';
import { NfQueueStats } from './nfqueue-stats';

export interface NfQueueOptions {
  /** Queue number, 0..65535. */
  queue: number;
  /** Packets that the kernel may hold for this queue, waiting and unanswered together. */
  maxLength?: number;
  /** Bytes of each packet to copy, at most NFQ_MAX_COPY. */
  copyRange?: number;
  /** The greatest copy range that setCopyRange() may ask for later; default copyRange. */
  maxCopyRange?: number;
  /** Size of the socket's buffer; beyond the system's limit only with CAP_NET_ADMIN. */
  receiveBufferBytes?: number;
  /** Take large packets whole, without segmenting; their checksums may be partial then. */
  gso?: boolean;
  /** What the kernel does with packets when the queue is full: pass them unseen instead of dropping them. */
  failOpen?: boolean;
  /** Ask for conntrack data with each packet; `settings.conntrack` is true where this kernel gives them. */
  conntrack?: boolean;
  /** Name of a network namespace to bind the queue in (needs CAP_SYS_ADMIN). */
  netns?: string;
  /** Packets per batch. */
  batch?: number;
}

/** What the kernel accepted. */
export interface NfQueueSettings {
  readonly queue: number;
  readonly portId: number;
  readonly maxLength: number;
  /** As the kernel lists it. */
  readonly copyRange: number;
  /** As the kernel counts it: twice the bytes asked for. */
  readonly receiveBufferBytes: number;
  /** False: the system's limit (net.core.rmem_max) applied. */
  readonly receiveBufferForced: boolean;
  readonly gso: boolean;
  readonly failOpen: boolean;
  readonly conntrack: boolean;
  readonly batch: number;
}

const FAIL_OPEN = 1; // NFQA_CFG_F_FAIL_OPEN
const CONNTRACK = 2; // NFQA_CFG_F_CONNTRACK
const GSO = 4; // NFQA_CFG_F_GSO

const DEFAULT_MAX_LENGTH = 16384;
const DEFAULT_RECEIVE_BUFFER_BYTES = 32 << 20;
const DEFAULT_BATCH = 64;
/** Enough verdicts for several batches, and as many bytes as the processor's cache likes. */
const MAX_COMMANDS = 1024;
const SEND_ARENA_BYTES = 512 << 10;

export class NfQueue {
  /** Packet bytes; a batch's are valid until the next batch. */
  readonly arena: Buffer;
  /** NFQ_D_WORDS words per packet of the batch. */
  readonly table: Uint32Array;
  readonly settings: NfQueueSettings;
  readonly stats: NfQueueStats;
  private readonly native: Addon;
  private handle: Handle | undefined;
  /** Word 0: how many commands wait; the addon sets it to 0 when it has sent them. */
  private readonly commands = new Uint32Array(1 + MAX_COMMANDS * NFQ_C_WORDS);
  /** The arena and, behind it, the send arena: one memory, so that a packet moves between them without a new view. */
  private readonly memory: Buffer;
  private readonly sendBase: number;
  private sendUsed = 0;
  private inBatch = false;
  private paused = false;
  /** By take(). */
  private taken = false;
  private flushPlanned = false;
  private readonly plannedFlush = (): void => {
    this.flushPlanned = false;
    this.flush();
  };

  /**
   * Binds the queue; packets come from the next turn of the event loop on. `onBatch(count)` finds `count` descriptors
   * in `table`. If it throws, the process ends with exit code 70, and the kernel drops what it holds. Throws
   * OperatorError.
   */
  constructor(options: NfQueueOptions, onBatch: (count: number) => void) {
    const batch = options.batch ?? DEFAULT_BATCH;
    const copyRange = options.copyRange ?? NFQ_MAX_COPY;
    const maxLength = options.maxLength ?? DEFAULT_MAX_LENGTH;
    requireRange('queue', options.queue, 0, 0xffff);
    requireRange('batch', batch, 1, 1024);
    requireRange('copyRange', copyRange, 1, NFQ_MAX_COPY);
    requireRange('maxLength', maxLength, 1, 0xffffffff);
    const flags = (options.gso ? GSO : 0) | (options.failOpen ? FAIL_OPEN : 0) | (options.conntrack ? CONNTRACK : 0);

    this.native = addon();
    const slotBytes = this.native.nfqSlotBytes(Math.max(copyRange, options.maxCopyRange ?? 0));
    this.sendBase = batch * slotBytes;
    this.memory = Buffer.allocUnsafeSlow(this.sendBase + SEND_ARENA_BYTES);
    this.arena = this.memory.subarray(0, this.sendBase);
    this.table = new Uint32Array(batch * NFQ_D_WORDS);
    const config = Uint32Array.of(
      options.queue,
      maxLength,
      copyRange,
      options.receiveBufferBytes ?? DEFAULT_RECEIVE_BUFFER_BYTES,
      flags,
      batch,
      slotBytes,
    );
    const got = new Uint32Array(5);
    const handle = this.native.nfqOpen(
      config,
      options.netns,
      got,
      this.arena,
      this.table,
      this.commands,
      this.memory.subarray(this.sendBase),
      (count) => {
        this.inBatch = true;
        onBatch(count);
        this.inBatch = false;
      },
    );
    if (typeof handle === 'number') throw openError(handle, options);
    this.handle = handle;
    this.stats = new NfQueueStats(this.native, handle);
    this.settings = {
      queue: options.queue,
      portId: got[0]!,
      maxLength,
      copyRange: got[2]!,
      receiveBufferBytes: got[3]!,
      receiveBufferForced: got[4] === 1,
      gso: (got[1]! & GSO) !== 0,
      failOpen: (got[1]! & FAIL_OPEN) !== 0,
      conntrack: (got[1]! & CONNTRACK) !== 0,
      batch,
    };
  }

  /** Lets the kernel's own packet go on, with `mark` as its firewall mark if given. */
  accept(id: number, mark?: number): void {
    const at = this.record(NFQ_RECORD_HEAD + (mark === undefined ? 0 : NFQ_RECORD_MARK));
    this.command(mark === undefined ? NFQ_ACCEPT : NFQ_ACCEPT | NFQ_WITH_MARK, id, mark ?? 0, at, 0);
  }

  drop(id: number): void {
    this.command(NFQ_DROP, id, 0, this.record(NFQ_RECORD_HEAD), 0);
  }

  /**
   * Lets the packet go on with other bytes, from the IP header on; they are copied at once. `partialChecksum`: the
   * packet came with NFQA_SKB_CSUMNOTREADY; its full checksum is computed, because the kernel forgets that it was
   * partial.
   */
  acceptRewritten(id: number, buf: Buffer, off: number, len: number, partialChecksum: boolean, mark?: number): void {
    if (len < 0 || len > NFQ_MAX_COPY || off < 0 || off + len > buf.length) {
      throw new RangeError(`a packet of ${len} bytes at ${off} does not lie in ${buf.length} bytes, or is too long`);
    }
    let head = NFQ_RECORD_HEAD + NFQ_RECORD_PAYLOAD;
    let action = NFQ_ACCEPT | NFQ_WITH_PAYLOAD;
    if (mark !== undefined) {
      head += NFQ_RECORD_MARK;
      action |= NFQ_WITH_MARK;
    }
    if (partialChecksum) action |= NFQ_WITH_CHECKSUM;
    const at = this.record(head + ((len + 3) & ~3));
    const to = this.sendBase + at + head;
    if (buf === this.arena) this.memory.copyWithin(to, off, off + len);
    else buf.copy(this.memory, to, off, off + len);
    this.command(action, id, mark ?? 0, at, len);
  }

  /**
   * Sends the verdicts that wait. Happens by itself at the end of a batch, of the current turn, and when the table is
   * full.
   */
  flush(): void {
    if (this.commands[0] === 0 || this.handle === undefined) return;
    const err = this.native.nfqFlush(this.handle);
    if (err < 0) throw systemError(err, `sending verdicts to queue ${this.settings.queue}`);
  }

  /**
   * Takes everything that the kernel has ready, now, batch by batch, through `onBatch`; packets taken. At most as many
   * as the queue can hold, so that a flood cannot keep it going. Not from within `onBatch`.
   */
  drain(): number {
    if (this.handle === undefined) return 0;
    invariant(!this.taken, 'a queue is not drained while a batch of it is looked at');
    const taken = this.native.nfqDrain(this.handle, this.settings.maxLength);
    if (taken < 0) throw systemError(taken, `draining queue ${this.settings.queue}`);
    return taken;
  }

  /**
   * Reads what the kernel has ready now, at most a batch, into `arena` and `table` without calling `onBatch`; packets
   * read, none while paused. They are valid until give(), which is due before anything else but verdicts. Not from
   * within `onBatch`.
   */
  take(): number {
    if (this.handle === undefined || this.paused) return 0;
    invariant(!this.taken, 'a batch is given before the next is taken');
    const packets = this.native.nfqTake(this.handle);
    if (packets < 0) throw systemError(packets, `reading queue ${this.settings.queue}`);
    this.taken = packets > 0;
    this.inBatch = this.taken;
    return packets;
  }

  /** Ends what take() has begun, and sends the verdicts that wait. */
  give(): void {
    this.taken = false;
    this.inBatch = false;
    this.flush();
  }

  /** Bytes to copy of the packets to come; those that already wait keep the old range. Throws OperatorError. */
  setCopyRange(bytes: number): void {
    requireRange('copyRange', bytes, 1, NFQ_MAX_COPY);
    if (this.handle === undefined) return;
    const err = this.native.nfqCopyRange(this.handle, bytes);
    if (err < 0) throw systemError(err, `setting the copy range of queue ${this.settings.queue}`);
  }

  /** While paused, packets wait in the kernel; drain() still takes them. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (this.handle !== undefined) this.native.nfqPause(this.handle, paused ? 1 : 0);
  }

  /** Sends the verdicts that wait and unbinds; the kernel drops every packet without a verdict. Idempotent. */
  close(): void {
    if (this.handle === undefined) return;
    this.flush();
    const handle = this.handle;
    this.handle = undefined;
    this.stats.detach();
    this.native.nfqClose(handle);
  }

  get closed(): boolean {
    return this.handle === undefined;
  }

  /** Room for a record in the send arena; its offset. */
  private record(bytes: number): number {
    if (this.commands[0] === MAX_COMMANDS || (this.commands[0]! > 0 && this.sendUsed + bytes > SEND_ARENA_BYTES))
      this.flush();
    const at = this.commands[0] === 0 ? 0 : this.sendUsed;
    this.sendUsed = at + bytes;
    return at;
  }

  private command(action: number, id: number, mark: number, offset: number, length: number): void {
    if (this.handle === undefined) return;
    const commands = this.commands;
    const base = 1 + commands[0]! * NFQ_C_WORDS;
    commands[base + NFQ_C_ACTION] = action;
    commands[base + NFQ_C_ID] = id;
    commands[base + NFQ_C_MARK] = mark;
    commands[base + NFQ_C_OFFSET] = offset;
    commands[base + NFQ_C_LENGTH] = length;
    commands[0]!++;
    if (!this.inBatch && !this.flushPlanned) {
      this.flushPlanned = true;
      queueMicrotask(this.plannedFlush);
    }
  }
}

function requireRange(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new OperatorError('EINVAL', `${name} is ${value}`, `allowed are whole numbers from ${least} to ${most}`);
}

function openError(errno: number, options: NfQueueOptions): OperatorError {
  return systemError(errno, `binding NFQUEUE ${options.queue}`, {
    EPERM: 'it needs CAP_NET_ADMIN (and, for another network namespace, CAP_SYS_ADMIN): run as root',
    EBUSY:
      'another program has bound this queue (/proc/net/netfilter/nfnetlink_queue): end it or choose another number',
    EINVAL: 'this kernel has no nfnetlink_queue: load the module (`modprobe nfnetlink_queue`)',
    EPROTONOSUPPORT: 'this kernel has no nfnetlink: load the module (`modprobe nfnetlink`)',
    EOPNOTSUPP: 'this kernel is too old for the flags wanted (GSO and fail-open need Linux 3.10)',
    ...netnsHints(options.netns),
  });
}
