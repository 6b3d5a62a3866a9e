// A real COLO pair behind the two daemons: a checkpoint each 500 ms, and the death of the primary's host at any moment
// of a download, which the secondary guest finishes, whole.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { requires } from '../netns/requires';
import { sleep, until } from '../netns/support/wait';
import { bigFile, sha256 } from './support/guest-files';
import { type Download, type Link, TapPair } from './support/tap-pair';

const SEED = Number(process.env.COLO_SEED ?? 20151104);
/** Of real guests fewer than of namespaces: each kill is of a pair of its own. */
const KILLS = Math.ceil(Number(process.env.COLO_KILLS ?? 50) / 50);
const LINKS: readonly Link[] = ['stream', 'ethernet'];
const CHECKPOINT_MS = 500;
const BIG = bigFile();

const runs = Array.from({ length: KILLS }, (_, i) => SEED + i).map((seed) => ({ seed, link: LINKS[seed % 2]! }));

jest.setTimeout(10 * 60_000);

requires(
  'addon',
  'netns',
  'nfqueue',
  'qemu',
  'gcc',
  'guest',
)('real guests behind the two daemons', () => {
  test.each(runs)('over $link: downloads under checkpoints, and a death, seed $seed', async ({ link, seed }) => {
    const pair = await TapPair.create(link, CHECKPOINT_MS);
    try {
      await downloadsUnderCheckpoints(pair);
      await whatDiffersWaits(pair);
      await death(pair, seed);
    } catch (error) {
      throw new Error(`${(error as Error).stack}\n${await pair.account()}`);
    } finally {
      await pair.destroy();
    }
  });

  async function arrives({ file, curl }: Download): Promise<Buffer> {
    expect([await curl.ended(), curl.output]).toEqual([0, '']);
    return readFileSync(file);
  }

  async function downloadsUnderCheckpoints(pair: TapPair): Promise<void> {
    const before = (await pair.stats('primary')).counters;
    expect(sha256(await arrives(pair.download('/big', 'fast')))).toBe(sha256(BIG));
    const loaded = pair.checkpoints;
    const slow = pair.download('/big', 'slow', '--limit-rate', '2M');
    await until('five checkpoints', () => pair.checkpoints >= loaded + 5);
    expect(slow.curl.exitCode).toBeUndefined();
    expect(sha256(await arrives(slow))).toBe(sha256(BIG));
    pair.provenSteady();
    const { counters } = await pair.stats('primary');
    // All of it was compared, or covered by a checkpoint, and nothing passed by.
    expect(counters.secondary_bytes! - before.secondary_bytes!).toBeGreaterThan(BIG.length);
    expect(counters).toMatchObject({
      primary_unprotected: before.primary_unprotected,
      primary_bypassed: 0,
      primary_malformed: 0,
      divergences: 0,
    });
  }

  /** No two guests answer it alike: it arrives by a checkpoint alone. */
  async function whatDiffersWaits(pair: TapPair): Promise<void> {
    const { counters } = await pair.stats('primary');
    const loaded = pair.checkpoints;
    expect((await arrives(pair.download('/now', 'now'))).toString()).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await pair.stats('primary')).counters.divergences).toBeGreaterThan(counters.divergences!);
    expect(pair.checkpoints).toBeGreaterThan(loaded);
  }

  async function death(pair: TapPair, seed: number): Promise<void> {
    const download = pair.download('/big', 'survives', '--limit-rate', '2M');
    const loaded = pair.checkpoints;
    await until('download under way', () => existsSync(download.file) && pair.checkpoints > loaded);
    // At another moment between two checkpoints each time.
    await sleep((Math.imul(seed, 2654435761) >>> 0) % CHECKPOINT_MS);
    await pair.killPrimary();
    await pair.failOver();
    expect(statSync(download.file).size).toBeLessThan(BIG.length);
    expect(sha256(await arrives(download))).toBe(sha256(BIG));
    // A connection that begins only now; and the guest is still the copy of the other.
    expect((await arrives(pair.download('/who', 'who'))).toString()).toBe('PVM\n');
    pair.provenSteady();
  }
});
