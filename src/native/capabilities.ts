// Giving up capabilities for all threads of the process (capabilities(7); native/core/capabilities.h says how and why).

import { OperatorError } from '../core/errors';
import { addon } from './addon';
import { systemError } from './errno';

/** Bit numbers of linux/capability.h. */
export const CAPABILITY_NUMBERS: Readonly<Record<string, number>> = {
  CAP_CHOWN: 0, // CAP_CHOWN
  CAP_DAC_OVERRIDE: 1, // CAP_DAC_OVERRIDE
  CAP_KILL: 5, // CAP_KILL
  CAP_SETGID: 6, // CAP_SETGID
  CAP_SETUID: 7, // CAP_SETUID
  CAP_SETPCAP: 8, // CAP_SETPCAP
  CAP_NET_BIND_SERVICE: 10, // CAP_NET_BIND_SERVICE
  CAP_NET_ADMIN: 12, // CAP_NET_ADMIN
  CAP_NET_RAW: 13, // CAP_NET_RAW
  CAP_IPC_LOCK: 14, // CAP_IPC_LOCK
  CAP_SYS_ADMIN: 21, // CAP_SYS_ADMIN
  CAP_SYS_NICE: 23, // CAP_SYS_NICE
};

export const CAP_NET_ADMIN = 'CAP_NET_ADMIN';
export const CAP_NET_RAW = 'CAP_NET_RAW';
export const CAP_NET_BIND_SERVICE = 'CAP_NET_BIND_SERVICE';

export interface CapabilitySets {
  effective: bigint;
  permitted: bigint;
  inheritable: bigint;
  bounding: bigint;
  ambient: bigint;
}

export function readCapabilities(): CapabilitySets {
  const out = new BigUint64Array(5);
  const err = addon().capabilitiesRead(out);
  if (err < 0) throw systemError(err, 'reading the capabilities of this process');
  return { effective: out[0]!, permitted: out[1]!, inheritable: out[2]!, bounding: out[3]!, ambient: out[4]! };
}

function mask(names: readonly string[]): bigint {
  let bits = 0n;
  for (const name of names) {
    const number = CAPABILITY_NUMBERS[name];
    if (number === undefined) throw new OperatorError('ECAPABILITY', `unknown capability ${name}`);
    bits |= 1n << BigInt(number);
  }
  return bits;
}

/**
 * Gives up every capability outside `keep`, for good and for all threads. Must be the very first act of a program:
 * unless nothing is to be given up, the process executes itself again with the same arguments (same pid), and what ran
 * before this call is lost. Returns when the process has no more than `keep`.
 */
export function dropCapabilities(keep: readonly string[]): void {
  const failed = reduceCapabilities(keep);
  if (failed < 0) {
    throw systemError(failed, 'giving up capabilities', {
      EPERM: `start the program as root, or with no capabilities but ${keep.join(', ')}`,
    });
  }
}

/**
 * As dropCapabilities(), for a program that calls that later, too: what cannot be done now is for it to say. 0, or
 * -errno.
 */
export function reduceCapabilities(keep: readonly string[]): number {
  const needed = addon().capabilitiesPrepare(mask(keep));
  if (needed <= 0) return needed;
  const argv = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  throw systemError(addon().processExec(process.execPath, argv), `executing ${process.execPath} again`);
}
