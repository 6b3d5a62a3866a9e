// Packets of both VMs as they come: what is not compared leaves or is refused here, the rest goes the way of its
// protocol (flow-handler). What comes of it, a request for a checkpoint or one guest waiting for the other, is noted.

import { CheckpointCause, DIVERGED, EQUAL, EXHAUSTED, type Outcome } from '../compare/outcome';
import { type FrameView, viewLinkFrame } from '../packet/ethernet';
import { isInfrastructure } from '../packet/infrastructure';
import { canonicalIp, hasExtensionHeaders, isPlainIp, viewWhole } from '../packet/ip-canon';
import { PARSE_OK, parseIp } from '../packet/parse';
import { IPPROTO_TCP, PacketView } from '../packet/view';
import type { AddressWatch } from './address-watch';
import { type BypassRule, bypasses } from './bypass';
import type { PrimaryContext } from './context';
import {
  C_DIVERGENCES,
  C_IP_CLEARED,
  C_PRIMARY_BYPASSED,
  C_PRIMARY_BYTES,
  C_PRIMARY_FLOWS_FULL,
  C_PRIMARY_FRAGMENTS,
  C_PRIMARY_INFRASTRUCTURE,
  C_PRIMARY_MALFORMED,
  C_PRIMARY_OPAQUE,
  C_PRIMARY_PACKETS,
  C_SECONDARY_BYPASSED,
  C_SECONDARY_BYTES,
  C_SECONDARY_FLOWS_FULL,
  C_SECONDARY_FRAGMENTS,
  C_SECONDARY_INFRASTRUCTURE,
  C_SECONDARY_MALFORMED,
  C_SECONDARY_OPAQUE,
  C_SECONDARY_PACKETS,
  C_SECONDARY_PAUSED,
  C_SECONDARY_SETTLING,
  C_UNPROTECTED,
  type PrimaryCounters,
} from './counters';
import { type FlowHandler, type FlowHandlers, NO_ROOM, REFUSED } from './flow-handler';
import { holdFlags, NO_FLOW } from './holds';
import type { Phase } from './phase';
import type { Silence } from './silence';

export class PacketIntake {
  bypass: readonly BypassRule[] = [];
  private readonly counters: PrimaryCounters;
  private readonly view = new PacketView();

  constructor(
    private readonly x: PrimaryContext,
    private readonly handlers: FlowHandlers,
    private readonly phase: Phase,
    private readonly silence: Silence,
    private readonly addresses: AddressWatch,
  ) {
    this.counters = x.counters;
  }

  // What these take is said where they are asked for from outside (engine.ts).

  primary(
    id: number,
    buf: Buffer,
    off: number,
    len: number,
    partialChecksum: boolean,
    nowMs: number,
    headBytes = 0,
    zone = 0,
  ): void {
    const c = this.counters.values;
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += len;
    this.primarySpeaks(nowMs);
    if (!this.phase.protectedNow) {
      c[C_UNPROTECTED]!++;
      this.x.accept(id, buf, off, len);
      return;
    }
    const v = this.view;
    v.head = headBytes;
    v.limit = off + len;
    v.zone = zone;
    if (parseIp(v, buf, off, len) !== PARSE_OK) {
      c[C_PRIMARY_MALFORMED]!++;
      this.x.drop(id);
      return;
    }
    if (this.bypass.length > 0 && bypasses(this.bypass, v)) {
      c[C_PRIMARY_BYPASSED]!++;
      this.x.accept(id, buf, off, len);
      return;
    }
    v.changed = !isPlainIp(v) && canonicalIp(v);
    if (v.changed) c[C_IP_CLEARED]!++;
    if (v.fragment) {
      // Reassembly is for those before us; a fragment that comes here all the same cannot be compared.
      c[C_PRIMARY_FRAGMENTS]!++;
      this.holdUnknown(id, v, buf, partialChecksum, nowMs);
      return;
    }
    if (isInfrastructure(v)) {
      c[C_PRIMARY_INFRASTRUCTURE]!++;
      this.addresses.notePacket(v, true);
      this.x.leave(id, v, buf, partialChecksum);
      return;
    }
    if (hasExtensionHeaders(v)) viewWhole(v);
    this.comparePrimary(id, v, buf, partialChecksum, nowMs);
  }

