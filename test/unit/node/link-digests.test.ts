// Both ends of the stream link over a channel in memory: what both guests say alike crosses as digests, what differs is
// fetched, and nothing of it survives an epoch or a connection.

import { DigestSender } from '../../../src/digest/sender';
import { NativeDigester } from '../../../src/io/digester';
import type { Channel, ChannelEvents, OpenChannel } from '../../../src/link/channel';
import { RecordType } from '../../../src/link/record';
import { EpochMatch, Matched } from '../../../src/node/epoch-match';
import { BatchTime, ForwardIntake } from '../../../src/node/primary-intake';
import { PrimaryLink } from '../../../src/node/primary-link';
import { DIGESTS, SecondaryLink } from '../../../src/node/secondary-link';
import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const KEY = '000102030405060708090a0b0c0d0e0f';
const TEXT = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 11 + (i >> 8)) & 0xff));

interface Sent {
  type: RecordType;
  epoch: number;
  bytes: Buffer;
}

/** One end: what it sends waits until the other end reads it. */
class End implements Channel {
  up = true;
  readonly sent: Sent[] = [];
  ended = '';
  events!: ChannelEvents;
  readonly open: OpenChannel = (events) => {
    this.events = events;
    return this;
  };

  send(
    type: RecordType,
    epoch: number,
    head: Uint8Array,
    headBytes: number,
    buf: Uint8Array,
    off: number,
    bytes: number,
  ): boolean {
    const all = Buffer.concat([head.subarray(0, headBytes), buf.subarray(off, off + bytes)]);
    this.sent.push({ type, epoch, bytes: all });
    return true;
  }

  flush(): void {}
  resume(): void {}
  close(): void {}
  disconnect(why: string): void {
    this.ended = why;
  }
}

class Rig {
  readonly h = new PrimaryHarness();
  readonly atPrimary = new End();
  readonly atSecondary = new End();
  readonly types: RecordType[] = [];
  unknown = 0;
  readonly primary: PrimaryLink;
  readonly secondary: SecondaryLink;

  constructor(features: readonly string[] = [DIGESTS]) {
    const clock = { nowMs: () => this.h.now, after: () => ({ cancel: () => {} }) };
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    const { engine } = this.h;
    const node = {
      covered: () => {
        engine.checkpoint(this.h.now);
        this.primary.goOn();
      },
      unheard: () => {},
      unknown: () => {
        this.unknown++;
      },
      unmatched: () => {},
      endBatch: (now: number) => {
        this.primary.endBatchOf(now);
        engine.endBatch(now);
      },
    };
    const match = new EpochMatch();
    const intake = new ForwardIntake(
      engine,
      new BatchTime(clock.nowMs),
      () => node,
      () => ({ drop: () => {} }),
    );
    this.primary = new PrimaryLink(
      match,
      {
        clock,
        log,
        open: this.atPrimary.open,
        node: () => node,
        engine: engine as never,
        spoken: () => 0,
        intake,
        arp: () => {},
        digests: { said: engine.said, digester: (key) => new NativeDigester(key) },
      },
      [1, 2],
    );
    const epoch = { value: 0, next: () => epoch.value++, renew: () => {} };
    const sink = { packet: () => {}, endBatch: () => {} };
    this.secondary = new SecondaryLink({
      clock,
      log,
      open: this.atSecondary.open,
      node: {
        fromPeers: sink,
        fromGuest: { packet: (p) => this.secondary.verdicts.guest.accept(p.id), endBatch: () => {} },
      },
      neighbours: { question: () => undefined, checkpoint: () => {}, heard: () => {} } as never,
      port: { send: () => true, empty: () => {} },
      epoch: epoch as never,
      digests: new DigestSender(new NativeDigester(Buffer.from(KEY, 'hex'))),
    });
    const peer = { process: 'p', epoch: 0, features };
    this.atPrimary.events.onUp({ ...peer, digestKey: KEY });
    this.atSecondary.events.onUp(peer);
    this.p(buildTcp({ flags: 'SA', seq: 100, ack: 1 }));
    this.s(buildTcp({ flags: 'SA', seq: 900, ack: 1 }));
    this.settle();
  }

  p(packet: Buffer): number {
    return this.h.p(packet);
  }

  s(packet: Buffer): void {
    const ethernet = Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    const frame = Buffer.concat([Buffer.alloc(10), ethernet, packet]);
    this.secondary.guestFrame(frame, 0, frame.length);
    this.secondary.endGuestBatch();
  }

  settle(): void {
    for (let n = 0; n < 10; n++) {
      this.read(this.atSecondary, this.atPrimary);
      this.primary.endBatchOf(this.h.now);
      this.read(this.atPrimary, this.atSecondary);
    }
  }

  private read(from: End, to: End): void {
    for (const { type, epoch, bytes } of from.sent.splice(0)) {
      this.types.push(type);
      expect(to.events.onRecord(type, epoch, bytes, 0, bytes.length)).toBe(true);
    }
    to.events.onBatch();
  }
}

