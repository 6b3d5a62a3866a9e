// Stock QEMU COLO without Xen: the secondary is a true copy of the primary, the comparison asks QEMU for checkpoints
// over QMP and learns of them there, and so does the secondary's rewriter.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_IP } from '../netns/lab';
import { requires } from '../netns/requires';
import { until } from '../netns/support/wait';
import { ColoPair } from './support/colo-pair';
import { bigFile, sha256 } from './support/guest-files';

requires(
  'addon',
  'netns',
  'qemu',
  'gcc',
  'guest',
)('a COLO pair, checkpoints by QMP', () => {
  let pair: ColoPair;

  beforeAll(async () => {
    pair = await ColoPair.create();
  });
  afterEach(() => pair.provenSteady());
  afterAll(() => pair?.destroy());

  function get(path: string, name: string, ...options: string[]) {
    const file = join(pair.lab.dir, name);
    const args = ['-sS', '--no-buffer', ...options, '-o', file, `http://${GUEST_IP}${path}`];
    return { file, curl: pair.lab.spawn('client', 'curl', args) };
  }

  async function arrives({ file, curl }: ReturnType<typeof get>): Promise<Buffer> {
    const status = await curl.ended().catch((error: Error) => {
      throw new Error(`${error.message}\n${pair.account()}`);
    });
    expect([status, curl.output]).toEqual([0, '']);
    return readFileSync(file);
  }

  test('a page that differs arrives after a checkpoint that the comparison has asked for', async () => {
    for (let i = 0; i < 3; i++) {
      const before = await pair.counters();
      expect((await arrives(get('/now', 'now'))).toString()).toMatch(/^[0-9a-f]{64}\n$/);
      const after = await pair.counters();
      expect(after.divergences).toBeGreaterThan(before.divergences!);
      expect(after.checkpoints_done).toBeGreaterThan(before.checkpoints_done!);
    }
  });

  test('a download goes on when the primary dies', async () => {
    const download = get('/big', 'big', '--limit-rate', '800k');
    await until('download under way', () => existsSync(download.file) && statSync(download.file).size > 1 << 20);
    await pair.failOver();
    expect(statSync(download.file).size).toBeLessThan(bigFile().length);
    expect(sha256(await arrives(download))).toBe(sha256(bigFile()));
    expect((await arrives(get('/who', 'who'))).toString()).toBe('PVM\n');
  });

  test('a guest that reboots would be noticed', async () => {
    await pair.resetSecondary();
    await pair.secondary.process.ended();
    expect(() => pair.provenSteady()).toThrow(/QEMU ended/);
    await pair.secondary.kill();
  });
});
