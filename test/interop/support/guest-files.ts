// What the test guest (test/guest) is built from and serves.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ROOT } from '../../lib/root';

const DIRECTORY = join(ROOT, 'build', 'guest');

export const KERNEL = join(DIRECTORY, 'vmlinuz');
export const INITRD = join(DIRECTORY, 'initrd.gz');

const FILLING = '-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST\n';
const LINES = 131_072;

/** The guest's /big: numbered lines of 64 bytes, as `init` makes them. */
export function bigFile(): Buffer {
  return Buffer.from(Array.from({ length: LINES }, (_, line) => `${line}`.padStart(6, '0') + FILLING).join(''));
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
