// What a message ends with: 0, a negative errno, or one with words, which only clients that know our own messages see.
// A node's answer has no errno; here it gets the one that the kernel's modules would have given.

import { ColoMode } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import type { Answer, NodeMode, RefusalKind, Reply } from '../node/controller';

export interface Failure {
  /** Negative. */
  readonly errno: number;
  readonly message: string;
}

export type Result = number | Failure;
/** What takes time has its result later. */
export type Outcome = Result | Promise<Result>;

const ERRNO: Readonly<Record<RefusalKind, number>> = {
  invalid: -Errno.EINVAL,
  forbidden: -Errno.EPERM,
  unsupported: -Errno.EOPNOTSUPP,
  missing: -Errno.ENOENT,
  busy: -Errno.EBUSY,
  failed: -Errno.EIO,
};

export function errnoOf(result: Result): number {
  return typeof result === 'number' ? result : result.errno;
}

export function wordsOf(result: Result): string | undefined {
  return typeof result === 'number' ? undefined : result.message;
}

export function resultOf(answer: Answer): Result {
  if (answer === undefined) return 0;
  const errno = ERRNO[answer.refused];
  return answer.why === undefined ? errno : { errno, message: answer.why };
}

/** The node's result, once it is there: `settle` gets it first. */
export function outcomeOf(reply: Reply, settle: (result: Result) => void = () => {}): Outcome {
  const done = (answer: Answer): Result => {
    const result = resultOf(answer);
    settle(result);
    return result;
  };
  return reply instanceof Promise ? reply.then(done) : done(reply);
}

export const NODE_MODES: Readonly<Record<ColoMode, NodeMode>> = {
  [ColoMode.UNPROTECTED]: 'unprotected',
  [ColoMode.PRIMARY]: 'primary',
  [ColoMode.SECONDARY]: 'secondary',
};
