// The kernel's NFQUEUE: keeps packets under ids until their verdicts, hands them to the listener in batches with some
// delay, drops its packets when the listener dies, new ones while nobody listens, and those beyond its length. A second
// verdict for a packet, or one for an unknown packet, is a broken rule of the run.

import type { SimPacket } from './packet';
import type { Prng } from './prng';
import type { Scheduler } from './scheduler';

/** A packet under its id, and how many bytes of it the listener gets to see. */
export interface ShownPacket {
  readonly id: number;
  readonly packet: SimPacket;
  readonly shown: number;
}

export interface QueueCounts {
  queued: number;
  accepted: number;
  rewritten: number;
  dropped: number;
  /** Lost because nobody listened, or with the listener. */
  unheard: number;
  overflow: number;
  mostHeld: number;
}

export class FakeQueue {
  readonly counts: QueueCounts = {
    queued: 0,
    accepted: 0,
    rewritten: 0,
    dropped: 0,
    unheard: 0,
    overflow: 0,
    mostHeld: 0,
  };
  /** Bytes of an arriving packet that are shown to the listener. */
  showBytes = Number.POSITIVE_INFINITY;
  private readonly held = new Map<number, SimPacket>();
  private readonly shown = new Map<number, number>();
  private waiting: number[] = [];
  private nextId = 1;
  private listener: ((batch: readonly ShownPacket[]) => void) | null = null;
  private scheduled = false;
  private onNext: (() => void)[] = [];
  private paused = false;

  constructor(
    readonly name: string,
    private readonly limit: number,
    private readonly latencyUs: number,
    private readonly prng: Prng,
    private readonly scheduler: Scheduler,
    private readonly broken: (rule: string, what: string) => void,
  ) {}

  get heldPackets(): number {
    return this.held.size;
  }

  enqueue(packet: SimPacket): void {
    if (!this.listener) {
      this.counts.unheard++;
      return;
    }
    if (this.held.size >= this.limit) {
      this.counts.overflow++;
      return;
    }
    const id = this.nextId++;
    this.held.set(id, packet);
    this.shown.set(id, Math.min(packet.buf.length, this.showBytes));
    this.counts.queued++;
    if (this.held.size > this.counts.mostHeld) this.counts.mostHeld = this.held.size;
    this.waiting.push(id);
    this.schedule();
    for (const task of this.onNext.splice(0)) this.scheduler.after(0, task);
  }

  /**
   * Calls the task at the next packet's arrival, when mostly nobody has read it yet; after `withinUs` if none arrives.
   */
  whenNext(withinUs: number, task: () => void): void {
    let called = false;
    const once = (): void => {
      if (!called) task();
      called = true;
    };
    this.onNext.push(once);
    this.scheduler.after(withinUs, once);
  }

  /** Batches are never empty. */
  listen(listener: (batch: readonly ShownPacket[]) => void): void {
    this.listener = listener;
  }

  /** The socket is gone with its process: all held packets are lost. */
  abandon(): void {
    this.listener = null;
    this.paused = false;
    this.forget();
  }

  forget(): void {
    this.counts.unheard += this.held.size;
    this.held.clear();
    this.shown.clear();
    this.waiting = [];
  }

  /** Reads the queue empty, as a daemon does before it obeys a message that arrived later. */
  drain(): void {
    const batch = this.read();
    if (batch.length > 0) this.listener?.(batch);
  }

  /** What is there now, for who has asked for it; nothing while paused. */
  take(): readonly ShownPacket[] {
    return this.paused ? [] : this.read();
  }

  private read(): readonly ShownPacket[] {
    const batch = this.waiting;
    this.waiting = [];
    return batch.map((id) => ({ id, packet: this.held.get(id)!, shown: this.shown.get(id)! }));
  }

  /** While paused, packets wait; drain() still hands them in. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused && this.waiting.length > 0) this.schedule();
  }

  /** Takes the packet out for its verdict; null (and a broken rule) when there is no such packet. */
  settle(id: number, verdict: 'accepted' | 'rewritten' | 'dropped'): SimPacket | null {
    const packet = this.held.get(id);
    if (!packet) {
      this.broken(
        'one verdict',
        `${this.name}: ${verdict} packet ${id}, which ${id < this.nextId ? 'has its verdict' : 'never was'}`,
      );
      return null;
    }
    this.held.delete(id);
    this.shown.delete(id);
    this.counts[verdict]++;
    return packet;
  }

  /** The packet that waits under this id. */
  waitingFor(id: number): SimPacket | undefined {
    return this.held.get(id);
  }

  /** Ids that have no verdict yet, oldest first. */
  *unsettled(): IterableIterator<[number, SimPacket]> {
    yield* this.held;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.scheduler.after(this.prng.below(this.latencyUs + 1), () => {
      this.scheduled = false;
      if (!this.paused) this.drain();
    });
  }
}
