// Two batches walked in step are only a shorter way: the same packets, handed to another engine one by one in the order
// in which the walk has taken them, come to the same verdicts, bytes and requests, and leave the same words.

import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { PRIMARY_RECORD_WORDS } from '../../../src/compare/flow-words';
import { R_AT, R_BYTES, R_FLAGS, R_FLOW, R_ID, R_NEXT, R_PREV, R_SEQ } from '../../../src/compare/packet-log';
import { BothKernelBatches, KernelBatch } from '../../../src/daemon/kernel-batch';
import {
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_OFFSET,
  NFQ_D_ORIGINAL_LENGTH,
  NFQ_D_SKB_INFO,
  NFQ_D_WORDS,
  NFQA_SKB_CSUMNOTREADY,
  NFQA_SKB_GSO,
} from '../../../src/native/layout';
import { InStep } from '../../../src/node/in-step';
import { type QueuedPacket, queuedPacket, type Verdicts } from '../../../src/node/ports';
import { isOpaque } from '../../../src/node/primary-intake';
import { PrimaryEngine } from '../../../src/pmycolo/engine';
import { buildTcp, buildUdp } from '../../lib/build-packet';

const FLOWS = 3;
/** Of batches(): everything has come. */
const ALL = 0x30;
const SLOTS = 64;
const SLOT_BYTES = 1024;
const ISN_P = 0xffff_ff00;
const ISN_S = 0x7fff_ff00;
const TEXT = Buffer.from(Array.from({ length: 1 << 16 }, (_, i) => 33 + ((i * 7 + (i >> 9)) % 90)));
const LIMITS = { maxFlows: 64, logBytes: 1 << 22, maxHeldBytes: 1 << 20, logRecords: 1 << 13 };
/** Counters of what only one of the two ways does. */
const OF_THE_WAY = ['held_total', 'packets_in_step'];

/** What a step is, and how often. */
const STEPS = {
  both: 40,
  p: 1,
  s: 1,
  differs: 1,
  repeat: 1,
  gap: 1,
  ack: 1,
  end: 1,
  datagram: 4,
  odd: 1,
  batches: 5,
  time: 1,
  epoch: 2,
} as const;
type Kind = keyof typeof STEPS;

interface Op {
  kind: Kind;
  flow: number;
  bytes: number;
  dice: number;
}

const kinds = Object.entries(STEPS).flatMap(([kind, times]) => Array<Kind>(times).fill(kind as Kind));
const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom(...kinds),
  flow: fc.nat(FLOWS - 1),
  bytes: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 2, max: 400 })),
  dice: fc.nat(0xffff),
});

interface Packet {
  id: number;
  bytes: Buffer;
  info: number;
  cut: number;
}

/** One queue's slots, filled as a batch is received. */
class Side {
  readonly arena = Buffer.alloc(SLOTS * SLOT_BYTES);
  readonly table = new Uint32Array(SLOTS * NFQ_D_WORDS);
  waiting: Packet[] = [];
  private shown = 0;

  take(): number {
    const batch = this.waiting.splice(0, SLOTS);
    this.shown = batch.length;
    this.table.fill(0);
    for (const [i, { id, bytes, info, cut }] of batch.entries()) {
      const at = i * SLOT_BYTES + 144;
      const d = i * NFQ_D_WORDS;
      bytes.copy(this.arena, at);
      this.table[d + NFQ_D_ID] = id;
      this.table[d + NFQ_D_OFFSET] = at;
      this.table[d + NFQ_D_LENGTH] = bytes.length;
      this.table[d + NFQ_D_ORIGINAL_LENGTH] = bytes.length + cut;
      this.table[d + NFQ_D_SKB_INFO] = info;
    }
    return this.shown;
  }

  /** What was received is gone. */
  give(): void {
    this.arena.fill(0x5a);
    this.table.fill(0x5a5a5a5a);
  }
}

interface Verdict {
  id: number;
  kind: 'accept' | 'rewrite' | 'drop' | 'copy';
  bytes?: Buffer;
  partial?: boolean;
}

/** An engine with all that it says written down. */
class Subject {
  readonly said: Verdict[] = [];
  readonly requests: string[] = [];
  readonly engine: PrimaryEngine;

  constructor() {
    this.engine = new PrimaryEngine(
      { limits: LIMITS, compareTimeoutMs: 1000 },
      {
        ...this.verdicts(),
        emit: (id, buf, off, len) => {
          this.said.push({ id, kind: 'copy', bytes: Buffer.from(buf.subarray(off, off + len)) });
          return true;
        },
        requestCheckpoint: (cause) => this.requests.push(cause),
      },
    );
  }

