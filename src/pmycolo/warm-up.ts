// The first packets of a process are judged by code that is interpreted still, and guests wait for it. So before them
// an engine of its own judges made-up traffic of both sides, and the compiler learns from that. Nothing of it outlives
// the call.

import { putDatagram, putSegment } from '../packet/made-up';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from '../packet/view';
import { PrimaryEngine } from './engine';

/** Long enough for the compiler's own thread, and short for who waits. */
export const WARM_UP_MS = 100;
/** What a machine that is not busy does in about that time; more of the same teaches little. */
const WARM_UP_ROUNDS = 128;
/** Tuples, used one after the other. */
const FLOWS = 1024;
const SEGMENT_BYTES = 1400;
const SMALL_BYTES = 10;
const ROW = 32;
const SLOT_BYTES = 2048;
const LIMITS = {
  maxFlows: 1 << 13,
  maxHeldPackets: 1024,
  maxHeldBytes: 1 << 20,
  logBytes: 1 << 22,
  logRecords: 1 << 12,
};
/** Rounds of one call are short, so that the time that is allowed is kept. */
const CHECKPOINT_EVERY = 64;

export interface WarmUp {
  /** So many ms by the clock given, and one round at least. False: that was enough. */
  run(clock: () => number, budgetMs: number): boolean;
}

/** Of the made-up traffic, for a test that it is what it means to be. */
export interface WarmUpResult {
  rounds: number;
  released: number;
  /** Requests for checkpoints: the traffic differed where it should not. */
  requests: number;
  /** The engine's counters. */
  counters: Record<string, number>;
}

/** Takes `budgetMs` by the clock given, and no round more than that. */
export function warmUpPrimary(clock: () => number, budgetMs: number): WarmUpResult {
  const warmUp = new PrimaryWarmUp();
  warmUp.run(clock, budgetMs);
  return warmUp.result();
}

/** The same in parts. */
export class PrimaryWarmUp implements WarmUp {
  private readonly counted = { rounds: 0, released: 0, requests: 0 };
  private readonly engine: PrimaryEngine;
  private readonly traffic: Traffic;

  constructor() {
    const { counted } = this;
    const accept = (): void => {
      counted.released++;
    };
    this.engine = new PrimaryEngine(
      { limits: LIMITS, compareTimeoutMs: 1_000_000 },
      { accept, acceptRewritten: accept, drop: () => {}, requestCheckpoint: () => counted.requests++ },
    );
    this.traffic = new Traffic(this.engine);
  }

  run(clock: () => number, budgetMs: number): boolean {
    const until = clock() + budgetMs;
    do this.traffic.round();
    while (++this.counted.rounds < WARM_UP_ROUNDS && clock() < until);
    return this.counted.rounds < WARM_UP_ROUNDS;
  }

  result(): WarmUpResult {
    return { ...this.counted, counters: this.engine.counters.snapshot() };
  }
}

/**
 * One connection after the other, from its beginning to its end: what only beginnings need is learnt again and again,
 * too.
 */
class Traffic {
  private readonly arena = Buffer.alloc(ROW * SLOT_BYTES);
  private flow = 0;
  private seq = 0;
  private id = 1;
  private nowMs = 0;
  private rounds = 0;

  constructor(private readonly engine: PrimaryEngine) {}

  /** In turns: the PVM is first, the SVM is first, the SVM cuts its segments otherwise; large and small segments. */
  round(): void {
    this.flow = this.rounds % FLOWS;
    this.seq = (this.rounds << 20) >>> 0;
    this.nowMs++;
    this.both(TCP_SYN | TCP_ACK, 0);
    this.seq++;
    const kind = this.rounds % 4;
    if (kind === 0) this.row(true, SEGMENT_BYTES, SEGMENT_BYTES);
    else if (kind === 1) this.row(false, SEGMENT_BYTES, SEGMENT_BYTES);
    else if (kind === 2) this.row(true, SEGMENT_BYTES, SEGMENT_BYTES / 2);
    else this.row(false, SMALL_BYTES, SMALL_BYTES);
    this.both(TCP_ACK, 0);
    // Said again, when it was compared long ago.
    this.seq -= SMALL_BYTES;
    this.both(TCP_ACK, SMALL_BYTES);
    this.seq += SMALL_BYTES;
    this.both(TCP_ACK | TCP_FIN, 0);
    const len = putDatagram(this.arena, 0, this.flow, SMALL_BYTES);
    this.primary(0, len);
    this.secondary(0, len);
    this.engine.endBatch(this.nowMs);
    this.engine.tick(this.nowMs);
    if (++this.rounds % CHECKPOINT_EVERY === 0) this.engine.checkpoint(this.nowMs);
  }

  /** A row of segments of both sides, one side's all before the other's. */
  private row(primaryFirst: boolean, primaryBytes: number, secondaryBytes: number): void {
    const total = ROW * primaryBytes;
    if (primaryFirst) this.send(true, total, primaryBytes);
    this.send(false, total, secondaryBytes);
    if (!primaryFirst) this.send(true, total, primaryBytes);
    this.seq += total;
  }

  private send(byPrimary: boolean, total: number, payloadBytes: number): void {
    for (let done = 0, slot = 0; done < total; done += payloadBytes, slot = (slot + 1) % ROW) {
      this.put(byPrimary, slot * SLOT_BYTES, this.seq + done, TCP_ACK | TCP_PSH, payloadBytes);
    }
  }

  private both(flags: number, payloadBytes: number): void {
    this.put(true, 0, this.seq, flags, payloadBytes);
    this.put(false, 0, this.seq, flags, payloadBytes);
  }

  private put(byPrimary: boolean, off: number, seq: number, flags: number, payloadBytes: number): void {
    // Of two stacks one may have the smaller window; now and then it is the SVM's.
    const window = byPrimary || this.rounds % 8 < 4 ? 60_000 : 50_000;
    const len = putSegment(this.arena, off, { flow: this.flow, seq, ack: 2, flags, window, payloadBytes });
    if (byPrimary) this.primary(off, len);
    else this.secondary(off, len);
  }

  private primary(off: number, len: number): void {
    this.engine.primary(this.id++, this.arena, off, len, false, this.nowMs);
  }

  private secondary(off: number, len: number): void {
    this.engine.secondary(this.arena, off, len, this.nowMs);
  }
}
