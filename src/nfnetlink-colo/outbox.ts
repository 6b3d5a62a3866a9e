// Answers on their way out. A reader whose buffer is full gets them later and in order; one who is gone gets none.

import { Errno } from '../netlink/errno';
import type { ControlCounters } from './counters';
import { MAX_WAITING_BYTES, MAX_WAITING_BYTES_ALL } from './limits';
import { type Address, addressName, type Carrier } from './peer';

interface Waiting {
  readonly to: Address;
  readonly datagrams: Uint8Array[];
  bytes: number;
}

export class Outbox {
  private readonly waiting = new Map<string, Waiting>();
  private waitingBytes = 0;

  constructor(
    private readonly carriers: Partial<Record<Address['carrier'], Carrier>>,
    private readonly counters: ControlCounters,
  ) {}

  /** True when something waits for a slow reader: call flush() soon. */
  get busy(): boolean {
    return this.waiting.size > 0;
  }

  /** Sends, or keeps a copy for later. */
  send(to: Address, bytes: Uint8Array): void {
    const queue = this.waiting.get(addressName(to));
    if (queue === undefined) {
      const result = this.sendNow(to, bytes);
      if (result === 0) return;
      if (!isTemporary(result)) {
        this.counters.add('answers_lost');
        return;
      }
    }
    const queued = queue?.bytes ?? 0;
    if (queued + bytes.length > MAX_WAITING_BYTES || this.waitingBytes + bytes.length > MAX_WAITING_BYTES_ALL) {
      this.counters.add('answers_lost');
      return;
    }
    this.counters.add('answers_delayed');
    this.keep(queue ?? this.queueFor(to), bytes);
  }

  /**
   * Sends or not, and keeps nothing: 0 or a negative errno. Nothing overtakes what already waits for the same reader.
   */
  trySend(to: Address, bytes: Uint8Array): number {
    return this.waiting.has(addressName(to)) ? -Errno.EAGAIN : this.sendNow(to, bytes);
  }

  /** Tries again what waits. */
  flush(): void {
    for (const [name, queue] of this.waiting) {
      let sent = 0;
      let result = 0;
      for (const datagram of queue.datagrams) {
        result = this.sendNow(queue.to, datagram);
        if (result !== 0) break;
        sent++;
        queue.bytes -= datagram.length;
        this.waitingBytes -= datagram.length;
      }
      queue.datagrams.splice(0, sent);
      if (queue.datagrams.length === 0) this.waiting.delete(name);
      else if (!isTemporary(result)) this.forget(queue.to);
    }
  }

  /** Its reader is gone. */
  forget(to: Address): void {
    const name = addressName(to);
    const queue = this.waiting.get(name);
    if (queue === undefined) return;
    this.waitingBytes -= queue.bytes;
    for (let i = 0; i < queue.datagrams.length; i++) this.counters.add('answers_lost');
    this.waiting.delete(name);
  }

  private sendNow(to: Address, bytes: Uint8Array): number {
    return this.carriers[to.carrier]?.send(to, bytes) ?? -Errno.ENOTCONN;
  }

  private queueFor(to: Address): Waiting {
    const queue: Waiting = { to, datagrams: [], bytes: 0 };
    this.waiting.set(addressName(to), queue);
    return queue;
  }

  private keep(queue: Waiting, bytes: Uint8Array): void {
    queue.datagrams.push(Uint8Array.from(bytes));
    queue.bytes += bytes.length;
    this.waitingBytes += bytes.length;
  }
}

function isTemporary(result: number): boolean {
  return result === -Errno.EAGAIN || result === -Errno.ENOBUFS;
}
