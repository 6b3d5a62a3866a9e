// Two guests with their own ISNs and clocks, one peer, and the engine between the peer and the secondary guest. The
// guests do the same, at about the same time; the peer talks to the PVM until the failover, then to the SVM. Whatever
// the order of things, the SVM must be able to take the peer's segments for answers to its own, and the peer must see
// one continuous connection. Positions are counted from the SYN, so what is compared does not know of any offset.

import fc from 'fast-check';
import { SecondaryVerdict } from '../../../src/seccolo/engine';
import { Bench, GUEST, type Out, PEER } from './bench';
import type { Segment } from './wire';

const w = (n: number) => n >>> 0;
const before = (a: number, b: number) => ((a - b) | 0) < 0;

interface Guest {
  isn: number;
  /** What the guest adds to the time for its timestamps. */
  ts: number;
  /** Oldest and newest timestamp that it has sent. */
  first: number;
  last: number;
}

interface Connection {
  family: 4 | 6;
  port: number;
  guestOpens: boolean;
  pvm: Guest;
  svm: Guest;
  peerIsn: number;
  /** Next position of either side's stream. */
  guestNext: number;
  peerNext: number;
  /** Newest timestamp that the peer has received; it echoes it in everything it sends. */
  recent: number;
  sinceFailover: boolean;
}

