// System calls per released packet, counted by `strace -c` from before the load until after it.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Device } from './devices';

export async function syscallsPerPacket(device: Device, load: () => Promise<Record<string, number>>): Promise<number> {
  const file = join(device.dir, 'strace');
  const strace = spawn('strace', ['-f', '-c', '-o', file, '-p', String(device.pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise((resolve) => strace.once('exit', resolve));
  await new Promise((resolve, reject) => {
    strace.stderr.once('data', resolve); // "Process N attached"
    strace.once('error', reject);
  });
  const { total_pairs } = await load();
  strace.kill('SIGINT');
  await exited;
  // The last line is the total: share of time, seconds, us per call, calls, perhaps errors, "total".
  const total = readFileSync(file, 'utf8').trim().split('\n').at(-1)!.trim().split(/\s+/);
  if (total.at(-1) !== 'total') throw new Error(`strace wrote no total: ${total.join(' ')}`);
  return Number(total[3]) / total_pairs!;
}
