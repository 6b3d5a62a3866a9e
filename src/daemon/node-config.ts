// What a node (one VM on this host) needs to know, after the configuration was checked.

import type { EngineLimits } from '../core/limits';
import type { ControllerLossPolicy } from '../node/controller-loss';
import type { BypassRule } from '../pmycolo/bypass';
import type { CompareTimeout } from '../pmycolo/silence';

export interface NodeSettings {
  index: number;
  name: string;
  guestPort: string;
  forwardPort: string;
  outerBridge: string;
  forwardBridge: string;
  guestQueue: number;
  forwardQueue: number;
  /** For UDP, on the primary only. */
  guestUdpQueue: number;
  forwardUdpQueue: number;
  keptConnections: number;
  queueLength: number;
  receiveBufferBytes: number;
  compareTimeoutMs: CompareTimeout;
  maxCompareTimeoutMs: number;
  forwardSettleMs: number;
  minCheckpointIntervalMs: number;
  onControllerLoss: ControllerLossPolicy;
  moveTapOnFailover: boolean;
  announceOnFailover: boolean;
  bypass: readonly BypassRule[];
  limits: EngineLimits;
  stateDir: string;
}
