// One line of `colo doctor`: a question, its answer, and what to do.

import { OperatorError } from '../core/errors';

export type CheckState = 'ok' | 'missing' | 'unknown';

export interface Check {
  /** Stable, for programs. */
  id: string;
  what: string;
  state: CheckState;
  /** False: the system works without it, with some loss. */
  needed: boolean;
  found: string;
  todo?: string;
}

export interface Question {
  id: string;
  what: string;
  needed: boolean;
  /** Advice when it is missing and the error has none of its own. */
  todo: string;
  /** Resolves with the text of what was found; rejects, with a message, when it is missing. */
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

/** A check that could not be made. */
export function unanswered({ id, what, needed }: Question, why: string): Check {
  return { id, what, state: 'unknown', needed, found: why };
}
