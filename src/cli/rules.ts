// `colo rules`: the kernel's settings for a node, shown, applied, removed.

import { type Command, Option } from 'commander';
import type { Config, Role } from '../config/config';
import { addConfigOptions } from '../config/flags';
import type { RulesReport } from '../rules';
import { printJson } from './output';

type Flags = Record<string, unknown> & { role?: Role; json?: boolean };

function addOptions(command: Command): Command {
  return addConfigOptions(command)
    .addOption(new Option('--role <role>', 'role of this host, when no file has it').choices(['primary', 'secondary']))
    .option('--json', 'print JSON');
}

function configOf(flags: Flags): Config {
  const { loadConfig } = require('../config/config') as typeof import('../config/config');
  return loadConfig(flags, flags.role);
}

function rules(): typeof import('../rules') {
  return require('../rules') as typeof import('../rules');
}

function print(report: RulesReport, nothing: string, flags: Flags): void {
  if (flags.json) {
    printJson(report);
    return;
  }
  for (const change of report.changes) console.log(change);
  if (report.changes.length === 0) console.log(nothing);
  for (const warning of report.warnings) console.error(`colo: warning: ${warning}`);
}

export function addRulesCommand(program: Command): void {
  const group = program
    .command('rules')
    .description('bridges, mirror, iptables and nft rules of a host: show, apply, remove');

  addOptions(group.command('show').description('print the rules as shell commands'))
    .option('--undo', 'print the commands that remove them')
    .action((flags: Flags & { undo?: boolean }) => {
      const { planOf, showLines, undoLines } = rules();
      const plan = planOf(configOf(flags));
      const lines = flags.undo ? undoLines(plan) : showLines(plan);
      if (flags.json) printJson({ commands: lines.filter((line) => line !== '' && !line.startsWith('#')) });
      else console.log(lines.join('\n'));
    });

  addOptions(group.command('apply').description('apply the rules; those already in place are left alone'))
    .addHelpText('after', "\nFrom then on the guest's packets leave only while a daemon runs (or with --queue-bypass).")
    .action(async (flags: Flags) => {
      print(await rules().applyRules(configOf(flags)), 'everything was in place', flags);
    });

  addOptions(group.command('remove').description('remove the rules and restore what was before')).action(
    async (flags: Flags) => {
      print(await rules().removeRules(configOf(flags)), 'there was nothing to remove', flags);
    },
  );
}
