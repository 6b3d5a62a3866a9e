// Frames that the host is to cut, on their way through the comparison: the engine gets their datagrams, and a frame
// leaves as it came when all of them may leave. A frame that is to be cut in an unknown way waits for a checkpoint.

import { DatagramCutter } from '../../packet/datagram-cutter';
import { canonicalIp } from '../../packet/ip-canon';
import { PARSE_OK, parseIp } from '../../packet/parse';
import { IPPROTO_TCP, IPPROTO_UDP, PacketView } from '../../packet/view';
import { PACKED_UNKNOWN } from '../../packet/vnet-offload';
import type { PrimaryEngine } from '../../pmycolo/engine';
import { C_PRIMARY_SENDS, C_SECONDARY_SENDS, C_SENDS_LOST, type CompareCounters } from './compare-counters';
import { HeldSends, SEND_LEAVES, SEND_LOST, SEND_WITHOUT_ROOM, type SendOutcome } from './datagram-sends';
import { ID_HEAD_SHIFT, ID_SLOT_SHIFT, SLOT_OF_SEND } from './packet-id';

export class PackedFrames {
  private readonly view = new PacketView();
  private readonly cutter = new DatagramCutter();
  private readonly sends = new HeldSends();

  constructor(
    private readonly engine: PrimaryEngine,
    private readonly counters: CompareCounters,
    private readonly write: (vnetBytes: number, buf: Buffer, off: number, len: number) => void,
  ) {}

  /**
   * buf[off, end) with its IP packet at `network`; `packing` is packingOf()'s result. False: it is one packet after
   * all.
   */
  primary(
    packing: number,
    buf: Buffer,
    off: number,
    network: number,
    end: number,
    vnetBytes: number,
    zone: number,
    nowMs: number,
  ): boolean {
    const { engine, cutter, sends } = this;
    const c = this.counters.values;
    if (!engine.isProtected || parseIp(this.view, buf, network, end - network) !== PARSE_OK) return false;
    if (this.isOne(packing)) return false;
    // The frame leaves as it is here, with the fields that its datagrams have in common.
    this.view.limit = end;
    canonicalIp(this.view);
    const { limit } = this.view;
    if (!this.holdsDatagrams(packing) || !cutter.start(this.view, off, packing)) {
      const head = network - off;
      const id = (head << ID_HEAD_SHIFT) | vnetBytes;
      engine.primaryOpaque(id, buf, network, end - network, end - network, false, nowMs, head, zone);
      return true;
    }
    c[C_PRIMARY_SENDS]!++;
    const slot = sends.open(vnetBytes);
    if (slot < 0) {
      c[C_SENDS_LOST]!++;
      engine.boundExhausted();
      return true;
    }
    const id = ((slot | SLOT_OF_SEND) << ID_SLOT_SHIFT) >>> 0;
    for (let bytes = cutter.take(); bytes > 0; bytes = cutter.take()) {
      sends.add(slot);
      engine.primary(id, cutter.buf, cutter.network, bytes, false, nowMs, 0, zone);
    }
    const outcome = sends.keep(slot, buf, off, limit - off);
    if (outcome === SEND_WITHOUT_ROOM) engine.boundExhausted();
    this.finish(slot, outcome, buf, off, limit - off);
    return true;
  }

  /** The same for a frame of the secondary. */
  secondary(
    packing: number,
    buf: Buffer,
    off: number,
    network: number,
    end: number,
    zone: number,
    nowMs: number,
  ): boolean {
    const { engine, cutter } = this;
    if (parseIp(this.view, buf, network, end - network) !== PARSE_OK) return false;
    if (this.isOne(packing)) return false;
    if (!this.holdsDatagrams(packing) || !cutter.start(this.view, off, packing)) {
      engine.secondaryOpaque(buf, network, end - network, end - network, nowMs, zone);
      return true;
    }
    this.counters.values[C_SECONDARY_SENDS]!++;
    for (let bytes = cutter.take(); bytes > 0; bytes = cutter.take())
      engine.secondary(cutter.buf, cutter.network, bytes, nowMs, zone);
    return true;
  }

  /** The engine's verdict on one datagram of the frame in this slot. */
  settle(slot: number, mayLeave: boolean): void {
    const { sends } = this;
    const outcome = sends.settle(slot, mayLeave);
    const { frameOffset, frameBytes } = sends.frameOf(slot);
    this.finish(slot, outcome, sends.data, frameOffset, frameBytes);
  }

  private finish(slot: number, outcome: SendOutcome, buf: Buffer, off: number, len: number): void {
    if (outcome === SEND_LEAVES) this.write(this.sends.frameOf(slot).vnetBytes, buf, off, len);
    else if (outcome === SEND_LOST) this.counters.values[C_SENDS_LOST]!++;
    else return;
    this.sends.close(slot);
  }

  /** Nothing is cut in any way, or the cuts do not matter (TCP). */
  private isOne(packing: number): boolean {
    const v = this.view;
    return v.payloadBytes <= (packing & 0xffff) || (v.protocol === IPPROTO_TCP && !v.fragment);
  }

  /** The view's packet; a fragment is never cut further. */
  private holdsDatagrams(packing: number): boolean {
    return packing < PACKED_UNKNOWN && this.view.protocol === IPPROTO_UDP && !this.view.fragment;
  }
}
