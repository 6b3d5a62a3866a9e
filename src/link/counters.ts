// What is counted of connections: of those who have not said who they are, and of each VM's of one kind.

import { Counters, slotsOf } from '../core/counters';
import type { RefusalWord } from './hello';

const NAMES = [
  /** Connections that a listener took. */
  'link_accepted',
  /** Of those: they had not said in time who they are. */
  'link_slow',
  /** Of those: they gave way, as too many had not said who they are. */
  'link_crowded',
  /** Of those: another key, no key, and what is no TLS 1.3 handshake or was not meant for this one. */
  'link_other_key',
  'link_no_key',
  'link_bad_tls',
  'link_ups',
  'link_downs',
  /** Of those: by a newer connection of the same peer. */
  'link_replaced',
  /** Of those: nothing was heard for the dead time. */
  'link_silent',
  /** Of those: the peer broke the protocol. */
  'link_broken',
  /** Attempts of a dialer that found nobody. */
  'link_unreachable',
  /** Attempts that ended before both sides knew each other. */
  'link_not_established',
  /** Connections refused here, by reason. */
  'link_refused_version',
  'link_refused_vm',
  'link_refused_kind',
  'link_refused_role',
  'link_refused_generation',
  'link_refused_busy',
  'link_refused_malformed',
  /** Connections that the other side has refused. */
  'link_refused_there',
  'link_records_in',
  'link_records_out',
  'link_bytes_in',
  'link_bytes_out',
  /** Records that were not taken, for want of room. */
  'link_no_room',
  /** Optional records of a type that is not known. */
  'link_unknown_records',
] as const;

type LinkCounter = (typeof NAMES)[number];

/** Slots of `LinkCounters`. */
export const LINK = slotsOf(NAMES);

export class LinkCounters extends Counters<LinkCounter> {
  constructor() {
    super(NAMES);
  }

  add(name: LinkCounter): void {
    this.values[LINK[name]]!++;
  }

  refused(word: RefusalWord): void {
    this.add(`link_refused_${word}`);
  }
}
