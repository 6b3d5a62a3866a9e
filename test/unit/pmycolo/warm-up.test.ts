// The made-up traffic is what it means to be: compared, equal, released, in the time that it may take.
import { PrimaryWarmUp, warmUpPrimary } from '../../../src/pmycolo/warm-up';

test('everything of the made-up traffic is compared equal and released, over checkpoints', () => {
  let now = 0;
  const { rounds, released, requests, counters } = warmUpPrimary(() => now++, 100);
  expect(rounds).toBe(100);
  expect(requests).toBe(0);
  expect(counters).toMatchObject({
    divergences: 0,
    primary_malformed: 0,
    secondary_malformed: 0,
    primary_unprotected: 0,
  });
  expect(counters.checkpoints_done).toBeGreaterThan(0);
  expect(released).toBe(counters.primary_packets! - counters.dropped_packets!);
  expect(counters.compared_packets).toBeGreaterThan(0.9 * counters.primary_packets!);
  expect(counters.rewritten_packets).toBeGreaterThan(0);
});

test('a fast machine has done enough before its time is over', () => {
  expect(warmUpPrimary(() => 0, 100).rounds).toBe(128);
  const inParts = new PrimaryWarmUp();
  let parts = 1;
  while (inParts.run(() => 0, 0)) parts++;
  expect([inParts.result().rounds, parts]).toEqual([128, 128]);
});
