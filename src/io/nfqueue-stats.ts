// What a queue has counted, here and in the kernel (/proc/net/netfilter/nfnetlink_queue). For status and metrics only.

import type { Addon, Handle } from '../native/addon';
import { systemError } from '../native/errno';

export interface NfQueueCounters {
  packets: number;
  batches: number;
  /** Sends of verdicts; each carries many. */
  sends: number;
  /** Messages that were no packet, short or cut; a packet among them was dropped. */
  malformed: number;
  /** Times that the socket's buffer ran over (ENOBUFS). */
  overruns: number;
  /** Verdicts that the kernel refused, mostly for a packet that it does not hold (ENOENT). */
  verdictErrors: number;
  /** Sends that were tried again for lack of memory. */
  sendRetries: number;
  /**
   * Rewritten packets whose partial checksum could not be completed: fragments, and protocols without a known checksum.
   */
  checksumFailures: number;
  /** errno of the last refused verdict; 0 = none. */
  lastVerdictErrno: number;
}

export interface NfQueueKernelStats {
  portId: number;
  /** Packets without a verdict. */
  queued: number;
  copyMode: number;
  copyRange: number;
  /** Dropped because the queue was full. */
  dropped: number; // queue_dropped
  /** Dropped because the socket's buffer was full. */
  userDropped: number; // queue_user_dropped
  /** Id of the last packet. */
  idSequence: number;
}

export class NfQueueStats {
  private readonly values = new Float64Array(9);
  private readonly words = new Uint32Array(7);

  constructor(
    private readonly native: Addon,
    private handle: Handle | undefined,
  ) {}

  /** Counted by this process; after the close, the last values. */
  counters(): NfQueueCounters {
    if (this.handle !== undefined) this.native.nfqCounters(this.handle, this.values);
    const v = this.values;
    return {
      packets: v[0]!,
      batches: v[1]!,
      sends: v[2]!,
      malformed: v[3]!,
      overruns: v[4]!,
      verdictErrors: v[5]!,
      sendRetries: v[6]!,
      checksumFailures: v[7]!,
      lastVerdictErrno: v[8]!,
    };
  }

  /** Counted by the kernel; undefined without procfs and after the close. */
  kernel(): NfQueueKernelStats | undefined {
    if (this.handle === undefined) return undefined;
    const err = this.native.nfqKernelStats(this.handle, this.words);
    if (err === -95 /* ENOTSUP: the file could not be opened */) return undefined;
    if (err < 0) throw systemError(err, 'reading /proc/net/netfilter/nfnetlink_queue');
    const [portId, queued, copyMode, copyRange, dropped, userDropped, idSequence] = this.words as unknown as number[];
    return {
      portId: portId!,
      queued: queued!,
      copyMode: copyMode!,
      copyRange: copyRange!,
      dropped: dropped!,
      userDropped: userDropped!,
      idSequence: idSequence!,
    };
  }

  /** Keeps the last counters and lets go of the queue. */
  detach(): void {
    this.counters();
    this.handle = undefined;
  }
}
