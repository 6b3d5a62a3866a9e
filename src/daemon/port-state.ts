// Is the guest still there? Seen at its port: a tap without its hypervisor has no carrier or is gone.

import type { PortState } from '../node/ports';

/**
 * State of a network port of this host. A port that cannot be read counts as gone: what is held must not get out then.
 */
export function portState(port: string): Promise<PortState> {
  const { execFile } = require('node:child_process') as typeof import('node:child_process');
  return new Promise((resolve) => {
    execFile('ip', ['-json', 'link', 'show', 'dev', port], { timeout: 2000 }, (error, stdout) => {
      if (error !== null) {
        resolve('gone');
        return;
      }
      try {
        const links = JSON.parse(stdout) as { flags?: string[] }[];
        resolve(links[0]?.flags?.includes('LOWER_UP') ? 'up' : 'down');
      } catch {
        resolve('gone');
      }
    });
  });
}
