// What an operator is told of a secondary's engine.

import { type OffsetTable, type OffsetTableOrigin, Rank } from '../conntrack/offset-table';
import type { SecondaryFlows } from './flows';

/**
 * When the guest's own packets are translated: from the failover on, or always (QEMU's way: the compare side sees no
 * SYN).
 */
export type SecondaryMode = 'failover' | 'always';

export interface SecondaryStatus {
  mode: SecondaryMode;
  failedOver: boolean;
  /** Counts checkpoints over restarts. */
  epoch: number;
  flows: number;
  maxFlows: number;
  /**
   * Connections with offsets that the guest has confirmed; those from before the last checkpoint count until they are
   * seen again.
   */
  translated: number;
  /** Handshakes under way, and connections on which the guest has not spoken since. */
  halfOpen: number;
  finished: number;
  /** What was found in the memory at the start: `resumed`, or why everything was reset. */
  origin: OffsetTableOrigin;
  /** Records that were found damaged there and left out. */
  damagedRecords: number;
}

export function statusOf(mode: SecondaryMode, offsets: OffsetTable, { table }: SecondaryFlows): SecondaryStatus {
  return {
    mode,
    failedOver: offsets.failedOver,
    epoch: offsets.epoch,
    flows: table.size,
    maxFlows: table.maxFlows,
    translated: offsets.countOf(Rank.Live),
    halfOpen: offsets.countOf(Rank.Embryonic),
    finished: offsets.countOf(Rank.Finished),
    origin: offsets.origin,
    damagedRecords: offsets.damaged,
  };
}
