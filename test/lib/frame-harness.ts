// A FrameComparison fed over its wire format, with everything that leaves it written down, for tests.

import { BAD_FRAME, FrameReader } from '../../src/chardev/frame';
import { type CompareOptions, FrameComparison } from '../../src/qemu/compare/compare';
import { Lockstep } from '../../src/qemu/compare/lockstep';
import { fromTheWire, onTheWire } from './build-frame';

class Sink {
  out = Buffer.alloc(1 << 14, 0xa5);
  written = 0;
  connected = true;
  full = false;
  /** Frames that came one by one, not in a run. */
  singles = 0;

  reserve(bytes: number): number {
    this.singles++;
    return this.place(bytes);
  }

  private place(bytes: number): number {
    if (!this.connected || this.full) return -1;
    while (this.written + bytes > this.out.length) this.out = Buffer.concat([this.out, Buffer.alloc(this.out.length)]);
    return this.written;
  }

  commit(bytes: number): void {
    this.written += bytes;
  }

  write(buf: Buffer, off: number, bytes: number): boolean {
    const at = this.place(bytes);
    if (at < 0) return false;
    buf.copy(this.out, at, off, off + bytes);
    this.commit(bytes);
    return true;
  }

  take(): Buffer {
    const bytes = Buffer.from(this.out.subarray(0, this.written));
    this.out.fill(0xa5, 0, this.written);
    this.written = 0;
    return bytes;
  }
}

type Side = 'p' | 's';

export class FrameHarness {
  readonly sink = new Sink();
  readonly comparison: FrameComparison;
  readonly requests: string[] = [];
  now = 1000;
  private readonly readers: Record<Side, FrameReader>;
  private readonly lockstep: Lockstep;
  private readonly rest: Record<Side, Buffer> = { p: Buffer.alloc(0), s: Buffer.alloc(0) };

  constructor(
    readonly vnetHeaders = false,
    options: Partial<CompareOptions> = {},
  ) {
    this.comparison = new FrameComparison(
      {
        compareTimeoutMs: 3000,
        maxQueueSize: 1024,
        vnetHeaders,
        seed: [1, 2],
        ...options,
        limits: { maxFlows: 256, logBytes: 1 << 19, maxHeldBytes: 1 << 18, logRecords: 1 << 10, ...options.limits },
        reassembly: { maxDatagrams: 64, maxFragments: 512, bytesLog2: 18, ...options.reassembly },
      },
      this.sink,
      (cause) => this.requests.push(cause),
    );
    const { comparison } = this;
    this.lockstep = new Lockstep(vnetHeaders, comparison, this.sink);
    this.readers = {
      p: new FrameReader(vnetHeaders, (buf, off, len, vnet) => comparison.primary(buf, off, len, vnet, this.now)),
      s: new FrameReader(vnetHeaders, (buf, off, len, vnet) => comparison.secondary(buf, off, len, vnet, this.now)),
    };
  }

  /**
   * Bytes of both sides' streams, which are looked at together; what has no counterpart goes in alone, the secondary's
   * first.
   */
  together(p: Buffer, s: Buffer): void {
    const [pBuf, sBuf] = [
      { side: 'p' as const, bytes: p },
      { side: 's' as const, bytes: s },
    ].map(({ side, bytes }) => Buffer.concat([Buffer.alloc(5), this.rest[side], bytes, Buffer.alloc(5)])) as [
      Buffer,
      Buffer,
    ];
    this.lockstep.run(pBuf, 5, pBuf.length - 5, sBuf, 5, sBuf.length - 5, this.now);
    const { primaryTaken, secondaryTaken } = this.lockstep;
    this.rest.p = Buffer.from(pBuf.subarray(5 + primaryTaken, pBuf.length - 5));
    this.rest.s = Buffer.from(sBuf.subarray(5 + secondaryTaken, sBuf.length - 5));
    pBuf.fill(0x5a);
    sBuf.fill(0x5a);
    this.feed('s', Buffer.alloc(0));
    this.feed('p', Buffer.alloc(0));
  }

  /** Bytes of one side's stream. The buffer is poisoned afterwards. False: the connection would end. */
  feed(side: Side, bytes: Buffer): boolean {
    const before = this.rest[side];
    const buf = Buffer.concat([Buffer.alloc(3), before, bytes, Buffer.alloc(3)]);
    const taken = this.readers[side].read(buf, 3, buf.length - 3);
    this.rest[side] = taken === BAD_FRAME ? Buffer.alloc(0) : Buffer.from(buf.subarray(3 + taken, buf.length - 3));
    buf.fill(0x5a);
    return taken !== BAD_FRAME;
  }

  p(frame: Buffer, vnetBytes = 0): this {
    this.feed('p', onTheWire(frame, this.vnetHeaders ? vnetBytes : -1));
    return this;
  }

  s(frame: Buffer, vnetBytes = 0): this {
    this.feed('s', onTheWire(frame, this.vnetHeaders ? vnetBytes : -1));
    return this;
  }

  endBatch(): this {
    this.comparison.endBatch(this.now);
    return this;
  }

  checkpoint(): this {
    this.comparison.checkpoint(this.now);
    return this;
  }

  tick(ms: number): this {
    this.now += ms;
    this.comparison.tick(this.now);
    return this;
  }

  /** The frames that have left since the last call. */
  left(): Buffer[] {
    return this.leftWithSizes().map(({ frame }) => frame);
  }

  leftWithSizes(): { frame: Buffer; vnetBytes: number }[] {
    return fromTheWire(this.sink.take(), this.vnetHeaders);
  }

  count(name: string): number {
    const all: Record<string, number> = {
      ...this.comparison.engine.counters.snapshot(),
      ...this.comparison.counters.snapshot(),
      ...this.comparison.fragmentCounts(),
    };
    return all[name]!;
  }
}
