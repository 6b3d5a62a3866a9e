// The simulator alone: with engines that hold everything until a checkpoint no rule can break, so what breaks is its
// own.

import { simulate } from '../lib/simulate';

test('300 seeds with engines that only hold', async () => {
  const { runs, failures, coverage } = await simulate({
    first: 20_001,
    count: 300,
    maxFailures: 3,
    engines: 'standin',
  });
  expect(failures).toEqual([]);
  expect(runs).toBe(300);
  expect(coverage.coveredPackets).toBeGreaterThan(0);
  expect(coverage.judgedBytes).toBe(0);
  expect(coverage.failovers).toBeGreaterThan(0);
}, 120_000);