  primaryOpaque(
    id: number,
    buf: Buffer,
    off: number,
    len: number,
    originalLen: number,
    partialChecksum: boolean,
    nowMs: number,
    headBytes = 0,
    zone = 0,
  ): void {
    const c = this.counters.values;
    const v = this.view;
    v.head = headBytes;
    v.limit = off + len;
    v.zone = zone;
    // Headers stand at the front: those of a cut packet are read as those of the whole.
    const known = this.phase.protectedNow && parseIp(v, buf, off, originalLen) === PARSE_OK;
    const wholeTcp = v.protocol === IPPROTO_TCP && !v.fragment && len === originalLen;
    if (!known || wholeTcp || (this.bypass.length > 0 && bypasses(this.bypass, v))) {
      this.primary(id, buf, off, originalLen, partialChecksum, nowMs, headBytes, zone);
      return;
    }
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += originalLen;
    c[C_PRIMARY_OPAQUE]!++;
    this.primarySpeaks(nowMs);
    v.changed = false;
    if (v.protocol === IPPROTO_TCP && !v.fragment) this.x.drop(id);
    else this.holdUnknown(id, v, buf, partialChecksum, nowMs);
  }

  secondaryOpaque(buf: Buffer, off: number, len: number, originalLen: number, nowMs: number, zone = 0): void {
    const v = this.view;
    if (len === originalLen && parseIp(v, buf, off, len) === PARSE_OK && v.protocol === IPPROTO_TCP && !v.fragment) {
      this.secondary(buf, off, len, nowMs, zone);
      return;
    }
    const c = this.counters.values;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += len;
    c[C_SECONDARY_OPAQUE]!++;
  }

  primaryLink(
    id: number,
    buf: Buffer,
    frame: FrameView,
    end: number,
    nowMs: number,
    headBytes: number,
    zone: number,
  ): void {
    const c = this.counters.values;
    c[C_PRIMARY_PACKETS]!++;
    c[C_PRIMARY_BYTES]! += end - frame.network;
    this.primarySpeaks(nowMs);
    if (!this.phase.protectedNow) {
      c[C_UNPROTECTED]!++;
      this.x.accept(id, buf, frame.network, end - frame.network);
      return;
    }
    const v = this.view;
    v.head = headBytes;
    v.limit = end;
    v.zone = zone;
    viewLinkFrame(v, buf, frame, end);
    v.changed = false;
    this.comparePrimary(id, v, buf, false, nowMs);
  }

  secondaryLink(buf: Buffer, frame: FrameView, end: number, nowMs: number, zone: number): void {
    const c = this.counters.values;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += end - frame.network;
    this.secondarySpeaks(nowMs);
    if (!this.phase.protectedNow || !this.listensToSecondary(nowMs)) return;
    const v = this.view;
    v.zone = zone;
    viewLinkFrame(v, buf, frame, end);
    this.compareSecondary(v, buf, nowMs);
  }

  /** Would the packet of the SVM in the view be compared now? */
  wouldCompare(v: PacketView, nowMs: number): boolean {
    const { phase } = this;
    if (!phase.protectedNow || phase.paused || phase.isPast(nowMs)) return false;
    return this.bypass.length === 0 || !bypasses(this.bypass, v);
  }