  verdicts(taken: (id: number) => void = () => {}): Verdicts {
    return {
      accept: (id) => {
        taken(id);
        this.said.push({ id, kind: 'accept' });
      },
      acceptRewritten: (id, buf, off, len, partial) => {
        taken(id);
        this.said.push({ id, kind: 'rewrite', bytes: Buffer.from(buf.subarray(off, off + len)), partial });
      },
      drop: (id) => void this.said.push({ id, kind: 'drop' }),
    };
  }

  /** `whole`: with the words of its tables. */
  state(whole: boolean): object {
    const { flows, log, counters, holds } = this.engine.context;
    const counts: Record<string, number> = counters.snapshot();
    for (const name of OF_THE_WAY) delete counts[name];
    return {
      said: this.said,
      requests: this.requests,
      counts,
      flows: whole ? flows.words.slice(0, (FLOWS + 1) * PRIMARY_RECORD_WORDS) : [],
      records: whole ? this.records() : [],
      needed: [log.neededBytes, log.usedNeeded, holds.count],
      deadline: this.engine.nextDeadlineMs,
    };
  }

  private records(): unknown[] {
    const { log } = this.engine.context;
    const records: unknown[] = [];
    for (let id = 1; id < LIMITS.logRecords; id++) {
      const w = log.words.subarray(log.recordIndex(id));
      if (w[R_ID] !== id) continue;
      const bytes = log.data.toString('latin1', w[R_AT], w[R_AT]! + w[R_BYTES]!);
      records.push([id, w[R_FLOW], w[R_SEQ], bytes, w[R_FLAGS], w[R_NEXT], w[R_PREV]]);
    }
    return records;
  }
}

/** What the walk has handed in, or released at once: numbers of packets. */
interface Taken {
  p?: number;
  s?: number;
}

class Run {
  readonly walked = new Subject();
  readonly single = new Subject();
  inStep = 0;
  private readonly guest = new Side();
  private readonly forward = new Side();
  private readonly both = new BothKernelBatches(new KernelBatch(this.guest), new KernelBatch(this.forward));
  private readonly walk: InStep;
  private taken: Taken[] = [];
  private readonly packets = new Map<number, Packet>();
  private now = 1000;
  private id = 0;
  private readonly pEnd = new Uint32Array(FLOWS);
  private readonly sEnd = new Uint32Array(FLOWS);
  private ack = 1;

  constructor(few: number) {
    const { engine } = this.walked;
    const noted = {
      primary: (...all: Parameters<PrimaryEngine['primary']>) => {
        this.taken.push({ p: all[0] });
        engine.primary(...all);
      },
      primaryOpaque: (...all: Parameters<PrimaryEngine['primaryOpaque']>) => {
        this.taken.push({ p: all[0] });
        engine.primaryOpaque(...all);
      },
      secondary: (...all: Parameters<PrimaryEngine['secondary']>) => {
        this.taken.push({ s: 0 });
        engine.secondary(...all);
      },
      secondaryOpaque: (...all: Parameters<PrimaryEngine['secondaryOpaque']>) => {
        this.taken.push({ s: 0 });
        engine.secondaryOpaque(...all);
      },
      pairs: engine.pairs,
      get heldPackets() {
        return engine.heldPackets;
      },
      get awaitsPrimary() {
        return engine.awaitsPrimary;
      },
    };
    const atOnce = (id: number): void => {
      this.taken.push({ p: id, s: 0 });
      this.inStep++;
    };
    this.walk = new InStep(
      noted,
      () => this.now,
      () => ({ endBatch: () => {} }),
      {
        guest: this.walked.verdicts(atOnce),
        forward: {
          drop: (id) => {
            this.taken.at(-1)!.s = id;
          },
        },
      },
      few,
    );
    for (let flow = 0; flow < FLOWS; flow++) {
      this.say(this.guest, this.segment(flow, ISN_P, Buffer.alloc(0), 'SA', 0));
      this.say(this.forward, this.segment(flow, ISN_S, Buffer.alloc(0), 'SA', 0));
    }
    this.batches(ALL);
  }

