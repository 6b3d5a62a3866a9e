// Sends single frames by the engine's verdicts (runs of frames leave by the lockstep). A packet's id has the sizes of
// its headers, and whether it came in fragments.

import { type FrameSink, writeFrame } from '../../chardev/frame';
import { clearOffloads, isPartial } from '../../packet/vnet-offload';
import {
  C_FRAGMENTS_CUT,
  C_OFFLOADS_CLEARED,
  C_RELEASED_FRAMES,
  C_WITHOUT_PEER,
  C_WITHOUT_ROOM,
  C_WRITTEN_BYTES,
  type CompareCounters,
} from './compare-counters';
import type { HeldFragments } from './held-fragments';
import { ID_HEAD_SHIFT, ID_SIZE_MASK, ID_SLOT_SHIFT } from './packet-id';

/** The comparison's output: QEMU's outdev. */
export interface OutputSink extends FrameSink {
  readonly connected: boolean;
}

export class FrameOutlet {
  private readonly wordBytes: number;

  constructor(
    private readonly sink: OutputSink,
    private readonly vnetWord: boolean,
    private readonly held: HeldFragments,
    private readonly counters: CompareCounters,
  ) {
    this.wordBytes = vnetWord ? 8 : 4;
  }

  /** The PrimaryActions for packets that are frames of their own or came in fragments. */
  accept(id: number, buf: Buffer, off: number, len: number): void {
    if (id >>> ID_SLOT_SHIFT !== 0) {
      this.leaveFragments(id);
      return;
    }
    const head = (id >>> ID_HEAD_SHIFT) & ID_SIZE_MASK;
    this.write(id & ID_SIZE_MASK, buf, off - head, head + len);
  }

  acceptRewritten(id: number, buf: Buffer, off: number, len: number, partial: boolean): void {
    const slot = id >>> ID_SLOT_SHIFT;
    if (slot !== 0) {
      if (this.held.change(slot, buf, off, len)) this.leaveFragments(id);
      else {
        this.counters.values[C_FRAGMENTS_CUT]!++;
        this.held.release(slot);
      }
      return;
    }
    const head = (id >>> ID_HEAD_SHIFT) & ID_SIZE_MASK;
    const vnetBytes = id & ID_SIZE_MASK;
    const wasPartial = isPartial(buf, off - head, vnetBytes);
    const at = this.write(vnetBytes, buf, off - head, head + len);
    if (at < 0 || partial || !wasPartial) return;
    this.counters.values[C_OFFLOADS_CLEARED]!++;
    clearOffloads(this.sink.out, at, vnetBytes);
  }

  drop(id: number): void {
    const slot = id >>> ID_SLOT_SHIFT;
    if (slot !== 0) this.held.release(slot);
  }

  /**
   * The verified beginning of a held packet. None of one that came in fragments: no frame of it has the whole packet's
   * headers.
   */
  emit(id: number, buf: Buffer, off: number, len: number): boolean {
    if (id >>> ID_SLOT_SHIFT !== 0) return false;
    const head = (id >>> ID_HEAD_SHIFT) & ID_SIZE_MASK;
    const vnetBytes = id & ID_SIZE_MASK;
    const at = this.write(vnetBytes, buf, off - head, head + len);
    if (at < 0) return false;
    if (vnetBytes > 0) clearOffloads(this.sink.out, at, vnetBytes);
    return true;
  }

  /** Sends a frame; returns the offset of its copy in the sink's buffer, or -1. */
  write(vnetBytes: number, buf: Buffer, off: number, len: number): number {
    const c = this.counters.values;
    const at = writeFrame(this.sink, this.vnetWord, vnetBytes, buf, off, len);
    if (at < 0) {
      c[this.sink.connected ? C_WITHOUT_ROOM : C_WITHOUT_PEER]!++;
      return -1;
    }
    c[C_RELEASED_FRAMES]!++;
    c[C_WRITTEN_BYTES]! += len + this.wordBytes;
    return at;
  }

  private leaveFragments(id: number): void {
    const slot = id >>> ID_SLOT_SHIFT;
    const vnetBytes = id & ID_SIZE_MASK;
    this.held.forEach(slot, (buf, off, len) => this.write(vnetBytes, buf, off, len));
    this.held.release(slot);
  }
}
