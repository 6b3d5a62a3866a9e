// Connections of different VLANs are different connections, whatever their addresses: a number below 2^16 for a frame's tags.

import type { FrameView } from '../packet/ethernet';

const VLANS = 1 << 12;
const STACKED_ZONES = (1 << 16) - VLANS;

/** 0 without a tag (and for VLAN 0, which is a priority only), the VLAN's id with one, something above with more. */
export function vlanZone(frame: FrameView): number {
  if (frame.tags === 0) return 0;
  if (frame.tags === 1) return frame.outerVlan;
  return VLANS + ((frame.outerVlan * VLANS + frame.innerVlan) % STACKED_ZONES);
}
