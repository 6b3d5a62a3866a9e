// The program: `colo COMMAND ...`. Exit status 0: success; 1: a negative result; 2: wrong usage or failure; 70: a fault
// of the program.

import { Command, CommanderError } from 'commander';
import { OperatorError } from '../core/errors';
import { addCommands, type Commands } from './lazy';
import { VERSION } from './version';

/** Each loads its other modules when it runs. */
const COMMANDS: Commands = {
  primary: (to) => (require('./daemon') as typeof import('./daemon')).addPrimaryCommand(to),
  secondary: (to) => (require('./daemon') as typeof import('./daemon')).addSecondaryCommand(to),
  rules: (to) => (require('./rules') as typeof import('./rules')).addRulesCommand(to),
  ctl: (to) => (require('./ctl') as typeof import('./ctl')).addCtlCommand(to),
  status: (to) => (require('./ctl') as typeof import('./ctl')).addStatusCommand(to),
  doctor: (to) => (require('./doctor') as typeof import('./doctor')).addDoctorCommand(to),
  compare: (to) => (require('./compare') as typeof import('./compare')).addCompareCommand(to),
  qemu: (to) => (require('./qemu') as typeof import('./qemu')).addQemuCommands(to, process.argv[3]),
  simulate: (to) => (require('./simulate') as typeof import('./simulate')).addSimulateCommand(to),
};
const WITHOUT_COMMAND: ReadonlySet<string> = new Set(['--version', '-V']);

const EXIT_TROUBLE = 2;
/** A fault in the program itself (sysexits.h, EX_SOFTWARE). */
const EXIT_SOFTWARE = 70;

function program(first: string | undefined): Command {
  const colo = new Command('colo')
    .description('COLO proxy: compares, holds, releases and translates the packets of a pair of virtual machines')
    .version(VERSION)
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'colo: ')) });
  if (first === undefined || !WITHOUT_COMMAND.has(first)) addCommands(colo, COMMANDS, first);
  throwInsteadOfExit(colo);
  return colo;
}

/** Commander would end the process itself, with the status of a negative result. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const inner of command.commands) throwInsteadOfExit(inner);
}

/** The reader of our output may close it early, as `head` does. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

program(process.argv[2])
  .parseAsync()
  .catch((error: unknown) => {
    if (error instanceof CommanderError) {
      // Help and version are no failures; commander has printed them.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_TROUBLE;
      return;
    }
    if (!(error instanceof OperatorError)) {
      console.error(`colo: internal error: ${error instanceof Error ? error.stack : String(error)}`);
      process.exit(EXIT_SOFTWARE);
    }
    for (const line of error.message.split('\n')) console.error(`colo: ${line}`);
    if (error.hint !== undefined) console.error(`colo: ${error.hint}`);
    // exit(), not exitCode: a daemon that has failed after opening its queues would live on, and hold packets that
    // nobody reads.
    process.exit(EXIT_TROUBLE);
  });
