// The kernel's word that frames written to an interface begin to get somewhere: it was switched on, or has become the
// port of another bridge, or that bridge has let it forward (rtnetlink(7): RTM_NEWLINK, once of the interface itself,
// once of the bridge's port).

import { AttributeReader } from '../netlink/attributes';
import { HOST_LITTLE_ENDIAN, readU32 } from '../netlink/byte-order';
import { MessageReader } from '../netlink/message';
import { NETLINK_ROUTE, NetlinkSocket } from './netlink-socket';

const RTNLGRP_LINK = 1; // RTNLGRP_LINK
const RTM_NEWLINK = 16; // RTM_NEWLINK
/** struct ifinfomsg, <linux/rtnetlink.h>: family, type, index, flags. */
const IFINFO_BYTES = 16;
const IFI_FLAGS = 8;
const IFF_UP = 0x1; // IFF_UP
const AF_BRIDGE = 7; // AF_BRIDGE
const IFLA_IFNAME = 3; // IFLA_IFNAME
const IFLA_MASTER = 10; // IFLA_MASTER
const IFLA_PROTINFO = 12; // IFLA_PROTINFO
const IFLA_BRPORT_STATE = 1; // IFLA_BRPORT_STATE
const BR_STATE_FORWARDING = 3; // BR_STATE_FORWARDING

/** One message about an interface. */
export interface PortNotice {
  name: string;
  /** Of a bridge about its port: else of the interface itself. */
  ofBridge: boolean;
  /** It is up; as a bridge's port: it forwards. */
  open: boolean;
  /** Index of the bridge, or whatever else it is enslaved to; 0: nothing. */
  master: number;
}

/** The messages of one datagram of the group. A message that contradicts its own lengths ends it. */
export function readPortNotices(buf: Uint8Array): PortNotice[] {
  const notices: PortNotice[] = [];
  const message = new MessageReader(buf);
  while (message.next()) {
    if (message.type === RTM_NEWLINK && message.end - message.payload >= IFINFO_BYTES) {
      notices.push(readNotice(buf, message.payload, message.end));
    }
  }
  return notices;
}

function readNotice(buf: Uint8Array, at: number, end: number): PortNotice {
  const ofBridge = buf[at] === AF_BRIDGE;
  const notice = {
    name: '',
    ofBridge,
    open: (readU32(buf, at + IFI_FLAGS, HOST_LITTLE_ENDIAN) & IFF_UP) !== 0,
    master: 0,
  };
  const attributes = new AttributeReader().reset(buf, at + IFINFO_BYTES, end);
  const nested = new AttributeReader();
  while (attributes.next()) {
    if (attributes.type === IFLA_IFNAME) notice.name = attributes.text();
    else if (attributes.type === IFLA_MASTER) notice.master = attributes.u32();
    else if (attributes.type === IFLA_PROTINFO && ofBridge) {
      attributes.enter(nested);
      while (nested.next()) {
        if (nested.type === IFLA_BRPORT_STATE && nested.u8() !== BR_STATE_FORWARDING) notice.open = false;
      }
    }
  }
  return notice;
}

/** `onPlace`: frames get to where they did not before. Throws OperatorError. */
export function watchPlace(port: string, onPlace: () => void): { close(): void } {
  /** By whose word: where it was last open. */
  const places = new Map<boolean, number>();
  return new NetlinkSocket(
    { protocol: NETLINK_ROUTE, groups: [RTNLGRP_LINK] },
    {
      onMessage: (buf, { portId }) => {
        if (portId !== 0) return;
        for (const { name, ofBridge, open, master } of readPortNotices(buf)) {
          if (name !== port) continue;
          if (!open) places.delete(ofBridge);
          else if (places.get(ofBridge) !== master) {
            places.set(ofBridge, master);
            onPlace();
          }
        }
      },
      onLost: onPlace,
    },
  );
}
