// A real COLO pair behind the two daemons: a checkpoint each 500 ms, and the death of the primary's host at any moment
// of a download, which the secondary guest finishes, whole.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { requires } from '../netns/requires';
import { sleep, until } from '../netns/support/wait';
import { bigFile, sha256 } from './support/guest-files';
import { type Download, type Link, type Moment, TapPair } from './support/tap-pair';

const SEED = Number(process.env.COLO_SEED ?? 20151104);
/** Fewer than in namespaces: each is of a pair of its own. */
const KILLS = Math.max(1, Math.floor(Number(process.env.COLO_KILLS ?? 50) / 36));
const LINKS: readonly Link[] = ['stream', 'ethernet'];
const MOMENTS: readonly Moment[] = ['standing', 'between', 'loaded'];
/** Memory of a client's connection, bytes: small, so that a transfer at a limited rate lasts on the wire, too. */
const CLIENT_BUFFER = 131_072;
const CHECKPOINT_MS = 500;
const BIG = bigFile();

const runs = Array.from({ length: KILLS }, (_, i) => SEED + i).map((seed) => ({
  seed,
  link: LINKS[seed % 2]!,
  moment: MOMENTS[(seed >> 1) % 3]!,
}));

jest.setTimeout(10 * 60_000);

requires(
  'addon',
  'netns',
  'nfqueue',
  'qemu',
  'gcc',
  'guest',
)('real guests behind the two daemons', () => {
  test.each(runs)('over $link, a death: $moment, seed $seed', async ({ link, moment, seed }) => {
    const pair = await TapPair.create(link, CHECKPOINT_MS);
    try {
      await downloadsUnderCheckpoints(pair);
      await whatDiffersWaits(pair);
      await death(pair, moment, seed);
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
    pair.lab.execSync('client', 'sysctl', ['-qw', `net.ipv4.tcp_rmem=4096 65536 ${CLIENT_BUFFER}`]);
    for (const loaded = pair.checkpoints; pair.checkpoints < loaded + 5; ) {
      expect(sha256(await arrives(pair.download('/big', 'slow', '--limit-rate', '3M')))).toBe(sha256(BIG));
    }
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

  /** No two guests answer it alike: it arrives by a checkpoint alone, that of the hour or one that was asked for. */
  async function whatDiffersWaits(pair: TapPair): Promise<void> {
    await until('divergence', async () => {
      const before = (await pair.stats('primary')).counters;
      expect((await arrives(pair.download('/now', 'now'))).toString()).toMatch(/^[0-9a-f]{64}\n$/);
      const after = (await pair.stats('primary')).counters;
      expect(after.checkpoints_done).toBeGreaterThan(before.checkpoints_done!);
      return after.divergences! > before.divergences!;
    });
    expect(pair.requests).toBeGreaterThan(0);
  }

  async function death(pair: TapPair, moment: Moment, seed: number): Promise<void> {
    const slow = ['--limit-rate', '700k'];
    const old = pair.download('/big', 'old', ...slow);
    const loaded = pair.checkpoints;
    await until('checkpoint of a download', () => existsSync(old.file) && pair.checkpoints > loaded);
    // The secondary guest may have opened it itself, with numbers of its own.
    const young = pair.download('/big', 'young', ...slow);
    await until('second download under way', () => existsSync(young.file));
    // At another moment between two checkpoints each time.
    if (moment === 'between') await sleep((Math.imul(seed, 2654435761) >>> 0) % CHECKPOINT_MS);
    await pair.killPrimary(moment);
    for (const { file } of [old, young]) expect(statSync(file).size).toBeLessThan(BIG.length - 2 * CLIENT_BUFFER);
    await pair.failOver();
    for (const download of [old, young]) expect(sha256(await arrives(download))).toBe(sha256(BIG));
    const { counters } = await pair.stats('secondary');
    expect(counters.failovers_done).toBe(1);
    // Each checkpoint that was told came about.
    expect(counters.checkpoints_missed).toBe(0);
    // A connection that begins only now; and the guest is still the copy of the other.
    expect((await arrives(pair.download('/who', 'who'))).toString()).toBe('PVM\n');
    pair.provenSteady();
  }
});
