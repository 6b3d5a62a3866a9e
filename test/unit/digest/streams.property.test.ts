// Two random streams cut, repeated, shuffled and altered at will: an engine that hears the SVM by digests comes to what
// one that hears its bytes comes to.

import fc from 'fast-check';
import { seqAdd, seqDiff } from '../../../src/core/seq32';
import { buildTcp } from '../../lib/build-packet';
import { DigestPair } from '../../lib/digest-pair';
import { PrimaryHarness } from '../../lib/primary-harness';

const TEXT = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff));

const KINDS = {
  /** The PVM's next, the SVM's next, or the same of both, cut alike. */
  p: 5,
  s: 5,
  both: 4,
  /** Something that was said before, or is further on, in part or as a whole. */
  repeatP: 2,
  repeatS: 2,
  skipP: 1,
  skipS: 1,
  /** A next one with one bit altered. */
  flipP: 1,
  flipS: 1,
  ackS: 1,
  end: 1,
  epoch: 1,
  time: 1,
} as const;
type Kind = keyof typeof KINDS;

interface Op {
  kind: Kind;
  bytes: number;
  dice: number;
}

const kinds = Object.entries(KINDS).flatMap(([kind, n]) => Array<Kind>(n).fill(kind as Kind));
const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom(...kinds),
  bytes: fc.oneof(
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 512, max: 4000 }),
    fc.integer({ min: 512, max: 20_000 }),
    fc.constantFrom(1448, 2896, 1448 * 4, 700),
  ),
  dice: fc.nat(0x3fff_ffff),
});
const isn = fc.oneof(fc.constant(0xffff_f000), fc.integer({ min: 0, max: 0xffff_ffff }));

interface Said {
  side: 'p' | 's';
  packet: Buffer;
  gso: number;
}

/** The guests: what they say is decided once, and told to both engines. */
class Guests {
  private at = { p: 0, s: 0 };
  private readonly ended = { p: false, s: false };
  private translated = false;
  private epochAt = 0;
  private mostOfS = 0;
  private mostOfP = 0;
  private readonly saidS = new Uint8Array(TEXT.length);
  private readonly saidP = new Uint8Array(TEXT.length);
  private endOfP = Number.POSITIVE_INFINITY;

  constructor(
    private readonly isnP: number,
    private readonly isnS: number,
    private readonly family: 4 | 6,
  ) {}

  step({ kind, bytes, dice }: Op): Said[] | 'epoch' | 'time' {
    switch (kind) {
      case 'epoch':
        // The SVM goes on where the PVM is.
        this.at.p = Math.max(this.at.p, this.mostOfP);
        this.at.s = this.at.p;
        this.epochAt = this.at.p;
        this.saidS.fill(0, this.epochAt);
        this.mostOfS = this.epochAt;
        this.ended.s = this.ended.p;
        this.translated = true;
        return 'epoch';
      case 'time':
        return 'time';
      case 'p':
      case 's':
        return [this.next(kind, bytes, dice, -1)];
      case 'both':
        return [
          this.next((dice & 1) !== 0 ? 'p' : 's', bytes, dice, -1),
          this.next((dice & 1) !== 0 ? 's' : 'p', bytes, dice, -1),
        ];
      case 'flipP':
      case 'flipS':
        return [this.next(kind === 'flipP' ? 'p' : 's', bytes, dice, dice % bytes)];
      case 'repeatP':
      case 'repeatS': {
        const side = kind === 'repeatP' ? 'p' : 's';
        // What is left of the history at a checkpoint is not the same, as the PVM's segments that left at once are in
        // none.
        return [this.say(side, Math.max(this.epochAt, this.at[side] - (dice % 9000)), bytes, dice, -1)];
      }
      case 'skipP':
      case 'skipS': {
        const side = kind === 'skipP' ? 'p' : 's';
        return [this.say(side, this.at[side] + (dice % 3000), bytes, dice, -1)];
      }
      case 'ackS':
        return [this.say('s', this.at.s, 0, dice, -1)];
      default: {
        const side = (dice & 1) !== 0 ? 'p' : 's';
        if (this.ended[side]) return [];
        const said = this.say(side, this.at[side], bytes % 2000, dice, -1, 'FPA');
        this.at[side] += bytes % 2000;
        this.ended[side] = true;
        return [said];
      }
    }
  }

  /** Has the SVM said this byte, or does a checkpoint cover it? */
  wereSaid(at: number): boolean {
    return at < this.epochAt || this.saidS[at] === 1;
  }

  /** Up to here both have said everything of this epoch. */
  get bothSaid(): number {
    let at = this.epochAt;
    while (this.saidS[at] === 1 && this.saidP[at] === 1) at++;
    return at;
  }

  /** Behind all that the PVM has said. */
  get end(): number {
    return this.mostOfP;
  }

  /** Has the SVM sent something behind the PVM's end? */
  get secondaryIsBeyond(): boolean {
    return this.mostOfS > this.endOfP;
  }

