// `colo rules` on the hosts of a laboratory: the same calls, in a process of each host.

import { join } from 'node:path';
import type { Lab, LabProcess } from '../lab';
import type { Job, Outcome } from '../rules-run';
import { until } from './wait';

export const HOSTS = { primary: 'pn', secondary: 'sn' } as const;
export type Side = keyof typeof HOSTS;
export const SCRIPT = `require(${JSON.stringify(join(__dirname, '../lab-load.js'))})(${JSON.stringify(join(__dirname, '../rules-run.ts'))}).main()`;

export function configOf(lab: Lab, side: Side, node: object = {}, more: object = {}): object {
  return {
    role: side,
    stateDir: `${lab.dir}/${side}`,
    nodes: [{ index: 1, guestPort: 'tap0', forwardPort: 'fwd0', ...node }],
    ...more,
  };
}

/**
 * One process for each host, which lives as long as the laboratory: loading the program takes longer than most tests.
 */
const workers = new WeakMap<Lab, Map<Side, { started: LabProcess; taken: number }>>();

/** Runs actions on a host and gives their outcomes. */
export async function run(
  lab: Lab,
  side: Side,
  actions: Job['actions'],
  config = configOf(lab, side),
  times = 1,
): Promise<Outcome[]> {
  const known = workers.get(lab) ?? new Map<Side, { started: LabProcess; taken: number }>();
  workers.set(lab, known);
  const worker = known.get(side) ?? {
    started: lab.spawn(HOSTS[side], process.execPath, ['-e', SCRIPT], { stdio: ['pipe', 'pipe', 'pipe'] }),
    taken: 0,
  };
  known.set(side, worker);
  worker.started.child.stdin!.write(`${JSON.stringify({ config, actions, times })}\n`);
  const from = worker.taken;
  worker.taken += actions.length * times;
  return until(
    `outcomes of ${actions.join(', ')}`,
    () => {
      const lines = worker.started.output.split('\n').slice(0, -1);
      if (worker.started.exitCode !== undefined) throw new Error(worker.started.output);
      return lines.length >= worker.taken && lines.slice(from, worker.taken).map((line) => JSON.parse(line) as Outcome);
    },
    120_000,
  );
}

export function good(outcomes: Outcome[]): Outcome[] {
  for (const { error } of outcomes) if (error) throw new Error(`${error.code}: ${error.message} (${error.hint})`);
  return outcomes;
}
