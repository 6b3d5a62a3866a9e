// The one program: `colo COMMAND ...`. Exit status 0: all is well; 1: a negative result; 2: wrong
// usage or trouble; 70: a fault of the program.

import { Command, CommanderError } from 'commander';
import { OperatorError } from '../core/errors';
import { addCompareCommand } from './compare';
import { addCtlCommand, addStatusCommand } from './ctl';
import { addPrimaryCommand, addSecondaryCommand } from './daemon';
import { addDoctorCommand } from './doctor';
import { addQemuCommands } from './qemu';
import { addRulesCommand } from './rules';
import { addSimulateCommand } from './simulate';
import { VERSION } from './version';

const EXIT_TROUBLE = 2;
/** A fault in the program itself (sysexits.h, EX_SOFTWARE). */
const EXIT_SOFTWARE = 70;

function program(): Command {
  const colo = new Command('colo')
    .description('COLO proxy: compares, holds, releases and translates the packets of a pair of virtual machines')
    .version(VERSION)
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'colo: ')) });
  addPrimaryCommand(colo);
  addSecondaryCommand(colo);
  addRulesCommand(colo);
  addCtlCommand(colo);
  addStatusCommand(colo);
  addDoctorCommand(colo);
  addCompareCommand(colo);
  addQemuCommands(colo);
  addSimulateCommand(colo);
  throwInsteadOfExit(colo);
  return colo;
}

/** Commander would end the process itself, with the status of a negative result. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const inner of command.commands) throwInsteadOfExit(inner);
}

/** The reader of our output may have had enough, as `head` does. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

program()
  .parseAsync()
  .catch((error: unknown) => {
    if (error instanceof CommanderError) {
      // Help and version are no trouble; commander has printed what there is to say.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_TROUBLE;
      return;
    }
    if (!(error instanceof OperatorError)) {
      console.error(`colo: internal error: ${error instanceof Error ? error.stack : String(error)}`);
      process.exit(EXIT_SOFTWARE);
    }
    for (const line of error.message.split('\n')) console.error(`colo: ${line}`);
    if (error.hint !== undefined) console.error(`colo: ${error.hint}`);
    // Not exitCode: a daemon that has opened its queues before it failed would live on, and hold packets that nobody reads.
    process.exit(EXIT_TROUBLE);
  });
