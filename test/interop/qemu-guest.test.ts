// Real guests: two QEMUs with stock filters, `colo qemu compare` in place of the primary's colo-compare, and a client that
// downloads through the pair.

import { existsSync, readFileSync } from 'node:fs';
import { requires } from '../netns/requires';
import { until } from '../netns/support/wait';
import { bigFile, sha256 } from './support/guest-files';
import { GuestPair } from './support/guest-pair';

const BIG = sha256(bigFile());

describe.each([
  ['without virtio-net headers', { vnetHdr: false }],
  ['with virtio-net headers', { vnetHdr: true }],
])('two guests, stock filters on both hosts, %s', (_, wire) => {
  requires('addon', 'netns', 'qemu')('compare', () => {
    let pair: GuestPair;

    beforeAll(async () => {
      pair = await GuestPair.create(wire);
    });
    afterAll(() => pair?.destroy());

    test('a download arrives whole, compared and without a checkpoint', async () => {
      const { file, curl } = pair.download('/big', 'big');
      expect(await curl.ended()).toBe(0);
      expect(sha256(readFileSync(file))).toBe(BIG);
      expect(pair.requests).toBe(0);
    });

    test('a page that differs is held until the checkpoint', async () => {
      const { file, curl } = pair.download('/who', 'who');
      await until('DO_CHECKPOINT', () => pair.requests > 0);
      expect(existsSync(file)).toBe(false);
      expect(curl.exitCode).toBeUndefined();
      pair.checkpoint();
      expect(await curl.ended()).toBe(0);
      expect(readFileSync(file, 'latin1')).toBe('PVM\n');
    });
  });
});
