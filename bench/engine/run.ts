// The primary's engine alone: pairs (a PVM packet, the SVM's like it, to the release) per second, growth with the
// number of flows, and memory per idle flow. Packets stand in an arena as a receive batch would leave them.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { BothKernelBatches, KernelBatch } from '../../src/daemon/kernel-batch';
import { addon } from '../../src/native/addon';
import {
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_OFFSET,
  NFQ_D_ORIGINAL_LENGTH,
  NFQ_D_WORDS,
  NFQ_MAX_COPY,
} from '../../src/native/layout';
import { InStep } from '../../src/node/in-step';
import { PrimaryEngine } from '../../src/pmycolo/engine';
import { WARM_UP_MS, warmUpPrimary } from '../../src/pmycolo/warm-up';
import { buildTcp } from '../../test/lib/build-packet';
import { median } from '../lib/median';

const BATCH = 64;
/** Where a packet stands in its slot, behind what the kernel says of it. */
const IN_SLOT = 144;

/** How a batch of both guests' reaches the engine: one packet after the other, or both batches in step. */
type Way = 'in step' | 'single';

/** One side's batch, as a receive batch leaves it: each packet in a slot of its own. */
class Slots {
  readonly slotBytes = addon().nfqSlotBytes(NFQ_MAX_COPY);
  readonly arena = Buffer.alloc(BATCH * this.slotBytes);
  readonly table = new Uint32Array(BATCH * NFQ_D_WORDS);

  constructor(packet: Buffer) {
    for (let i = 0; i < BATCH; i++) {
      packet.copy(this.arena, this.at(i));
      this.table[i * NFQ_D_WORDS + NFQ_D_OFFSET] = this.at(i);
      this.table[i * NFQ_D_WORDS + NFQ_D_LENGTH] = packet.length;
      this.table[i * NFQ_D_WORDS + NFQ_D_ORIGINAL_LENGTH] = packet.length;
    }
  }

  at(i: number): number {
    return i * this.slotBytes + IN_SLOT;
  }

  take(): number {
    return BATCH;
  }

  give(): void {}

  /** The packet in slot i is of this flow, and begins there in its stream. */
  aim(i: number, flow: number, seq: number): void {
    const a = this.arena;
    const at = this.at(i);
    a[at + 17] = 1 + (flow >> 14);
    a[at + 18] = (flow >> 7) & 127;
    a[at + 19] = flow & 127;
    a[at + 24] = seq >>> 24;
    a[at + 25] = (seq >>> 16) & 255;
    a[at + 26] = (seq >>> 8) & 255;
    a[at + 27] = seq & 255;
  }
}

class Flows {
  readonly engine: PrimaryEngine;
  readonly inStep: InStep;
  private readonly guest: Slots;
  private readonly forward: Slots;
  private readonly both: BothKernelBatches;
  private readonly seqs: Uint32Array;
  private readonly packetBytes: number;
  private next = 0;
  private id = 1;
  released = 0;

  constructor(
    private readonly flows: number,
    private readonly payloadBytes: number,
  ) {
    const verdicts = {
      accept: () => {
        this.released++;
      },
      acceptRewritten: () => {
        this.released++;
      },
      drop: () => {},
    };
    this.engine = new PrimaryEngine(
      { limits: { maxFlows: Math.max(1024, flows * 2) } },
      {
        ...verdicts,
        requestCheckpoint: (cause) => {
          throw new Error(`the benchmark diverged: ${cause}`);
        },
      },
    );
    const now = (): number => 1;
    const node = { endBatch: () => {} };
    this.inStep = new InStep(this.engine, now, () => node, { guest: verdicts, forward: verdicts });
    // The packets are kept ready; flow and sequence number are set with every use.
    const packet = this.packet(0, 1, Buffer.alloc(payloadBytes, 7));
    this.packetBytes = packet.length;
    this.guest = new Slots(packet);
    this.forward = new Slots(packet);
    this.both = new BothKernelBatches(new KernelBatch(this.guest), new KernelBatch(this.forward));
    this.both.guest.came(BATCH);
    this.seqs = new Uint32Array(flows).fill(1);
    for (let i = 0; i < flows; i++) {
      const syn = this.packet(i, 0, Buffer.alloc(0), 'SA');
      this.engine.primary(this.id++, syn, 0, syn.length, false, 0);
      this.engine.secondary(syn, 0, syn.length, 0);
    }
  }

  private packet(flow: number, seq: number, payload: Buffer, flags = 'A'): Buffer {
    return buildTcp({
      seq,
      ack: 1,
      payload,
      flags,
      dst: [10, 1 + (flow >> 14), (flow >> 7) & 127, flow & 127],
      options: flags === 'A' ? [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1] : [],
    });
  }

  /** Runs that many pairs, a batch of either side at a time; returns seconds. */
  run(pairs: number, way: Way): number {
    const { engine, guest, forward, flows, seqs, packetBytes } = this;
    const start = process.hrtime.bigint();
    for (let done = 0; done < pairs; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const flow = (this.next + i) % flows;
        // A flow comes up more than once a batch when there are few: its packets follow one another.
        guest.aim(i, flow, (seqs[flow]! + Math.floor(i / flows) * this.payloadBytes) >>> 0);
        guest.table[i * NFQ_D_WORDS + NFQ_D_ID] = this.id++;
        if (way === 'single') engine.primary(this.id, guest.arena, guest.at(i), packetBytes, false, 1);
      }
      for (let i = 0; i < BATCH; i++) {
        const flow = (this.next + i) % flows;
        forward.aim(i, flow, seqs[flow]!);
        if (way === 'single') engine.secondary(forward.arena, forward.at(i), packetBytes, 1);
        seqs[flow] = (seqs[flow]! + this.payloadBytes) >>> 0;
      }
      if (way === 'in step') this.inStep.guestBatch(this.both);
      this.next = (this.next + BATCH) % flows;
    }
    return Number(process.hrtime.bigint() - start) / 1e9;
  }
}

