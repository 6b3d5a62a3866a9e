// Normalises the parts of a TCP header that are neither compared nor translated nor lowered (RFC 9293 section 3.1
// and 3.2): reserved bits, fields that have no meaning without their flag, options that nobody knows or that stand
// where they mean nothing, and what lies behind the end of options. What stays is listed in docs/ARCHITECTURE.md.

import { read16 } from '../core/big-endian';
import { copyBytes } from '../core/bytes';
import { set16, setAck } from './tcp-edit';
import { TCP_HEADER_BYTES, TCP_LENGTH_AT, TCP_URGENT_AT, TCP_WINDOW_AT } from './tcp-header';
import {
  bearsOnlyTimestamp,
  overwrite,
  parseTcpOptions,
  TCPOPT_AO,
  TCPOPT_EOL,
  TCPOPT_EXP,
  TCPOPT_FASTOPEN,
  TCPOPT_FASTOPEN_MAGIC,
  TCPOPT_MD5SIG,
  TCPOPT_MPTCP,
  TCPOPT_MSS,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERM,
  TCPOPT_TIMESTAMP,
  TCPOPT_WINDOW,
  type TcpOptions,
} from './tcp-options';
import { type PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from './view';

const SAVED = Buffer.alloc(60);
/** Three bits; the fourth is ECN's (RFC 9768). */
const RESERVED = 0x0e00;
/** RFC 7323 section 2.3: a greater one counts as this. */
const MAX_WINDOW_SCALE = 14;
const MAX_COOKIE_BYTES = 16;
/** 4 bytes and a MAC of 20 (SHA-1 whole; RFC 5926 cuts it to 12). */
const MAX_AO_BYTES = 24;

/** True when canonicalTcp() would change nothing. */
export function isPlainTcp(v: PacketView): boolean {
  const { buf, l4 } = v;
  return (
    (v.flags & (TCP_SYN | TCP_RST | TCP_URG | TCP_ACK)) === TCP_ACK &&
    (buf[l4 + TCP_LENGTH_AT]! & (RESERVED >>> 8)) === 0 &&
    (buf[l4 + TCP_URGENT_AT]! | buf[l4 + TCP_URGENT_AT + 1]!) === 0 &&
    (v.payload - l4 === TCP_HEADER_BYTES || bearsOnlyTimestamp(v))
  );
}

/** What canonicalTcp() has done. Reused for every packet. */
export class TcpCanon {
  /** Bytes of the packet were changed. */
  changed = false;
  /**
   * Nothing was changed, though it should be: the header is signed, and without what is taken out it would be
   * worthless.
   */
  refused = false;
  /** Fields that were cleared. */
  cleared = 0;
  /** Options that were taken out, by what they were. */
  sack = 0;
  mptcp = 0;
  others = 0;
}

/**
 * Treats the header of the TCP packet in the view; the options are read into `o`. False: they are malformed
 * (parseTcpOptions). SACK blocks are taken out everywhere: the other guest need not have the same holes. A packet with
 * a signature (TCP-MD5, TCP-AO) stays as it is.
 */
export function canonicalTcp(v: PacketView, o: TcpOptions, partialChecksum: boolean, done: TcpCanon): boolean {
  done.changed = false;
  done.cleared = 0;
  done.sack = 0;
  done.mptcp = 0;
  done.others = 0;
  done.refused = false;
  if (!parseTcpOptions(v, o)) return false;
  const { flags, ack, window } = v;
  if (o.signature) copyBytes(v.buf as Buffer, v.l4, SAVED, 0, v.payload - v.l4);
  canonicalFields(v, partialChecksum, done);
  if (v.payload - v.l4 > TCP_HEADER_BYTES) canonicalOptions(v, partialChecksum, done);
  if (o.signature && done.changed) {
    copyBytes(SAVED, 0, v.buf as Buffer, v.l4, v.payload - v.l4);
    v.flags = flags;
    v.ack = ack;
    v.window = window;
    done.changed = false;
    done.refused = true;
  }
  return true;
}

function canonicalFields(v: PacketView, partial: boolean, done: TcpCanon): void {
  const { buf, l4 } = v;
  // A SYN's or a RST's urgent data has no place that could be compared, nor a RST's end; nobody sends such.
  const meaningless = (v.flags & TCP_RST) !== 0 ? TCP_URG | TCP_FIN : (v.flags & TCP_SYN) !== 0 ? TCP_URG : 0;
  const mask = ~(RESERVED | meaningless) & 0xffff;
  clear16(v, TCP_LENGTH_AT, read16(buf, l4 + TCP_LENGTH_AT) & mask, partial, done);
  v.flags &= mask & 0xff;
  if ((v.flags & TCP_URG) === 0) clear16(v, TCP_URGENT_AT, 0, partial, done);
  if ((v.flags & TCP_ACK) !== 0) return;
  if (v.ack !== 0) {
    setAck(buf, l4, v.ack, 0, partial);
    v.ack = 0;
    done.cleared++;
    done.changed = true;
  }
  if ((v.flags & TCP_SYN) === 0) {
    clear16(v, TCP_WINDOW_AT, 0, partial, done);
    v.window = 0;
  }
}

function clear16(v: PacketView, at: number, value: number, partial: boolean, done: TcpCanon): void {
  const { buf, l4 } = v;
  const was = read16(buf, l4 + at);
  if (was === value) return;
  set16(buf, l4, at, was, value, partial);
  done.cleared++;
  done.changed = true;
}

function canonicalOptions(v: PacketView, partial: boolean, done: TcpCanon): void {
  const { buf, payload: end } = v;
  const syn = (v.flags & TCP_SYN) !== 0;
  let seen = 0;
  for (let at = v.l4 + TCP_HEADER_BYTES; at < end; ) {
    const kind = buf[at]!;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    if (kind === TCPOPT_EOL) {
      if (overwrite(buf, v, at, end - at, TCPOPT_EOL, partial)) done.changed = true;
      return;
    }
    const bytes = buf[at + 1]!;
    const bit = keepBit(buf, at, kind, bytes, syn);
    if (bit !== 0 && (seen & bit) === 0) {
      seen |= bit;
      if (kind === TCPOPT_WINDOW && buf[at + 2]! > MAX_WINDOW_SCALE) {
        done.changed = overwrite(buf, v, at + 2, 1, MAX_WINDOW_SCALE, partial) || done.changed;
      }
    } else {
      overwrite(buf, v, at, bytes, TCPOPT_NOP, partial);
      done.changed = true;
      if (kind === TCPOPT_SACK) done.sack++;
      else if (kind === TCPOPT_MPTCP) done.mptcp++;
      else done.others++;
    }
    at += bytes;
  }
}

/** A bit for each option that stays, once, where it stands with the right length; 0 for all others. */
function keepBit(buf: Uint8Array, at: number, kind: number, bytes: number, syn: boolean): number {
  switch (kind) {
    case TCPOPT_TIMESTAMP:
      return bytes === 10 ? 1 : 0;
    case TCPOPT_MD5SIG:
      return bytes === 18 ? 2 : 0;
    case TCPOPT_AO:
      return bytes >= 4 && bytes <= MAX_AO_BYTES ? 2 : 0;
    case TCPOPT_MSS:
      return syn && bytes === 4 ? 4 : 0;
    case TCPOPT_WINDOW:
      return syn && bytes === 3 ? 8 : 0;
    case TCPOPT_SACK_PERM:
      return syn && bytes === 2 ? 16 : 0;
    case TCPOPT_FASTOPEN:
      return syn && bytes <= 2 + MAX_COOKIE_BYTES ? 32 : 0;
    case TCPOPT_EXP:
      return syn && bytes >= 4 && bytes <= 4 + MAX_COOKIE_BYTES && read16(buf, at + 2) === TCPOPT_FASTOPEN_MAGIC
        ? 32
        : 0;
    default:
      return 0;
  }
}
