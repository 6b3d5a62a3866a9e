// A PrimaryEngine with everything it says written down, for tests.

import type { PrimaryCounterName } from '../../src/pmycolo/counters';
import { type PrimaryConfig, PrimaryEngine } from '../../src/pmycolo/engine';

const HEAD_BYTE = 0xe7;
const PADDING_BYTE = 0x3c;

export class PrimaryHarness {
  readonly engine: PrimaryEngine;
  /** id -> verdict, in the order of Map insertion. */
  readonly verdicts = new Map<number, { kind: 'accept' | 'rewrite' | 'drop'; bytes?: Buffer; partial?: boolean }>();
  readonly requests: string[] = [];
  /** Of the last request: the first bytes that differ, the PVM's and the SVM's, where there are any. */
  difference = '';
  /** Packets without payload that left in place of repetitions. */
  readonly probes: Buffer[] = [];
  readonly sent = new Map<number, Buffer>();
  /** Beginnings of held packets that left as packets of their own. */
  readonly copies: { id: number; bytes: Buffer; verdictsBefore: number }[] = [];
  /** Whether such can be sent. */
  emits = true;
  now = 1000;
  /**
   * Bytes of frame headers before every packet, which must come back unchanged, and behind it, which must not leave.
   */
  head = 0;
  padding = 0;
  zone = 0;
  private id = 0;

  constructor(config: PrimaryConfig = {}) {
    const once = (id: number): void => {
      if (this.verdicts.has(id)) throw new Error(`second verdict for packet ${id}`);
    };
    this.engine = new PrimaryEngine(
      {
        ...config,
        limits: {
          maxFlows: 1024,
          maxHeldPackets: 64,
          logBytes: 1 << 20,
          maxHeldBytes: 1 << 18,
          logRecords: 1 << 10,
          ...config.limits,
        },
      },
      {
        accept: (id, buf, off, len) => {
          once(id);
          const packet = this.sent.get(id)!;
          const wanted = packet.length + (this.engine.isProtected ? 0 : this.padding);
          if (len !== wanted || !buf.subarray(off, off + packet.length).equals(packet)) {
            throw new Error(`packet ${id} was accepted with other bytes`);
          }
          this.checkHead(id, buf, off);
          this.verdicts.set(id, { kind: 'accept' });
        },
        acceptRewritten: (id, buf, off, len, partial) => {
          once(id);
          // A probe bears none of the packet's payload: as far as that goes, it was dropped.
          this.checkHead(id, buf, off);
          if (len < this.sent.get(id)!.length && !this.isRest(id, buf, off)) {
            this.probes.push(Buffer.from(buf.subarray(off, off + len)));
            this.verdicts.set(id, { kind: 'drop' });
            return;
          }
          const bytes = Buffer.from(buf.subarray(off, off + len));
          // Nothing but what stood behind it was taken off.
          const kind = this.padding > 0 && bytes.equals(this.sent.get(id)!) ? 'accept' : 'rewrite';
          this.verdicts.set(id, { kind, bytes, partial });
        },
        drop: (id) => {
          once(id);
          this.verdicts.set(id, { kind: 'drop' });
        },
        emit: (id, buf, off, len) => {
          if (this.verdicts.has(id)) throw new Error(`a copy of packet ${id}, which is not held`);
          this.checkHead(id, buf, off);
          if (this.emits) {
            const bytes = Buffer.from(buf.subarray(off, off + len));
            this.copies.push({ id, bytes, verdictsBefore: this.verdicts.size });
          }
          return this.emits;
        },
        requestCheckpoint: (cause) => {
          this.requests.push(cause);
          const {
            primary,
            primaryOffset: p,
            primaryBytes,
            secondary,
            secondaryOffset: q,
            secondaryBytes,
          } = this.engine.difference;
          const of = (buf: Buffer | undefined, at: number, n: number): string =>
            n === 0 ? '' : buf!.subarray(at, at + 1).toString('hex');
          this.difference = `${of(primary, p, primaryBytes)} ${of(secondary, q, secondaryBytes)}`;
        },
      },
    );
  }

  /**
   * Hands over a PVM packet and returns its id. The buffer is poisoned afterwards: the engine may keep no reference.
   */
  p(packet: Buffer, partial = false): number {
    const id = ++this.id;
    this.sent.set(id, Buffer.from(packet));
    const off = 8 + this.head;
    const arena = Buffer.alloc(packet.length + this.head + this.padding + 24, 0xa5);
    arena.fill(HEAD_BYTE, 8, off);
    packet.copy(arena, off);
    arena.fill(PADDING_BYTE, off + packet.length, off + packet.length + this.padding);
    this.engine.primary(id, arena, off, packet.length + this.padding, partial, this.now, this.head, this.zone);
    arena.fill(0x5a);
    return id;
  }

  s(packet: Buffer): void {
    const arena = Buffer.alloc(packet.length + 24, 0xa5);
    packet.copy(arena, 8);
    this.engine.secondary(arena, 8, packet.length, this.now, this.zone);
    arena.fill(0x5a);
  }

  /** Of a packet whose beginning has left in copies. */
  private isRest(id: number, buf: Buffer, off: number): boolean {
    const sent = this.sent.get(id)!;
    const l4 = sent[0]! >> 4 === 4 ? 20 : 40;
    return ((buf.readUInt32BE(off + l4 + 4) - sent.readUInt32BE(l4 + 4)) | 0) > 0;
  }

  /** What belongs to the frame is there as it came. */
  private checkHead(id: number, buf: Buffer, off: number): void {
    if (buf.subarray(off - this.head, off).some((b) => b !== HEAD_BYTE))
      throw new Error(`packet ${id} left without its frame`);
  }

  count(name: PrimaryCounterName): number {
    return this.engine.counters.snapshot()[name];
  }

  /** 'accept' | 'rewrite' | 'drop' | 'held' */
  state(id: number): string {
    return this.verdicts.get(id)?.kind ?? 'held';
  }

  /** What left for this id. */
  left(id: number): Buffer | undefined {
    const verdict = this.verdicts.get(id);
    if (verdict === undefined || verdict.kind === 'drop') return undefined;
    return verdict.kind === 'rewrite' ? verdict.bytes : this.sent.get(id);
  }
}
