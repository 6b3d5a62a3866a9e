// What a running process still has of root's capabilities.

import { readdirSync, readFileSync } from 'node:fs';

/** Capability bits that any thread of a process has in any of its five sets. */
export function capabilitiesOf(pid: number): bigint {
  let all = 0n;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    for (const [, bits] of status.matchAll(/^Cap\w+:\s*(\w+)$/gm)) all |= BigInt(`0x${bits}`);
  }
  return all;
}
