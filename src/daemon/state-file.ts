// Where a node's state lives under the state directory. The index is part of each name, so nodes never share a file.

import { join } from 'node:path';
import { OperatorError } from '../core/errors';
import { makeStateDir } from '../io/state-dir';

export type StateKind = 'deltas' | 'offsets' | 'epochs' | 'control';

export function statePath(stateDir: string, kind: StateKind, index: number | string): string {
  return join(stateDir, `${kind}-${index}`);
}

export function ensureStateDir(stateDir: string): void {
  try {
    makeStateDir(stateDir);
  } catch (cause) {
    throw new OperatorError(
      'ESTATEDIR',
      `cannot create the state directory ${stateDir}: ${(cause as Error).message}`,
      'give a writable directory with --state-dir, on a file system that survives the daemon (such as /run)',
      { cause },
    );
  }
}
