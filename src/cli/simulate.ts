// `colo simulate`: the whole system in virtual time, one run for every seed. A run depends on its seed alone, so a seed
// that fails here fails everywhere, and is printed event by event.

import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../core/errors';
import { addCoverage } from '../sim/coverage';
import type { Failure, SeedsResult } from '../sim/run';
import type { TraceMode } from '../sim/trace';
import { printJson, printTable } from './output';

interface Flags {
  world: WorldName;
  seeds: number;
  first: number;
  jobs: number;
  maxFailures: number;
  events: 'tail' | 'full';
  mistake?: string;
  json?: boolean;
}

type WorldName = 'queues' | 'frames';

/** A world, with a mistake planted or without. */
interface Ways {
  runSeeds(first: number, count: number, maxFailures: number): SeedsResult | Promise<SeedsResult>;
  explain(failure: Failure, mode: TraceMode): string | Promise<string>;
}

const EXIT_FAILED = 1;
/** Bound of a job's JSON: coverage, and failures with their texts. */
const MAX_OUTPUT_BYTES = 64 << 20;

const help = (): string => `
Every run builds a client, two guests, their hosts, links that lose and reorder, a controller, and faults, all chosen by
the seed. Each packet is checked: no byte and no acknowledgement leaves that the secondary guest has not given, too, or a
completed checkpoint covers; every packet gets one verdict; and after a failover every connection goes on and ends.

The world \`frames\` runs the comparison behind sockets: frames with or without virtio-net headers and VLANs, streams
cut anywhere, sockets that block, peers that leave and return, checkpoints by QMP or by notify_dev.

--mistake plants one of these, to see that it is found:
${names('queues')}
In the world \`frames\`:
${names('frames')}

Exit status: 0 no rule was broken, 1 some seeds broke one, 2 failure.`;

export function addSimulateCommand(program: Command): void {
  program
    .command('simulate')
    .description('run the seeded simulation of the whole system')
    .addOption(
      new Option('--world <which>', 'the nodes behind kernel queues, or the comparison behind sockets')
        .choices(['queues', 'frames'])
        .default('queues'),
    )
    .addOption(new Option('--seeds <n>', 'number of seeds').argParser(count).default(2000))
    .addOption(new Option('--first <n>', 'the first seed').argParser(count).default(1))
    .addOption(
      new Option('--jobs <n>', 'processes at a time').argParser(atLeastOne).default(availableParallelism(), 'CPUs'),
    )
    .addOption(
      new Option('--max-failures <n>', 'stop after this many failures (per job)').argParser(atLeastOne).default(5),
    )
    .addOption(
      new Option('--events <which>', 'events to print of a failing seed').choices(['tail', 'full']).default('tail'),
    )
    .option('--mistake <name>', 'plant a mistake (see below)')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (flags: Flags) => {
      const ways = worldFor(flags.world, flags.mistake);
      const jobs = Math.min(flags.jobs, Math.ceil(flags.seeds / 50));
      const outcome =
        jobs > 1 ? await inProcesses(flags, jobs) : await ways.runSeeds(flags.first, flags.seeds, flags.maxFailures);
      if (flags.json) printJson(outcome);
      else await tell(outcome, flags, ways);
      if (outcome.failures.length > 0) process.exitCode = EXIT_FAILED;
    });
}

function mistakesOf(world: WorldName): readonly { readonly name: string }[] {
  if (world === 'frames')
    return (require('../sim/frames/mutations') as typeof import('../sim/frames/mutations')).FRAMES_MUTATIONS;
  return (require('../sim/mutations') as typeof import('../sim/mutations')).MUTATIONS;
}

function names(world: WorldName): string {
  return mistakesOf(world)
    .map(({ name }) => `  ${name}`)
    .join('\n');
}

function worldFor(world: WorldName, mistake: string | undefined): Ways {
  if (mistake !== undefined && !mistakesOf(world).some(({ name }) => name === mistake)) {
    const all = mistakesOf(world).map(({ name }) => `"${name}"`);
    throw new OperatorError('EUSAGE', `there is no mistake "${mistake}"`, `one of ${all.join(', ')}`);
  }
  return world === 'frames' ? behindSockets(mistake) : behindQueues(mistake);
}

function behindQueues(mistake: string | undefined): Ways {
  const { REAL } = require('../sim/makers') as typeof import('../sim/makers');
  const { explain, runSeeds } = require('../sim/run') as typeof import('../sim/run');
  const { MUTATIONS } = require('../sim/mutations') as typeof import('../sim/mutations');
  const makers = MUTATIONS.find(({ name }) => name === mistake)?.make(REAL) ?? REAL;
  return {
    runSeeds: (first, count, maxFailures) => runSeeds(first, count, makers, maxFailures),
    explain: (failure, mode) => explain(failure, makers, mode),
  };
}

function behindSockets(mistake: string | undefined): Ways {
  const { RIGHT, explainFrames, runFramesSeeds } = require('../sim/frames/run') as typeof import('../sim/frames/run');
  const { FRAMES_MUTATIONS } = require('../sim/frames/mutations') as typeof import('../sim/frames/mutations');
  const make = FRAMES_MUTATIONS.find(({ name }) => name === mistake)?.make(RIGHT) ?? RIGHT;
  return {
    runSeeds: (first, count, maxFailures) => runFramesSeeds(first, count, make, maxFailures),
    explain: (failure, mode) => explainFrames(failure, make, mode),
  };
}

/** The same program again, each with a share of the seeds. */
async function inProcesses(flags: Flags, jobs: number): Promise<SeedsResult> {
  const share = Math.ceil(flags.seeds / jobs);
  const parts: Promise<SeedsResult>[] = [];
  for (let at = 0; at < flags.seeds; at += share) {
    const args = ['simulate', '--jobs', '1', '--json', '--max-failures', String(flags.maxFailures)];
    args.push('--first', String(flags.first + at), '--seeds', String(Math.min(share, flags.seeds - at)));
    args.push('--world', flags.world);
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

async function tell(outcome: SeedsResult, flags: Flags, ways: Ways): Promise<void> {
  const rows = Object.entries(outcome.coverage)
    .filter(([name]) => name !== 'runs')
    .map(([name, value]) => [name, String(Math.round(value))]);
  printTable(['what happened', 'times'], rows);
  for (const failure of outcome.failures) {
    process.stdout.write(`\n${await ways.explain(failure, flags.events)}\n`);
  }
  const failed = outcome.failures.length;
  process.stdout.write(`\n${outcome.runs} seeds run, ${failed === 0 ? 'every rule held' : `${failed} failed`}\n`);
  const world = flags.world === 'queues' ? '' : ` --world ${flags.world}`;
  const mistake = flags.mistake === undefined ? '' : ` --mistake '${flags.mistake}'`;
  for (const { seed, rule } of outcome.failures) {
    process.stdout.write(
      `  seed ${seed}: ${rule} (again: colo simulate --first ${seed} --seeds 1 --events full${world}${mistake})\n`,
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
