// From -errno to an error that an operator can act on.

import { getSystemErrorMap } from 'node:util';
import { OperatorError } from '../core/errors';

/** The kernel's name of an error given as -errno: `EPERM`. */
export function errnoName(negative: number): string {
  return getSystemErrorMap().get(negative)?.[0] ?? `E${-negative}`;
}

/** What the system says about it: `operation not permitted`. */
export function errnoText(negative: number): string {
  return getSystemErrorMap().get(negative)?.[1] ?? `error ${-negative}`;
}

/** What to do, by the error's name; the reader of the message has no other help. */
export type Hints = Readonly<Record<string, string>>;

/** Hints that hold for everything opened in a network namespace. */
export function netnsHints(netns: string | undefined): Hints {
  if (netns === undefined) return {};
  return {
    ENOENT: `there is no network namespace '${netns}': see \`ip netns list\``,
    EINVAL: `'${netns}' is no name of a network namespace`,
  };
}

/** An OperatorError whose code is the errno's name; `doing` says what was tried, with its object. */
export function systemError(negative: number, doing: string, hints: Hints = {}): OperatorError {
  const name = errnoName(negative);
  return new OperatorError(name, `${doing}: ${errnoText(negative)} (${name})`, hints[name]);
}