  step({ kind, flow, bytes, dice }: Op): void {
    const p = (at: number, text: Buffer, flags = flagsOf(dice), info = 0, cut = 0): void =>
      this.say(this.guest, this.segment(flow, ISN_P + 1 + at, text, flags, dice), info, cut);
    const s = (at: number, text: Buffer, flags = flagsOf(dice >>> 1), info = 0, cut = 0): void =>
      this.say(
        this.forward,
        this.segment(flow, this.isnOfS() + 1 + at, text, flags, (dice & 0x7000) === 0 ? dice >>> 3 : dice & ~8),
        info,
        cut,
      );
    const ends = this.pEnd[flow]!;
    const others = this.sEnd[flow]!;
    switch (kind) {
      case 'both':
        for (let i = dice % 5; i >= 0; i--) {
          p(
            this.pEnd[flow]!,
            textAt(this.pEnd[flow]!, bytes),
            undefined,
            (dice & 0x40) !== 0 ? NFQA_SKB_CSUMNOTREADY : 0,
          );
          s(this.sEnd[flow]!, textAt(this.sEnd[flow]!, bytes), undefined, (dice & 0x180) === 0 ? NFQA_SKB_GSO : 0);
          this.pEnd[flow] += bytes;
          this.sEnd[flow] += bytes;
        }
        break;
      case 'p':
        p(ends, textAt(ends, bytes));
        this.pEnd[flow] += bytes;
        break;
      case 's':
        s(others, textAt(others, bytes));
        this.sEnd[flow] += bytes;
        break;
      case 'differs': {
        const other = textAt(others, bytes);
        if (dice % 3 === 0) other[dice % bytes]! ^= 1;
        p(ends, textAt(ends, bytes));
        s(others, other);
        this.pEnd[flow] += bytes;
        this.sEnd[flow] += bytes;
        break;
      }
      case 'repeat':
        if ((dice & 1) !== 0) p(Math.max(0, ends - bytes), textAt(Math.max(0, ends - bytes), bytes));
        if ((dice & 2) !== 0) s(Math.max(0, others - bytes), textAt(Math.max(0, others - bytes), bytes));
        break;
      case 'gap':
        p(ends + 5, textAt(ends + 5, bytes));
        s(others + 5, textAt(others + 5, bytes));
        break;
      case 'ack':
        if ((dice & 1) !== 0) p(ends, Buffer.alloc(0), 'A');
        if ((dice & 2) !== 0) s(others, Buffer.alloc(0), 'A');
        break;
      case 'end':
        if (dice % 8 !== 0) break;
        p(ends, textAt(ends, bytes), ['FA', 'RA', 'UA'][dice % 3]);
        s(others, textAt(others, bytes), ['FA', 'RA', 'UA'][dice % 3]);
        break;
      case 'datagram': {
        const payload = textAt(dice, bytes);
        const other = textAt(dice % 13 === 0 ? 0 : dice, bytes);
        const info = dice % 7 === 0 ? NFQA_SKB_GSO : 0;
        if (dice % 5 !== 0) this.say(this.guest, buildUdp({ dport: 5000 + flow, payload }), info);
        if (dice % 11 !== 0) this.say(this.forward, buildUdp({ dport: 5000 + flow, payload: other }), info);
        break;
      }
      case 'odd': {
        // Cut, or a fragment.
        const cut = (dice & 1) !== 0 ? 100 : 0;
        const fragment = (packet: Buffer): Buffer => {
          if (cut === 0 && packet[0]! >>> 4 === 4) packet[6] = 0x20;
          return packet;
        };
        this.say(this.guest, fragment(this.segment(flow, ISN_P + 1 + ends, textAt(ends, 8), 'A', dice)), 0, cut);
        this.say(
          this.forward,
          fragment(this.segment(flow, this.isnOfS() + 1 + others, textAt(others, 8), 'A', dice)),
          0,
          cut,
        );
        break;
      }
      case 'batches':
        this.batches(dice);
        break;
      case 'time':
        this.now += dice % 150;
        this.each((engine) => {
          engine.tick(this.now);
          engine.endBatch(this.now);
        });
        break;
      default:
        this.epoch(dice);
    }
    // What differs is soon made up for, or nothing more would be compared.
    if (this.walked.engine.isPaused && (dice & 0x300) !== 0) this.epoch(2);
    deepStrictEqual(this.single.engine.isPaused, this.walked.engine.isPaused);
  }

  private epoch(dice: number): void {
    if (dice % 4 === 0) this.each((engine) => engine.releaseAll(this.now));
    else if (dice % 4 === 1) this.each((engine) => engine.dropAll());
    else {
      this.batches(ALL);
      this.each((engine) => engine.checkpoint(this.now));
      this.sEnd.set(this.pEnd);
    }
  }

  private each(task: (engine: PrimaryEngine) => void): void {
    task(this.walked.engine);
    task(this.single.engine);
  }

  private isnOfS(): number {
    return this.walked.engine.context.epoch === 0 ? ISN_S : ISN_P;
  }

