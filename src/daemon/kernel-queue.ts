// A kernel queue as a node sees it: packets by name, one verdict each.

import { NfQueue, type NfQueueOptions } from '../io/nfqueue';
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
  NFQ_MAX_COPY,
  NFQA_SKB_CSUMNOTREADY,
  NFQA_SKB_GSO,
} from '../native/layout';
import { type CuttingQueue, type PacketSink, type QueuedPacket, queuedPacket } from '../node/ports';
import { ETH_ALEN } from '../packet/ethernet';

/**
 * Before the failover the SVM's packets are only inspected: their headers suffice, and copying 64 KiB of payload out of
 * the kernel for each large packet would cost more than all the rest. More than any chain of headers that a TCP packet
 * has.
 */
export const HEADER_BYTES = 512;

export class KernelQueue implements CuttingQueue {
  readonly kernel: NfQueue;

  /** Throws OperatorError. */
  constructor(options: NfQueueOptions, sink: () => PacketSink) {
    const p = queuedPacket();
    this.kernel = new NfQueue(options, (count) => {
      handIn(this.kernel, count, p, sink());
      sink().endBatch();
    });
    p.buf = this.kernel.arena;
  }

  accept(id: number): void {
    this.kernel.accept(id);
  }

  acceptRewritten(id: number, buf: Buffer, off: number, len: number, partialChecksum: boolean): void {
    this.kernel.acceptRewritten(id, buf, off, len, partialChecksum);
  }

  drop(id: number): void {
    this.kernel.drop(id);
  }

  drain(): void {
    this.kernel.drain();
  }

  flush(): void {
    this.kernel.flush();
  }

  showWhole(on: boolean): void {
    this.kernel.setCopyRange(on ? NFQ_MAX_COPY : HEADER_BYTES);
  }

  close(): void {
    this.kernel.close();
  }
}

/**
 * The packets of a batch; `p` is filled again for each, but for its buffer. `nameOf` gives the id under which its
 * verdict comes.
 */
export function handIn(
  { table }: NfQueue,
  count: number,
  p: QueuedPacket,
  sink: PacketSink,
  nameOf: (number: number) => number = itself,
): void {
  for (let d = 0, end = count * NFQ_D_WORDS; d < end; d += NFQ_D_WORDS) {
    const info = table[d + NFQ_D_SKB_INFO]!;
    const ethernet = table[d + NFQ_D_HWADDR_LENGTH] === ETH_ALEN;
    p.id = nameOf(table[d + NFQ_D_ID]!);
    p.off = table[d + NFQ_D_OFFSET]!;
    p.len = table[d + NFQ_D_LENGTH]!;
    p.originalLen = table[d + NFQ_D_ORIGINAL_LENGTH]!;
    p.partialChecksum = (info & NFQA_SKB_CSUMNOTREADY) !== 0;
    p.segmented = (info & NFQA_SKB_GSO) !== 0;
    p.macHigh = ethernet ? table[d + NFQ_D_HWADDR_HIGH]! : 0;
    p.macLow = ethernet ? table[d + NFQ_D_HWADDR_LOW]! >>> 16 : 0;
    sink.packet(p);
  }
}

function itself(number: number): number {
  return number;
}
