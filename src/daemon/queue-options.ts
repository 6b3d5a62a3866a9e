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

/** Of one kernel queue, or of several together. */
export function queueGauges(...queues: readonly NfQueue[]): QueueGauges {
  const kernel = queues.map((queue) => queue.stats.kernel());
  const counters = queues.map((queue) => queue.stats.counters());
  return {
    queued: sum(kernel, (k) => k?.queued ?? 0),
    dropped: sum(kernel, (k) => (k?.dropped ?? 0) + (k?.userDropped ?? 0)),
    malformed: sum(counters, (c) => c.malformed),
    verdictErrors: sum(counters, (c) => c.verdictErrors),
  };
}

/** What this process counted of a node's queues, by what they are for. */
export function queueCounters(of: Record<'guest' | 'forward', readonly NfQueue[]>): Record<string, number> {
  return Object.fromEntries(
    (['guest', 'forward'] as const).flatMap((name) => {
      const counters = of[name].map((queue) => queue.stats.counters());
      return [
        [`${name}_queue_malformed`, sum(counters, (c) => c.malformed)],
        [`${name}_queue_verdict_errors`, sum(counters, (c) => c.verdictErrors)],
        [`${name}_queue_overruns`, sum(counters, (c) => c.overruns)],
      ];
    }),
  );
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0);
}
