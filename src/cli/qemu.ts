// `colo qemu ...`: QEMU's COLO proxy on character devices, outside QEMU.

import type { Command } from 'commander';
import { addCommands, type Commands } from './lazy';

const netdevs = (to: Command): void =>
  (require('./qemu-netdev') as typeof import('./qemu-netdev')).addQemuNetdevCommands(to);

const COMMANDS: Commands = {
  compare: (to) => (require('./qemu-compare') as typeof import('./qemu-compare')).addQemuCompareCommand(to),
  netdev: netdevs,
  mirror: netdevs,
  redirector: netdevs,
  rewriter: netdevs,
  ctl: (to) => (require('./qemu-ctl') as typeof import('./qemu-ctl')).addQemuCtlCommand(to),
};

/** `name`: of the command in the group that is asked for. */
export function addQemuCommands(program: Command, name: string | undefined): void {
  const group = program
    .command('qemu')
    .description("QEMU's COLO proxy on sockets: compare, netdev, mirror, redirector, rewriter");
  addCommands(group, COMMANDS, name);
}
