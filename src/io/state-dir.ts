// The state directory: each file in it is its owner's alone, but others may pass through to the control socket, which
// is usually in it.

import { chmodSync, mkdirSync } from 'node:fs';

const MODE = 0o755;

/** Makes it where it is missing, whatever the umask; one that is there keeps its mode. Throws as mkdir(2) does. */
export function makeStateDir(path: string): void {
  if (mkdirSync(path, { recursive: true, mode: MODE }) !== undefined) chmodSync(path, MODE);
}