  private next(side: 'p' | 's', bytes: number, dice: number, flip: number): Said {
    const said = this.say(side, this.at[side], bytes, dice, flip);
    if (!this.ended[side]) this.at[side] += bytes;
    return said;
  }

  private say(side: 'p' | 's', at: number, bytes: number, dice: number, flip: number, flags?: string): Said {
    if (side === 's') this.mostOfS = Math.max(this.mostOfS, at + bytes);
    else {
      this.mostOfP = Math.max(this.mostOfP, at + bytes);
      if (flags !== undefined) this.endOfP = at + bytes;
      this.saidP.fill(1, at, at + bytes);
    }
    const payload = Buffer.from(TEXT.subarray(at, at + bytes));
    if (flip >= 0) payload[flip]! ^= 1 << ((dice >> 5) & 7);
    const first = side === 'p' || this.translated ? this.isnP : this.isnS;
    if (side === 's') {
      for (let i = 0; i < bytes; i++) if (payload[i] === TEXT[at + i]) this.saidS[at + i] = 1;
    }
    const packet = buildTcp({
      family: this.family,
      seq: seqAdd(first, 1 + at),
      ack: 1,
      flags: flags ?? ((dice & 2) !== 0 ? 'PA' : 'A'),
      payload,
      options: (dice & 4) !== 0 ? [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 0, 1] : [],
    });
    return { side, packet, gso: [0, 64, 536, 1448][(dice >> 8) & 3]! };
  }
}

interface World {
  readonly h: PrimaryHarness;
  say(said: Said): void;
  settle(): void;
  checkpoint(): void;
}

class Bytes implements World {
  readonly h: PrimaryHarness;

  constructor(limits: object) {
    this.h = new PrimaryHarness({ limits });
  }

  say({ side, packet }: Said): void {
    if (side === 'p') this.h.p(packet);
    else this.h.s(packet);
  }

  settle(): void {
    this.h.engine.endBatch(this.h.now);
  }

  checkpoint(): void {
    this.h.engine.checkpoint(this.h.now);
  }
}

class Digests implements World {
  readonly pair: DigestPair;

  constructor(limits: object, ringBytes?: number) {
    this.pair = new DigestPair({ limits }, ringBytes);
  }

  get h(): PrimaryHarness {
    return this.pair.h;
  }

  say({ side, packet, gso }: Said): void {
    if (side === 'p') this.pair.p(packet);
    else this.pair.s(packet, gso);
  }

  settle(): void {
    this.pair.settle();
  }

  checkpoint(): void {
    this.pair.checkpoint();
  }
}

function begin(world: World, isnP: number, isnS: number, family: 4 | 6): void {
  // Beginnings of held packets would leave in other parts.
  world.h.emits = false;
  world.say({ side: 'p', packet: buildTcp({ family, flags: 'SA', seq: isnP, ack: 1 }), gso: 0 });
  world.say({ side: 's', packet: buildTcp({ family, flags: 'SA', seq: isnS, ack: 1 }), gso: 0 });
  world.settle();
}

/** Where a packet's payload stands in its stream, and its length. */
function placeOf(packet: Buffer, first: number, family: 4 | 6): [number, number] {
  const l4 = family === 4 ? 20 : 40;
  return [seqDiff(packet.readUInt32BE(l4 + 4), first + 1), packet.length - l4 - ((packet[l4 + 12]! >> 4) << 2)];
}

function endsStream(packet: Buffer, family: 4 | 6): boolean {
  return (packet[(family === 4 ? 20 : 40) + 13]! & 1) !== 0;
}

/** Positions of the stream whose bytes have left. */
class Left {
  readonly marks = new Uint8Array(TEXT.length);
  private seen = 0;

  constructor(
    private readonly h: PrimaryHarness,
    private readonly first: number,
    private readonly family: 4 | 6,
  ) {}

  /** Those that have left since the last call count. Each has to be allowed. */
  update(allowed: (at: number) => boolean): void {
    const { h, first, family } = this;
    for (const [id, { kind }] of [...h.verdicts].slice(this.seen)) {
      if (kind === 'drop') continue;
      const [at, bytes] = placeOf(h.left(id)!, first, family);
      for (let i = at; i < at + bytes; i++) if (!allowed(i)) throw new Error(`byte ${i} left unsaid by the SVM`);
      this.marks.fill(1, at, at + bytes);
    }
    this.seen = h.verdicts.size;
  }

  equals(other: Left, end: number): boolean {
    return Buffer.compare(this.marks.subarray(0, end), other.marks.subarray(0, end)) === 0;
  }

  includes(other: Left, end: number): boolean {
    return other.marks.subarray(0, end).every((mark, at) => mark <= this.marks[at]!);
  }
}

function request(h: PrimaryHarness): unknown {
  return h.requests.length === 0
    ? []
    : [...h.requests, h.engine.difference.cause, h.engine.difference.position, h.difference];
}

const runs = process.env.COLO_RUNS === undefined ? 300 : 2 * Number(process.env.COLO_RUNS);
const limits = { maxHeldPackets: 4096, logBytes: 4 << 20, maxHeldBytes: 2 << 20, logRecords: 1 << 12 };

