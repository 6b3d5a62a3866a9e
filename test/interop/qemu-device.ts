// The oracle: an installed QEMU without a machine, with its own colo-compare on four sockets.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Child, type Device, type DeviceOptions, NEVER_MS, socketDir } from './device';

export const QEMU = 'qemu-system-x86_64';

const SOCKETS = ['pri', 'sec', 'out', 'ntf'] as const;

export async function startQemu(options: DeviceOptions = {}): Promise<Device> {
  const dir = socketDir('qemu');
  const compare = [
    'colo-compare,id=compare',
    'primary_in=pri,secondary_in=sec,outdev=out,notify_dev=ntf,iothread=io',
    `compare_timeout=${options.compareTimeoutMs ?? NEVER_MS}`,
  ];
  if (options.scanCycleMs !== undefined) compare.push(`expired_scan_cycle=${options.scanCycleMs}`);
  if (options.maxQueueSize !== undefined) compare.push(`max_queue_size=${options.maxQueueSize}`);
  if (options.vnetBytes !== undefined) compare.push('vnet_hdr_support=on');
  const args = ['-M', 'none', '-nodefaults', '-display', 'none', '-S', '-qmp', 'stdio'];
  for (const id of SOCKETS) args.push('-chardev', `socket,id=${id},path=${join(dir, id)},server=on,wait=off`);
  args.push('-object', 'iothread,id=io', '-object', compare.join(','));
  const child = new Child(spawn(QEMU, args, { stdio: ['pipe', 'pipe', 'pipe'] }), dir);
  // Its greeting comes when the sockets are there.
  await new Promise<void>((resolve, reject) => {
    let seen = '';
    child.process.stdout!.on('data', (data: Buffer) => {
      seen = (seen + data.toString()).slice(-4096);
      if (seen.includes('"QMP"')) resolve();
    });
    child.process.once('exit', () => reject(new Error(`QEMU did not start: ${child.stderr()}`)));
    child.process.once('error', reject);
  });
  return {
    name: 'qemu',
    options,
    dir,
    pausesOnRequest: false,
    stderr: () => child.stderr(),
    ended: () => child.ended(),
    stop: () => child.stop(),
  };
}
