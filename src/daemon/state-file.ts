// Where a node's state lives under the state directory. The index is part of each name, so nodes never share a file.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../core/errors';

export type StateKind = 'deltas' | 'offsets' | 'control';

export function statePath(stateDir: string, kind: StateKind, index: number | string): string {
  return join(stateDir, `${kind}-${index}`);
}

export function ensureStateDir(stateDir: string): void {
  try {
    // Others may pass through to the control socket, which is usually in it; each file is its owner's alone.
    mkdirSync(stateDir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new OperatorError(
      'ESTATEDIR',
      `cannot create the state directory ${stateDir}: ${(cause as Error).message}`,
      'give a writable directory with --state-dir, on a file system that survives the daemon (such as /run)',
      { cause },
    );
  }
}
