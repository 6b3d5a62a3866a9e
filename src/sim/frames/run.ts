// Runs seeds of the world behind sockets, as ../run does of that behind queues.

import { CompareDevice } from '../../qemu/compare/compare-device';
import type { Coverage } from '../coverage';
import { addCoverage } from '../coverage';
import { type Failure, type RunResult, type SeedsResult, story } from '../run';
import { BrokenRule } from '../stage';
import { Trace, type TraceMode } from '../trace';
import { makeFramesScenario } from './scenario';
import { FramesWorld, type MakeDevice } from './world';

export const RIGHT: MakeDevice = (...args) => new CompareDevice(...args);

export async function runFramesSeed(seed: number, make: MakeDevice, mode: TraceMode = 'hash'): Promise<RunResult> {
  const trace = new Trace(mode);
  const world = new FramesWorld(makeFramesScenario(seed), make, trace);
  let rule = '';
  let what = '';
  try {
    await world.run();
  } catch (error) {
    if (error instanceof BrokenRule) ({ rule, what } = error);
    else {
      rule = 'an exception';
      what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  }
  const { hash, events } = trace;
  return {
    seed,
    rule,
    what,
    hash,
    events,
    virtualMs: world.nowUs / 1000,
    coverage: coverageOf(world),
    lines: trace.text(),
  };
}

export async function runFramesSeeds(
  first: number,
  count: number,
  make: MakeDevice,
  maxFailures = 10,
): Promise<SeedsResult> {
  const outcome: SeedsResult = { runs: 0, failures: [], coverage: {} };
  for (let seed = first; seed < first + count && outcome.failures.length < maxFailures; seed++) {
    const { rule, what, hash, coverage } = await runFramesSeed(seed, make);
    outcome.runs++;
    addCoverage(outcome.coverage, coverage);
    if (rule !== '') outcome.failures.push({ seed, rule, what, hash });
  }
  return outcome;
}

export async function explainFrames(failure: Failure, make: MakeDevice, mode: TraceMode = 'tail'): Promise<string> {
  return story(failure, await runFramesSeed(failure.seed, make, mode), mode);
}

function coverageOf(w: FramesWorld): Coverage {
  const { controller, ledger, clients } = w;
  const out: Coverage = {
    runs: 1,
    packets: w.client.counts.sent + w.pvm.counts.sent + w.svm.counts.sent,
    sessions: clients.sessions.length,
    datagramsAnswered: clients.counts.datagrams,
    judgedPackets: ledger.counts.judged,
    judgedBytes: ledger.counts.judgedBytes,
    coveredPackets: ledger.counts.coveredPackets,
    framesLeft: w.outlet.counts.frames,
    checkpoints: controller.counts.checkpoints,
    checkpointsAsked: controller.counts.asked,
  };
  for (const [kind, n] of Object.entries(w.faults.counts)) out[`fault ${kind}`] = n;
  for (const [name, n] of Object.entries(w.device.counts())) out[name] = n;
  return out;
}
