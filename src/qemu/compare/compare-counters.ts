// Counters of a comparison beside its engine's. One slot a name; the packet path only adds.

import { Counters } from '../../core/counters';

export const COMPARE_COUNTER_NAMES = [
  'primary_frames',
  'secondary_frames',
  'released_frames',
  'primary_arp',
  'secondary_arp',
  'primary_link_frames',
  'secondary_link_frames',
  'primary_runts',
  'secondary_runts',
  'zones_exhausted',
  'offloads_cleared',
  'fragments_cut',
  'primary_datagram_sends',
  'secondary_datagram_sends',
  'datagram_sends_lost',
  'released_without_peer',
  'released_without_room',
  'outdev_written_bytes',
  'outdev_lost_bytes',
  'outdev_backlogs',
  'primary_bad_frames',
  'secondary_bad_frames',
  'notify_bad_frames',
  'notify_unknown',
  'notify_requests',
  'notify_refused',
  'qmp_requests',
  'qmp_refused',
  'secondary_discarded',
] as const;
export type CompareCounterName = (typeof COMPARE_COUNTER_NAMES)[number];

const at = (name: CompareCounterName): number => COMPARE_COUNTER_NAMES.indexOf(name);

export const C_PRIMARY_FRAMES = at('primary_frames');
export const C_SECONDARY_FRAMES = at('secondary_frames');
export const C_RELEASED_FRAMES = at('released_frames');
export const C_PRIMARY_ARP = at('primary_arp');
export const C_SECONDARY_ARP = at('secondary_arp');
export const C_PRIMARY_LINK = at('primary_link_frames');
export const C_SECONDARY_LINK = at('secondary_link_frames');
export const C_PRIMARY_RUNTS = at('primary_runts');
export const C_SECONDARY_RUNTS = at('secondary_runts');
export const C_ZONES_EXHAUSTED = at('zones_exhausted');
export const C_OFFLOADS_CLEARED = at('offloads_cleared');
/** A retransmission in fragments that was to leave shortened: it is dropped, another one follows. */
export const C_FRAGMENTS_CUT = at('fragments_cut');
/** Frames of several datagrams, which the host is to cut (UDP segmentation offload). */
export const C_PRIMARY_SENDS = at('primary_datagram_sends');
export const C_SECONDARY_SENDS = at('secondary_datagram_sends');
/** Those of them that were dropped whole: not every datagram was allowed to leave, or there was no room. */
export const C_SENDS_LOST = at('datagram_sends_lost');
/** Verified, but nobody was at outdev: gone, as on a network without a cable. */
export const C_WITHOUT_PEER = at('released_without_peer');
/** Verified, but the peer at outdev reads too slowly. */
export const C_WITHOUT_ROOM = at('released_without_room');
/** Put into outdev's send buffer, with the words before every frame. */
export const C_WRITTEN_BYTES = at('outdev_written_bytes');
/** Those of them that had not been sent when outdev's peer went away. */
export const C_LOST_BYTES = at('outdev_lost_bytes');
/** How often primary_in was not read because outdev was slow. */
export const C_BACKLOGS = at('outdev_backlogs');
export const C_PRIMARY_BAD = at('primary_bad_frames');
export const C_SECONDARY_BAD = at('secondary_bad_frames');
export const C_NOTIFY_BAD = at('notify_bad_frames');
export const C_NOTIFY_UNKNOWN = at('notify_unknown');
export const C_NOTIFY_REQUESTS = at('notify_requests');
/** DO_CHECKPOINT could not be sent: no peer, or one that does not read. It is sent again. */
export const C_NOTIFY_REFUSED = at('notify_refused');
export const C_QMP_REQUESTS = at('qmp_requests');
/** QEMU was not connected. The request is repeated. */
export const C_QMP_REFUSED = at('qmp_refused');
/** Frames of the secondary that came late for a checkpoint, or while the primary runs alone. */
export const C_SECONDARY_DISCARDED = at('secondary_discarded');

export class CompareCounters extends Counters<CompareCounterName> {
  constructor() {
    super(COMPARE_COUNTER_NAMES);
  }
}
