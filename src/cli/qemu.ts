// `colo qemu ...`: QEMU's COLO proxy on character devices, outside QEMU.

import type { Command } from 'commander';
import { addQemuCompareCommand } from './qemu-compare';
import { addQemuCtlCommand } from './qemu-ctl';
import { addQemuNetdevCommands } from './qemu-netdev';

export function addQemuCommands(program: Command): void {
  const group = program
    .command('qemu')
    .description("QEMU's COLO proxy on sockets: compare, netdev, mirror, redirector, rewriter");
  addQemuCompareCommand(group);
  addQemuNetdevCommands(group);
  addQemuCtlCommand(group);
}
