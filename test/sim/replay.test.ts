// A run is a function of its seed: it must replay exactly, and a failure must be told.

import { REAL } from '../../src/sim/makers';
import { MUTATIONS } from '../../src/sim/mutations';
import { explain, runSeed, runSeeds } from '../../src/sim/run';
import { TRACE_TAIL } from '../../src/sim/trace';

test('the same seed gives the same trace, other seeds others', () => {
  const hashes = new Set<string>();
  for (let seed = 9001; seed <= 9006; seed++) {
    const once = runSeed(seed, REAL);
    const twice = runSeed(seed, REAL, 'full');
    expect([twice.hash, twice.events, twice.virtualMs]).toEqual([once.hash, once.events, once.virtualMs]);
    expect(twice.coverage).toEqual(once.coverage);
    hashes.add(once.hash);
  }
  expect(hashes.size).toBe(6);
});

test('a failing seed replays exactly and tells its events', () => {
  const wrong = MUTATIONS.find((one) => one.name === 'releases without comparing')!.make(REAL);
  const { failures } = runSeeds(1, 50, wrong, 3);
  expect(failures).toHaveLength(3);
  for (const failure of failures) {
    expect(runSeed(failure.seed, wrong)).toMatchObject(failure);
    const tail = explain(failure, wrong);
    const full = explain(failure, wrong, 'full');
    expect(tail).toContain(`seed ${failure.seed}: ${failure.rule}`);
    expect(tail).toContain(`BROKEN ${failure.rule}`);
    expect(tail).not.toContain('NOT REPLAYED');
    expect(tail.split('\n').length).toBeLessThanOrEqual(TRACE_TAIL + 3);
    expect(full).toContain('PN: daemon starts');
    expect(full.split('\n').length).toBeGreaterThanOrEqual(tail.split('\n').length);
  }
});

test('a run that does not replay is said not to', () => {
  const { seed, hash } = runSeed(1, REAL);
  expect(explain({ seed, rule: '', what: '', hash }, REAL)).not.toContain('NOT REPLAYED');
  expect(explain({ seed, rule: '', what: '', hash: '0' }, REAL)).toContain('NOT REPLAYED');
});
