// As pmycolo/warm-up: an engine of its own translates made-up connections of two sides, so that the compiler has learnt
// before the first real packet comes. Nothing of it outlives the call.

import { OffsetTable } from '../conntrack/offset-table';
import { putSegment } from '../packet/made-up';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from '../packet/view';
import { SecondaryEngine } from './engine';

/** Tuples, used one after the other. */
export const FLOWS = 1024;
const ROW = 32;
const SEGMENT_BYTES = 1400;
/** More than a packet of them. */
export const MADE_UP_BYTES = 2048;
export const CHECKPOINT_EVERY = 64;
/** As pmycolo/warm-up's. */
const WARM_UP_ROUNDS = 128;
/** What the PVM's numbers are beyond the SVM's. */
const DELTA = 1_000_000;

export class SecondaryWarmUp {
  /** Both modes, as after a failover the guest's packets are translated, too. */
  private readonly engines = (['failover', 'always'] as const).map(
    (mode) =>
      new SecondaryEngine({
        mode,
        offsets: new ArrayBuffer(OffsetTable.bytesFor(2 * FLOWS)),
        seed: [0, 0],
        nowMs: 0,
      }),
  );
  private readonly packet = Buffer.alloc(MADE_UP_BYTES);
  private rounds = 0;

  /** Connections for so many ms by the clock given, and one at least. False: that was enough. */
  run(clock: () => number, budgetMs: number): boolean {
    const until = clock() + budgetMs;
    do this.round();
    while (this.rounds < WARM_UP_ROUNDS && clock() < until);
    return this.rounds < WARM_UP_ROUNDS;
  }

  /** Of both engines. */
  counters(): Record<string, number>[] {
    return this.engines.map((engine) => engine.counters.snapshot());
  }

  private round(): void {
    const { rounds } = this;
    for (const engine of this.engines) {
      const way = {
        fromPeer: (buf: Buffer, off: number, len: number) => void engine.fromPeer(buf, off, len, false, rounds),
        fromGuest: (buf: Buffer, off: number, len: number) => void engine.fromGuest(buf, off, len, false, rounds),
      };
      madeUpConnection(way, this.packet, 0, rounds);
      engine.tick(rounds);
      if (rounds % CHECKPOINT_EVERY === CHECKPOINT_EVERY - 1) engine.checkpoint(rounds);
    }
    this.rounds++;
  }
}

/** Takes IP packets: buf[off, off + len), the receiver's during the call. */
export interface MadeUpWay {
  fromPeer(buf: Buffer, off: number, len: number): void;
  fromGuest(buf: Buffer, off: number, len: number): void;
}

/**
 * The connection of a round from its beginning to its end, with data of both sides. `packet`: room for each of its
 * packets, from `off` on: MADE_UP_BYTES of them.
 */
export function madeUpConnection(way: MadeUpWay, packet: Buffer, off: number, round: number): void {
  const flow = round % FLOWS;
  let peerSeq = 1000;
  let guestSeq = (round << 18) >>> 0;
  const fromPeer = (flags: number, payloadBytes: number, ack: number): void => {
    const len = putSegment(packet, off, { flow, byPeer: true, seq: peerSeq, ack, flags, payloadBytes });
    way.fromPeer(packet, off, len);
    peerSeq += payloadBytes;
  };
  const fromGuest = (flags: number, payloadBytes: number): void => {
    const len = putSegment(packet, off, { flow, seq: guestSeq, ack: peerSeq, flags, payloadBytes });
    way.fromGuest(packet, off, len);
    guestSeq += payloadBytes;
  };
  fromPeer(TCP_SYN, 0, 0);
  peerSeq++;
  fromGuest(TCP_SYN | TCP_ACK, 0);
  guestSeq++;
  fromPeer(TCP_ACK, 0, guestSeq + DELTA);
  for (let i = 0; i < ROW; i++) {
    fromPeer(TCP_ACK | TCP_PSH, SEGMENT_BYTES, guestSeq + DELTA);
    fromGuest(TCP_ACK | TCP_PSH, SEGMENT_BYTES);
    fromGuest(TCP_ACK, 0);
    fromPeer(TCP_ACK, 0, guestSeq + DELTA);
  }
  fromGuest(TCP_ACK | TCP_FIN, 0);
  guestSeq++;
  fromPeer(TCP_ACK | TCP_FIN, 0, guestSeq + DELTA);
  peerSeq++;
  fromGuest(TCP_ACK, 0);
}
