// Kernel settings under /proc/sys, of the network namespace that this process is in.

import { readFileSync, writeFileSync } from 'node:fs';
import { OperatorError } from '../core/errors';

/** Path below /proc/sys. Slashes, as an interface's name may have dots. */
export type SysctlPath = string;

/** Undefined when the kernel does not have it (or a module is not loaded). */
export function readSysctl(path: SysctlPath): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Throws OperatorError. */
export function writeSysctl(path: SysctlPath, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const hint =
      code === 'ENOENT' ? missingHint(path) : code === 'EACCES' || code === 'EPERM' ? 'run it as root' : undefined;
    throw new OperatorError('ESYSCTL', `cannot set ${sysctlName(path)} to ${value}: ${code}`, hint, { cause });
  }
}

function missingHint(path: SysctlPath): string {
  if (path.startsWith('net/bridge/')) return 'load the module: modprobe br_netfilter';
  if (path.startsWith('net/netfilter/')) return 'load the module: modprobe nf_conntrack';
  return 'this kernel does not have it';
}

/** As sysctl(8) writes it. */
export function sysctlName(path: SysctlPath): string {
  return path.includes('.') ? path : path.replaceAll('/', '.');
}
