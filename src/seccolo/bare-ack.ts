// Writes an acknowledgement without data (RFC 9293 section 3.1) as an IP packet of its own, from either end of a flow:
// what a failover says to an end that would otherwise wait for a timer.

import { FLOW_GUEST, FLOW_META, FLOW_PEER, FLOW_PORTS, metaFamily } from '../conntrack/flow-table';
import { write16, write32 } from '../core/big-endian';
import { ipv4HeaderChecksum, sumBytes } from '../packet/checksum';
import { IPPROTO_TCP, TCP_ACK } from '../packet/view';

const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TCP_BYTES = 20;
const TIMESTAMP_BYTES = 12;
export const MAX_BARE_ACK_BYTES = IPV6_BYTES + TCP_BYTES + TIMESTAMP_BYTES;

const DONT_FRAGMENT = 0x4000;
const HOP_LIMIT = 64;
/** NOP, NOP, and the timestamp option's kind and length, as every stack aligns it (RFC 7323, appendix A). */
const TIMESTAMP_HEAD = 0x0101080a;

/** Reused. Numbers are as they stand on the wire. */
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
    const l4 = off + (v6 ? IPV6_BYTES : IPV4_BYTES);
    const tcpBytes = TCP_BYTES + (this.timed ? TIMESTAMP_BYTES : 0);
    const addressBytes = v6 ? 16 : 4;
    const addresses = l4 - 2 * addressBytes;
    if (v6) {
      write32(out, off, 0x60000000);
      write16(out, off + 4, tcpBytes);
      out[off + 6] = IPPROTO_TCP;
      out[off + 7] = HOP_LIMIT;
    } else {
      write16(out, off, 0x4500);
      write16(out, off + 2, IPV4_BYTES + tcpBytes);
      write16(out, off + 4, 0);
      write16(out, off + 6, DONT_FRAGMENT);
      out[off + 8] = HOP_LIMIT;
      out[off + 9] = IPPROTO_TCP;
      write16(out, off + 10, 0);
    }
    for (let i = 0; i < addressBytes; i += 4) {
      write32(out, addresses + i, words[source + (i >> 2)]!);
      write32(out, addresses + addressBytes + i, words[destination + (i >> 2)]!);
    }
    if (!v6) write16(out, off + 10, ipv4HeaderChecksum(out, off, IPV4_BYTES));
    const ports = words[base + FLOW_PORTS]!;
    write32(out, l4, this.fromGuest ? ports : (ports << 16) | (ports >>> 16));
    write32(out, l4 + 4, this.seq);
    write32(out, l4 + 8, this.ack);
    out[l4 + 12] = (tcpBytes >> 2) << 4;
    out[l4 + 13] = TCP_ACK;
    write16(out, l4 + 14, this.window);
    write32(out, l4 + 16, 0);
    if (this.timed) {
      write32(out, l4 + 20, TIMESTAMP_HEAD);
      write32(out, l4 + 24, this.tsVal);
      write32(out, l4 + 28, this.tsEcr);
    }
    const pseudo = sumBytes(out, addresses, 2 * addressBytes, tcpBytes + IPPROTO_TCP);
    write16(out, l4 + 16, ~sumBytes(out, l4, tcpBytes, pseudo) & 0xffff);
    return l4 + tcpBytes - off;
  }
}
