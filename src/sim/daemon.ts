// A host's daemon of either role: a process that can be killed and restarted, behind queues that check its verdicts,
// with an arena that is overwritten after every call (the real one is reused, too).

import type { Clock, PacketSink, PortState, QueuedPacket } from '../node/ports';
import { queuedPacket } from '../node/ports';
import { FakeQueue } from './fake-queue';
import type { Makers } from './makers';
import type { SimPacket } from './packet';
import type { Prng } from './prng';
import type { Scheduler } from './scheduler';
import type { StreamLink } from './stream/link';

const ARENA_BYTES = 1 << 17;
const SCRIBBLE_BYTES = 256;
/** Longest run of `ip link`. */
export const PORT_STATE_US = 20_000;

export interface NodeSurroundings {
  readonly scheduler: Scheduler;
  readonly prng: Prng;
  readonly makers: Makers;
  readonly queueLimit: number;
  readonly queueLatencyUs: number;
  /** Engine time at virtual time 0, in ms. */
  readonly baseMs: number;
  /** Else an ethernet link. */
  readonly stream: StreamLink | undefined;
  /** State of each guest's port, as its host sees it. */
  portState(guest: 'PVM' | 'SVM'): PortState;
  broken(rule: string, what: string): never;
  note(code: number, x: number, y: number, text: () => string): void;
}

export const Note = { VERDICT: 1, NOTIFY: 2, DAEMON: 3, CONTROL: 4, SENT: 5, FAULT: 6, CLIENT: 7 } as const;

export const SILENT = { info: () => {}, warn: () => {}, error: () => {} };

export abstract class SimDaemon<Engine extends { readonly counters: { snapshot(): Record<string, number> } }> {
  engine: Engine | null = null;
  starts = 0;
  startedMs = 0;
  /** Counters of the engines that were killed. */
  private readonly counted: Record<string, number> = {};
  protected readonly arena = Buffer.alloc(ARENA_BYTES);
  private readonly shown: QueuedPacket = { ...queuedPacket(), macHigh: 1 };
  /** Number of the process: timers of a killed one never fire. */
  private generation = 0;

  constructor(
    readonly name: string,
    protected readonly around: NodeSurroundings,
    private readonly tickMs: number,
  ) {}

  get nowMs(): number {
    return this.around.baseMs + Math.floor(this.around.scheduler.nowUs / 1000);
  }

  /** A clock for the process that starts now. */
  protected clock(): Clock {
    const { scheduler } = this.around;
    const generation = ++this.generation;
    return {
      nowMs: () => this.nowMs,
      after: (ms, task) => {
        let cancelled = false;
        scheduler.after(Math.round(ms * 1000), () => {
          if (!cancelled && generation === this.generation) task();
        });
        return {
          cancel: () => {
            cancelled = true;
          },
        };
      },
    };
  }

  protected begin(engine: Engine, clock: Clock): void {
    this.engine = engine;
    this.starts++;
    this.startedMs = this.nowMs;
    const tick = () => {
      this.tick();
      clock.after(this.tickMs, tick);
    };
    clock.after(this.tickMs, tick);
    this.around.note(Note.DAEMON, this.starts, 1, () => `${this.name}: daemon starts`);
  }

  /** Counters of all engines of this daemon, killed ones included. */
  totals(): Record<string, number> {
    const sum = { ...this.counted };
    for (const [name, n] of Object.entries(this.engine?.counters.snapshot() ?? {})) sum[name] = (sum[name] ?? 0) + n;
    return sum;
  }

  protected end(): void {
    Object.assign(this.counted, this.totals());
    this.engine = null;
    this.generation++;
    this.around.note(Note.DAEMON, this.starts, 0, () => `${this.name}: daemon killed`);
  }

  protected abstract tick(): void;

  protected queue(name: string): FakeQueue {
    const { around } = this;
    return new FakeQueue(
      `${this.name} ${name} queue`,
      around.queueLimit,
      around.queueLatencyUs,
      around.prng,
      around.scheduler,
      (rule, what) => around.broken(rule, what),
    );
  }

  /** Asks for the state of the guest's port; the answer takes time, as a program is run for it. */
  protected portState(guest: 'PVM' | 'SVM', clock: Clock): (told: (state: PortState) => void) => void {
    return (told) => {
      // Mostly at once.
      const ms = this.around.prng.logRange(10, PORT_STATE_US) / 1000;
      clock.after(ms, () => told(this.around.portState(guest)));
    };
  }

  /** Shows the sink a packet, or `shown` bytes of it, somewhere in the arena, and overwrites them after the call. */
  protected show(sink: PacketSink, id: number, packet: SimPacket, shown: number): void {
    const { arena } = this;
    const off = this.around.prng.below(64);
    const n = packet.buf.length;
    packet.buf.copy(arena, off, 0, shown);
    this.scribble(off + shown, n - shown);
    const p = this.shown;
    p.id = id;
    p.buf = arena;
    p.off = off;
    p.len = shown;
    p.originalLen = n;
    p.partialChecksum = packet.partial;
    p.segmented = packet.segmentBytes !== 0 && packet.dataBytes > packet.segmentBytes;
    sink.packet(p);
    this.scribble(off, n);
  }

  private scribble(off: number, len: number): void {
    this.arena.fill(0xa5, off, off + Math.min(len, SCRIBBLE_BYTES));
    if (len > SCRIBBLE_BYTES) this.arena.fill(0xa5, off + len - 32, off + len);
  }
}