function segment(first: number, at: number, bytes: number): Buffer {
  return buildTcp({ seq: first + 1 + at, ack: 1, payload: TEXT.subarray(at, at + bytes) });
}

test('what both guests have said crosses as digests, whoever has said it first', () => {
  const rig = new Rig();
  const first = rig.p(segment(100, 0, 40_000));
  rig.s(segment(900, 0, 40_000));
  rig.settle();
  rig.s(segment(900, 40_000, 20_000));
  rig.settle();
  const second = rig.p(segment(100, 40_000, 20_000));
  rig.settle();
  expect([rig.h.state(first), rig.h.state(second)]).toEqual(['accept', 'accept']);
  expect(rig.types).toEqual([RecordType.GUEST_FRAME, RecordType.GUEST_DIGEST, RecordType.GUEST_DIGEST]);
  expect(rig.primary.digestCounters()).toMatchObject({ digest_bytes: 60_000, digest_fetches: 0 });
});

test('what differs is fetched, and found where it is', () => {
  const rig = new Rig();
  const other = Buffer.from(TEXT.subarray(0, 9000));
  other[7777]! ^= 4;
  const id = rig.p(buildTcp({ seq: 101, ack: 1, payload: other }));
  rig.s(segment(900, 0, 9000));
  rig.settle();
  expect(rig.types.slice(1)).toEqual([RecordType.GUEST_DIGEST, RecordType.FETCH, RecordType.FETCHED]);
  expect([rig.h.requests, rig.h.engine.difference.position, rig.h.state(id)]).toEqual([
    ['payload'],
    101 + 7777,
    'held',
  ]);
});

test('an epoch ends what waits on both hosts', () => {
  const rig = new Rig();
  rig.s(segment(900, 0, 5000));
  rig.settle();
  expect(rig.primary.checkpointed(rig.h.now)).toBe(Matched.NOTHING);
  rig.secondary.checkpoint();
  rig.settle();
  // The guests are equal now, and number alike.
  const id = rig.p(segment(100, 0, 5000));
  rig.settle();
  expect(rig.h.state(id)).toBe('held');
  rig.s(segment(100, 0, 5000));
  rig.settle();
  expect(rig.h.state(id)).toBe('accept');
  expect(rig.unknown).toBe(0);
});

test('without the feature on both sides frames cross as they are', () => {
  const rig = new Rig([]);
  const id = rig.p(segment(100, 0, 5000));
  rig.s(segment(900, 0, 5000));
  rig.settle();
  expect(rig.types).toEqual([RecordType.GUEST_FRAME, RecordType.GUEST_FRAME]);
  expect(rig.h.state(id)).toBe('accept');
});

test('records that are none end the connection', () => {
  for (const type of [RecordType.GUEST_DIGEST, RecordType.GONE, RecordType.FETCHED]) {
    const rig = new Rig();
    expect(rig.primary.onRecord(type, 0, Buffer.alloc(3), 0, 3)).toBe(true);
    expect(rig.atPrimary.ended).not.toBe('');
  }
  const rig = new Rig();
  rig.secondary.onRecord(RecordType.FETCH, 0, Buffer.alloc(3), 0, 3);
  expect(rig.atSecondary.ended).not.toBe('');
});

test("frames that could not be read at either guest's port are not known: a checkpoint is asked for", () => {
  const rig = new Rig();
  rig.secondary.framesLost(3);
  rig.secondary.tick();
  rig.settle();
  expect([rig.types.at(-1), rig.unknown]).toEqual([RecordType.LOST, 1]);
  expect(rig.primary.counters.snapshot().link_guest_frames_lost).toBe(3);
  // Those of the epoch that has ended are mended.
  rig.secondary.framesLost(3);
  rig.secondary.checkpoint();
  rig.settle();
  expect(rig.unknown).toBe(1);
  const other = new Rig();
  other.primary.framesLost(1);
  other.primary.tick(0);
  expect(other.unknown).toBe(1);
});

test('an epoch that changes while a connection is made is told, or the connection is made again', () => {
  const rig = new Rig();
  rig.atSecondary.up = false;
  rig.secondary.newPair();
  rig.atSecondary.up = true;
  rig.atSecondary.events.onUp({ process: 'p', epoch: 0, features: [DIGESTS] });
  rig.settle();
  expect([rig.types.at(-1), rig.atSecondary.ended]).toEqual([RecordType.PAIR, '']);
  rig.atSecondary.up = false;
  rig.secondary.checkpoint();
  rig.atSecondary.up = true;
  rig.atSecondary.events.onUp({ process: 'p', epoch: 0, features: [DIGESTS] });
  expect(rig.atSecondary.ended).toMatch(/epoch has changed/);
});

test('a pair that begins at the other host alone is held, and a checkpoint is asked for', () => {
  const rig = new Rig();
  rig.secondary.newPair();
  rig.settle();
  expect([rig.types.at(-1), rig.unknown]).toEqual([RecordType.PAIR, 1]);
});
