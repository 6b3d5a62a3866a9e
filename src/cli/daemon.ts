// `colo primary` and `colo secondary`: the daemons in the foreground, as service managers want them.

import type { Command } from 'commander';
import type { Role } from '../config/config';
import { addConfigOptions, type FlagValues } from '../config/flags';
import { CAP_NET_ADMIN, CAP_NET_RAW, dropCapabilities } from '../native/capabilities';

const DESCRIPTIONS: Record<Role, string> = {
  primary: 'compare, hold and release the output of the primary VMs of this host',
  secondary: 'translate for the secondary VMs of this host, and take over at a failover',
};

function addDaemonCommand(program: Command, role: Role): void {
  const command = program
    .command(role)
    .description(DESCRIPTIONS[role])
    .addHelpText(
      'after',
      `
SIGTERM, SIGINT  end; held packets are not released (the kernel drops them, TCP retransmits them)
SIGHUP           read the bypass rules of the configuration again`,
    );
  addConfigOptions(command).action(async (flags: FlagValues) => {
    // Executes this program again with fewer capabilities, so it comes before anything is opened or loaded.
    dropCapabilities([CAP_NET_ADMIN, CAP_NET_RAW]);
    const { loadConfig } = require('../config/config') as typeof import('../config/config');
    const { runDaemon } = require('../daemon/run') as typeof import('../daemon/run');
    await runDaemon(() => loadConfig(flags, role));
  });
}

export function addPrimaryCommand(program: Command): void {
  addDaemonCommand(program, 'primary');
}

export function addSecondaryCommand(program: Command): void {
  addDaemonCommand(program, 'secondary');
}
