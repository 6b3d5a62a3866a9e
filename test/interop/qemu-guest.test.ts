// Real guests: two QEMUs with stock filters, `colo qemu compare` in place of the primary's colo-compare, and a client
// that downloads through the pair.

import { existsSync, readFileSync } from 'node:fs';
import { requires } from '../netns/requires';
import { until } from '../netns/support/wait';
import { bigFile, sha256 } from './support/guest-files';
import { GuestPair, STOCK } from './support/guest-pair';

const BIG = sha256(bigFile());
/** TCP segments of /big are at most so long. */
const SEGMENT_BYTES = 65_536;

describe.each([
  ['without virtio-net headers', false],
  ['with virtio-net headers', true],
])('two guests, stock filters on both hosts, %s', (_, vnetHdr) => {
  requires(
    'addon',
    'netns',
    'qemu',
    'guest',
  )('compare', () => {
    let pair: GuestPair;

    beforeAll(async () => {
      pair = await GuestPair.create({ vnetHdr, filters: 'qemu' });
    });
    afterEach(() => pair.provenSteady());
    afterAll(() => pair?.destroy());

    test('a download arrives whole, compared and without a checkpoint', async () => {
      const { file, curl } = pair.download('/big', 'big');
      expect(await curl.ended()).toBe(0);
      expect(sha256(readFileSync(file))).toBe(BIG);
      expect(pair.requests).toBe(0);
      if (STOCK) return;
      const counters = await pair.counters();
      expect(counters.compared_packets).toBeGreaterThanOrEqual(bigFile().length / SEGMENT_BYTES);
      expect(counters.secondary_bytes).toBeGreaterThan(bigFile().length);
      expect(counters).toMatchObject({
        primary_unprotected: 0,
        primary_bypassed: 0,
        divergences: 0,
        primary_malformed: 0,
      });
    });

    test('a page that differs is held until the checkpoint', async () => {
      const { file, curl } = pair.download('/who', 'who');
      await until('DO_CHECKPOINT', () => pair.requests > 0);
      expect(existsSync(file)).toBe(false);
      expect(curl.exitCode).toBeUndefined();
      pair.checkpoint();
      expect(await curl.ended()).toBe(0);
      expect(readFileSync(file, 'latin1')).toBe('PVM\n');
      if (!STOCK) expect((await pair.counters()).divergences).toBeGreaterThan(0);
    });

    test('nothing comes from a primary whose secondary stands still', async () => {
      process.kill(pair.secondary.process.pid, 'SIGSTOP');
      const before = pair.requests;
      const { file, curl } = pair.download('/index.html', 'index');
      await until('DO_CHECKPOINT', () => pair.requests > before);
      expect(existsSync(file)).toBe(false);
      expect(curl.exitCode).toBeUndefined();
      await curl.stop();
    });
  });
});
