// Keyed digests by libcrypto, one call for all of a payload's.

import { broken } from '../core/errors';
import { addon, type Handle } from '../native/addon';
import { systemError } from '../native/errno';

export class NativeDigester {
  private readonly handle: Handle;

  /** `key` has 16 bytes. Throws OperatorError. */
  constructor(key: Uint8Array) {
    const opened = addon().digestsOpen(key);
    if (typeof opened === 'number') {
      throw systemError(opened, 'making keyed digests', {
        EINVAL: 'this Node has no AES-128-GCM: use one with OpenSSL, or say `digests: off`',
      });
    }
    this.handle = opened;
  }

  /** See Digester (src/digest/record.ts). */
  write(
    epoch: number,
    ports: number,
    seq: number,
    buf: Uint8Array,
    off: number,
    bytes: number,
    chunk: number,
    out: Uint8Array,
    outOff: number,
  ): void {
    if (addon().digestsWrite(this.handle, epoch, ports, seq, buf, off, bytes, chunk, out, outOff) < 0) {
      broken('a digest of bytes that are there can be made');
    }
  }
}
