// The configuration of the primary's engine.

import type { EngineLimits } from '../core/limits';
import type { DeltaTable } from './context';
import type { SecondaryEpochs } from './secondary-epochs';
import type { CompareTimeout } from './silence';

export interface PrimaryConfig {
  limits?: Partial<EngineLimits>;
  /**
   * How long one side may be silent before a checkpoint is asked for, in ms; `auto` learns it (silence.ts). Default
   * 3000.
   */
  compareTimeoutMs?: CompareTimeout;
  /** The most that `auto` may come to, in ms. Default 3000. */
  maxCompareTimeoutMs?: number;
  /** Tells which of the SVM's packets an ended epoch has left on their way. Default: none are. */
  epochs?: SecondaryEpochs;
  /**
   * How long the PVM runs at least between a checkpoint and the request for the next, in ms. Default 0: no such time.
   */
  minCheckpointIntervalMs?: number;
  /** 64 random bits for the flow table's hash, so that a peer cannot aim at one bucket. */
  seed?: readonly [number, number];
  deltas?: DeltaTable;
  /**
   * How the SVM's TCP packets are numbered when they come. `own`: by the SVM itself, what that differs by is learnt
   * from both SYNs. `translated`: as the PVM numbers, but for the sequence number of the SVM's SYNs (behind
   * filter-rewriter). Default own.
   */
  secondaryNumbers?: 'own' | 'translated';
  /**
   * ICMP answers: `matched` by what they answer, or `ordered`, as every other packet of their flow, for who wants to
   * hear of each that only one guest gives. Default matched.
   */
  icmpAnswers?: 'matched' | 'ordered';
}

export const DEFAULT_COMPARE_TIMEOUT_MS = 3000;
