// The short way: the next packet of either side at once. Where both have sent the same at the same place and nothing
// waits, that is all there is to know, and the PVM's packet leaves as it stands, without being held or looked up twice.
// Everything else goes the long way, one packet at a time; which of the two comes first there decides how soon the
// sides are in step again.

import * as f from '../compare/flow-words';
import { read16, read32 } from '../core/big-endian';
import { seqAdd, seqDiff } from '../core/seq32';
import { hasExtensionHeaders, isPlainIp } from '../packet/ip-canon';
import {
  IP_MF,
  IP_OFFSET,
  IPV4_FRAGMENT_AT,
  IPV4_LENGTH_AT,
  IPV4_PROTOCOL_AT,
  IPV4_SOURCE_AT,
  IPV6_HEADER_BYTES,
  IPV6_LENGTH_AT,
  IPV6_SOURCE_AT,
} from '../packet/ip-header';
import { PARSE_OK, parseIp } from '../packet/parse';
import { isPlainTcp } from '../packet/tcp-canon';
import { TCP_ACK_AT, TCP_FLAGS_AT, TCP_LENGTH_AT, TCP_SEQ_AT, TCP_WINDOW_AT } from '../packet/tcp-header';
import { UDP_LENGTH_AT } from '../packet/udp-header';
import { IPPROTO_TCP, IPPROTO_UDP, PacketView, TCP_ACK, TCP_PSH } from '../packet/view';
import type { PrimaryContext } from './context';
import {
  C_COMPARED,
  C_IN_STEP,
  C_PRIMARY_BYTES,
  C_PRIMARY_PACKETS,
  C_RELEASED_BYTES,
  C_RELEASED_PACKETS,
  C_REWRITTEN,
  C_SECONDARY_BYTES,
  C_SECONDARY_PACKETS,
} from './counters';
import type { Expiry } from './expiry';
import type { PacketIntake } from './packet-intake';
import type { Phase } from './phase';
import type { Silence } from './silence';

/**
 * Both are settled: the PVM's packet leaves as it now stands in its buffer, where acknowledgement and window may have
 * been lowered.
 */
export const PAIR_RELEASED = 0;
/** Nothing was done. Hand the SVM's to secondary(), then the PVM's to primary(). */
export const PAIR_BOTH = 1;
/** Nothing was done. Hand in the SVM's only: it answers what is held. */
export const PAIR_SECONDARY = 2;
/** Nothing was done. Hand in the PVM's only: it has what the SVM has sent before. */
export const PAIR_PRIMARY = 3;
export type PairResult = typeof PAIR_RELEASED | typeof PAIR_BOTH | typeof PAIR_SECONDARY | typeof PAIR_PRIMARY;

/** Flags of a flow with which a segment of content is not simply the next. */
const XF_SPECIAL = f.BEGINS_OR_ENDS | f.XF_ODD | f.XF_AHEAD | f.XF_HALF_OPEN;
const XF_PLAIN = f.XF_MATCHED | f.XF_SECONDARY_ACK;

export class PairIntake {
  /** Of the last pair that was released: bytes of the PVM's packet were changed where it stands. */
  changed = false;
  /** Where the open run of the log begins; -1: none is open. */
  private runAt = -1;
  /** And where in the log a byte of the PVM's buffer will stand, less where it stands there. */
  private shift = 0;
  /** Behind the last byte of the log that a record of the run speaks of. */
  private runTo = 0;
  private readonly v = new PacketView();
  private readonly other = new PacketView();

  constructor(
    private readonly x: PrimaryContext,
    private readonly expiry: Expiry,
    private readonly phase: Phase,
    private readonly silence: Silence,
    private readonly intake: PacketIntake,
  ) {}

  /**
   * Before a row of pair() calls for PVM packets that stand in buf[from, to), in this order and at most `packets` of
   * them. False: the long way is the only one now. Until end() nothing but pair() may be asked of the engine.
   */
  begin(from: number, to: number, packets: number, nowMs: number): boolean {
    const at = this.beginCopied(to - from, packets, nowMs);
    this.shift = at - from;
    return at >= 0;
  }

  /** Ends the row; what was said of the PVM's buffer must still stand there. */
  end(buf: Buffer): void {
    if (this.runAt >= 0) this.x.log.closeRun(this.runAt, buf, this.runAt - this.shift, this.runTo - this.runAt);
    this.runAt = -1;
  }

  /**
   * The same for packets that stand apart, of so many bytes altogether: the caller copies them into `copies`, one
   * behind the other from where the result says, and tells before each pair() where its packet went. -1: the long way
   * is the only one now.
   */
  beginCopied(bytes: number, packets: number, nowMs: number): number {
    const { phase } = this;
    if (!phase.protectedNow || phase.paused || phase.isPast(nowMs) || this.intake.bypass.length > 0) return -1;
    // Whoever is told of every packet of the PVM's hears of those that are held.
    if (this.x.onSaid !== undefined) return -1;
    this.intake.primarySpeaks(nowMs);
    this.silence.secondaryHeard(nowMs);
    this.runAt = this.x.log.openRun(bytes, packets);
    this.runTo = this.runAt;
    return this.runAt;
  }

