// One line of `colo doctor`: something looked for, what was found, what to do about it.

import { OperatorError } from '../core/errors';

export type CheckState = 'ok' | 'missing' | 'unknown';

export interface Check {
  /** Stable, for programs. */
  id: string;
  what: string;
  state: CheckState;
  /** False: the system works without, a little worse. */
  needed: boolean;
  found: string;
  todo?: string;
}

export interface Question {
  id: string;
  what: string;
  needed: boolean;
  /** What to do when it is missing and the error says nothing better. */
  todo: string;
  /** Resolves with what was found; rejects (with words) when it is missing. */
  ask(): Promise<string> | string;
}

export async function answer({ id, what, needed, todo, ask }: Question): Promise<Check> {
  try {
    return { id, what, state: 'ok', needed, found: await ask() };
  } catch (error) {
    const found = error instanceof Error ? error.message.split('\n', 1)[0]! : String(error);
    const hint = error instanceof OperatorError ? error.hint : undefined;
    return { id, what, state: 'missing', needed, found, todo: hint ?? todo };
  }
}

/** A check that something else stood in the way of. */
export function unanswered({ id, what, needed }: Question, why: string): Check {
  return { id, what, state: 'unknown', needed, found: why };
}
