// Keepalive probes with a byte of garbage (RFC 1122 section 4.2.3.6; Windows sends such every few seconds): the last byte of what the
// guest has said, once more, and not necessarily with its value. The peer either has that byte, and looks at the number only,
// or it takes this one for it: so the probe leaves with the right one.

import { X_LAST_BYTE } from '../compare/flow-words';
import { R_COPY } from '../compare/packet-log';
import type { FlowTable } from '../conntrack/flow-table';
import { checksumAdjustBytes } from '../packet/checksum';
import { type PacketView, TCP_SYN } from '../packet/view';
import type { PrimaryContext } from './context';
import { H_END, H_FLAGS, H_FLOW, H_L4, H_RECORD, H_SEQ } from './holds';

const TCP_CHECKSUM_OFFSET = 16;

/** Writes the byte that has left there into the segment of one byte, which TcpComparator.repeatsLastByte has accepted. True: it was another. */
export function restoreLastByte(flows: FlowTable, flow: number, v: PacketView, partialChecksum: boolean): boolean {
  const { buf, payload, l4 } = v;
  const is = flows.words[flow + X_LAST_BYTE]! & 0xff;
  const was = buf[payload]!;
  if (was === is) return false;
  buf[payload] = is;
  if (!partialChecksum) checksumAdjustBytes(buf, l4 + TCP_CHECKSUM_OFFSET, payload - l4, was, is);
  return true;
}

/** A held TCP packet leaves now: which byte of its stream is the last to have left? */
export function noteHeldLeft(x: PrimaryContext, slot: number): void {
  const { holds, log } = x;
  const h = holds.index(slot);
  const hw = holds.words;
  const syn = (hw[h + H_FLAGS]! & TCP_SYN) !== 0 ? 1 : 0;
  const bytes = (hw[h + H_END]! - hw[h + H_SEQ]! - syn) | 0;
  if (bytes <= 0) return;
  const l4 = log.words[log.recordIndex(hw[h + H_RECORD]!) + R_COPY]! + hw[h + H_L4]!;
  const payload = l4 + ((log.data[l4 + 12]! >>> 4) << 2);
  x.tcp.noteLeft(hw[h + H_FLOW]!, hw[h + H_END]!, log.data[payload + bytes - 1]!);
}
