// `colo primary` and `colo secondary`: the daemons in the foreground, as service managers want them.

import type { Command } from 'commander';
import { addConfigOptions, type Config, loadConfig, type Role } from '../config/config';
import { OperatorError } from '../core/errors';
import { Daemon } from '../daemon/daemon';
import { createLogger } from '../daemon/log';
import { watchRuleNotices } from '../io/rule-notices';
import { CAP_NET_ADMIN, CAP_NET_RAW, dropCapabilities } from '../native';
import { appliedNodes, missingByNode, restoreRules } from '../rules';
import { untilSignal } from './signals';

const DESCRIPTIONS: Record<Role, string> = {
  primary: 'compare, hold and release what the primary VMs of this host say',
  secondary: 'translate for the secondary VMs of this host, and take over at a failover',
};

/** A fault in the program itself (sysexits.h, EX_SOFTWARE). */
const EXIT_SOFTWARE = 70;

function addDaemonCommand(program: Command, role: Role): void {
  const command = program
    .command(role)
    .description(DESCRIPTIONS[role])
    .addHelpText(
      'after',
      `
SIGTERM, SIGINT  end; what is held is never let out (the kernel drops it, TCP repeats it)
SIGHUP           read the bypass rules of the configuration again`,
    );
  addConfigOptions(command).action(async (flags: Record<string, string | boolean>) => {
    const config = loadConfig(flags, role);
    // Executes this program again with less, so it comes before anything is opened.
    dropCapabilities([CAP_NET_ADMIN, CAP_NET_RAW]);
    await run(config, () => loadConfig(flags, role));
  });
}

async function run(config: Config, reload: () => Config): Promise<void> {
  const log = createLogger(config.logLevel);
  process.on('uncaughtException', (error) => {
    log.fatal({ error: error.stack ?? String(error) }, 'internal error: ending, the kernel drops what was held');
    process.exit(EXIT_SOFTWARE);
  });
  const ended = untilSignal(log);
  // Until it has started there is nothing to read again; without a handler the signal would end it.
  let daemon: Daemon | undefined;
  process.on('SIGHUP', () => {
    try {
      daemon?.reloadBypass(new Map(reload().nodes.map((node) => [node.index, node.bypassRules])));
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      log.error({ error: error.message, hint: error.hint }, 'the configuration was not read again, the old bypass rules stay');
    }
  });
  daemon = await Daemon.start(config, log, {
    missing: () => missingByNode(config),
    applied: () => appliedNodes(config.stateDir),
    restore: async () => (await restoreRules(config)).changes,
    watch: watchRuleNotices,
  });
  await ended;
  await daemon.close();
  log.info('ended');
}

export function addPrimaryCommand(program: Command): void {
  addDaemonCommand(program, 'primary');
}

export function addSecondaryCommand(program: Command): void {
  addDaemonCommand(program, 'secondary');
}
