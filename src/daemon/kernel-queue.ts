// A kernel queue as a node sees it: packets by name, one verdict each.

import { NfQueue, type NfQueueOptions } from '../io/nfqueue';
import { NFQ_MAX_COPY } from '../native/layout';
import { type CuttingQueue, type PacketSink, queuedPacket } from '../node/ports';
import { KernelBatch } from './kernel-batch';

/**
 * Before the failover the SVM's packets are only inspected: their headers suffice, and copying 64 KiB of payload out of
 * the kernel for each large packet would cost more than all the rest. More than any chain of headers that a TCP packet
 * has.
 */
export const HEADER_BYTES = 512;

export class KernelQueue implements CuttingQueue {
  readonly kernel: NfQueue;

  /** Throws OperatorError. */
  constructor(
    options: NfQueueOptions,
    sink: () => PacketSink,
    /** False: it always shows packets whole. */
    private readonly cuts = true,
  ) {
    const p = queuedPacket();
    this.kernel = new NfQueue(options, (count) => {
      const to = sink();
      for (let i = 0; i < count; i++) {
        batch.read(i, p);
        to.packet(p);
      }
      to.endBatch();
    });
    const batch = new KernelBatch(this.kernel);
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
    if (this.cuts) this.kernel.setCopyRange(on ? NFQ_MAX_COPY : HEADER_BYTES);
  }

  close(): void {
    this.kernel.close();
  }
}
