// A retransmission of the PVM's that may not leave as it is. When the SVM has sent its beginning, that much leaves: the
// two cut their streams into different segments, and each retransmits only its first until the peer acknowledges it.
// When the SVM has sent none of it, it becomes a keepalive probe: its header without a byte of payload, and numbered
// one before, where the peer has acknowledged already. The peer answers with its present acknowledgement, which reaches
// both VMs. Without it a connection could stand still: when the SVM has missed the peer's last acknowledgement, it
// retransmits what the peer has, the PVM retransmits what the SVM has not sent yet, and the peer, receiving nothing,
// sends nothing.

import { X_BASE, X_VERIFIED } from '../compare/flow-words';
import { write16, write32 } from '../core/big-endian';
import { seqAdd, seqDiff } from '../core/seq32';
import { checksumAdjust16, transportChecksum } from '../packet/checksum';
import { IPV4_CHECKSUM_AT, readIpBytes, writeIpBytes } from '../packet/ip-header';
import { TCP_CHECKSUM_AT, TCP_FLAGS_AT, TCP_SEQ_AT, TCP_URGENT_AT } from '../packet/tcp-header';
import { type PacketView, TCP_ACK } from '../packet/view';
import type { PrimaryContext } from './context';
import { C_PROBES } from './counters';

/**
 * Rewrites the packet in place and lets it out, cut short or as a probe. Its acknowledgement and window are lowered as
 * those of any other.
 */
export function leaveAsProbe(x: PrimaryContext, id: number, flow: number, v: PacketView, buf: Buffer): void {
  const { l4, start } = v;
  const said = saidBySecondary(x, flow, v);
  if (said === 0) {
    write32(buf, l4 + TCP_SEQ_AT, seqAdd(v.seq, -1));
    x.counters.values[C_PROBES]!++;
  }
  buf[l4 + TCP_FLAGS_AT] = TCP_ACK;
  // Without its flag the urgent pointer means nothing, and nobody has compared it.
  write16(buf, l4 + TCP_URGENT_AT, 0);
  // A peer takes no acknowledgement from a segment that is outside of its window, as a probe is: it still has to be
  // told.
  x.release.lower(flow, buf, l4, TCP_ACK, true, said > 0);
  v.end = v.payload + said;
  v.payloadBytes = said;
  const before = readIpBytes(buf, start);
  writeIpBytes(buf, start, v.family, v.end - start);
  if (v.family === 4) checksumAdjust16(buf, start + IPV4_CHECKSUM_AT, before, v.end - start);
  write16(buf, l4 + TCP_CHECKSUM_AT, transportChecksum(v));
  x.acceptRewritten(id, buf, start, v.end - start, false);
}

/** Bytes at the packet's beginning that are verified, short of all of them. */
function saidBySecondary(x: PrimaryContext, flow: number, v: PacketView): number {
  const w = x.flows.words;
  if (seqDiff(v.seq, w[flow + X_BASE]!) < 0 || x.tcp.syns.offersDiffer(flow)) return 0;
  const said = seqDiff(w[flow + X_VERIFIED]!, v.seq);
  return said > 0 && said < v.payloadBytes ? said : 0;
}
