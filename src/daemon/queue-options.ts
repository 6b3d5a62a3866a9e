// How both kinds of node bind their kernel queues, and what they report of them.

import type { NfQueue, NfQueueOptions } from '../io/nfqueue';
import type { NodeSettings } from './node-config';

export function queueOptions(settings: NodeSettings, queue: number): NfQueueOptions {
  return {
    queue,
    maxLength: settings.queueLength,
    receiveBufferBytes: settings.receiveBufferBytes,
    gso: true,
    // A full queue drops: passing packets unseen would let unverified output through.
    failOpen: false,
    batch: 64,
  };
}

export interface QueueGauges {
  queued: number;
  /** By the kernel: the queue or the socket's buffer was full. */
  dropped: number;
  malformed: number;
  verdictErrors: number;
}

export function queueGauges(queue: NfQueue): QueueGauges {
  const kernel = queue.stats.kernel();
  const counters = queue.stats.counters();
  return {
    queued: kernel?.queued ?? 0,
    dropped: (kernel?.dropped ?? 0) + (kernel?.userDropped ?? 0),
    malformed: counters.malformed,
    verdictErrors: counters.verdictErrors,
  };
}
