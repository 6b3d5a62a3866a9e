// A batch of a simulated queue as a receive batch stands in memory: packet behind packet, gone when it was looked at.

import type { BothQueues } from '../node/in-step';
import type { PacketBatch, QueuedPacket } from '../node/ports';
import type { FakeQueue, ShownPacket } from './fake-queue';

/** Between two packets. */
const GAP_BYTES = 48;
const NOISE = 0xa5;

export class SimBatch implements PacketBatch {
  private arena = Buffer.alloc(1 << 16, NOISE);
  private packets: readonly ShownPacket[] = [];
  private readonly offs: number[] = [];
  private used = 0;

  constructor(private readonly queue: FakeQueue) {}

  get count(): number {
    return this.packets.length;
  }

  show(packets: readonly ShownPacket[]): void {
    this.packets = packets;
    this.used = GAP_BYTES;
    this.offs.length = 0;
    for (const { shown } of packets) {
      this.offs.push(this.used);
      this.used += shown + GAP_BYTES;
    }
    if (this.used > this.arena.length) this.arena = Buffer.alloc(this.used * 2, NOISE);
    for (const [i, { packet, shown }] of packets.entries()) packet.buf.copy(this.arena, this.offs[i]!, 0, shown);
  }

  read(number: number, p: QueuedPacket): void {
    const { id, packet, shown } = this.packets[number]!;
    p.id = id;
    p.buf = this.arena;
    p.off = this.offs[number]!;
    p.len = shown;
    p.originalLen = packet.buf.length;
    p.partialChecksum = packet.partial;
    p.segmented = packet.segmentBytes !== 0 && packet.dataBytes > packet.segmentBytes;
    p.macHigh = 1;
    p.macLow = 0;
  }

  bytesOf(number: number): number {
    return this.packets[number]!.shown;
  }

  take(): number {
    this.show(this.queue.take());
    return this.count;
  }

  give(): void {
    this.packets = [];
    this.arena.fill(NOISE, 0, this.used);
  }

  /** Of a packet. */
  bytes(number: number): Buffer {
    return this.arena.subarray(this.offs[number]!, this.offs[number]! + this.bytesOf(number));
  }
}

/** Compared as native/core/nfq.h has it, but to the end: to refuse what differs is the engine's. */
export class BothSimBatches implements BothQueues {
  constructor(
    readonly guest: SimBatch,
    readonly forward: SimBatch,
  ) {}

  compare(p: number, s: number, packets: number, to: Buffer, at: number, differing: Uint32Array): number {
    let behind = at;
    for (let i = 0; i < packets; i++) {
      const a = this.guest.bytes(p + i);
      differing[i] = differingBytes(a, this.forward.bytes(s + i));
      behind += a.copy(to, behind);
    }
    return packets;
  }
}

/** How far from the front the last difference of the two lies. */
function differingBytes(a: Buffer, b: Buffer): number {
  if (a.length !== b.length) return Math.max(a.length, b.length);
  let n = a.length;
  while (n > 0 && a[n - 1] === b[n - 1]) n--;
  return n;
}