  private segment(flow: number, seq: number, payload: Buffer, flags: string, dice: number): Buffer {
    if ((dice & 8) !== 0) this.ack += dice & 3;
    const time = [1, 1, 8, 10, 0, 0, 1, (dice >>> 4) & 3, 0, 0, 0, this.ack & 255];
    return buildTcp({
      family: flow === 0 ? 6 : 4,
      dport: 40000 + flow,
      seq: seq >>> 0,
      ack: (dice & 0x600) === 0x600 ? this.ack - 3 : this.ack,
      flags,
      window: (dice & 48) === 48 ? 900 + (dice & 255) : 1000,
      options: flow === 2 ? [] : time,
      payload,
    });
  }

  private say(side: Side, bytes: Buffer, info = 0, cut = 0): void {
    const packet = { id: ++this.id, bytes, info, cut };
    this.packets.set(packet.id, packet);
    side.waiting.push(packet);
  }

  /** The queues are read, one side's batch first. */
  private batches(dice: number): void {
    const { guest, forward } = this;
    // Not always has all of it come by then.
    const late = (dice & 0x30) === 0 ? forward.waiting.splice(forward.waiting.length >>> 1) : [];
    while (guest.waiting.length > 0 || forward.waiting.length > 0) {
      const first = guest.waiting.length > 0 && ((dice & 1) === 0 || forward.waiting.length === 0);
      const batch = first ? this.both.guest : this.both.forward;
      batch.take();
      if (first) this.walk.guestBatch(this.both);
      else this.walk.forwardBatch(this.both);
      batch.give();
    }
    forward.waiting = late;
    this.replay();
    if ((dice & 0xc0) === 0) this.each((engine) => engine.endBatch(this.now));
  }

  /** The same one by one, in the same order, with a pair as the PVM's packet and the SVM's behind it. */
  private replay(): void {
    const seen = { p: 0, s: 0 };
    for (const { p, s } of this.taken) {
      if (p !== undefined) {
        expect(p).toBeGreaterThan(seen.p);
        seen.p = p;
        this.handIn(p, true);
      }
      if (s !== undefined) {
        expect(s).toBeGreaterThan(seen.s);
        seen.s = s;
        this.handIn(s, false);
      }
    }
    this.taken = [];
  }

  private handIn(id: number, ofPrimary: boolean): void {
    const { engine } = this.single;
    const { bytes, info, cut } = this.packets.get(id)!;
    this.packets.delete(id);
    const buf = Buffer.from(bytes);
    const n = buf.length;
    const partial = (info & NFQA_SKB_CSUMNOTREADY) !== 0;
    const p: QueuedPacket = {
      ...queuedPacket(),
      buf,
      len: n,
      originalLen: n + cut,
      segmented: (info & NFQA_SKB_GSO) !== 0,
    };
    if (ofPrimary && isOpaque(p)) engine.primaryOpaque(id, buf, 0, n, n + cut, partial, this.now);
    else if (ofPrimary) engine.primary(id, buf, 0, n, partial, this.now);
    else if (isOpaque(p)) engine.secondaryOpaque(buf, 0, n, n + cut, this.now);
    else engine.secondary(buf, 0, n, this.now);
  }

  /** All that was said was taken. */
  finish(): void {
    this.batches(ALL);
    expect(this.packets.size).toBe(0);
  }
}

function textAt(at: number, bytes: number): Buffer {
  return Buffer.from(TEXT.subarray(at % (1 << 15), (at % (1 << 15)) + bytes));
}

function flagsOf(dice: number): string {
  return (dice & 1) !== 0 ? 'PA' : 'A';
}

test.each([
  // A datagram that leaves at once needs no record, so the records of what follows have other numbers.
  ['streams', false],
  ['streams and datagrams', true],
])('two batches in step come to what they come to one by one: %s', (_name, datagrams) => {
  let inStep = 0;
  let all = 0;
  fc.assert(
    fc.property(fc.array(op, { minLength: 10, maxLength: 120 }), fc.constantFrom(1, 8), (ops, few) => {
      const run = new Run(few);
      for (const one of ops) if (datagrams || one.kind !== 'datagram') run.step(one);
      run.finish();
      deepStrictEqual(run.walked.state(!datagrams), run.single.state(!datagrams));
      inStep += run.inStep;
      all += run.walked.engine.counters.snapshot().compared_packets;
    }),
    { numRuns: Number(process.env.COLO_RUNS ?? 300) },
  );
  expect(inStep / all).toBeGreaterThan(0.04);
});
