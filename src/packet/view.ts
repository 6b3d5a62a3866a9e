// One mutable view over an IP packet in any buffer. parseIp() checks every length once; the fields are trusted after.
// Lengths come from the IP header, never from the frame: padding is not payload.

export const IPPROTO_ICMP = 1; // IPPROTO_ICMP
export const IPPROTO_IGMP = 2; // IPPROTO_IGMP
export const IPPROTO_TCP = 6; // IPPROTO_TCP
export const IPPROTO_UDP = 17; // IPPROTO_UDP
export const IPPROTO_ICMPV6 = 58; // IPPROTO_ICMPV6

/** A frame that is no IP packet, told by its MAC addresses and its EtherType (ethernet.ts, viewLinkFrame). */
export const FAMILY_LINK = 2;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;

/** Reused for every packet: nothing is allocated on the packet path. All integers are host order, unsigned. */
export class PacketView {
  buf: Uint8Array = new Uint8Array(0);
  /** Offset in buf of the IP header's first byte. */
  start = 0;
  /** Offset after the last byte of the packet, by the IP header's own length. */
  end = 0;
  /**
   * Bytes of the frame's own headers directly before start that are kept with the packet. The caller sets this, the
   * next two and `changed`.
   */
  head = 0;
  /** Offset after the frame's last byte: its padding lies between end and limit. */
  limit = 0;
  /** Which network: packets of different zones belong to different flows. Below 2^16. */
  zone = 0;
  /**
   * Bytes of the packet were changed since it arrived: a copy that was kept must be updated. Set by the caller, too.
   */
  changed = false;
  family: 4 | 6 | typeof FAMILY_LINK = 4;
  /** Upper-layer protocol number, after IPv6 extension headers. */
  protocol = 0;
  /** Source and destination as four words; an IPv4 address stands in word 0, the others are 0. */
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  /**
   * Any fragment (offset or MF set, or an IPv6 fragment header that is not atomic): only addresses, protocol and l4
   * hold then.
   */
  fragment = false;
  /** Offset in buf of the transport header (or of the first byte after the IP headers). */
  l4 = 0;
  /** Offset of the payload: after the TCP, UDP or ICMP header; equal to l4 for other protocols. */
  payload = 0;
  /** end - payload. */
  payloadBytes = 0;
  /** TCP and UDP; the id of an ICMP or ICMPv6 echo, in both; 0 for others. */
  srcPort = 0;
  dstPort = 0;
  /** TCP only; flags are 0 for others, the rest is whatever stood there. */
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  /** ICMP and ICMPv6 only, 0 for others. */
  icmpType = 0;
  icmpCode = 0;
}
