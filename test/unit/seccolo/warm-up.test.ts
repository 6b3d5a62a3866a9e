// The made-up connections are what they mean to be: learnt, and translated both ways.
import { SecondaryWarmUp } from '../../../src/seccolo/warm-up';

test('made-up connections are learnt and translated', () => {
  let now = 0;
  const warmUp = new SecondaryWarmUp();
  expect(warmUp.run(() => now++, 40)).toBe(true);
  expect(warmUp.run(() => now++, 200)).toBe(false);
  const both = warmUp.counters();
  expect(both).toHaveLength(2);
  for (const counters of both) {
    expect(counters).toMatchObject({ peer_malformed: 0, guest_malformed: 0 });
    expect(counters.checkpoints_done).toBeGreaterThan(0);
    expect(counters.peer_rewritten).toBeGreaterThan(0.5 * counters.peer_packets!);
  }
  expect(both[1]!.guest_rewritten).toBeGreaterThan(0.5 * both[1]!.guest_packets!);
});
