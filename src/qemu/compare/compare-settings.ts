// The settings of a comparison behind sockets.

import type { EngineLimits } from '../../core/limits';
import type { Endpoint } from '../../io/stream/chardev';
import type { CompareTimeout } from '../../pmycolo/silence';

/** QEMU's properties in our spelling. */
export interface CompareSettings {
  id: string;
  primaryIn: Endpoint;
  secondaryIn: Endpoint;
  outdev: Endpoint;
  notifyDev?: Endpoint | undefined;
  /** Of the primary's QEMU. */
  qmp?: Endpoint | undefined;
  compareTimeoutMs: CompareTimeout;
  /** See PrimaryConfig. */
  maxCompareTimeoutMs?: number | undefined;
  /** See PrimaryConfig. */
  minCheckpointIntervalMs?: number | undefined;
  /** Time between two requests that are not answered. The timeouts are checked as often, and at least every TICK_MS. */
  expiredScanCycleMs: number;
  maxQueueSize: number;
  vnetHeaders: boolean;
  limits?: Partial<EngineLimits> | undefined;
}
