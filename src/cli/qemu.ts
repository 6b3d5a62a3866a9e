// `colo qemu ...`: QEMU's COLO proxy on character devices, outside QEMU.

import type { Command } from 'commander';
import { addQemuCtlCommand } from './qemu-ctl';
import { addQemuNetdevCommands } from './qemu-netdev';

export function addQemuCommands(program: Command): void {
  const group = program
    .command('qemu')
    .description("QEMU's COLO filters on sockets: netdev, mirror, redirector, rewriter");
  addQemuNetdevCommands(group);
  addQemuCtlCommand(group);
}
