// The outcome that all comparators share, and where the last difference was found.

import { firstDifference } from '../core/bytes';
import { seqAdd } from '../core/seq32';

/** Everything was compared equal. */
export const EQUAL = 0;
/** Something has to wait for the other side. */
export const WAIT = 1;
/** The two sides sent different things: only a checkpoint helps. */
export const DIVERGED = 2;
/** No room to keep what has to wait. */
export const EXHAUSTED = 3;
export type Outcome = typeof EQUAL | typeof WAIT | typeof DIVERGED | typeof EXHAUSTED;

/** Why a checkpoint was asked for. */
export const CheckpointCause = {
  PAYLOAD: 'payload',
  LENGTH: 'length',
  FIN: 'fin',
  RST: 'rst',
  SYN_OPTIONS: 'syn_options',
  URGENT: 'urgent',
  RETRANSMISSION: 'retransmission',
  TIMEOUT_PRIMARY_HELD: 'timeout_secondary_silent',
  TIMEOUT_SECONDARY_AHEAD: 'timeout_primary_silent',
  EXHAUSTED: 'bound_exhausted',
  /**
   * A packet of which not all is known (cut, or several in one, or a part of one), or a connection whose numbers are
   * not.
   */
  NOT_COMPARABLE: 'not_comparable',
  ADDRESS_REQUEST: 'secondary_address_request',
  /** The link between the hosts has lost what the SVM has sent, or what was sent to it. */
  NOT_KNOWN: 'secondary_unknown',
  OPERATOR: 'operator',
} as const;
export type CheckpointCause = (typeof CheckpointCause)[keyof typeof CheckpointCause];

/** Nothing differed, but one side did not come. */
export function isSilence(cause: CheckpointCause): boolean {
  return cause === CheckpointCause.TIMEOUT_PRIMARY_HELD || cause === CheckpointCause.TIMEOUT_SECONDARY_AHEAD;
}

export const CHECKPOINT_CAUSES: readonly CheckpointCause[] = Object.values(CheckpointCause);

/** More of either side is shown nowhere. */
const KEPT_BYTES = 64;

/**
 * The last difference. It is written only when the sides diverge; buffers and offsets hold until the next packet.
 * For a stream, position is the PVM's sequence number of the first differing byte.
 */
export class Difference {
  cause: CheckpointCause = CheckpointCause.PAYLOAD;
  flow = -1;
  position = 0;
  primary: Buffer | undefined;
  primaryOffset = 0;
  primaryBytes = 0;
  secondary: Buffer | undefined;
  secondaryOffset = 0;
  secondaryBytes = 0;

  /** A difference without bytes to show. */
  set(cause: CheckpointCause, flow: number, position: number): void {
    this.cause = cause;
    this.flow = flow;
    this.position = position;
    this.primary = undefined;
    this.secondary = undefined;
    this.primaryBytes = 0;
    this.secondaryBytes = 0;
  }

  /** The first of n bytes in which the two differ, as there is one; position is that of the first of all. */
  show(
    cause: CheckpointCause,
    flow: number,
    position: number,
    primary: Buffer,
    primaryOffset: number,
    secondary: Buffer,
    secondaryOffset: number,
    n: number,
  ): void {
    const i = firstDifference(primary, primaryOffset, secondary, secondaryOffset, n);
    this.set(cause, flow, seqAdd(position, i));
    this.setPrimary(primary, primaryOffset + i, n - i);
    this.setSecondary(secondary, secondaryOffset + i, n - i);
  }

  /** Copies what is shown of the buffers, for who asks later. Once a divergence. */
  keep(): void {
    this.primary =
      this.primary && Buffer.from(this.primary.subarray(this.primaryOffset, this.primaryOffset + KEPT_BYTES));
    this.secondary =
      this.secondary && Buffer.from(this.secondary.subarray(this.secondaryOffset, this.secondaryOffset + KEPT_BYTES));
    this.primaryOffset = 0;
    this.secondaryOffset = 0;
    this.primaryBytes = Math.min(this.primaryBytes, KEPT_BYTES);
    this.secondaryBytes = Math.min(this.secondaryBytes, KEPT_BYTES);
  }

  setPrimary(buf: Buffer, off: number, bytes: number): void {
    this.primary = buf;
    this.primaryOffset = off;
    this.primaryBytes = bytes;
  }

  setSecondary(buf: Buffer, off: number, bytes: number): void {
    this.secondary = buf;
    this.secondaryOffset = off;
    this.secondaryBytes = bytes;
  }
}
