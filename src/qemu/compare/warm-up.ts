// As pmycolo/warm-up, for frames: gives made-up frames of both guests, in step, to a comparison of its own.

import { WORD_BYTES } from '../../chardev/frame';
import { ETH_HLEN, ETH_P_IP, ETH_TYPE_BYTES } from '../../packet/ethernet';
import { putSegment } from '../../packet/made-up';
import { TCP_ACK, TCP_PSH, TCP_SYN } from '../../packet/view';
import { warmUpPrimary } from '../../pmycolo/warm-up';
import { FrameComparison } from './compare';
import type { OutputSink } from './frame-outlet';
import { Lockstep, type RunSink } from './lockstep';

const ROW = 64;
const SEGMENT_BYTES = 1400;
const SLOT_BYTES = 1600;
/** Tuples, used one after the other. */
const FLOWS = 1024;
const CHECKPOINT_EVERY = 64;
const LIMITS = { maxFlows: 1 << 13, maxHeldBytes: 1 << 20, logBytes: 1 << 22, logRecords: 1 << 12 };

/** Discards the output. */
class Nowhere implements OutputSink, RunSink {
  readonly out = Buffer.alloc(1 << 16);
  readonly connected = true;
  bytes = 0;

  reserve(bytes: number): number {
    return bytes <= this.out.length ? 0 : -1;
  }

  commit(bytes: number): void {
    this.bytes += bytes;
  }

  write(_buf: Buffer, _off: number, bytes: number): boolean {
    this.bytes += bytes;
    return true;
  }
}

export interface FrameWarmUpResult {
  requests: number;
  writtenBytes: number;
  /** The comparison's counters. */
  counters: Record<string, number>;
}

/** Takes `budgetMs` by the given clock and at most a round more; half of it is for frames out of step. */
export function warmUpFrames(clock: () => number, budgetMs: number): FrameWarmUpResult {
  warmUpPrimary(clock, budgetMs / 2);
  const sink = new Nowhere();
  let requests = 0;
  const options = { compareTimeoutMs: 1_000_000, maxQueueSize: 64, vnetHeaders: false, seed: [0, 0] as const };
  const comparison = new FrameComparison({ ...options, limits: LIMITS }, sink, () => requests++);
  const lockstep = new Lockstep(false, comparison, sink);
  const primary = Buffer.alloc(ROW * SLOT_BYTES);
  const secondary = Buffer.alloc(ROW * SLOT_BYTES);
  const until = clock() + budgetMs / 2;
  let rounds = 0;
  do {
    const nowMs = rounds;
    const bytes = putRow(primary, rounds);
    primary.copy(secondary, 0, 0, bytes);
    lockstep.run(primary, 0, bytes, secondary, 0, bytes, nowMs);
    comparison.endBatch(nowMs);
    comparison.engine.tick(nowMs);
    if (++rounds % CHECKPOINT_EVERY === 0) comparison.checkpoint(nowMs);
  } while (clock() < until);
  return { requests, writtenBytes: sink.bytes, counters: comparison.counters.snapshot() };
}

/** The beginning of a connection and its next segments. Returns their bytes on the wire. */
function putRow(buf: Buffer, round: number): number {
  const flow = round % FLOWS;
  let seq = (round << 20) >>> 0;
  let at = 0;
  for (let i = 0; i < ROW; i++) {
    const first = i === 0;
    const payloadBytes = first ? 0 : i % 8 === 0 ? 10 : SEGMENT_BYTES;
    const flags = first ? TCP_SYN | TCP_ACK : TCP_ACK | TCP_PSH;
    const ip = at + WORD_BYTES + ETH_HLEN;
    const len = putSegment(buf, ip, { flow, seq, ack: 2, flags, payloadBytes });
    seq += first ? 1 : payloadBytes;
    buf.writeUInt32BE(ETH_HLEN + len, at);
    buf.fill(2, at + WORD_BYTES, ip);
    buf.writeUInt16BE(ETH_P_IP, ip - ETH_TYPE_BYTES);
    at = ip + len;
  }
  return at;
}
