// Runs rules inside the namespace of this process, as `colo rules` does: one JSON outcome a line. A job comes as
// argument, or many one after the other on standard input.
import { createInterface } from 'node:readline';
import { checkConfig } from '../../src/config/config';
import {
  applyRules,
  checkRules,
  isolateRules,
  missingRules,
  planOf,
  removeRules,
  restoreRules,
  showLines,
  takeOverRules,
  undoLines,
} from '../../src/rules';

export interface Job {
  config: unknown;
  actions: ('apply' | 'remove' | 'show' | 'undo' | 'restore' | 'takeOver' | 'isolate' | 'missing' | 'check')[];
  times?: number;
}

export interface Outcome {
  changes?: string[];
  warnings?: string[];
  lines?: string[];
  error?: { code: string; message: string; hint?: string };
}

async function act(action: Job['actions'][number], config: ReturnType<typeof checkConfig>): Promise<Outcome> {
  try {
    switch (action) {
      case 'apply':
        return { ...(await applyRules(config)) };
      case 'remove':
        return { ...(await removeRules(config)) };
      case 'show':
        return { lines: showLines(planOf(config)) };
      case 'restore':
        return { ...(await restoreRules(config)) };
      case 'takeOver':
        return { changes: [...(await takeOverRules(config, config.nodes[0]!.index))] };
      case 'isolate':
        return { changes: [...(await isolateRules(config, config.nodes[0]!.index))] };
      case 'missing':
        return { lines: await missingRules(config) };
      case 'check':
        return { warnings: await checkRules(config) };
      case 'undo':
        return { lines: undoLines(planOf(config)) };
    }
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint?: string };
    return { error: { code, message, ...(hint === undefined ? {} : { hint }) } };
  }
}

export async function main(): Promise<void> {
  const argument = process.argv[1];
  if (argument !== undefined) return work(JSON.parse(argument) as Job);
  for await (const line of createInterface({ input: process.stdin })) await work(JSON.parse(line) as Job);
}

async function work(job: Job): Promise<void> {
  const config = checkConfig(job.config);
  for (let i = 0; i < (job.times ?? 1); i++) {
    for (const action of job.actions) console.log(JSON.stringify(await act(action, config)));
  }
}
