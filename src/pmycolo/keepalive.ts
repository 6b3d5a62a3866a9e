// Keepalive probes with a byte of garbage (RFC 1122 section 4.2.3.6; Windows sends such every few seconds): the last
// byte that the guest has sent, once more, and not necessarily with its value. The peer either has that byte, and
// looks at the number only, or it takes this one for it: so the probe leaves with the right one.

import { X_LAST_BYTE } from '../compare/flow-words';
import type { FlowTable } from '../conntrack/flow-table';
import { checksumAdjustBytes } from '../packet/checksum';
import { TCP_CHECKSUM_AT } from '../packet/tcp-header';
import type { PacketView } from '../packet/view';
import type { PrimaryContext } from './context';
import { H_END, H_FLOW } from './holds';

/**
 * Writes the byte that has left there into the segment of one byte, which TcpComparator.repeatsLastByte has accepted.
 * True: it was another.
 */
export function restoreLastByte(flows: FlowTable, flow: number, v: PacketView, partialChecksum: boolean): boolean {
  const { buf, payload, l4 } = v;
  const is = flows.words[flow + X_LAST_BYTE]! & 0xff;
  const was = buf[payload]!;
  if (was === is) return false;
  buf[payload] = is;
  if (!partialChecksum) checksumAdjustBytes(buf, l4 + TCP_CHECKSUM_AT, payload - l4, was, is);
  return true;
}

/**
 * A held TCP packet, h in the table of holds, leaves now: which byte of its stream is the last to have left? Its header
 * is at l4 of the log.
 */
export function noteHeldLeft(x: PrimaryContext, h: number, l4: number): void {
  const { holds, log } = x;
  const bytes = holds.contentBytes(h);
  if (bytes <= 0) return;
  x.tcp.noteLeft(holds.words[h + H_FLOW]!, holds.words[h + H_END]!, log.data[holds.contentAt(l4) + bytes - 1]!);
}
