// Who sent a message, by the credentials that the kernel attaches; access depends on these alone, never on the message.

/** Words that the addon fills: see native/binding/socket_binding.c. */
export const SENDER_WORDS = 10;
const PORT_ID = 0;
const GROUP = 1;
const PID = 2;
const UID = 3;
const GID = 4;
const TRUNCATED = 5;
const END = 6;
const PACKET_TYPE = 7;
const IFINDEX = 8;
const VLAN = 9;

/** An id that the kernel did not give: no user has it, so nobody is let in by it. */
export const NO_ID = 0xffffffff;

export interface Sender {
  /** Netlink port id of the sender, 0 = the kernel; 0 for other sockets. */
  readonly portId: number;
  /** Netlink multicast group that the message came by, 0 = none. */
  readonly group: number;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface FrameSender {
  /** PACKET_HOST 0, PACKET_BROADCAST 1, PACKET_MULTICAST 2, PACKET_OTHERHOST 3, PACKET_OUTGOING 4. */
  readonly packetType: number;
  readonly ifindex: number;
  /** The outermost VLAN tag, which the kernel keeps beside the frame: TPID << 16 | TCI; 0 without one. */
  readonly vlan: number;
}

export function senderOf(words: Uint32Array): Sender {
  return { portId: words[PORT_ID]!, group: words[GROUP]!, pid: words[PID]!, uid: words[UID]!, gid: words[GID]! };
}

export function frameSenderOf(words: Uint32Array): FrameSender {
  return { packetType: words[PACKET_TYPE]!, ifindex: words[IFINDEX]!, vlan: words[VLAN]! };
}

/** The message did not fit the buffer; its rest is lost. */
export function wasTruncated(words: Uint32Array): boolean {
  return words[TRUNCATED] !== 0;
}

/** The peer has closed the connection. */
export function isEnd(words: Uint32Array): boolean {
  return words[END] !== 0;
}
