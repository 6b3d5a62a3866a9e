// The one error of this folder. Cursors keep the first as a value (sticky); only callers that want to throw it do.

import { errnoName } from './errno';

export class NetlinkError extends Error {
  constructor(
    /** What was being done, e.g. `decode conntrack event`. */
    readonly operation: string,
    /** Positive errno. */
    readonly errno: number,
    message: string,
    /** Byte offset in the buffer at which it went wrong, -1 when no bytes are to blame. */
    readonly offset = -1,
  ) {
    super(`${operation}: ${message}${offset < 0 ? '' : ` at byte ${offset}`} (${errnoName(errno)})`);
    this.name = 'NetlinkError';
  }
}
