import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeStateDir } from '../../../src/io/state-dir';

test('whoever makes it first, users of the control socket can pass; one that is there is left as it is', () => {
  const base = mkdtempSync(join(tmpdir(), 'colo-state-'));
  const path = join(base, 'state');
  const mode = (): number => statSync(path).mode & 0o777;
  const umask = process.umask(0o077);
  try {
    makeStateDir(path);
    expect(mode()).toBe(0o755);
    chmodSync(path, 0o700);
    makeStateDir(path);
    expect(mode()).toBe(0o700);
  } finally {
    process.umask(umask);
    rmSync(base, { recursive: true });
  }
});