test('digests come to the same verdicts, requests and first difference as bytes', () => {
  let equal = 0;
  let differences = 0;
  fc.assert(
    fc.property(
      fc.array(op, { minLength: 1, maxLength: 40 }),
      isn,
      isn,
      fc.constantFrom<4 | 6>(4, 6),
      (ops, a, b, family) => {
        const guests = new Guests(a, b, family);
        const bytes = new Bytes(limits);
        const digests = new Digests(limits);
        const worlds = [bytes, digests];
        const lefts = worlds.map(({ h }) => new Left(h, a, family));
        for (const world of worlds) begin(world, a, b, family);
        for (const o of ops) {
          const step = guests.step(o);
          if (step === 'epoch') for (const world of worlds) world.checkpoint();
          else if (step !== 'time') {
            for (const said of step) {
              for (const world of worlds) {
                world.say(said);
                world.settle();
              }
            }
          }
          bytes.h.now = digests.h.now += 5;
          for (const world of worlds) world.settle();
          // What the PVM's end contradicts is found when it comes, not when the SVM sends the next.
          if (guests.secondaryIsBeyond && digests.h.requests[0] === 'fin') break;
          // An end of the SVM's waits behind its content, which may differ, too.
          if (bytes.h.requests[0] === 'fin' && digests.h.requests[0] === 'payload') break;
          expect(request(digests.h)).toEqual(request(bytes.h));
          for (const left of lefts) left.update((at) => guests.wereSaid(at));
          // What stands before a difference may have gone to the comparison alone.
          if (bytes.h.requests.length === 0) expect(lefts[1]!.equals(lefts[0]!, guests.end)).toBe(true);
          else expect(lefts[1]!.includes(lefts[0]!, guests.end)).toBe(true);
          if (bytes.h.requests.length > 0) {
            differences++;
            break;
          }
        }
        expect(digests.pair.unknown).toBe(0);
        equal += digests.pair.intake.counters.snapshot().digests_equal;
      },
    ),
    { numRuns: runs },
  );
  // The property is about something.
  expect(equal).toBeGreaterThan(runs);
  expect(differences).toBeGreaterThan(runs / 10);
});

test('with a link that takes its time nothing leaves unsaid, and in the end all that both have said has left', () => {
  let late = 0;
  const steps = fc.array(fc.record({ op, moves: fc.nat(0xffff) }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(steps, isn, isn, fc.constantFrom<4 | 6>(4, 6), (all, a, b, family) => {
      const guests = new Guests(a, b, family);
      const bytes = new Bytes(limits);
      const { pair } = new Digests(limits);
      const { h } = pair;
      const left = new Left(h, a, family);
      const digests: World = {
        h,
        say: (said) => sayLate(pair, said),
        settle: () => {},
        checkpoint: () => pair.checkpoint(),
      };
      for (const world of [bytes, digests]) begin(world, a, b, family);
      for (const { op: o, moves } of all) {
        const step = guests.step(o);
        if (step === 'epoch') for (const world of [bytes, digests]) world.checkpoint();
        else if (step !== 'time') for (const said of step) for (const world of [bytes, digests]) world.say(said);
        move(pair, moves);
        bytes.h.now = h.now += moves & 7;
        left.update((at) => guests.wereSaid(at));
        if (bytes.h.requests.length > 0 || h.requests.length > 0) break;
        late += pair.intake.waiting;
      }
      for (let i = 0; i < 4; i++) {
        pair.settle();
        h.now += 101;
        pair.intake.tick(h.now);
      }
      pair.settle();
      // What contradicts itself may have come in another order.
      expect(h.requests.length > 0 || guests.secondaryIsBeyond).toBe(
        bytes.h.requests.length > 0 || guests.secondaryIsBeyond,
      );
      if (bytes.h.requests.length === 0 && h.requests.length === 0) {
        expect(pair.intake.waiting).toBe(0);
        const both = guests.bothSaid;
        for (const [id, packet] of h.sent) {
          if (h.state(id) !== 'held' || endsStream(packet, family)) continue;
          const [at, n] = placeOf(packet, a, family);
          if (n > 0 && at + n <= both) throw new Error(`packet ${at}+${n} is stuck`);
        }
      }
    }),
    { numRuns: runs },
  );
  expect(late).toBeGreaterThan(runs);
});

function sayLate(pair: DigestPair, { side, packet, gso }: Said): void {
  if (side === 'p') pair.p(packet);
  else pair.s(packet, gso);
}

/** Some of what is under way arrives, batches end, as the dice say. */
function move(pair: DigestPair, dice: number): void {
  for (let left = dice; left > 0; left >>= 2) {
    const kind = left & 3;
    if (kind === 0 && pair.toPrimary.length > 0) pair.deliver();
    else if (kind === 1 && pair.toSecondary.length > 0) pair.answer();
    else if (kind === 2) pair.endBatch();
  }
}