  secondary(buf: Buffer, off: number, len: number, nowMs: number, zone = 0): void {
    const c = this.counters.values;
    c[C_SECONDARY_PACKETS]!++;
    c[C_SECONDARY_BYTES]! += len;
    this.secondarySpeaks(nowMs);
    if (!this.phase.protectedNow) return;
    const v = this.view;
    v.zone = zone;
    if (parseIp(v, buf, off, len) !== PARSE_OK) {
      c[C_SECONDARY_MALFORMED]!++;
      return;
    }
    if (this.bypass.length > 0 && bypasses(this.bypass, v)) {
      c[C_SECONDARY_BYPASSED]!++;
      return;
    }
    if (v.fragment) {
      c[C_SECONDARY_FRAGMENTS]!++;
      return;
    }
    if (isInfrastructure(v)) {
      c[C_SECONDARY_INFRASTRUCTURE]!++;
      this.addresses.notePacket(v, false);
      return;
    }
    if (!this.listensToSecondary(nowMs)) return;
    if (hasExtensionHeaders(v)) viewWhole(v);
    this.compareSecondary(v, buf, nowMs);
  }

  /** The packet of the PVM in the view goes the way of its protocol. */
  private comparePrimary(id: number, v: PacketView, buf: Buffer, partial: boolean, nowMs: number): void {
    const comparing = !this.phase.paused;
    const handler = this.handlers.ofProtocol(v.protocol);
    const hold = handler.admit(v, partial, comparing);
    if (hold === REFUSED) {
      this.x.drop(id);
      return;
    }
    const flow = handler.flowOf(v, nowMs);
    if (flow === NO_ROOM) {
      // Its sender retransmits it; a checkpoint would make no room that lasts.
      this.counters.values[C_PRIMARY_FLOWS_FULL]!++;
      this.x.drop(id);
      return;
    }
    const outcome = handler.primary(id, flow, v, buf, hold, comparing, nowMs);
    if (!comparing) return;
    this.x.onSaid?.(flow);
    if (outcome === EQUAL) this.silence.inStep(nowMs);
    this.conclude(outcome, flow, handler, nowMs);
  }

  /** And so does one of the SVM. */
  private compareSecondary(v: PacketView, buf: Buffer, nowMs: number): void {
    const handler = this.handlers.ofProtocol(v.protocol);
    if (!handler.admitSecondary(v)) return;
    const flow = handler.flowOf(v, nowMs);
    if (flow === NO_ROOM) {
      this.counters.values[C_SECONDARY_FLOWS_FULL]!++;
      return;
    }
    this.conclude(handler.secondary(flow, v, buf, nowMs), flow, handler, nowMs);
  }

  private conclude(outcome: Outcome, flow: number, handler: FlowHandler, nowMs: number): void {
    if (outcome === DIVERGED) {
      this.counters.values[C_DIVERGENCES]!++;
      this.phase.ask(this.x.difference.cause, true);
    } else if (outcome === EXHAUSTED) this.phase.ask(CheckpointCause.EXHAUSTED, true);
    else if (flow >= 0) this.silence.note(flow, handler, nowMs);
  }

  /** Waits for a checkpoint, and for nothing else. */
  private holdUnknown(id: number, v: PacketView, buf: Buffer, partial: boolean, nowMs: number): void {
    const held = this.x.hold(id, NO_FLOW, v, buf, 0, 0, holdFlags(v, partial), nowMs);
    this.phase.ask(held === 0 ? CheckpointCause.EXHAUSTED : CheckpointCause.NOT_COMPARABLE, true);
  }

  private listensToSecondary(nowMs: number): boolean {
    if (this.phase.paused) {
      // The checkpoint that is awaited makes the SVM forget what it says now.
      this.counters.values[C_SECONDARY_PAUSED]!++;
      return false;
    }
    if (this.phase.isPast(nowMs)) {
      this.counters.values[C_SECONDARY_SETTLING]!++;
      return false;
    }
    return true;
  }

  /** A packet of the PVM has come. */
  primarySpeaks(nowMs: number): void {
    this.phase.nowMs = nowMs;
    this.silence.primaryHeard(nowMs);
    if (this.phase.pace.awaitsPrimary) this.phase.pace.primaryRuns(nowMs);
  }

  private secondarySpeaks(nowMs: number): void {
    this.phase.nowMs = nowMs;
    this.silence.secondaryHeard(nowMs);
  }
}
