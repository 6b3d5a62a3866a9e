// The one program: `colo COMMAND ...`. Exit status 0: all is well; 1: a negative result; 2: wrong usage or trouble.

import { Command, CommanderError } from 'commander';
import { OperatorError } from '../core/errors';
import { addCompareCommand } from './compare';
import { addCtlCommand, addStatusCommand } from './ctl';
import { addPrimaryCommand, addSecondaryCommand } from './daemon';
import { addDoctorCommand } from './doctor';
import { addRulesCommand } from './rules';
import { addSimulateCommand } from './simulate';
import { VERSION } from './version';

const EXIT_TROUBLE = 2;

function program(): Command {
  const colo = new Command('colo')
    .description('COLO proxy: compares, holds, releases and translates the packets of a pair of virtual machines')
    .version(VERSION)
    .showSuggestionAfterError()
    .exitOverride();
  addPrimaryCommand(colo);
  addSecondaryCommand(colo);
  addRulesCommand(colo);
  addCtlCommand(colo);
  addStatusCommand(colo);
  addDoctorCommand(colo);
  addCompareCommand(colo);
  addSimulateCommand(colo);
  for (const command of [colo, ...colo.commands]) command.exitOverride();
  return colo;
}

program()
  .parseAsync()
  .catch((error: unknown) => {
    if (error instanceof CommanderError) {
      // Help and version are no trouble; commander has printed what there is to say.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_TROUBLE;
      return;
    }
    if (!(error instanceof OperatorError)) throw error;
    for (const line of error.message.split('\n')) console.error(`colo: ${line}`);
    if (error.hint !== undefined) console.error(`colo: ${error.hint}`);
    process.exitCode = EXIT_TROUBLE;
  });
