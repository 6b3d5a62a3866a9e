// A file in memory that outlives the process: what is written to the Buffer is in the file at once, whatever kills the
// process.

import { addon } from '../native/addon';
import { systemError } from '../native/errno';

/**
 * Maps the first `bytes` bytes of `path`, made with mode 0600 and filled up with zeros as needed; all of them are
 * reserved in the file system, and the file is locked against other processes for as long as the Buffer lives. Throws
 * OperatorError.
 */
export function mapFile(path: string, bytes: number): Buffer {
  const mapped = addon().mapFile(path, bytes);
  if (typeof mapped !== 'number') return mapped;
  throw systemError(mapped, `mapping ${bytes} bytes of ${path}`, {
    EBUSY: 'another process uses this file: is the daemon running twice?',
    EACCES: 'the file or its directory belongs to another user: run it as root, or choose another directory',
    ELOOP: 'a symbolic link stands there; the file itself must',
    EINVAL: 'the size must be 1 to 4294967295 bytes, and the path a regular file',
    ENOENT: 'the directory does not exist: make it first',
    ENOSPC: 'the file system is full: free some space or choose another state directory',
    EOPNOTSUPP: 'this file system cannot reserve space: choose a directory on tmpfs or a disk',
  });
}
