// A TCP segment's headers made those of a part of it. The transport checksum stays what it was: whoever compares
// streams does not read it.

import { write16, write32 } from '../core/big-endian';
import { seqAdd } from '../core/seq32';
import { ipv4HeaderChecksum } from '../packet/checksum';
import { IPV4_CHECKSUM_AT, writeIpBytes } from '../packet/ip-header';
import { TCP_FLAGS_AT, TCP_SEQ_AT } from '../packet/tcp-header';
import { type PacketView, TCP_PSH } from '../packet/view';

/**
 * The view's segment in buf becomes one of n bytes that stood `from` bytes behind the beginning of its payload. `last`:
 * it ends where the segment ended, so it still may end a write.
 */
export function writePart(v: PacketView, buf: Buffer, from: number, n: number, last: boolean): void {
  if (from === 0 && n === v.payloadBytes) return;
  const { start, l4 } = v;
  writeIpBytes(buf, start, v.family, v.payload - start + n);
  if (v.family === 4) write16(buf, start + IPV4_CHECKSUM_AT, ipv4HeaderChecksum(buf, start, l4 - start));
  write32(buf, l4 + TCP_SEQ_AT, seqAdd(v.seq, from));
  if (!last) buf[l4 + TCP_FLAGS_AT] = buf[l4 + TCP_FLAGS_AT]! & ~TCP_PSH;
}
