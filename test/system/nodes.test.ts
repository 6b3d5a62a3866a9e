// The program on the newer releases of Node (test/nodes, installed by scripts/test-long.sh): it runs, the addon is
// loaded, and Node has nothing to warn of.

import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NODES, requires } from '../netns/requires';

const ROOT = join(__dirname, '../..');
const MISSING = 1;

requires('nodes')('on other releases of Node', () => {
  test.each(releases())('%s', async (name) => {
    const node = join(NODES, name, 'bin/node');
    const colo = (...args: string[]) =>
      promisify(execFile)(node, ['--trace-warnings', join(ROOT, 'bin/colo'), ...args]);
    expect((await promisify(execFile)(node, ['--version'])).stdout).toMatch(`v${name.slice('node'.length)}.`);
    const { version } = require(join(ROOT, 'package.json')) as { version: string };
    expect(await colo('--version')).toEqual({ stdout: `${version}\n`, stderr: '' });
    expect(await colo('--help')).toMatchObject({ stderr: '' });
    const simulated = await colo('simulate', '--seeds', '20', '--json');
    expect([JSON.parse(simulated.stdout), simulated.stderr]).toMatchObject([{ runs: 20, failures: [] }, '']);
    // It asks the kernel through the addon.
    const examined = await colo('doctor', '--json').catch((error: { code: number; stdout: string; stderr: string }) => {
      expect(error.code).toBe(MISSING);
      return error;
    });
    expect(examined.stderr).toBe('');
    const { checks } = JSON.parse(examined.stdout) as { checks: { id: string; state: string }[] };
    expect(checks.find(({ id }) => id === 'addon')).toMatchObject({ state: 'ok' });
  });
});

/** Those that are installed; a skipped test names none. */
function releases(): string[] {
  return existsSync(NODES) ? readdirSync(NODES).filter((name) => /^node\d+$/.test(name)) : ['none'];
}
