// Ours: `colo qemu compare` on the same four sockets.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Child, type Device, type DeviceOptions, NEVER_MS, socketDir } from './device';

const COLO = join(process.env.COLO_ROOT ?? join(__dirname, '..', '..'), 'bin/colo');

export async function startColo(options: DeviceOptions = {}): Promise<Device> {
  const dir = socketDir('colo');
  const endpoint = (name: string): string => `unix:${join(dir, name)},server`;
  const args = [COLO, 'qemu', 'compare'];
  args.push('--primary_in', endpoint('pri'), '--secondary_in', endpoint('sec'));
  args.push('--outdev', endpoint('out'), '--notify_dev', endpoint('ntf'));
  args.push('--compare_timeout', String(options.compareTimeoutMs ?? NEVER_MS));
  // QEMU's has none, and what is asked for right after a checkpoint is compared, too.
  args.push('--min_checkpoint_interval', '0');
  if (options.scanCycleMs !== undefined) args.push('--expired_scan_cycle', String(options.scanCycleMs));
  if (options.maxQueueSize !== undefined) args.push('--max_queue_size', String(options.maxQueueSize));
  if (options.vnetBytes !== undefined) args.push('--vnet_hdr_support', 'on');
  const child = new Child(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] }), dir);
  child.process.stdout!.resume();
  return {
    name: 'colo',
    options,
    dir,
    pausesOnRequest: true,
    stderr: () => child.stderr(),
    ended: () => child.ended(),
    stop: () => child.stop(),
  };
}
