// One guest's output, in two kernel queues that are one to the engine. A queue that takes large packets whole
// (NFQA_CFG_F_GSO) tells that a packet is to be segmented, and not where: streams do not care, datagrams are told apart
// by nothing else. So UDP has a queue without that flag, where the kernel cuts such a packet into its datagrams before
// they are queued.

import { NfQueue } from '../io/nfqueue';
import { NFQ_D_ID, NFQ_D_WORDS } from '../native/layout';
import { type PacketQueue, type PacketSink, queuedPacket } from '../node/ports';
import { handIn } from './kernel-queue';
import type { NodeSettings } from './node-config';
import { queueOptions } from './queue-options';

/**
 * The engine knows a packet by 32 bits: the last 31 of the kernel's number, and which of the two queues it came from.
 */
const UDP_BIT = 0x80000000;
const NUMBER_MASK = 0x7fffffff;

export class SplitQueue implements PacketQueue {
  /** Everything but UDP, and UDP. */
  readonly parts: readonly [NfQueue, NfQueue];
  /** The kernel's number of the newest packet of each part. */
  private readonly newest = new Uint32Array(2);

  /** Throws OperatorError. */
  constructor(settings: NodeSettings, queue: number, udpQueue: number, sink: () => PacketSink) {
    const whole = this.open(settings, queue, 0, sink);
    try {
      this.parts = [whole, this.open(settings, udpQueue, 1, sink)];
    } catch (error) {
      whole.close();
      throw error;
    }
  }

  private open(settings: NodeSettings, queue: number, part: 0 | 1, sink: () => PacketSink): NfQueue {
    const p = queuedPacket();
    const name = (number: number): number => nameOf(part, number);
    const kernel: NfQueue = new NfQueue({ ...queueOptions(settings, queue), gso: part === 0 }, (count) => {
      this.newest[part] = kernel.table[(count - 1) * NFQ_D_WORDS + NFQ_D_ID]!;
      handIn(kernel, count, p, sink(), name);
      sink().endBatch();
    });
    p.buf = kernel.arena;
    return kernel;
  }

  accept(name: number): void {
    const part = name >>> 31;
    this.parts[part]!.accept(numberOf(name, this.newest[part]!));
  }

  acceptRewritten(name: number, buf: Buffer, off: number, len: number, partialChecksum: boolean): void {
    const part = name >>> 31;
    this.parts[part]!.acceptRewritten(numberOf(name, this.newest[part]!), buf, off, len, partialChecksum);
  }

  drop(name: number): void {
    const part = name >>> 31;
    this.parts[part]!.drop(numberOf(name, this.newest[part]!));
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
