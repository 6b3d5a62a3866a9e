// The C core's own tests, without Node: under AddressSanitizer and UndefinedBehaviorSanitizer, and under valgrind.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { requires } from '../netns/requires';

requires(
  'netns',
  'nfqueue',
  'gcc',
  'valgrind',
)('the C core', () => {
  test('passes its tests under sanitizers and under valgrind', () => {
    const run = spawnSync('make', ['native-test'], { cwd: join(__dirname, '../..'), encoding: 'utf8' });
    const summaries = run.stdout.match(/native: [1-9]\d+ checks passed, 0 failed, 0 skipped/g) ?? [];
    expect({
      status: run.status,
      summaries: summaries.length,
      output: run.status === 0 ? '' : run.stdout + run.stderr,
    }).toEqual({
      status: 0,
      summaries: 2,
      output: '',
    });
  }, 120_000);
});
