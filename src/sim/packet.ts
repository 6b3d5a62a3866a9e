// A packet on its way through the simulated network: its bytes, and the truth about it. The engines under test see the
// bytes alone; only the checkers read the rest.

export const Origin = { CLIENT: 0, PVM: 1, SVM: 2 } as const;
export type Origin = (typeof Origin)[keyof typeof Origin];
export const ORIGIN_NAMES = ['client', 'PVM', 'SVM'] as const;

export class SimPacket {
  origin: Origin = Origin.CLIENT;
  /** Number of completed checkpoints when the sender made it. */
  epoch = 0;
  /** Sender's stamp in virtual time, microseconds. */
  madeUs = 0;
  /** Only the pseudo-header's sum is in the checksum field, as from a guest with checksum offload. */
  partial = false;
  /** Payload bytes per wire segment; a larger packet is a GSO packet. 0: never segmented. */
  segmentBytes = 0;

  /**
   * The connection, by a name that both guests give it; `s...` for a reset that belongs to none; empty for datagrams.
   */
  key = '';
  /** Place of the first sequence number in the sender's stream: 0 is the SYN, data begins at 1. */
  place = 0;
  dataBytes = 0;
  syn = false;
  fin = false;
  rst = false;
  /** Place up to which the peer's stream is acknowledged, and the place of the window's right edge; -1 without ACK. */
  ackPlace = -1;
  edgePlace = -1;
  /** Scale of the window field as the peer will read it. */
  windowScale = 0;
  /** Identity of a datagram's contents (UDP, ICMP), 0 for TCP. */
  contents = 0;

  constructor(
    readonly buf: Buffer,
    readonly family: 4 | 6,
    readonly protocol: number,
  ) {}

  /** The same truth about other bytes, for a rewritten packet, a duplicate or one wire segment. */
  withBytes(buf: Buffer): SimPacket {
    const copy = new SimPacket(buf, this.family, this.protocol);
    copy.origin = this.origin;
    copy.epoch = this.epoch;
    copy.madeUs = this.madeUs;
    copy.partial = this.partial;
    copy.segmentBytes = this.segmentBytes;
    copy.key = this.key;
    copy.place = this.place;
    copy.dataBytes = this.dataBytes;
    copy.syn = this.syn;
    copy.fin = this.fin;
    copy.rst = this.rst;
    copy.ackPlace = this.ackPlace;
    copy.edgePlace = this.edgePlace;
    copy.windowScale = this.windowScale;
    copy.contents = this.contents;
    return copy;
  }
}
