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

/** What this process counted of a node's two queues. */
export function queueCounters(guest: NfQueue, forward: NfQueue): Record<string, number> {
  const of = { guest: guest.stats.counters(), forward: forward.stats.counters() };
  return Object.fromEntries(
    (['guest', 'forward'] as const).flatMap((queue) => [
      [`${queue}_queue_malformed`, of[queue].malformed],
      [`${queue}_queue_verdict_errors`, of[queue].verdictErrors],
      [`${queue}_queue_overruns`, of[queue].overruns],
    ]),
  );
}