  get copies(): Buffer {
    return this.x.log.data;
  }

  /** What stands at `off` of the PVM's buffer was copied to `at`. */
  copied(off: number, at: number): void {
    this.shift = at - off;
  }

  endCopied(): void {
    if (this.runAt >= 0) this.x.log.closeFilledRun(this.runAt, this.runTo - this.runAt);
    this.runAt = -1;
  }

  /**
   * The next packet of either side at once: p[pOff, pOff+pLen) and s[sOff, sOff+sLen), from their IP headers to their
   * frames' ends; when the lengths are equal, so are they from `differing` bytes on. RELEASED: the PVM's packet leaves,
   * as it now stands there; both are settled without a verdict by the actions. Any other result: nothing has happened,
   * and says what to hand in the long way.
   */
  pair(
    p: Buffer,
    pOff: number,
    pLen: number,
    s: Buffer,
    sOff: number,
    sLen: number,
    differing: number,
    partialChecksum: boolean,
    nowMs: number,
    zone: number,
  ): PairResult {
    const result = this.compare(p, pOff, pLen, s, sOff, sLen, differing, partialChecksum, zone, nowMs);
    if (result === PAIR_RELEASED) this.silence.inStep(nowMs);
    return result;
  }

  private compare(
    p: Buffer,
    pOff: number,
    pLen: number,
    s: Buffer,
    sOff: number,
    sLen: number,
    differing: number,
    partial: boolean,
    zone: number,
    nowMs: number,
  ): PairResult {
    const { x, v } = this;
    v.zone = zone;
    v.limit = pOff + pLen;
    if (parseIp(v, p, pOff, pLen) !== PARSE_OK || v.fragment) return PAIR_BOTH;
    // What has to be taken off first, or is compared as a whole.
    if (!isPlainIp(v) || hasExtensionHeaders(v)) return PAIR_BOTH;
    const tcp = v.protocol === IPPROTO_TCP;
    if (!tcp && v.protocol !== IPPROTO_UDP) return PAIR_BOTH;
    const flow = x.flows.find(v, false);
    if (flow < 0 || x.isStale(flow)) return PAIR_BOTH;
    if (!sameAddresses(v, p, s, sOff, differing)) return this.whichFirst(flow, s, sOff, sLen, zone);
    const w = x.flows.words;
    if (w[flow + f.X_HELD_HEAD] !== 0 || w[flow + f.X_ACKS_HEAD] !== 0) return PAIR_SECONDARY;
    // Where the SVM is ahead, by frames or by bytes, it is the PVM that has to catch up.
    if (pLen !== sLen || v.payload - pOff < differing)
      return w[flow + f.X_SECONDARY_HEAD] !== 0 ? PAIR_PRIMARY : PAIR_BOTH;
    if (tcp) {
      const result = this.tcp(flow, v, p, s, sOff + (v.l4 - pOff), differing - (v.l4 - pOff), partial, nowMs);
      if (result !== PAIR_RELEASED) return result;
    } else {
      if (w[flow + f.X_SECONDARY_HEAD] !== 0) return PAIR_PRIMARY;
      if ((w[flow + f.X_FLAGS]! & f.XF_AHEAD) !== 0) return PAIR_BOTH;
      // Ports are the same, checksums are not compared; the length is what else there is.
      const at = v.l4 + UDP_LENGTH_AT;
      if (differing > at - pOff && !sameBytes(p, at, s, sOff + (at - pOff), 2)) return PAIR_BOTH;
      this.expiry.touch(flow, IPPROTO_UDP, false, nowMs);
      this.changed = false;
    }
    const c = x.counters.values;
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += pLen;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += pLen;
    c[C_COMPARED]!++;
    c[C_IN_STEP]!++;
    c[C_RELEASED_PACKETS]!++;
    c[C_RELEASED_BYTES]! += pLen;
    return PAIR_RELEASED;
  }

