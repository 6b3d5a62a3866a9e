// The two kinds of failure that are not values: what an operator can mend, and a broken invariant.

/** Something an operator can mend: a stable code, what was being done, and what to do about it. */
export class OperatorError extends Error {
  constructor(
    /** Stable, searchable, e.g. `EBIND`, `ECONFIG`. */
    readonly code: string,
    message: string,
    /** What to do, as a sentence. */
    readonly hint?: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'OperatorError';
  }
}

/** An assertion that stays on: a broken invariant ends the process, and the kernel drops what it held. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) broken(what);
}

/**
 * The same for what is done for each packet, `if (…) broken(…)`: a call that never comes costs the compiler's inlining
 * nothing.
 */
export function broken(what: string): never {
  throw new Error(`broken invariant: ${what}`);
}
