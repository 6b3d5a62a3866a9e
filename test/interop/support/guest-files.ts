// What the test guest (test/guest) is built from and serves.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..', '..');
const DIRECTORY = join(ROOT, 'build', 'guest');

export const KERNEL = join(DIRECTORY, 'vmlinuz');
export const INITRD = join(DIRECTORY, 'initrd.gz');

/** Builds the guest, or finds it built. */
export function buildGuest(): void {
  execFileSync(join(ROOT, 'test', 'guest', 'build-guest.sh'), [DIRECTORY], { stdio: ['ignore', 'pipe', 'pipe'] });
}

const FILLING = '-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST\n';
const LINES = 131_072;

/** The guest's /big: numbered lines of 64 bytes, as `init` makes them. */
export function bigFile(): Buffer {
  return Buffer.from(Array.from({ length: LINES }, (_, line) => `${line}`.padStart(6, '0') + FILLING).join(''));
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
