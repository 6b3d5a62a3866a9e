// The plain way of TCP is only a shorter one: the same packets through an engine without it come to the same verdicts,
// bytes, requests and counters, and leave the same words in every table.

import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { PRIMARY_RECORD_WORDS } from '../../../src/compare/flow-words';
import { PlainWay } from '../../../src/pmycolo/plain-way';
import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const FLOWS = 2;
const ISN_P = 0xffff_ff00;
const ISN_S = 0x7fff_ff00;
const TEXT = Buffer.from(Array.from({ length: 4096 }, (_, i) => 33 + ((i * 7) % 90)));

/** What a step is, and how often. */
const STEPS = {
  both: 6,
  ahead: 3,
  p: 5,
  burst: 1,
  answer: 4,
  cut: 3,
  displaced: 1,
  gap: 1,
  repeat: 2,
  repeatByS: 1,
  last: 1,
  acks: 1,
  end: 1,
  urgent: 1,
  time: 2,
  epoch: 1,
} as const;
type Kind = keyof typeof STEPS;

interface Op {
  kind: Kind;
  flow: number;
  bytes: number;
  /** Decides what else there is to decide. */
  dice: number;
}

const kinds = Object.entries(STEPS).flatMap(([kind, times]) => Array<Kind>(times).fill(kind as Kind));
const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom(...kinds),
  flow: fc.nat(FLOWS - 1),
  bytes: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 2, max: 120 })),
  dice: fc.nat(0xffff),
});

/** One connection as the test's guests see it. Positions count from behind the SYN. */
class Connection {
  saidP = 0;
  saidS = 0;
  /** Segments of the PVM's that the SVM has not said: where each begins and ends. */
  readonly open: [number, number][] = [];
  ack = 1;
  time = 100;

  constructor(
    private readonly h: PrimaryHarness,
    private readonly index: number,
  ) {
    h.p(this.packet(ISN_P, Buffer.alloc(0), 'SA', 0));
    h.s(this.packet(ISN_S, Buffer.alloc(0), 'SA', 0));
  }

  p(at: number, bytes: number, flags: string, dice: number): void {
    this.h.p(this.packet(ISN_P + 1 + at, this.text(at, bytes, dice), flags, dice), (dice & 64) !== 0);
  }

  s(at: number, bytes: number, flags: string, dice: number): void {
    this.h.s(this.packet(this.isnOfS() + 1 + at, this.text(at, bytes, dice, true), flags, dice));
  }

  /** A checkpoint makes the SVM number as the PVM does. */
  private isnOfS(): number {
    return this.h.engine.context.epoch === 0 ? ISN_S : ISN_P;
  }

  next(bytes: number, dice: number): void {
    this.p(this.saidP, bytes, flagsOf(dice), dice);
    this.open.push([this.saidP, this.saidP + bytes]);
    this.saidP += bytes;
  }

  answer(dice: number): void {
    const [from, to] = this.open.shift() ?? [this.saidS, this.saidS + 1 + (dice & 31)];
    this.s(from, to - from, flagsOf(dice >>> 1), dice);
    this.saidS = Math.max(this.saidS, to);
  }

  /** The SVM cuts its stream elsewhere. */
  cut(bytes: number, dice: number): void {
    const from = this.open[0]?.[0] ?? this.saidS;
    this.s(from, bytes, flagsOf(dice), dice);
    this.saidS = Math.max(this.saidS, from + bytes);
    while (this.open.length > 0 && this.open[0]![1] <= this.saidS) this.open.shift();
    if (this.open.length > 0 && this.open[0]![0] < this.saidS) this.open[0]![0] = this.saidS;
  }

  /** The right bytes in the wrong place. */
  displaced(dice: number): void {
    const [from, to] = this.open[0] ?? [this.saidS, this.saidS + 8];
    const payload = this.text(from, to - from, 0);
    this.h.s(this.packet(this.isnOfS() + 1 + from + (dice & 3) - 1, payload, 'A', dice));
  }

  private text(at: number, bytes: number, dice: number, ofS = false): Buffer {
    const payload = Buffer.from(TEXT.subarray(at % 2048, (at % 2048) + bytes));
    if ((ofS ? dice % 61 : dice % 509) === 7 && bytes > 0) payload[dice % bytes]! ^= 1;
    return payload;
  }

  private packet(seq: number, payload: Buffer, flags: string, dice: number): Buffer {
    if ((dice & 8) !== 0) this.ack += dice & 7;
    this.time += (dice >>> 4) & 3;
    const time = [1, 1, 8, 10, 0, 0, this.time >>> 8, this.time & 255, 0, 0, 0, this.ack & 255];
    return buildTcp({
      family: this.index === 0 ? 4 : 6,
      dport: 40000 + this.index,
      seq: seq >>> 0,
      ack: (dice & 0x600) === 0x600 ? this.ack - 3 : this.ack,
      flags,
      window: (dice & 48) === 48 ? 900 + (dice & 255) : 1000,
      options: (dice & 0x1000) !== 0 ? [] : time,
      payload,
    });
  }
}

function flagsOf(dice: number): string {
  return (dice & 1) !== 0 ? 'PA' : 'A';
}

type Step = (c: Connection, bytes: number, dice: number, h: PrimaryHarness) => void;

