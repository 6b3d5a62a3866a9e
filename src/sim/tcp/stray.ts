// The answer to a segment that belongs to no connection, or to an opening that cannot be this one.

import { ACK, RST, type Segment } from './segment';

/** Writes to `out` the reset that answers `s` (RFC 9293 section 3.10.7.1). */
export function resetFor(s: Segment, out: Segment): void {
  const hadAck = (s.flags & ACK) !== 0;
  out.clearOptions();
  out.srcPort = s.dstPort;
  out.dstPort = s.srcPort;
  out.seq = hadAck ? s.ack : 0;
  out.ack = hadAck ? 0 : (s.seq + s.payloadBytes + (s.flags & 1) + ((s.flags >> 1) & 1)) >>> 0;
  out.flags = hadAck ? RST : RST | ACK;
  out.window = 0;
  out.payloadBytes = 0;
}
