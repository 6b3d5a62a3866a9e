// The made-up connections are what they mean to be: learnt, and translated both ways.
import { warmUpSecondary } from '../../../src/seccolo/warm-up';

test('made-up connections are learnt and translated', () => {
  let now = 0;
  const both = warmUpSecondary(() => now++, 200);
  expect(both).toHaveLength(2);
  for (const counters of both) {
    expect(counters).toMatchObject({ peer_malformed: 0, guest_malformed: 0 });
    expect(counters.checkpoints_done).toBeGreaterThan(0);
    expect(counters.peer_rewritten).toBeGreaterThan(0.5 * counters.peer_packets!);
  }
  expect(both[1]!.guest_rewritten).toBeGreaterThan(0.5 * both[1]!.guest_packets!);
});
