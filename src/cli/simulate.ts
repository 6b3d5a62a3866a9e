// `colo simulate`: the whole system in virtual time, one run for every seed. A run depends on its seed alone, so a seed
// that fails here fails everywhere, and is printed event by event.

import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../core/errors';
import { addCoverage } from '../sim/coverage';
import type { Makers } from '../sim/makers';
import type { SeedsResult } from '../sim/run';
import { printJson, printTable } from './output';

interface Flags {
  seeds: number;
  first: number;
  jobs: number;
  maxFailures: number;
  events: 'tail' | 'full';
  mistake?: string;
  json?: boolean;
}

const EXIT_FAILED = 1;
/** A job's JSON: coverage, and failures with their texts. */
const MAX_OUTPUT_BYTES = 64 << 20;

const help = (): string => `
Every run builds a client, two guests, their hosts, links that lose and reorder, a controller, and faults, all chosen by
the seed; and checks, packet by packet, that nothing leaves that the secondary guest has not said too, nor is granted
that it has not granted; that every packet gets one verdict; and that after a failover every connection goes on and ends.

With --mistake, one of these is planted, to see that it is found:
${mutations()
  .map((mutation) => `  ${mutation.name}`)
  .join('\n')}

Exit status: 0 every seed held, 1 some did not, 2 trouble.`;

export function addSimulateCommand(program: Command): void {
  program
    .command('simulate')
    .description('run the seeded simulation of the whole system')
    .addOption(new Option('--seeds <n>', 'how many seeds').argParser(count).default(2000))
    .addOption(new Option('--first <n>', 'the first seed').argParser(count).default(1))
    .addOption(
      new Option('--jobs <n>', 'processes at a time').argParser(atLeastOne).default(availableParallelism(), 'CPUs'),
    )
    .addOption(new Option('--max-failures <n>', 'stop after so many (per job)').argParser(atLeastOne).default(5))
    .addOption(new Option('--events <which>', "a failing seed's events").choices(['tail', 'full']).default('tail'))
    .option('--mistake <name>', 'plant a mistake')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (flags: Flags) => {
      const makers = enginesFor(flags.mistake);
      const jobs = Math.min(flags.jobs, Math.ceil(flags.seeds / 50));
      const outcome =
        jobs > 1
          ? await inProcesses(flags, jobs)
          : world().runSeeds(flags.first, flags.seeds, makers, flags.maxFailures);
      if (flags.json) printJson(outcome);
      else tell(outcome, flags, makers);
      if (outcome.failures.length > 0) process.exitCode = EXIT_FAILED;
    });
}

function world(): typeof import('../sim/run') {
  return require('../sim/run') as typeof import('../sim/run');
}

function mutations() {
  return (require('../sim/mutations') as typeof import('../sim/mutations')).MUTATIONS;
}

function enginesFor(mistake: string | undefined): Makers {
  const { REAL } = require('../sim/makers') as typeof import('../sim/makers');
  if (mistake === undefined) return REAL;
  const mutation = mutations().find((one) => one.name === mistake);
  if (!mutation) {
    const names = mutations()
      .map((one) => `"${one.name}"`)
      .join(', ');
    throw new OperatorError('EUSAGE', `there is no mistake "${mistake}"`, `one of ${names}`);
  }
  return mutation.make(REAL);
}

/** The same program again, each with a share of the seeds. */
async function inProcesses(flags: Flags, jobs: number): Promise<SeedsResult> {
  const share = Math.ceil(flags.seeds / jobs);
  const parts: Promise<SeedsResult>[] = [];
  for (let at = 0; at < flags.seeds; at += share) {
    const args = ['simulate', '--jobs', '1', '--json', '--max-failures', String(flags.maxFailures)];
    args.push('--first', String(flags.first + at), '--seeds', String(Math.min(share, flags.seeds - at)));
    if (flags.mistake !== undefined) args.push('--mistake', flags.mistake);
    parts.push(job(args));
  }
  const outcome: SeedsResult = { runs: 0, failures: [], coverage: {} };
  for (const part of await Promise.all(parts)) {
    outcome.runs += part.runs;
    outcome.failures.push(...part.failures);
    addCoverage(outcome.coverage, part.coverage);
  }
  return outcome;
}

function job(args: string[]): Promise<SeedsResult> {
  return new Promise((resolve, reject) => {
    const program = [...process.execArgv, process.argv[1]!, ...args];
    execFile(process.execPath, program, { maxBuffer: MAX_OUTPUT_BYTES }, (error, stdout, stderr) => {
      // A job that found failures ends with EXIT_FAILED, and has printed them all the same.
      if (error && error.code !== EXIT_FAILED) {
        reject(new OperatorError('ESIMULATE', `a job ended early: ${stderr.trim() || error.message}`, 'try --jobs 1'));
        return;
      }
      resolve(JSON.parse(stdout) as SeedsResult);
    });
  });
}

function tell(outcome: SeedsResult, flags: Flags, makers: Makers): void {
  const rows = Object.entries(outcome.coverage)
    .filter(([name]) => name !== 'runs')
    .map(([name, value]) => [name, String(Math.round(value))]);
  printTable(['what happened', 'times'], rows);
  for (const failure of outcome.failures) {
    process.stdout.write(`\n${world().explain(failure, makers, flags.events)}\n`);
  }
  const failed = outcome.failures.length;
  process.stdout.write(`\n${outcome.runs} seeds run, ${failed === 0 ? 'every rule held' : `${failed} failed`}\n`);
  const mistake = flags.mistake === undefined ? '' : ` --mistake '${flags.mistake}'`;
  for (const { seed, rule } of outcome.failures) {
    process.stdout.write(
      `  seed ${seed}: ${rule} (again: colo simulate --first ${seed} --seeds 1 --events full${mistake})\n`,
    );
  }
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('it must be a number, 0 or more');
  return Number(text);
}

function atLeastOne(text: string): number {
  const n = count(text);
  if (n === 0) throw new InvalidArgumentError('it must be 1 or more');
  return n;
}