const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0),
);
const opening = fc.record({
  kind: fc.constant('open' as const),
  c: fc.nat(3),
  family: fc.constantFrom<4 | 6>(4, 6),
  guestOpens: fc.boolean(),
  isns: fc.tuple(word, word, word),
  ts: fc.tuple(word, word),
  repeats: fc.nat(2),
});
const step = fc.oneof(
  { weight: 2, arbitrary: opening },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('guest' as const),
      c: fc.nat(3),
      bytes: fc.nat(30),
      repeat: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('peer' as const),
      c: fc.nat(3),
      bytes: fc.nat(30),
      holes: fc.nat(3),
      shift: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(100_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('checkpoint' as const), lag: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

type Value<A> = A extends fc.Arbitrary<infer T> ? T : never;
type Step = Value<typeof step>;
type Opening = Value<typeof opening>;

class World {
  readonly t: Bench;
  readonly connections: (Connection | undefined)[] = [undefined, undefined, undefined, undefined];
  failedOver = false;
  /** Tuples with the SVM's ISNs on them since the last checkpoint, which makes the SVM forget. */
  readonly isns = new Set<string>();
  /** How far the SVM's clock is behind the PVM's. */
  lag = 0;

  constructor(readonly mode: 'failover' | 'always') {
    this.t = new Bench(mode);
  }

  run(s: Step): void {
    if (s.kind === 'wait') this.t.now += s.ms;
    else if (s.kind === 'restart') this.t.restart();
    else if (s.kind === 'checkpoint') this.checkpoint(s.lag);
    else if (s.kind === 'open') this.open(s);
    else {
      const c = this.connections[s.c];
      if (c === undefined) return;
      if (s.kind === 'guest') this.guestSends(c, s.bytes, s.repeat);
      else this.peerSends(c, s.bytes, s.holes, s.shift);
    }
  }

  failover(): void {
    this.t.engine.failover(this.t.now);
    this.failedOver = true;
  }

  private checkpoint(lag: number): void {
    if (this.failedOver) return;
    this.t.engine.checkpoint(this.t.now);
    this.lag = lag;
    this.isns.clear();
    for (const c of this.connections) if (c !== undefined) c.svm = { ...c.pvm, first: c.pvm.first, last: c.pvm.last };
  }

  private stamp(g: Guest, svm: boolean): number {
    g.last = w(this.t.now - (svm ? this.lag : 0) + g.ts);
    return g.last;
  }

  /**
   * Here each checkpoint comes about; where the guest could not show it (it never spoke, or its numbers are too close),
   * its host says so.
   */
  private peer(segment: Partial<Segment>): Out {
    const out = this.t.peer(segment);
    if (out.verdict !== SecondaryVerdict.Wait) return out;
    expect(this.failedOver).toBe(true);
    this.t.engine.decide(false);
    return this.t.peer(segment);
  }

  /** What the guest sent while that was not known is dropped, and retransmitted when it is. */
  private guest(segment: Partial<Segment>): Out {
    const out = this.t.guest(segment);
    if (out.verdict !== SecondaryVerdict.Drop || !this.t.engine.undecided) return out;
    expect(this.failedOver).toBe(true);
    this.t.engine.decide(false);
    return this.t.guest(segment);
  }

  private ends(c: Connection): { fromGuest: Partial<Segment>; fromPeer: Partial<Segment> } {
    const { family, port } = c;
    return {
      fromGuest: { family, src: GUEST, dst: PEER, sport: 80, dport: port },
      fromPeer: { family, src: PEER, dst: GUEST, sport: port, dport: 80 },
    };
  }

  private open(s: Opening): void {
    const make = (isn: number, ts: number): Guest => ({ isn, ts, first: 0, last: 0 });
    const c: Connection = {
      ...{ family: s.family, port: 40_000 + s.c, guestOpens: s.guestOpens, peerIsn: s.isns[2] },
      pvm: make(s.isns[0], s.ts[0]),
      svm: make(s.isns[1], s.ts[1]),
      ...{ guestNext: 1, peerNext: 1, recent: 0, sinceFailover: this.failedOver },
    };
    // A stack does not choose an ISN again for the same tuple: it could not tell the connections apart itself (RFC
    // 6528).
    const isn = `${c.family} ${c.port} ${c.svm.isn}`;
    if (this.isns.has(isn)) return;
    this.isns.add(isn);
    this.connections[s.c] = c;
    const { fromGuest, fromPeer } = this.ends(c);
    const speaker = this.failedOver ? c.svm : c.pvm;
    c.pvm.first = this.stamp(c.pvm, false);
    c.svm.first = this.stamp(c.svm, true);
    if (s.guestOpens) {
      for (let i = 0; i <= s.repeats; i++) {
        const out = this.guest({
          ...fromGuest,
          flags: 'S',
          seq: c.svm.isn,
          ts: [this.stamp(c.svm, true), 0],
          wscale: 7,
        });
        expect(out.seq).toBe(c.svm.isn);
      }
      c.recent = this.stamp(speaker, this.failedOver);
      const answer = {
        ...fromPeer,
        flags: 'SA',
        seq: c.peerIsn,
        ack: w(speaker.isn + 1),
        ts: [77, c.recent] as [number, number],
      };
      for (let i = 0; i <= s.repeats; i++) this.guestAccepts(c, this.peer(answer), 1, true);
      this.guestSends(c, 0, false);
    } else {
      this.peer({ ...fromPeer, flags: 'S', seq: c.peerIsn, ts: [77, 0] });
      const synAck = { ...fromGuest, flags: 'SA', seq: c.svm.isn, ack: w(c.peerIsn + 1), wscale: 7, window: 0xffff };
      for (let i = 0; i <= s.repeats; i++) {
        const out = this.guest({ ...synAck, ts: [this.stamp(c.svm, true), 77] });
        expect(out.seq).toBe(c.svm.isn);
      }
      c.recent = this.stamp(speaker, this.failedOver);
      this.peerSends(c, 0, 0, 0);
    }
  }

  /** The SVM can take this for an answer to what it has sent. */
  private guestAccepts(
    c: Connection,
    got: { ack: number; ts?: [number, number]; sack: [number, number][] },
    position: number,
    synSent = false,
  ): void {
    expect(w(got.ack - c.svm.isn)).toBe(position);
    if (got.ts === undefined || c.sinceFailover) return;
    const echo = got.ts[1];
    // It lies between the guest's first timestamp and its last, but for the difference of pace between the guests. In
    // SYN-SENT there is no such allowance (Linux answers RST), and none is needed.
    const allowance = synSent ? 0 : this.lag;
    expect(before(echo, w(c.svm.first - allowance))).toBe(false);
    expect(before(w(c.svm.last + allowance), echo)).toBe(false);
  }

  /** Both guests send the same segment; the peer gets that of the one it talks to. */
  private guestSends(c: Connection, bytes: number, repeat: boolean): void {
    const { fromGuest } = this.ends(c);
    const position = repeat ? Math.max(1, c.guestNext - 7) : c.guestNext;
    const data = 'd'.repeat(bytes);
    const pvmStamp = this.stamp(c.pvm, false);
    const out = this.guest({
      ...fromGuest,
      ...{ flags: 'A', seq: w(c.svm.isn + position), ack: w(c.peerIsn + c.peerNext), window: 500, data },
      ts: [this.stamp(c.svm, true), 77],
    });
    if (!repeat) c.guestNext += bytes;
    if (!this.failedOver) {
      if (this.mode === 'failover') expect(out.seq).toBe(w(c.svm.isn + position));
      else expect(out.seq).toBe(w(c.pvm.isn + position));
      c.recent = pvmStamp;
      this.echo(c);
      return;
    }
    // What the peer sees: the stream goes on in the numbers it knows, and time does not run backwards.
    const isn = c.sinceFailover ? c.svm.isn : c.pvm.isn;
    expect(out.seq).toBe(w(isn + position));
    expect(out.ack).toBe(w(c.peerIsn + c.peerNext));
    expect(before(out.ts![0], c.recent)).toBe(false);
    c.recent = out.ts![0];
  }

  private peerSends(c: Connection, bytes: number, holes: number, shift: number): void {
    const { fromPeer } = this.ends(c);
    const isn = this.failedOver && c.sinceFailover ? c.svm.isn : c.pvm.isn;
    const edges: [number, number][] = [];
    for (let i = 0; i < holes; i++) edges.push([c.guestNext - 3 + i * 20, c.guestNext + 10 + i * 20]);
    const got = this.peer({
      ...fromPeer,
      ...{ flags: 'A', seq: w(c.peerIsn + c.peerNext), ack: w(isn + c.guestNext), data: 'p'.repeat(bytes), shift },
      ts: [78, c.recent],
      ...(holes > 0 ? { sack: edges.map(([a, b]) => [w(isn + a), w(isn + b)] as [number, number]) } : {}),
    });
    c.peerNext += bytes;
    expect(got.sack.map(([a, b]) => [(a - c.svm.isn) | 0, (b - c.svm.isn) | 0])).toEqual(edges);
    this.guestAccepts(c, got, c.guestNext);
  }

  private echo(c: Connection): void {
    this.peerSends(c, 0, 0, 0);
  }
}

describe.each(['failover', 'always'] as const)('two stacks and a peer, guest translated: %s', (mode) => {
  test('the SVM understands the peer, and the peer sees one connection across the failover', () => {
    const steps = fc.array(step, { minLength: 3, maxLength: 40 });
    fc.assert(
      fc.property(steps, steps, (first, second) => {
        const world = new World(mode);
        for (const s of first) world.run(s);
        world.failover();
        for (const s of second) world.run(s);
        for (let c = 0; c < 4; c++) {
          world.run({ kind: 'guest', c, bytes: 5, repeat: false });
          world.run({ kind: 'peer', c, bytes: 5, holes: 2, shift: 1 });
        }
        expect(world.t.count.checkpoints_missed).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
