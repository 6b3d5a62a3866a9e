// An engine under test and a connection to talk through: what the guest sends, what the peer sends, and what comes out.

import { OffsetTable } from '../../../src/conntrack/offset-table';
import { SecondaryEngine, SecondaryVerdict } from '../../../src/seccolo/engine';
import type { SecondaryMode } from '../../../src/seccolo/status';
import { build, checksumOk, type Read, read, type Segment, segment } from './wire';

export const GUEST = 0x0a000001;
export const PEER = 0xc0a80102;

export interface Out extends Read {
  verdict: SecondaryVerdict;
  bytes: Buffer;
}

export class Bench {
  now = 1_700_000_000_000;
  engine: SecondaryEngine;
  readonly memory: Uint8Array;

  constructor(
    readonly mode: SecondaryMode = 'failover',
    capacity = 16,
  ) {
    this.memory = new Uint8Array(OffsetTable.bytesFor(capacity));
    this.engine = this.start();
  }

  private start(): SecondaryEngine {
    return new SecondaryEngine({ mode: this.mode, offsets: this.memory, seed: [1, 2], nowMs: this.now });
  }

  /** As after a kill -9: a new process over the same memory. */
  restart(): void {
    this.engine = this.start();
  }

  guest(over: Partial<Segment>): Out {
    return this.run(segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, ...over }), false);
  }

  peer(over: Partial<Segment>): Out {
    return this.run(segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, ...over }), true);
  }

  /** Runs raw bytes, at an odd place in a larger buffer. */
  raw(packet: Buffer, fromPeer: boolean, partial = false): { verdict: SecondaryVerdict; bytes: Buffer } {
    const arena = Buffer.alloc(packet.length + 20, 0xa5);
    packet.copy(arena, 7);
    this.now++;
    const verdict = fromPeer
      ? this.engine.fromPeer(arena, 7, packet.length, partial, this.now)
      : this.engine.fromGuest(arena, 7, packet.length, partial, this.now);
    const bytes = Buffer.from(arena.subarray(7, 7 + packet.length));
    expect(arena.subarray(0, 7).every((b) => b === 0xa5)).toBe(true);
    expect(arena.subarray(7 + packet.length).every((b) => b === 0xa5)).toBe(true);
    expect(verdict === SecondaryVerdict.AcceptRewritten).toBe(!bytes.equals(packet));
    return { verdict, bytes };
  }

  private run(s: Segment, fromPeer: boolean): Out {
    const packet = build(s);
    const { verdict, bytes } = this.raw(packet, fromPeer, s.partial ?? false);
    if (s.partial) expect(read(bytes).checksum).toBe(read(packet).checksum);
    else expect(checksumOk(bytes)).toBe(true);
    return { ...read(bytes), verdict, bytes };
  }

  get count(): Record<string, number> {
    return this.engine.counters.snapshot();
  }
}

/** ISNs and clocks of the examples: all of them wrap when the connection goes on. */
export const PVM_ISN = 0xfffffff0;
export const SVM_ISN = 0x40000010;
export const OFF = (PVM_ISN - SVM_ISN) >>> 0;
export const PVM_TS = 5_000;
export const SVM_TS = 0xffffff00;
export const TS_OFF = (PVM_TS - SVM_TS) >>> 0;
export const CLIENT_ISN = 77_000;

/** A connection that the client opens, up to the guest's first acknowledgement. */
export function clientOpens(t: Bench, over: Partial<Segment> = {}): void {
  t.peer({ flags: 'S', seq: CLIENT_ISN, ts: [900, 0], wscale: 7, ...over });
  t.guest({ flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900], wscale: 7, window: 0xffff, ...over });
  t.peer({ flags: 'A', seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS], ...over });
  t.guest({ flags: 'A', seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 1, 901], ...over });
}
