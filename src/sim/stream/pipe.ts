// A simulated connection of bytes between the two hosts: what one end flushes comes out of the other in pieces cut
// anywhere, later; what the other does not read fills the sender's buffer. It may end for both at different times.

import type { Transport, TransportEvents } from '../../link/transport';
import type { Prng } from '../prng';
import type { Scheduler } from '../scheduler';

export interface PipePlan {
  delayUs: number;
  /** Bytes per microsecond. */
  rate: number;
  /** Of each end's send buffer: unread bytes of the peer stand in it. */
  bufferBytes: number;
}

/** What it runs in. */
export interface PipeWorld {
  readonly scheduler: Scheduler;
  readonly prng: Prng;
  /** Nothing moves before this time. */
  readonly stalledUntilUs: number;
  readonly plan: PipePlan;
}

export class PipeEnd implements Transport {
  readonly out: Buffer;
  connected = true;
  private peer!: PipeEnd;
  private filled = 0;
  private unread: Buffer = Buffer.alloc(0);
  /** Flushed, and not read by the peer. */
  private outstanding = 0;
  private wantsRoom = false;
  private paused = false;
  private lastArrivalUs = 0;
  private handing = false;

  private constructor(
    private readonly world: PipeWorld,
    private events: TransportEvents | undefined,
  ) {
    this.out = Buffer.alloc(world.plan.bufferBytes);
  }

  /** Both ends of a new connection; their events are told when the owner has made them. */
  static pair(world: PipeWorld): [PipeEnd, PipeEnd] {
    const a = new PipeEnd(world, undefined);
    const b = new PipeEnd(world, undefined);
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  take(events: TransportEvents): this {
    this.events = events;
    return this;
  }

  reserve(bytes: number): number {
    if (this.connected && this.outstanding + this.filled + bytes <= this.out.length) return this.filled;
    this.wantsRoom = true;
    return -1;
  }

  commit(bytes: number): void {
    this.filled += bytes;
  }

  flush(): void {
    const { filled, out, world } = this;
    if (filled === 0) return;
    this.filled = 0;
    this.outstanding += filled;
    const bytes = Buffer.from(out.subarray(0, filled));
    out.fill(0xa5, 0, Math.min(filled, 64));
    for (let at = 0; at < filled; ) {
      const n = world.prng.chance(0.5) ? filled - at : world.prng.range(1, filled - at);
      this.travel(bytes.subarray(at, at + n));
      at += n;
    }
  }

  pause(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (!paused) this.world.scheduler.after(0, () => this.hand());
  }

  disconnect(why: string): void {
    if (!this.connected) return;
    this.end();
    this.tell(why);
  }

  close(): void {
    if (this.connected) this.end();
  }

  /** The process is gone: the peer hears of it, if it still can. */
  kill(): void {
    this.events = undefined;
    if (this.connected) this.end();
  }

  /** The network has lost the connection: this end is told after so long; undefined: it has to find out by itself. */
  cut(afterUs: number | undefined): void {
    this.peer = LOST;
    if (afterUs !== undefined) this.world.scheduler.after(afterUs, () => this.lose());
  }

  /** At once. */
  lose(): void {
    if (!this.connected) return;
    this.connected = false;
    this.tell('the connection is lost');
  }

  private end(): void {
    this.connected = false;
    const { peer, world } = this;
    if (peer !== LOST) world.scheduler.at(this.arrivalUs(0), () => peer.lose());
  }

  private tell(why: string): void {
    const { events } = this;
    this.events = undefined;
    events?.onClose(why);
  }

  private arrivalUs(bytes: number): number {
    const { plan, scheduler, prng, stalledUntilUs } = this.world;
    const at = Math.max(scheduler.nowUs, stalledUntilUs) + plan.delayUs + bytes / plan.rate + prng.below(100);
    this.lastArrivalUs = Math.max(this.lastArrivalUs, Math.ceil(at));
    return this.lastArrivalUs;
  }

  private travel(bytes: Buffer): void {
    const { peer, world } = this;
    if (peer === LOST) return;
    world.scheduler.at(this.arrivalUs(bytes.length), () => {
      // Lost on its way.
      if (this.peer !== LOST) peer.arrived(bytes);
    });
  }

  private arrived(bytes: Buffer): void {
    if (!this.connected) return;
    this.unread = this.unread.length === 0 ? bytes : Buffer.concat([this.unread, bytes]);
    this.hand();
  }

  private hand(): void {
    const { unread, events } = this;
    if (this.paused || this.handing || !this.connected || events === undefined || unread.length === 0) return;
    this.handing = true;
    const n = events.onData(unread, 0, unread.length);
    this.handing = false;
    unread.fill(0xa5, 0, Math.min(n, 256));
    this.unread = unread.subarray(n);
    if (n > 0 && this.peer !== LOST) this.peer.read(n);
  }

  private read(bytes: number): void {
    this.outstanding -= bytes;
    if (!this.wantsRoom || !this.connected) return;
    this.wantsRoom = false;
    this.world.scheduler.after(0, () => {
      if (this.connected) this.events?.onDrain();
    });
  }
}

/** The other end of a connection that the network has lost. */
const LOST = Object.create(null) as PipeEnd;