function pairsPerSecond(f: Flows, pairs: number, rounds: number, way: Way): number {
  f.run(pairs, way);
  const rates: number[] = [];
  for (let i = 0; i < rounds; i++) rates.push(pairs / f.run(pairs, way));
  return median(rates);
}

/** 40 MiB of one side. */
const FIRST_PAIRS = Math.ceil((40 << 20) / 1400);
const FIRST_ROUNDS = 7;

/**
 * In a process of its own, as nothing may have run before: pairs per second of the first 40 MiB, after a warm-up or
 * not.
 */
function firstPairsPerSecond(warmed: boolean): number {
  const argument = warmed ? '--first-warmed' : '--first-cold';
  return Number(execFileSync(process.execPath, [__filename, argument], { encoding: 'utf8' }));
}

function first(warmed: boolean): number {
  if (warmed) warmUpPrimary(() => performance.now(), WARM_UP_MS);
  const flows = new Flows(10, 1400);
  return FIRST_PAIRS / flows.run(FIRST_PAIRS, 'in step');
}

export interface EngineResult {
  /** Of the first 40 MiB of a process. */
  first_pairs_per_s_cold: number;
  first_pairs_per_s_warmed: number;
  pairs_per_s_1400: number;
  pairs_per_s_64: number;
  /** The same packets handed in one by one, as where the other guest's have not come yet. */
  pairs_per_s_1400_single: number;
  pairs_per_s_64_single: number;
  /** As a share of what a loop in C reaches that only parses, looks up, copies and compares (limit.c). */
  limit_ratio_1400: number;
  limit_ratio_64: number;
  flow_growth: number;
  bytes_per_flow: number;
}

/** Pairs per second of the machine's own limit. */
function limit(payloadBytes: number): number {
  const slotBytes = addon().nfqSlotBytes(NFQ_MAX_COPY);
  const program = join(process.env.COLO_ROOT ?? process.cwd(), 'build/bench/limit');
  return Number(execFileSync(program, ['10', `${payloadBytes}`, '4000000', `${slotBytes}`], { encoding: 'utf8' }));
}

/** In turns with the engine, so that both meet the same machine: the median of the ratios. */
function limitRatio(f: Flows, payloadBytes: number, pairs: number): number {
  const ratios: number[] = [];
  for (let i = 0; i < 9; i++) ratios.push(pairs / f.run(pairs, 'in step') / limit(payloadBytes));
  return median(ratios);
}

export function runEngineBench(log: (line: string) => void): EngineResult {
  const few1400 = new Flows(10, 1400);
  const few64 = new Flows(10, 64);
  const single1400 = pairsPerSecond(few1400, 200_000, 7, 'single');
  const p1400 = pairsPerSecond(few1400, 200_000, 7, 'in step');
  log(`engine, 10 flows, 1400 B, pairs/s: ${Math.round(p1400)}, one by one ${Math.round(single1400)}`);
  const single64 = pairsPerSecond(few64, 400_000, 7, 'single');
  const p64 = pairsPerSecond(few64, 400_000, 7, 'in step');
  log(`engine, 10 flows, 64 B, pairs/s: ${Math.round(p64)}, one by one ${Math.round(single64)}`);
  const l1400 = limitRatio(few1400, 1400, 200_000);
  const l64 = limitRatio(few64, 64, 400_000);
  log(`engine, share of the machine's limit: 1400 B ${l1400.toFixed(3)}, 64 B ${l64.toFixed(3)}`);
  const many = new Flows(100_000, 64);
  const few: number[] = [];
  const lots: number[] = [];
  many.run(200_000, 'in step');
  for (let i = 0; i < 7; i++) {
    few.push(few64.run(200_000, 'in step'));
    lots.push(many.run(200_000, 'in step'));
  }
  const growth = median(lots) / median(few);
  log(`engine, cost per pair at 100,000 flows / at 10: ${growth.toFixed(2)}`);
  const before = process.memoryUsage.rss();
  const idle = new Flows(200_000, 0 + 64);
  const bytes = (process.memoryUsage.rss() - before) / 200_000;
  log(`engine, memory per idle flow: ${Math.round(bytes)} B (${idle.engine.flowCount} flows)`);
  const cold: number[] = [];
  const warmed: number[] = [];
  for (let i = 0; i < FIRST_ROUNDS; i++) {
    cold.push(firstPairsPerSecond(false));
    warmed.push(firstPairsPerSecond(true));
  }
  log(`engine, first 40 MiB, pairs/s: cold ${Math.round(median(cold))}, warmed up ${Math.round(median(warmed))}`);
  return {
    pairs_per_s_1400: p1400,
    pairs_per_s_64: p64,
    pairs_per_s_1400_single: single1400,
    pairs_per_s_64_single: single64,
    limit_ratio_1400: l1400,
    limit_ratio_64: l64,
    flow_growth: growth,
    bytes_per_flow: bytes,
    first_pairs_per_s_cold: median(cold),
    first_pairs_per_s_warmed: median(warmed),
  };
}

if (require.main === module) {
  for (const warmed of [false, true]) {
    if (process.argv.includes(warmed ? '--first-warmed' : '--first-cold')) {
      console.log(first(warmed));
      process.exit(0);
    }
  }
  const result = runEngineBench((line) => console.error(line));
  if (process.argv.includes('--json')) console.log(JSON.stringify(result));
}
