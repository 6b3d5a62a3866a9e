// Writes an acknowledgement without data (RFC 9293 section 3.1) as an IP packet of its own, from either end of a flow:
// sent at a failover to an end that would otherwise wait for a timer.

import { write16, write32 } from '../core/big-endian';
import { ipv4HeaderChecksum, sumBytes } from './checksum';
import {
  IP_DF,
  IPV4_CHECKSUM_AT,
  IPV4_FIRST_BYTE,
  IPV4_FRAGMENT_AT,
  IPV4_HEADER_BYTES,
  IPV4_ID_AT,
  IPV4_PROTOCOL_AT,
  IPV4_TTL_AT,
  IPV6_FIRST_BYTE,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT_AT,
  IPV6_NEXT_HEADER_AT,
  writeIpBytes,
} from './ip-header';
import {
  TCP_ACK_AT,
  TCP_CHECKSUM_AT,
  TCP_FLAGS_AT,
  TCP_HEADER_BYTES,
  TCP_LENGTH_AT,
  TCP_SEQ_AT,
  TCP_SOURCE_AT,
  TCP_WINDOW_AT,
} from './tcp-header';
import { FLOW_GUEST, FLOW_META, FLOW_PEER, FLOW_PORTS, metaFamily } from './tuple';
import { IPPROTO_TCP, TCP_ACK } from './view';

const TIMESTAMP_BYTES = 12;
export const MAX_BARE_ACK_BYTES = IPV6_HEADER_BYTES + TCP_HEADER_BYTES + TIMESTAMP_BYTES;

const HOP_LIMIT = 64;
/** NOP, NOP, and the timestamp option's kind and length, as every stack aligns it (RFC 7323, appendix A). */
const TIMESTAMP_HEAD = 0x0101080a;

/** Reused. Numbers are those of the wire. */
export class BareAck {
  fromGuest = true;
  seq = 0;
  ack = 0;
  /** As in the header: not scaled. */
  window = 0;
  timed = false;
  tsVal = 0;
  tsEcr = 0;

  /** Writes the packet for the flow at `base` of `words` to `out` from `off` on; returns its bytes. */
  write(words: Uint32Array, base: number, out: Uint8Array, off: number): number {
    const v6 = metaFamily(words[base + FLOW_META]!) === 6;
    const source = base + (this.fromGuest ? FLOW_GUEST : FLOW_PEER);
    const destination = base + (this.fromGuest ? FLOW_PEER : FLOW_GUEST);
    const l4 = off + (v6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
    const tcpBytes = TCP_HEADER_BYTES + (this.timed ? TIMESTAMP_BYTES : 0);
    const addressBytes = v6 ? 16 : 4;
    const addresses = l4 - 2 * addressBytes;
    if (v6) {
      write32(out, off, IPV6_FIRST_BYTE << 24);
      writeIpBytes(out, off, 6, IPV6_HEADER_BYTES + tcpBytes);
      out[off + IPV6_NEXT_HEADER_AT] = IPPROTO_TCP;
      out[off + IPV6_HOP_LIMIT_AT] = HOP_LIMIT;
    } else {
      write16(out, off, IPV4_FIRST_BYTE << 8);
      writeIpBytes(out, off, 4, IPV4_HEADER_BYTES + tcpBytes);
      write16(out, off + IPV4_ID_AT, 0);
      write16(out, off + IPV4_FRAGMENT_AT, IP_DF);
      out[off + IPV4_TTL_AT] = HOP_LIMIT;
      out[off + IPV4_PROTOCOL_AT] = IPPROTO_TCP;
    }
    for (let i = 0; i < addressBytes; i += 4) {
      write32(out, addresses + i, words[source + (i >> 2)]!);
      write32(out, addresses + addressBytes + i, words[destination + (i >> 2)]!);
    }
    if (!v6) write16(out, off + IPV4_CHECKSUM_AT, ipv4HeaderChecksum(out, off, IPV4_HEADER_BYTES));
    const ports = words[base + FLOW_PORTS]!;
    write32(out, l4 + TCP_SOURCE_AT, this.fromGuest ? ports : (ports << 16) | (ports >>> 16));
    write32(out, l4 + TCP_SEQ_AT, this.seq);
    write32(out, l4 + TCP_ACK_AT, this.ack);
    out[l4 + TCP_LENGTH_AT] = (tcpBytes >> 2) << 4;
    out[l4 + TCP_FLAGS_AT] = TCP_ACK;
    write16(out, l4 + TCP_WINDOW_AT, this.window);
    write32(out, l4 + TCP_CHECKSUM_AT, 0);
    if (this.timed) {
      write32(out, l4 + TCP_HEADER_BYTES, TIMESTAMP_HEAD);
      write32(out, l4 + TCP_HEADER_BYTES + 4, this.tsVal);
      write32(out, l4 + TCP_HEADER_BYTES + 8, this.tsEcr);
    }
    const pseudo = sumBytes(out, addresses, 2 * addressBytes, tcpBytes + IPPROTO_TCP);
    write16(out, l4 + TCP_CHECKSUM_AT, ~sumBytes(out, l4, tcpBytes, pseudo) & 0xffff);
    return l4 + tcpBytes - off;
  }
}
