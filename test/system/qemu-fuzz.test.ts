// The processes on sockets under a minute of bad input: they live, nothing unverified leaves, memory stays bounded, and
// afterwards an honest pair of guests is served as before. COLO_FUZZ_S sets how many seconds it takes in all, COLO_SEED
// what comes; how the process is scheduled meanwhile no seed repeats.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompareAttack, LARGE_BYTES } from './support/fuzz/compare-attack';
import { NetdevAttack } from './support/fuzz/netdev-attack';
import { Random } from './support/fuzz/random';

const SECONDS = Number(process.env.COLO_FUZZ_S ?? 60);
const SEED = Number(process.env.COLO_SEED ?? 20151104);

const MAX_QUEUE_SIZE = 16;
/** What max_queue_size means (HELD_PER_QUEUE). */
const HELD_PACKETS = MAX_QUEUE_SIZE * 16;
/** Of the comparison log (DEFAULT_LIMITS.logBytes); the warm-up goes round it once, with what both sides say. */
const LOG_BYTES = 64 << 20;
const FILL_TIMES = Math.ceil(LOG_BYTES / (HELD_PACKETS * LARGE_BYTES)) + 1;
/** A flow's record is about 250 bytes, its place in the index and what hangs on it not more. */
const BYTES_PER_FLOW = 512;
/**
 * Fragments (two reassemblies of 16 MiB, which the warm-up does not fill) and what V8's heap swings by. All else has
 * its room since the warm-up, whatever comes: so this does not grow with the time that the attack takes.
 */
const MARGIN_BYTES = (32 << 20) + (64 << 20);

/** Twice of what may be grown by, of each side, in the end and without a checkpoint: what is kept too long shows. */
const FLOOD_PACKETS = Math.ceil((2 * MARGIN_BYTES) / LARGE_BYTES);

/** Buffers of 1 MiB each way at five sockets, and what V8's heap swings by. */
const NETDEV_MARGIN_BYTES = (10 << 20) + (64 << 20);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-fuzz-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A failure says how to have it again. */
async function seeded(seed: number, attack: () => Promise<void>): Promise<void> {
  try {
    await attack();
  } catch (error) {
    throw new Error(`${(error as Error).message}\nagain: COLO_SEED=${seed} COLO_FUZZ_S=${SECONDS}`, { cause: error });
  }
}

test.each([
  ['without virtio-net headers', false],
  ['with vnet_hdr_support', true],
])(
  'compare, %s',
  async (_name, vnet) => {
    await seeded(SEED, async () => {
      const attack = new CompareAttack(new Random(SEED), dir, vnet, MAX_QUEUE_SIZE);
      try {
        await attack.start();
        await attack.fill(HELD_PACKETS, FILL_TIMES);
        const warm = attack.process.residentBytes();
        const framesBefore = attack.framesSent;
        const keepsToMemory = (): void => {
          const grown = attack.process.residentBytes() - warm;
          const bound = MARGIN_BYTES + (attack.framesSent - framesBefore) * BYTES_PER_FLOW;
          if (grown > bound)
            throw new Error(`memory has grown by ${grown} bytes since the warm-up, more than ${bound}`);
        };
        for (const end = Date.now() + SECONDS * 400; Date.now() < end; ) {
          await attack.round();
          keepsToMemory();
        }
        await attack.flood(FLOOD_PACKETS);
        keepsToMemory();
        await attack.quiet();
        keepsToMemory();
        const { released, judged } = attack.oracle;
        if (process.env.COLO_FUZZ_TALK) {
          console.log({
            rounds: attack.rounds,
            frames: attack.framesSent,
            released,
            judged,
            warm,
            now: attack.process.residentBytes(),
          });
        }
        // It was an attack, and not all of it went to waste.
        expect(judged).toBeGreaterThan(attack.rounds);
        expect(await attack.process.end()).toBe(0);
      } finally {
        attack.process.kill();
      }
    });
  },
  SECONDS * 1000 + 300_000,
);

test(
  'netdev with mirror, redirectors and rewriter',
  async () => {
    await seeded(SEED, async () => {
      const attack = new NetdevAttack(new Random(SEED), dir);
      try {
        await attack.start();
        const begin = Date.now();
        let warm = Number.POSITIVE_INFINITY;
        while (Date.now() < begin + SECONDS * 200) {
          await attack.round();
          // Nothing is kept here but the rewriter's few flows: a quarter of the time makes it warm.
          const now = attack.process.residentBytes();
          if (warm === Number.POSITIVE_INFINITY && Date.now() > begin + SECONDS * 50) warm = now;
          if (now - warm > NETDEV_MARGIN_BYTES) throw new Error(`memory has grown from ${warm} bytes to ${now}`);
        }
        if (process.env.COLO_FUZZ_TALK)
          console.log({
            rounds: attack.rounds,
            frames: attack.framesSent,
            carried: attack.framesCarried,
            warm,
            now: attack.process.residentBytes(),
          });
        expect(attack.framesCarried).toBeGreaterThan(attack.rounds * 4);
        expect(await attack.process.end()).toBe(0);
      } finally {
        attack.process.kill();
      }
    });
  },
  SECONDS * 1000 + 300_000,
);