  private tcp(
    flow: number,
    v: PacketView,
    p: Buffer,
    s: Buffer,
    sL4: number,
    differing: number,
    partial: boolean,
    nowMs: number,
  ): PairResult {
    const { x } = this;
    const w = x.flows.words;
    const flags = w[flow + f.X_FLAGS]!;
    if (v.payloadBytes === 0 || (v.flags | TCP_PSH) !== (TCP_ACK | TCP_PSH)) return PAIR_BOTH;
    if (!isPlainTcp(v)) return PAIR_BOTH;
    let { seq, ack, window } = v;
    let tcpFlags = v.flags;
    if (differing > 0) {
      // Flags and lengths alike is what makes the rest of the header comparable.
      if (
        p[v.l4 + TCP_LENGTH_AT] !== s[sL4 + TCP_LENGTH_AT] ||
        ((p[v.l4 + TCP_FLAGS_AT]! ^ s[sL4 + TCP_FLAGS_AT]!) & ~TCP_PSH) !== 0
      )
        return PAIR_BOTH;
      tcpFlags = s[sL4 + TCP_FLAGS_AT]!;
      seq = read32(s, sL4 + TCP_SEQ_AT);
      ack = read32(s, sL4 + TCP_ACK_AT);
      window = read16(s, sL4 + TCP_WINDOW_AT);
    }
    if ((flags & XF_PLAIN) !== XF_PLAIN || (flags & XF_SPECIAL) !== 0) {
      return w[flow + f.X_SECONDARY_HEAD] !== 0 ? PAIR_PRIMARY : PAIR_BOTH;
    }
    if (!x.stream.isEven(flow, v.seq) || w[flow + f.X_PRIMARY_NEXT] !== v.seq) {
      return w[flow + f.X_SECONDARY_HEAD] !== 0 ? PAIR_PRIMARY : PAIR_BOTH;
    }
    if (seqAdd(seq, w[flow + f.X_DELTA]!) !== v.seq) return PAIR_BOTH;
    // With less than the PVM's acknowledgement it leaves in two segments (PrefixOutlet.leaveInTwo).
    if (seqDiff(v.ack, ack) > 0 && x.release.lowersAck(flow, v.ack)) return PAIR_BOTH;
    x.tracker.packet(flow, false, v.flags, v.seq, nowMs);
    x.tcp.noteAgreed(flow, v, ack, window);
    x.tcp.notePushed(flow, (tcpFlags & TCP_PSH) !== 0);
    x.stream.agreed(flow, v.seq, this.shift + v.payload, v.payloadBytes);
    this.runTo = this.shift + v.end;
    this.changed = x.release.lower(flow, p, v.l4, v.flags, partial);
    if (this.changed) x.counters.values[C_REWRITTEN]!++;
    return PAIR_RELEASED;
  }

  /** The two packets belong to different flows, and `flow` is the PVM's. */
  private whichFirst(flow: number, s: Buffer, sOff: number, len: number, zone: number): PairResult {
    const { x, other } = this;
    const w = x.flows.words;
    other.zone = zone;
    if (parseIp(other, s, sOff, len) === PARSE_OK && !other.fragment) {
      const its = x.flows.find(other, false);
      if (its >= 0 && (w[its + f.X_HELD_HEAD] !== 0 || w[its + f.X_ACKS_HEAD] !== 0)) return PAIR_SECONDARY;
    }
    return w[flow + f.X_SECONDARY_HEAD] !== 0 ? PAIR_PRIMARY : PAIR_BOTH;
  }
}

/** Has the SVM's packet the same addresses, ports, protocol and lengths, and no fragmentation? */
function sameAddresses(v: PacketView, p: Buffer, s: Buffer, sOff: number, differing: number): boolean {
  if (differing <= 0) return true;
  const pOff = v.start;
  const headerBytes = v.l4 - pOff;
  if (v.family === 4) {
    // Not compared: type of service, identification, time to live, checksum.
    if (p[pOff] !== s[sOff] || !sameBytes(p, pOff + IPV4_LENGTH_AT, s, sOff + IPV4_LENGTH_AT, 2)) return false;
    if ((read16(s, sOff + IPV4_FRAGMENT_AT) & (IP_MF | IP_OFFSET)) !== 0) return false;
    if (p[pOff + IPV4_PROTOCOL_AT] !== s[sOff + IPV4_PROTOCOL_AT]) return false;
    if (!sameBytes(p, pOff + IPV4_SOURCE_AT, s, sOff + IPV4_SOURCE_AT, 8)) return false;
  } else {
    // Not compared: traffic class, flow label, hop limit. Extension headers are read the long way.
    if (headerBytes !== IPV6_HEADER_BYTES || s[sOff]! >>> 4 !== 6) return false;
    // Length and next header.
    if (!sameBytes(p, pOff + IPV6_LENGTH_AT, s, sOff + IPV6_LENGTH_AT, 3)) return false;
    if (!sameBytes(p, pOff + IPV6_SOURCE_AT, s, sOff + IPV6_SOURCE_AT, 32)) return false;
  }
  return differing <= headerBytes || sameBytes(p, v.l4, s, sOff + headerBytes, 4);
}

function sameBytes(a: Buffer, aOff: number, b: Buffer, bOff: number, n: number): boolean {
  for (let i = 0; i < n; i++) if (a[aOff + i] !== b[bOff + i]) return false;
  return true;
}
