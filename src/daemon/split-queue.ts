// One guest's output, in two kernel queues that are one to the engine. A queue that takes large packets whole
// (NFQA_CFG_F_GSO) tells that a packet is to be segmented, and not where: streams do not care, datagrams are told apart
// by nothing else. So UDP has a queue without that flag, where the kernel cuts such a packet into its datagrams before
// they are queued.

import { NfQueue } from '../io/nfqueue';
import type { PacketQueue } from '../node/ports';
import { KernelBatch } from './kernel-batch';
import type { NodeSettings } from './node-config';
import { queueOptions } from './queue-options';

/**
 * The engine knows a packet by 32 bits: the last 31 of the kernel's number, and which of the two queues it came from.
 */
const UDP_BIT = 0x80000000;
const NUMBER_MASK = 0x7fffffff;

export class SplitQueue implements PacketQueue {
  /** Everything but UDP, and UDP. */
  readonly batches: readonly [KernelBatch, KernelBatch];
  readonly parts: readonly [NfQueue, NfQueue];

  /** `onBatch`: a batch of that part has come. Throws OperatorError. */
  constructor(settings: NodeSettings, queue: number, udpQueue: number, onBatch: (part: 0 | 1) => void) {
    const open = (number: number, part: 0 | 1): NfQueue =>
      new NfQueue({ ...queueOptions(settings, number), gso: part === 0 }, (count) => {
        this.batches[part].came(count);
        onBatch(part);
      });
    const whole = open(queue, 0);
    try {
      this.parts = [whole, open(udpQueue, 1)];
    } catch (error) {
      whole.close();
      throw error;
    }
    const batch = (part: 0 | 1): KernelBatch => new KernelBatch(this.parts[part], (number) => nameOf(part, number));
    this.batches = [batch(0), batch(1)];
  }

  accept(name: number): void {
    const part = partOf(name);
    this.parts[part].accept(numberOf(name, this.batches[part].newest));
  }

  acceptRewritten(name: number, buf: Buffer, off: number, len: number, partialChecksum: boolean): void {
    const part = partOf(name);
    this.parts[part].acceptRewritten(numberOf(name, this.batches[part].newest), buf, off, len, partialChecksum);
  }

  drop(name: number): void {
    const part = partOf(name);
    this.parts[part].drop(numberOf(name, this.batches[part].newest));
  }

  drain(): void {
    for (const part of this.parts) part.drain();
  }

  /** While paused, packets wait in the kernel; drain() still takes them. */
  pause(paused: boolean): void {
    for (const part of this.parts) part.pause(paused);
  }

  flush(): void {
    for (const part of this.parts) part.flush();
  }

  close(): void {
    for (const part of this.parts) part.close();
  }
}

function partOf(name: number): 0 | 1 {
  return name >>> 31 === 0 ? 0 : 1;
}

export function nameOf(part: 0 | 1, number: number): number {
  return ((number & NUMBER_MASK) | (part === 0 ? 0 : UDP_BIT)) >>> 0;
}

/**
 * The kernel counts on, and a queue never holds 2^31 packets: the number is the last one with these bits that is not
 * after the newest.
 */
export function numberOf(name: number, newest: number): number {
  return (newest - ((newest - name) & NUMBER_MASK)) >>> 0;
}
