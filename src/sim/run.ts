// Runs seeds. A run is a pure function of its seed and of the engines, so a failing seed is run again for its events.

import { addCoverage, type Coverage, coverageOf } from './coverage';
import type { Makers } from './makers';
import { makeScenario } from './scenario';
import { BrokenRule } from './stage';
import { Trace, type TraceMode } from './trace';
import { World } from './world';

export interface RunResult {
  seed: number;
  /** The broken rule, or the name of the error; empty when all rules held. */
  rule: string;
  what: string;
  hash: string;
  events: number;
  virtualMs: number;
  coverage: Coverage;
  /** Events as text, oldest first; only on request. */
  lines: readonly string[];
}

export function runSeed(seed: number, makers: Makers, mode: TraceMode = 'hash'): RunResult {
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
  };
}

/** A failed run, without its events. */
export interface Failure {
  seed: number;
  rule: string;
  what: string;
  hash: string;
}

export interface SeedsResult {
  runs: number;
  failures: Failure[];
  coverage: Coverage;
}

/** Runs seeds [first, first + count), or until maxFailures have failed. */
export function runSeeds(first: number, count: number, makers: Makers, maxFailures = 10): SeedsResult {
  const outcome: SeedsResult = { runs: 0, failures: [], coverage: {} };
  for (let seed = first; seed < first + count && outcome.failures.length < maxFailures; seed++) {
    const { rule, what, hash, coverage } = runSeed(seed, makers);
    outcome.runs++;
    addCoverage(outcome.coverage, coverage);
    if (rule !== '') outcome.failures.push({ seed, rule, what, hash });
  }
  return outcome;
}

/** The failure as text: the broken rule, then the events before it. */
export function explain(failure: Failure, makers: Makers, mode: TraceMode = 'tail'): string {
  return story(failure, runSeed(failure.seed, makers, mode), mode);
}

/** `again`: the same run once more, with its events. */
export function story({ seed, rule, what, hash }: Failure, again: RunResult, mode: TraceMode): string {
  const same = again.hash === hash && again.rule === rule;
  return [
    `seed ${seed}: ${rule}: ${what}`,
    `  trace ${hash}, ${again.events} events, ${again.virtualMs.toFixed(1)} ms of virtual time${same ? '' : `, NOT REPLAYED (${again.hash})`}`,
    `  events${mode === 'full' ? '' : ' (the last)'}:`,
    ...again.lines.map((line) => `  ${line}`),
  ].join('\n');
}