const MAKE: Record<Kind, Step> = {
  both: (c, bytes, dice) => {
    c.next(bytes, dice);
    c.answer(dice);
  },
  ahead: (c, bytes, dice) => {
    c.s(c.saidP, bytes, flagsOf(dice), dice);
    c.saidS = Math.max(c.saidS, c.saidP + bytes);
    c.p(c.saidP, bytes, flagsOf(dice), dice);
    c.saidP += bytes;
  },
  p: (c, bytes, dice) => c.next(bytes, dice),
  burst: (c, bytes, dice) => {
    for (let i = dice % 20; i > 0; i--) c.next(bytes, dice & 1);
  },
  answer: (c, _, dice) => c.answer(dice),
  cut: (c, bytes, dice) => c.cut(bytes, dice),
  displaced: (c, _, dice) => c.displaced(dice),
  gap: (c, bytes, dice) => {
    // Beyond it the PVM goes on, or comes back to it.
    c.p(c.saidP + 5, bytes, flagsOf(dice), dice);
    if ((dice & 0x800) === 0) return;
    c.saidP += 5 + bytes;
    if ((dice & 0x2000) !== 0) c.saidP += 1 << 29;
  },
  repeat: (c, bytes, dice) => c.p(Math.max(0, c.saidP - (dice % 200)), bytes, flagsOf(dice), dice),
  repeatByS: (c, bytes, dice) => c.s(Math.max(0, c.saidS - (dice % 41)), bytes, flagsOf(dice), dice),
  // As a keepalive, or one byte more.
  last: (c, _, dice) => c.p(Math.max(0, c.saidP - 1 + (dice & 1)), 1, flagsOf(dice), dice),
  acks: (c, _, dice) => {
    if ((dice & 1) !== 0) c.p(c.saidP, 0, 'A', dice);
    if ((dice & 2) !== 0) c.s(c.saidS, 0, 'A', dice);
  },
  end: (c, bytes, dice) => either(c, ['FA', 'RA', 'R'][dice % 3]!, dice % 8 === 0, bytes, dice),
  urgent: (c, bytes, dice) => either(c, 'UA', dice % 4 === 0, bytes, dice),
  time: (_, __, dice, h) => {
    h.now += dice % 150;
    h.engine.tick(h.now);
    h.engine.endBatch(h.now);
  },
  epoch: (_, __, dice, h) => {
    if (dice % 4 === 0) h.engine.releaseAll(h.now);
    else if (dice % 4 === 1) h.engine.dropAll();
    else h.engine.checkpoint(h.now);
  },
};

function either(c: Connection, flags: string, really: boolean, bytes: number, dice: number): void {
  if (really && (dice & 0x10) !== 0) c.p(c.saidP, bytes, flags, dice);
  if (really && (dice & 0x20) !== 0) c.s(c.saidP, bytes, flags, dice);
}

function run(ops: readonly Op[], plain: boolean, small: boolean, head: number): object {
  const limits = small ? { logBytes: 8192, logRecords: 64, maxHeldBytes: 4096, maxHeldPackets: 16 } : {};
  const h = new PrimaryHarness({ compareTimeoutMs: 'auto', maxCompareTimeoutMs: 3000, limits });
  const { context } = h.engine;
  context.plainWay = plain;
  h.head = head;
  h.padding = 0;
  const connections = Array.from({ length: FLOWS }, (_, i) => new Connection(h, i));
  for (const { kind, flow, bytes, dice } of ops) {
    const c = connections[flow]!;
    MAKE[kind](c, bytes, dice, h);
    // What differs is soon made up for, or nothing more would be compared.
    if (h.engine.isPaused && (dice & 0x300) !== 0) h.engine.checkpoint(h.now);
    if ((dice & 6) === 0) h.engine.endBatch(h.now);
  }
  const { flows, holds, log, counters, prefixes } = context;
  return {
    verdicts: [...h.verdicts],
    copies: h.copies,
    requests: h.requests,
    counters: counters.snapshot(),
    byTime: [...counters.holdBuckets],
    flows: flows.words.slice(0, (FLOWS + 1) * PRIMARY_RECORD_WORDS),
    holds: holds.words,
    log: log.words,
    bytes: log.data.subarray(0, 1 << 16),
    needed: [log.neededBytes, log.usedNeeded, holds.count],
    deadlines: [prefixes.deadlineMs, h.engine.nextDeadlineMs],
  };
}

test('with it and without it everything comes to the same', () => {
  let offered = 0;
  let taken = 0;
  const spies = (['primary', 'secondary'] as const).map((name) => {
    const own = PlainWay.prototype[name] as (...all: unknown[]) => boolean;
    return jest.spyOn(PlainWay.prototype, name).mockImplementation(function (this: PlainWay, ...all: unknown[]) {
      const done = own.apply(this, all);
      offered++;
      if (done) taken++;
      return done;
    });
  });
  const runs = Number(process.env.COLO_RUNS ?? 700);
  fc.assert(
    fc.property(
      fc.array(op, { minLength: 10, maxLength: 80 }),
      fc.boolean(),
      fc.constantFrom(0, 14),
      (ops, small, head) => {
        const plain = run(ops, true, small, head);
        deepStrictEqual(plain, run(ops, false, small, head));
      },
    ),
    { numRuns: runs },
  );
  for (const spy of spies) spy.mockRestore();
  // Half of what is offered is offered to an engine without it.
  expect(taken / offered).toBeGreaterThan(0.04);
});
