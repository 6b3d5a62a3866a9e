// As seccolo/warm-up, for frames: made-up connections go through a secondary's filters, from one stream to another.

import { Batch } from '../../chardev/batch';
import { FrameReader, WORD_BYTES } from '../../chardev/frame';
import { FrameOutput, type SendBuffer } from '../../chardev/frame-output';
import { OffsetTable } from '../../conntrack/offset-table';
import { write16, write32 } from '../../core/big-endian';
import { ETH_HLEN, ETH_P_IP, ETH_TYPE_BYTES } from '../../packet/ethernet';
import { SecondaryEngine } from '../../seccolo/engine';
import { CHECKPOINT_EVERY, FLOWS, MADE_UP_BYTES, madeUpConnection } from '../../seccolo/warm-up';
import { FilterChain } from './filter-chain';
import { RedirectorFilter } from './filter-redirector';
import { RewriterFilter, type RewriterSurroundings } from './filter-rewriter';

/** Discards the output. */
class Nowhere implements SendBuffer {
  readonly out = Buffer.alloc(1 << 16);
  readonly connected = true;
  bytes = 0;

  reserve(bytes: number): number {
    return bytes <= this.out.length ? 0 : -1;
  }

  commit(bytes: number): void {
    this.bytes += bytes;
  }

  flush(): void {}
}

export interface NetdevWarmUpResult {
  bytesToGuest: number;
  bytesToPrimary: number;
  /** The rewriter's counters. */
  counters: Record<string, number>;
}

function nobodyAround(batch: Batch): RewriterSurroundings {
  const nothing = (): void => {};
  return {
    clock: { nowMs: () => batch.nowMs, after: () => ({ cancel: nothing }) },
    log: { info: nothing, warn: nothing, error: nothing },
    vnetBytes: 0,
    toGuest: nothing,
    drainGuest: nothing,
    checkpointed: nothing,
  };
}

/** Takes `budgetMs` by the given clock, and at most a connection more. */
export function warmUpNetdev(clock: () => number, budgetMs: number): NetdevWarmUpResult {
  let rounds = 0;
  const batch = new Batch(() => rounds);
  const [guest, primary] = [new Nowhere(), new Nowhere()];
  const output = (to: Nowhere) => new FrameOutput(to, { vnetWord: false, vnetBytes: 0 }, batch.flushes);
  const toGuest = output(guest);
  const toNobody = output(new Nowhere());
  const chain = new FilterChain(
    (buf, off, len, vnet) => toGuest.send(buf, off, len, vnet),
    (buf, off, len, vnet) => toNobody.send(buf, off, len, vnet),
  );
  const offsets = new ArrayBuffer(OffsetTable.bytesFor(2 * FLOWS));
  const engine = new SecondaryEngine({ mode: 'always', offsets, seed: [0, 0], nowMs: 0 });
  const source = new RedirectorFilter('in', 'tx', undefined, false);
  chain.add(source);
  chain.add(new RedirectorFilter('out', 'rx', output(primary), false));
  chain.add(new RewriterFilter('rewriter', 'all', engine, nobodyAround(batch)));
  const read = (reader: FrameReader) => (buf: Buffer, off: number, len: number) => {
    const at = off - ETH_HLEN;
    write16(buf, off - ETH_TYPE_BYTES, ETH_P_IP);
    write32(buf, at - WORD_BYTES, ETH_HLEN + len);
    batch.begin();
    reader.read(buf, at - WORD_BYTES, off + len);
    batch.end();
  };
  const way = {
    fromPeer: read(new FrameReader(false, (buf, off, len, vnet) => chain.inject(source, buf, off, len, vnet))),
    fromGuest: read(new FrameReader(false, (buf, off, len, vnet) => chain.fromGuest(buf, off, len, vnet))),
  };
  const head = WORD_BYTES + ETH_HLEN;
  const frame = Buffer.alloc(head + MADE_UP_BYTES, 2);
  const until = clock() + budgetMs;
  do {
    madeUpConnection(way, frame, head, rounds);
    engine.tick(rounds);
    if (++rounds % CHECKPOINT_EVERY === 0) engine.checkpoint(rounds);
  } while (clock() < until);
  return { bytesToGuest: guest.bytes, bytesToPrimary: primary.bytes, counters: engine.counters.snapshot() };
}
