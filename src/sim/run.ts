// Runs seeds. A run is a pure function of its seed and of the engines, so a failing seed is run again to tell what happened.

import { addCoverage, type Coverage, coverageOf } from './coverage';
import type { EngineMakers } from './engine-port';
import { makeScenario } from './scenario';
import { Trace, type TraceMode } from './trace';
import { BrokenRule, World } from './world';

export interface RunResult {
  seed: number;
  /** The broken rule, or the name of what was thrown; empty when all held. */
  rule: string;
  what: string;
  hash: string;
  events: number;
  virtualMs: number;
  coverage: Coverage;
  /** Events as text, oldest first: only when asked for. */
  lines: readonly string[];
  report: Record<string, number>;
}

export function runSeed(seed: number, makers: EngineMakers, mode: TraceMode = 'hash'): RunResult {
  const trace = new Trace(mode);
  const world = new World(makeScenario(seed), makers, trace);
  let rule = '';
  let what = '';
  try {
    world.run();
  } catch (error) {
    if (error instanceof BrokenRule) ({ rule, what } = error);
    else {
      rule = 'an exception';
      what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  }
  return {
    seed,
    rule,
    what,
    hash: trace.hash,
    events: trace.events,
    virtualMs: world.nowUs / 1000,
    coverage: coverageOf(world),
    lines: trace.text(),
    report: world.pn.engine?.report() ?? {},
  };
}

export interface SeedsResult {
  runs: number;
  failures: RunResult[];
  coverage: Coverage;
}

/** Runs seeds [first, first + count); goes on after failures up to maxFailures. */
export function runSeeds(
  first: number,
  count: number,
  makers: EngineMakers,
  maxFailures = 10,
  onRun?: (result: RunResult) => void,
): SeedsResult {
  const coverage: Coverage = {};
  const failures: RunResult[] = [];
  let runs = 0;
  for (let seed = first; seed < first + count && failures.length < maxFailures; seed++) {
    const result = runSeed(seed, makers);
    runs++;
    addCoverage(coverage, result.coverage);
    if (result.rule !== '') failures.push(result);
    onRun?.(result);
  }
  return { runs, failures, coverage };
}

/** The failure as a person wants to read it: what broke, then the events that led to it. */
export function explain(result: RunResult, makers: EngineMakers, mode: TraceMode = 'tail'): string {
  const again = runSeed(result.seed, makers, mode);
  const same = again.hash === result.hash && again.rule === result.rule;
  return [
    `seed ${result.seed}: ${result.rule}: ${result.what}`,
    `  trace ${result.hash}, ${result.events} events, ${result.virtualMs.toFixed(1)} ms of virtual time${same ? '' : `, NOT REPLAYED (${again.hash})`}`,
    `  events${mode === 'full' ? '' : ' (the last)'}:`,
    ...again.lines.map((line) => `  ${line}`),
  ].join('\n');
}
