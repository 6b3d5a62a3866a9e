// What is taken out of a TCP packet's header before it is compared: options and fields that only one guest may have, or
// that are not compared (listed in packet/tcp-canon).

import { canonicalTcp, TcpCanon } from '../packet/tcp-canon';
import { TcpOptions } from '../packet/tcp-options';
import type { PacketView } from '../packet/view';
import {
  C_FIELDS_CLEARED,
  C_MPTCP_REMOVED,
  C_OPTIONS_REMOVED,
  C_SACK_REMOVED,
  C_SIGNATURE,
  type PrimaryCounters,
} from './counters';
import { HF_DIRTY, HF_SIGNED } from './holds';

/** Its options lead nowhere. */
export const MALFORMED = -1;
/** It bears what has to be taken out, and a signature over it. */
export const UNCLEAN = -2;

export class TcpClean {
  private readonly options = new TcpOptions();
  private readonly canon = new TcpCanon();

  constructor(private readonly counters: PrimaryCounters) {}

  /**
   * Takes out of a PVM packet's header what nobody compares. MALFORMED; UNCLEAN; HF_DIRTY: bytes changed; HF_SIGNED; 0:
   * nothing.
   */
  clean(v: PacketView, partial: boolean): number {
    const { options, canon } = this;
    if (!canonicalTcp(v, options, partial, canon)) return MALFORMED;
    const counters = this.counters.values;
    if (options.signature) counters[C_SIGNATURE]!++;
    if (canon.refused) return UNCLEAN;
    counters[C_SACK_REMOVED]! += canon.sack;
    counters[C_MPTCP_REMOVED]! += canon.mptcp;
    counters[C_OPTIONS_REMOVED]! += canon.others;
    counters[C_FIELDS_CLEARED]! += canon.cleared;
    return (canon.changed ? HF_DIRTY : 0) | (options.signature ? HF_SIGNED : 0);
  }
}
