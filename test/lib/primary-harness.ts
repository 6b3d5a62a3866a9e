// A PrimaryEngine with everything it says written down, for tests.

import { type PrimaryConfig, PrimaryEngine } from '../../src/pmycolo/engine';

export class PrimaryHarness {
  readonly engine: PrimaryEngine;
  /** id -> verdict, in the order of Map insertion. */
  readonly verdicts = new Map<number, { kind: 'accept' | 'rewrite' | 'drop'; bytes?: Buffer; partial?: boolean }>();
  readonly requests: string[] = [];
  /** Packets without payload that left in place of repetitions. */
  readonly probes: Buffer[] = [];
  readonly sent = new Map<number, Buffer>();
  now = 1000;
  private id = 0;

  constructor(config: PrimaryConfig = {}) {
    const once = (id: number): void => {
      if (this.verdicts.has(id)) throw new Error(`second verdict for packet ${id}`);
    };
    this.engine = new PrimaryEngine(
      { ...config, limits: { maxFlows: 1024, maxHeldPackets: 64, logBytes: 1 << 20, maxHeldBytes: 1 << 18, logRecords: 1 << 10, ...config.limits } },
      {
        accept: (id) => {
          once(id);
          this.verdicts.set(id, { kind: 'accept' });
        },
        acceptRewritten: (id, buf, off, len, partial) => {
          once(id);
          // A probe bears none of the packet's payload: as far as that goes, it was dropped.
          if (len < this.sent.get(id)!.length) {
            this.probes.push(Buffer.from(buf.subarray(off, off + len)));
            this.verdicts.set(id, { kind: 'drop' });
            return;
          }
          this.verdicts.set(id, { kind: 'rewrite', bytes: Buffer.from(buf.subarray(off, off + len)), partial });
        },
        drop: (id) => {
          once(id);
          this.verdicts.set(id, { kind: 'drop' });
        },
        requestCheckpoint: (cause) => this.requests.push(cause),
      },
    );
  }

  /** Hands over a PVM packet and returns its id. The buffer is poisoned afterwards: the engine may keep no reference. */
  p(packet: Buffer, partial = false): number {
    const id = ++this.id;
    this.sent.set(id, Buffer.from(packet));
    const arena = Buffer.alloc(packet.length + 24, 0xa5);
    packet.copy(arena, 8);
    this.engine.primary(id, arena, 8, packet.length, partial, this.now);
    arena.fill(0x5a);
    return id;
  }

  s(packet: Buffer): void {
    const arena = Buffer.alloc(packet.length + 24, 0xa5);
    packet.copy(arena, 8);
    this.engine.secondary(arena, 8, packet.length, this.now);
    arena.fill(0x5a);
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
