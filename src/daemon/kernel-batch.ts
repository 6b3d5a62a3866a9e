// A kernel queue's batch, and both guests' side by side, as the packets stand where they were received.

import type { NfQueue } from '../io/nfqueue';
import { addon } from '../native/addon';
import { systemError } from '../native/errno';
import {
  NFQ_D_HWADDR_HIGH,
  NFQ_D_HWADDR_LENGTH,
  NFQ_D_HWADDR_LOW,
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_OFFSET,
  NFQ_D_ORIGINAL_LENGTH,
  NFQ_D_SKB_INFO,
  NFQ_D_WORDS,
  NFQA_SKB_CSUMNOTREADY,
  NFQA_SKB_GSO,
} from '../native/layout';
import type { BothQueues } from '../node/in-step';
import type { PacketBatch, QueuedPacket } from '../node/ports';
import { ETH_ALEN } from '../packet/ethernet';

/** A queue's batch; `nameOf` gives the id under which a packet's verdict comes. */
export class KernelBatch implements PacketBatch {
  count = 0;
  /** The kernel's number of the newest packet. */
  newest = 0;

  constructor(
    readonly kernel: Pick<NfQueue, 'arena' | 'table' | 'take' | 'give'>,
    private readonly nameOf: (number: number) => number = itself,
  ) {}

  read(number: number, p: QueuedPacket): void {
    const { table } = this.kernel;
    const d = number * NFQ_D_WORDS;
    const info = table[d + NFQ_D_SKB_INFO]!;
    const ethernet = table[d + NFQ_D_HWADDR_LENGTH] === ETH_ALEN;
    p.id = this.nameOf(table[d + NFQ_D_ID]!);
    p.buf = this.kernel.arena;
    p.off = table[d + NFQ_D_OFFSET]!;
    p.len = table[d + NFQ_D_LENGTH]!;
    p.originalLen = table[d + NFQ_D_ORIGINAL_LENGTH]!;
    p.partialChecksum = (info & NFQA_SKB_CSUMNOTREADY) !== 0;
    p.segmented = (info & NFQA_SKB_GSO) !== 0;
    p.macHigh = ethernet ? table[d + NFQ_D_HWADDR_HIGH]! : 0;
    p.macLow = ethernet ? table[d + NFQ_D_HWADDR_LOW]! >>> 16 : 0;
  }

  bytesOf(number: number): number {
    return this.kernel.table[number * NFQ_D_WORDS + NFQ_D_LENGTH]!;
  }

  /** So many packets have come. */
  came(count: number): void {
    this.count = count;
    if (count > 0) this.newest = this.kernel.table[(count - 1) * NFQ_D_WORDS + NFQ_D_ID]!;
  }

  take(): number {
    this.came(this.kernel.take());
    return this.count;
  }

  give(): void {
    this.kernel.give();
  }
}

/** The same part of both guests' output. */
export class BothKernelBatches implements BothQueues {
  private readonly native = addon();

  constructor(
    readonly guest: KernelBatch,
    readonly forward: KernelBatch,
  ) {}

  compare(p: number, s: number, packets: number, to: Buffer, at: number, differing: Uint32Array): number {
    const { kernel } = this.guest;
    const other = this.forward.kernel;
    const alike = this.native.nfqPairs(
      kernel.arena,
      kernel.table,
      p,
      other.arena,
      other.table,
      s,
      packets,
      to,
      at,
      differing,
    );
    if (alike < 0) throw systemError(alike, "comparing two queues' packets");
    return alike;
  }
}

function itself(number: number): number {
  return number;
}
