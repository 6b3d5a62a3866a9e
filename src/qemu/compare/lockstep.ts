// Walks both guests' streams of frames together while they are equal. In step, the primary's frames are sent from the
// receive buffer, neighbours in one piece; out of step, frames go to the comparison one by one until the streams are
// equal again. Which side's socket is read first is chance, so any order between the two sides is correct.

import { MAX_FRAME_BYTES, MAX_VNET_BYTES, WORD_BYTES } from '../../chardev/frame';
import { read32 } from '../../core/big-endian';
import { addon } from '../../native/addon';
import { PAIR_BOTH, PAIR_PRIMARY, PAIR_RELEASED, PAIR_SECONDARY } from '../../pmycolo/pair-intake';
import type { FrameComparison } from './compare';
import { C_RELEASED_FRAMES, C_WITHOUT_PEER, C_WITHOUT_ROOM, C_WRITTEN_BYTES } from './compare-counters';

/** Frames that one call of the native code compares. */
const BATCH_FRAMES = 128;
const FEW_FRAMES = 4;
/** And bytes: more than the longest frame, and few enough to stay in the cache until they are released. */
const BATCH_BYTES = 1 << 18;

/** Output of contiguous frames: the Chardev of outdev. */
export interface RunSink {
  readonly connected: boolean;
  /** False: nothing was taken. */
  write(buf: Buffer, off: number, bytes: number): boolean;
}

export class Lockstep {
  /** Bytes that run() has taken of each side. */
  primaryTaken = 0;
  secondaryTaken = 0;
  private readonly native = addon();
  private readonly many = new Uint32Array(BATCH_FRAMES);
  private readonly few = new Uint32Array(FEW_FRAMES);
  private inStep = true;
  private readonly wordBytes: number;
  /** Verified frames that have not left yet: [runFrom, runTo) of the primary's buffer. */
  private runFrom = 0;
  private runTo = 0;
  private runFrames = 0;

  constructor(
    private readonly vnetWord: boolean,
    private readonly comparison: FrameComparison,
    private readonly sink: RunSink,
  ) {
    this.wordBytes = vnetWord ? 8 : 4;
  }

  /**
   * Takes whole frames of p[pFrom, pTo) and s[sFrom, sTo) while both have one. Impossible lengths are left to the
   * reader.
   */
  run(p: Buffer, pFrom: number, pTo: number, s: Buffer, sFrom: number, sTo: number, nowMs: number): void {
    const { comparison, vnetWord, wordBytes } = this;
    const { pairs } = comparison.engine;
    let pAt = pFrom;
    let sAt = sFrom;
    this.runFrom = pFrom;
    this.runTo = pFrom;
    this.runFrames = 0;
    for (let bad = false; !bad; ) {
      // Out of step, looking far ahead is useless.
      const differing = this.inStep ? this.many : this.few;
      const pEnd = Math.min(pTo, pAt + BATCH_BYTES);
      const n = this.native.frameTails(p, pAt, pEnd, s, sAt, sTo, wordBytes, differing);
      if (n === 0) break;
      this.inStep = true;
      let open = this.begin(pAt, pEnd, n, nowMs);
      for (let i = 0; i < n; i++) {
        const pLen = read32(p, pAt);
        const sLen = read32(s, sAt);
        const pVnet = vnetWord ? read32(p, pAt + WORD_BYTES) : 0;
        const sVnet = vnetWord ? read32(s, sAt + WORD_BYTES) : 0;
        bad = cannotBe(pLen, pVnet) || cannotBe(sLen, sVnet);
        if (bad) break;
        const result =
          open && pVnet === sVnet
            ? comparison.pair(p, pAt + wordBytes, pLen, s, sAt + wordBytes, sLen, pVnet, differing[i]!, nowMs)
            : PAIR_BOTH;
        if (result === PAIR_RELEASED) {
          pAt += wordBytes + pLen;
          sAt += wordBytes + sLen;
          this.runTo = pAt;
          this.runFrames++;
          continue;
        }
        if (open) pairs.end(p);
        // Frames that the comparison sends now come after those released so far.
        this.release(p);
        if (result !== PAIR_PRIMARY) {
          comparison.secondary(s, sAt + wordBytes, sLen, sVnet, nowMs);
          sAt += wordBytes + sLen;
        }
        if (result !== PAIR_SECONDARY) {
          comparison.primary(p, pAt + wordBytes, pLen, pVnet, nowMs);
          pAt += wordBytes + pLen;
        }
        this.runFrom = pAt;
        this.runTo = pAt;
        open = false;
        if (result !== PAIR_BOTH) {
          this.inStep = false;
          break;
        }
        if (i + 1 < n) open = this.begin(pAt, pEnd, n - i - 1, nowMs);
      }
      if (open) pairs.end(p);
    }
    this.release(p);
    this.primaryTaken = pAt - pFrom;
    this.secondaryTaken = sAt - sFrom;
  }

  private begin(pAt: number, pEnd: number, frames: number, nowMs: number): boolean {
    return this.comparison.engine.pairs.begin(pAt, pEnd, frames, nowMs);
  }

  private release(p: Buffer): void {
    if (this.runFrames === 0) return;
    const c = this.comparison.counters.values;
    const bytes = this.runTo - this.runFrom;
    if (this.sink.write(p, this.runFrom, bytes)) {
      c[C_RELEASED_FRAMES]! += this.runFrames;
      c[C_WRITTEN_BYTES]! += bytes;
    } else c[this.sink.connected ? C_WITHOUT_ROOM : C_WITHOUT_PEER]! += this.runFrames;
    this.runFrom = this.runTo;
    this.runFrames = 0;
  }
}

function cannotBe(len: number, vnetBytes: number): boolean {
  return len > MAX_FRAME_BYTES || vnetBytes > MAX_VNET_BYTES || vnetBytes > len;
}
